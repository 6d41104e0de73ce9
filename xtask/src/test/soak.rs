//! Runs that go on for a time, and many cycles in one boot.

use std::time::Duration;

use serde_json::Value;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::Session;

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case::new("soak-ends-by-time", by_time),
        Case::new("soak-ctrl-c", by_ctrl_c),
        Case::new("soak-failures-are-kept", failing),
        Case::new("soak-and-cycles", |session| {
            let ended = session.run(&words("run --for 5s --cycles 3"))?;
            ensure(ended.status == Some(2), || format!("{:?}", ended.status))
        }),
        Case { deadline: Duration::from_secs(300), ..Case::new("cycles-1000", thousand) },
    ]
}

fn by_time(session: &Session<'_>) -> Expected {
    let ended = session.run(&words("run --for 10s"))?;
    expect::outcome(&ended, 0, "pass")?;
    let report = ended.report()?;
    ensure(report["stopped"].is_null(), || format!("stopped {}", report["stopped"]))?;
    for policy in ["adopt", "reset"] {
        let run = expect::run(&ended, policy)?;
        let (cycles, failed) = (run["cycles_done"].as_u64().unwrap_or(0), &run["cycles_failed"]);
        // A cycle takes some 20 ms, and each policy has five seconds.
        ensure(cycles > 20 && *failed == 0, || format!("{policy}: {cycles} cycles, {failed} failed"))?;
    }
    // A line at least every fifth of the time.
    let lines = ended.stderr.lines().filter(|line| line.contains(" min: ")).count();
    ensure((3..=6).contains(&lines), || format!("{lines} lines:\n{}", ended.stderr))
}

/// What was told until then is the report, and the log gives the same again.
fn by_ctrl_c(session: &Session<'_>) -> Expected {
    let mut running = session.start(&words("run --scenario adopt --for 1h"))?;
    running.wait_for_console(20)?;
    std::thread::sleep(Duration::from_secs(2));
    running.interrupt()?;
    let ended = running.wait()?;
    expect::outcome(&ended, 0, "pass")?;
    let report = ended.report()?.clone();
    let stopped = |report: &Value| report["stopped"].as_str().unwrap_or_default().to_owned();
    ensure(stopped(&report).contains("Ctrl-C, after"), || format!("stopped: {}", report["stopped"]))?;
    let done = &expect::run(&ended, "adopt")?["cycles_done"];
    ensure(done.as_u64() > Some(5), || format!("{done} cycles"))?;
    let log = session.report().join("console.log");
    let log = std::fs::read(&log).map_err(|error| format!("cannot read {}: {error}", log.display()))?;
    let kept = session.folder.with_extension("log");
    std::fs::write(&kept, log).map_err(|error| error.to_string())?;
    let again = session.run(&["report".to_owned(), kept.display().to_string()])?;
    expect::outcome(&again, 0, "pass")?;
    ensure(stopped(again.report()?) == stopped(&report), || {
        format!("again: {}", again.report().map_or(&Value::Null, |r| &r["stopped"]))
    })
}

/// A fault in every cycle: each is there with its checks and its access log.
fn failing(session: &Session<'_>) -> Expected {
    let ended = session.run(&words("run --scenario adopt --for 5s --plant ste-rewritten"))?;
    expect::outcome(&ended, 1, "fail")?;
    let run = expect::run(&ended, "adopt")?;
    let failed = expect::array(run, "failed_cycles")?;
    let count = run["cycles_failed"].as_u64().unwrap_or(0);
    ensure(count > 3 && failed.len() as u64 == count, || format!("{count} failed, {} kept", failed.len()))?;
    failed.iter().try_for_each(|cycle| {
        expect::array(cycle, "access_log")?;
        let broken = expect::broken(cycle);
        ensure(broken.contains("adopt.no-table-stores"), || format!("cycle {}: {broken:?}", cycle["cycle"]))
    })
}

/// The blackout over a thousand crashes of a boot, in less than 20 ms each.
fn thousand(session: &Session<'_>) -> Expected {
    const GOAL_US: u64 = 20_000;
    let ended = session.run(&words("run --cycles 1000"))?;
    expect::outcome(&ended, 0, "pass")?;
    for policy in ["adopt", "reset"] {
        let blackout = &expect::run(&ended, policy)?["blackout"];
        let figure = |key: &str| blackout[key].as_f64().unwrap_or(-1.0);
        ensure(blackout["cycles"] == 1000, || format!("{policy}: {blackout}"))?;
        let in_order = 0.0 < figure("mean_us")
            && figure("mean_us") <= figure("p99_us").max(figure("max_us"))
            && figure("p99_us") <= figure("max_us")
            && figure("deviation_us") >= 0.0;
        // The longest may be the host's doing, one in a hundred not.
        ensure(in_order && blackout["p99_us"].as_u64() < Some(GOAL_US), || format!("{policy}: {blackout}"))?;
    }
    ensure(ended.stdout.contains("over 1000 cycles"), || ended.stdout.clone())
}
