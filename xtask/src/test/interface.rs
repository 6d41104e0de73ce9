//! Frames out of an interface of this host, as a board gets them: an emulated card on a tap, in a network of its own.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::policies::check;
use super::session::{Ended, Session};

const BOARD: &str = "run --board qemu-virt-tap --scenario";
/// Console lines of the first cycle of `adopt`, which is told in full, and of one or two more.
const SOME_CYCLES: usize = 290;
/// The card of that board.
const CARD: &str = "0000:00:04.0";
/// Another one on the same tap, for a board whose file has no sender.
const ANOTHER: &str = "-netdev tap,id=net1,ifname=card0,script=no,downscript=no,vhost=off \
    -device igb,netdev=net1,bus=pcie.0,addr=9.0,romfile=";

/// All of them.
pub fn all() -> Vec<Case> {
    let cases = vec![
        Case::new("interface-frames", |session| {
            let ended = session.run_by(&network(""), &words(&format!("{BOARD} adopt,reset")))?;
            expect::outcome(&ended, 0, "pass")?;
            expect::adopted(expect::run(&ended, "adopt")?)?;
            expect::was_reset(expect::run(&ended, "reset")?)?;
            ensure(told(&ended)?.is_empty(), || format!("told of frames: {:?}", told(&ended)))
        }),
        Case::new("interface-to-nowhere", |session| {
            // The other end is on no switch.
            let ended = session.run_by(&network("ip link set feed1 nomaster"), &words(&format!("{BOARD} adopt")))?;
            unfed(&ended, CARD)?;
            ensure(told(&ended)?.is_empty(), || format!("every frame was sent: {:?}", told(&ended)))
        }),
        Case::new("interface-none", |session| {
            let run = format!("run --board qemu-virt-storage --scenario adopt -- {ANOTHER}");
            let ended = session.run_by(&network(""), &words(&run))?;
            unfed(&ended, "0000:00:09.0")?;
            says(&ended, &["no-sender", "has no [sender], and 0000:00:09.0 (igb)"])
        }),
        Case::new("interface-goes", |session| goes(session, "ip link delete feed0", "feed0 is gone")),
        Case::new("interface-goes-down", |session| goes(session, "ip link set feed0 down", "feed0 went down")),
        Case::new("interface-refused", refused),
    ];
    cases.into_iter().map(|case| Case { lacks, ..case }).collect()
}

/// The words before a command that runs it in such a network, after `change`.
pub(super) fn network(change: &str) -> Vec<String> {
    let script = crate::workspace::root().join("ci/lab-network").display().to_string();
    let change = format!("{change}\nexec \"$@\"");
    [&script, "sh", "-ec", &change, "sh"].map(str::to_owned).into()
}

/// Why there is no such network here.
pub(super) fn lacks() -> Option<String> {
    let mut command = Command::new(crate::workspace::root().join("ci/lab-network"));
    let output = command.args(["sh", "-c", "command -v nsenter setpriv"]).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().last().unwrap_or("no `nsenter` and `setpriv` (util-linux)");
            Some(format!("no network of its own: {last}"))
        }
        Err(error) => Some(format!("ci/lab-network does not start: {error}")),
    }
}

/// What the host told of its frames.
fn told(ended: &Ended) -> Result<Vec<String>, String> {
    let findings = ended.report()?["platform"]["findings"].as_array().ok_or("no findings")?;
    Ok(findings.iter().filter(|finding| finding["table"] == "host").map(ToString::to_string).collect())
}

fn says(ended: &Ended, wanted: &[&str]) -> Expected {
    let told = told(ended)?;
    let is_said = matches!(&told[..], [one] if wanted.iter().all(|word| one.contains(word)));
    ensure(is_said, || format!("not one finding of the host with {wanted:?}: {told:?}"))
}

/// The run fails because the card at `bdf` gets no frame, says so, and the other streams go on.
pub fn unfed(ended: &Ended, bdf: &str) -> Expected {
    expect::outcome(ended, 1, "fail")?;
    let run = expect::run(ended, "adopt")?;
    for id in ["dma.live-before", "dma.live-blackout", "dma.live-after"] {
        not_covered(run, id, &format!("{bdf}: no DMA attempted: no frame came; does anybody send"))?;
    }
    let (idle, others): (Vec<_>, Vec<_>) =
        expect::array(run, "streams")?.iter().partition(|stream| stream["bdf"] == bdf);
    ensure(idle.len() == 1 && !others.is_empty(), || {
        format!("{} streams of {bdf}, {} others", idle.len(), others.len())
    })?;
    others.iter().try_for_each(|stream| expect::delivered(stream, "after"))
}

fn not_covered(run: &Value, id: &str, reason: &str) -> Expected {
    let check = check(run, id)?;
    let is_so = check["reason"].as_str().is_some_and(|text| text.contains(reason));
    ensure(check["verdict"] == "not-covered" && is_so, || format!("{check}"))
}

/// Frames stop coming in the middle of a run, which goes on to its end.
fn goes(session: &Session<'_>, change: &str, reason: &str) -> Expected {
    const CYCLES: u64 = 16;
    let mut running = session.start_by(&network(""), &words(&format!("{BOARD} adopt --cycles {CYCLES}")))?;
    running.wait_for_console(SOME_CYCLES)?;
    let namespace = format!("--net=/proc/{}/ns/net", running.id());
    let status = Command::new("nsenter").arg(namespace).args(change.split(' ')).status();
    ensure(status.as_ref().is_ok_and(std::process::ExitStatus::success), || format!("{change}: {status:?}"))?;
    let ended = running.wait()?;
    expect::outcome(&ended, 1, "fail")?;
    says(&ended, &["frames-not-sent", reason])?;
    let run = expect::run(&ended, "adopt")?;
    let (done, failed) = (run["cycles_done"].as_u64(), run["cycles_failed"].as_u64());
    ensure(done == Some(CYCLES) && failed > Some(0) && failed < done, || {
        format!("{done:?} cycles, {failed:?} failed")
    })?;
    not_covered(run, "dma.live-after", "no frame came")
}

/// Said before anything starts, in one line.
fn refused(session: &Session<'_>) -> Expected {
    let cases = [
        ("ip link delete feed0", "", 2, "there is no interface `feed0`; this host has lo, card0, "),
        ("ip link set feed0 down", "", 4, "feed0 is down; `ip link set feed0 up` turns it on"),
        ("", "setpriv --inh-caps=-net_raw --bounding-set=-net_raw", 4, "no permission to send raw frames on feed0"),
    ];
    for (change, by, status, wanted) in cases {
        let ended = session.run_by(&[network(change), words(by)].concat(), &words(&format!("{BOARD} adopt")))?;
        expect::status(&ended, status)?;
        let line = ended.stderr.trim();
        ensure(line.starts_with(&format!("error: sender: {wanted}")) && !line.contains('\n'), || line.to_owned())?;
        ensure(!session.report().exists(), || "something was started".to_owned())?;
    }
    Ok(())
}
