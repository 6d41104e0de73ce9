//! QEMU's device for tests of IOMMUs, `iommu-testdev`: it says by itself what became of each transfer, so that its trace is a
//! second witness of delivered, refused and astray; and it goes on without bus mastering.

use scenario::policy::After;
use serde_json::Value;

use super::Case;
use super::cases::words;
use super::devices::{only_hurt, planted, sees};
use super::expect::{self, Expected, ensure};
use super::policies::{check, course, courses, run_of};
use super::session::{Ended, Session};

const BOARD: &str = "run --board qemu-virt-testdev --scenario";
/// The device.
const NAME: &str = "iommu-testdev";
/// On the root bus, and behind a port.
const PLAIN: &str = "0000:00:03.0";
const BEHIND: &str = "0000:01:00.0";

/// All of them.
pub fn all() -> Vec<Case> {
    let cases = vec![
        Case::new("testdev-policies", policies),
        Case::new("testdev-adopt-witness", |session| {
            let ended = session.run_with_witness(&words(&format!("{BOARD} adopt")), false)?;
            expect::outcome(&ended, 0, "pass")?;
            expect::adopted(expect::run(&ended, "adopt")?)
        }),
        Case::new("testdev-leaf-unmapped", |session| {
            let run = plant(session, "leaf-unmapped")?;
            sees(&run, "dma.no-blocked", "fail")?;
            sees(&run, "smmu.no-events", "fail")?;
            only_hurt(&run, "blocked", |after| after > Some(0), NAME)
        }),
        Case::new("testdev-leaf-canary", |session| {
            let run = plant(session, "leaf-canary")?;
            sees(&run, "dma.no-mis-steer", "fail")?;
            only_hurt(&run, "mis_steered", |after| after > Some(0), NAME)
        }),
        Case::new("testdev-without-bus-master", without_bus_master),
    ];
    cases.into_iter().map(|case| Case { needs: Some(super::Need::Qemu(11, 0)), ..case }).collect()
}

/// Four policies in one boot, and the device's own word for each transfer.
fn policies(session: &Session<'_>) -> Expected {
    let ended = traced(session, |trace| session.run(&words(&format!("{BOARD} adopt,reset,abort,bypass {trace}"))))?;
    expect::outcome(&ended, 0, "pass")?;
    expect::adopted(expect::run(&ended, "adopt")?)?;
    expect::was_reset(expect::run(&ended, "reset")?)?;
    courses(&run_of(&ended, "abort")?, After::Blocked, After::Blocked)?;
    courses(&run_of(&ended, "bypass")?, After::Untranslated, After::Untranslated)
}

fn plant(session: &Session<'_>, plant: &str) -> Result<Value, String> {
    let ended = traced(session, |trace| planted(session, BOARD, plant, trace))?;
    Ok(expect::run(&ended, "adopt")?.clone())
}

/// A run with QEMU's trace of the device, which must say the same of all its transfers as the report.
fn traced(session: &Session<'_>, run: impl FnOnce(&str) -> Result<Ended, String>) -> Result<Ended, String> {
    let file = session.folder.with_extension("trace");
    let ended = run(&format!("-- -trace iommu_testdev_dma_result -D {}", file.display()))?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("no trace of QEMU: {error}"))?;
    let said = |result: &str| text.lines().filter(|line| line.ends_with(&format!("result={result}"))).count() as u64;
    let runs = expect::runs(&ended)?.iter();
    let streams: Vec<&Value> = runs.flat_map(|run| run["streams"].as_array().into_iter().flatten()).collect();
    let ours = streams.into_iter().filter(|stream| stream["endpoint"] == NAME);
    let mut told = [0; 3];
    for stream in ours {
        for phase in ["before", "blackout", "after"] {
            for (sum, key) in told.iter_mut().zip(["delivered", "blocked", "mis_steered"]) {
                *sum += expect::count(stream, phase, key).unwrap_or(0);
            }
        }
        // Each is tried once before it counts.
        told[0] += 1;
    }
    let said = ["0x0", "0xdead0002", "0xdead0004"].map(said);
    ensure(said == told, || format!("delivered, blocked, mis-steered are {told:?}, and by QEMU's trace {said:?}"))?;
    Ok(ended)
}

/// Bus mastering off does not stop the device, which the report must not pass over; its driver does, and a reset of the bus.
fn without_bus_master(session: &Session<'_>) -> Expected {
    let ended = session.run(&words(&format!("{BOARD} quiesce-driver")))?;
    let run = run_of(&ended, "quiesce-driver")?;
    courses(&run, After::Silent, After::Silent)?;
    // One that was disarmed is not asked again: that would come to nothing, and count as refused.
    expect::array(&run, "streams")?.iter().try_for_each(|stream| {
        ensure(expect::count(stream, "blackout", "blocked") == Some(0), || format!("asked again: {stream}"))
    })?;
    let ended = session.run(&words(&format!("{BOARD} quiesce-bme,quiesce-bus-reset")))?;
    expect::outcome(&ended, 1, "fail")?;
    for policy in ["quiesce-bme", "quiesce-bus-reset"] {
        let run = expect::run(&ended, policy)?;
        sees(run, "quiesce.silent", "fail")?;
        let reason = check(run, "quiesce.silent")?["reason"].to_string();
        ensure(reason.contains(PLAIN), || format!("{policy}: {reason}"))?;
        let is_going = ending(run, PLAIN)? == "still-going";
        ensure(is_going && ending(run, "0000:00:02.0")? == "when-told", || format!("{policy}: {}", run["requesters"]))?;
    }
    let streams = expect::array(expect::run(&ended, "quiesce-bus-reset")?, "streams")?;
    let behind = streams.iter().find(|stream| stream["bdf"] == BEHIND).ok_or("no stream behind the port")?;
    course(behind, After::Silent)
}

/// How the DMA of a function ended.
fn ending<'a>(run: &'a Value, bdf: &str) -> Result<&'a Value, String> {
    let requester = expect::array(run, "requesters")?.iter().find(|requester| requester["bdf"] == bdf);
    requester.map(|requester| &requester["ending"]).ok_or_else(|| format!("{bdf} is no requester"))
}
