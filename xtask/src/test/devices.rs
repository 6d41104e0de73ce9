//! USB, virtio and `edu`: devices that give up where their DMA is refused, that do not count their attempts, or that are
//! not to be armed at all.

use scenario::policy::After;
use serde_json::Value;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::policies::check;
use super::session::{Ended, Session};

const BOARD: &str = "run --board qemu-virt-devices --scenario";
/// Those of the board that count no attempts.
const UNCOUNTED: [&str; 4] = ["xhci", "virtio-rng", "virtio-net", "virtio-blk"];
/// Where a case adds a device.
const ADDED: &str = "bus=pcie.0,addr=7.0";

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case::new("devices-policies", policies),
        Case::new("devices-adopt-witness", |session| {
            let ended = session.run_with_witness(&words(&format!("{BOARD} adopt")), true)?;
            expect::outcome(&ended, 0, "pass")?;
            expect::adopted(expect::run(&ended, "adopt")?)
        }),
        Case::new("devices-reset-witness", |session| {
            let ended = session.run_with_witness(&words(&format!("{BOARD} reset")), true)?;
            expect::outcome(&ended, 0, "pass")?;
            courses(expect::run(&ended, "reset")?, After::Blocked, After::Untranslated)
        }),
        Case::new("devices-rmr", reserved),
        Case::new("devices-leaf-canary", |session| {
            let run = plant(session, "leaf-canary")?;
            sees(&run, "dma.no-mis-steer", "fail")?;
            sees(&run, "dma.delivered-after", "fail")?;
            only_hurt(&run, "mis_steered", |after| after > Some(0), "virtio-blk")
        }),
        Case::new("devices-leaf-unmapped", |session| {
            let run = plant(session, "leaf-unmapped")?;
            // Nothing else of a used ring that cannot be written is seen, and the SMMU's events.
            sees(&run, "dma.delivered-after", "not-covered")?;
            sees(&run, "smmu.no-events", "fail")?;
            only_hurt(&run, "delivered", |after| after == Some(0), "virtio-blk")
        }),
        Case::new("devices-sender-stopped", |session| {
            let run = plant(session, "sender-stopped")?;
            sees(&run, "dma.live-after", "not-covered")?;
            only_hurt(&run, "delivered", |after| after == Some(0), "virtio-net")
        }),
        Case::new("devices-edu", edu),
        Case::new("devices-left-out", left_out),
    ]
}

/// All policies in one boot.
fn policies(session: &Session<'_>) -> Expected {
    const QUIET: [&str; 2] = ["quiesce-driver", "quiesce-bme"];
    let ended = session.run(&words(&format!("{BOARD} adopt,reset,abort,bypass,{}", QUIET.join(","))))?;
    expect::outcome(&ended, 0, "pass")?;
    let adopted = expect::run(&ended, "adopt")?;
    expect::adopted(adopted)?;
    UNCOUNTED.iter().try_for_each(|name| stream(adopted, name).map(|_| ()))?;
    courses(expect::run(&ended, "reset")?, After::Blocked, After::Untranslated)?;
    courses(expect::run(&ended, "abort")?, After::Blocked, After::Blocked)?;
    courses(expect::run(&ended, "bypass")?, After::Untranslated, After::Untranslated)?;
    QUIET.iter().try_for_each(|policy| courses(expect::run(&ended, policy)?, After::Silent, After::Silent))
}

fn stream<'a>(run: &'a Value, name: &str) -> Result<&'a Value, String> {
    let found = expect::array(run, "streams")?.iter().find(|stream| stream["endpoint"] == name);
    found.ok_or_else(|| format!("no stream of {name} in the run of {}", run["scenario"]))
}

/// What the devices did after the takeover, as far as arrivals tell; that refusal was seen, the judge's checks say.
fn courses(run: &Value, plain: After, rmr: After) -> Expected {
    expect::only_broken(run, &[])?;
    for name in UNCOUNTED {
        let stream = stream(run, name)?;
        expect::delivered(stream, "before")?;
        let is_rmr = stream["rmr"] == true;
        let after = if is_rmr { rmr } else { plain };
        let shows = |key| expect::count(stream, "after", key).is_some_and(|units| units > 0);
        let right = (shows("delivered"), shows("mis_steered")) == (after.delivers(is_rmr), after.mis_steers());
        ensure(right, || format!("{name} is to be {after:?}: {}", stream["after"]))?;
        let unknown = ["attempted", "blocked"].map(|key| stream["after"][key].is_null());
        ensure(unknown == [true; 2], || format!("{name}: attempts that nobody counts: {stream}"))?;
    }
    Ok(())
}

/// Whose DMA alternates between a reserved range and its canary window: a bypass STE is right for the one and wrong for the
/// other. Not after a reset, whose moment of abort may be the end of them.
fn reserved(session: &Session<'_>) -> Expected {
    const RESERVED: [&str; 3] = ["xhci", "virtio-rng", "virtio-net"];
    let ranges = ["3", "4", "5"].map(|device| format!("0000:00:0{device}.0:0x10000")).join(",");
    let options = format!("--option step-hold=1 --option rmr={ranges}");
    let ended = session.run(&words(&format!("{BOARD} adopt,adopt-rmr-bypass {options}")))?;
    expect::outcome(&ended, 0, "pass")?;
    expect::adopted(expect::run(&ended, "adopt")?)?;
    RESERVED.iter().try_for_each(|name| {
        let stream = stream(expect::run(&ended, "adopt-rmr-bypass")?, name)?;
        let shows = |key| expect::count(stream, "after", key) > Some(0);
        let right = stream["rmr"] == true && shows("delivered") && shows("mis_steered");
        ensure(right, || format!("{name} does not alternate between its windows: {stream}"))
    })
}

/// A transfer that was started before the crash moves after it, and each is counted by the device.
fn edu(session: &Session<'_>) -> Expected {
    // A transfer each 100 ms: the waits are longer than two.
    let waits = "--option hold_us=250000 --option watch_us=250000";
    let device = format!("-device edu,{ADDED},dma_mask=0xffffffffffffffff");
    let ended = session.run(&words(&format!("{BOARD} adopt,reset,bypass {waits} -- {device}")))?;
    expect::outcome(&ended, 0, "pass")?;
    let adopted = stream(expect::run(&ended, "adopt")?, "edu")?;
    ["before", "blackout", "after"].into_iter().try_for_each(|phase| expect::delivered(adopted, phase))?;
    for (policy, lost, other) in [("reset", "blocked", "mis_steered"), ("bypass", "mis_steered", "blocked")] {
        let after = &stream(expect::run(&ended, policy)?, "edu")?["after"];
        let right = after[lost].as_u64() > Some(0) && after[lost] == after["attempted"] && after[other] == 0;
        ensure(right, || format!("{policy}: {after}"))?;
    }
    Ok(())
}

/// Devices that cannot be judged are not armed, and the report says why.
fn left_out(session: &Session<'_>) -> Expected {
    let virtio = format!("{ADDED},disable-legacy=on");
    let empty = "-drive if=none,id=empty,driver=null-co,size=0";
    let cases = [
        ("virtio-rng", format!("-device virtio-rng-pci,{virtio}"), "ACCESS_PLATFORM"),
        ("virtio-blk", format!("{empty} -device virtio-blk-pci,drive=empty,iommu_platform=on,{virtio}"), "no sector"),
        ("edu", format!("-device edu,{ADDED}"), "dma_mask"),
        ("xhci", format!("-device qemu-xhci,{ADDED}"), "no HID device"),
        ("iommu-testdev", format!("-device pci-testdev,{ADDED}"), "is it a pci-testdev"),
    ];
    for (name, devices, why) in cases {
        let ended = session.run(&words(&format!("{BOARD} adopt -- {devices}")))?;
        not_armed(&ended, why).map_err(|error| format!("{name}: {error}"))?;
        let run = expect::run(&ended, "adopt")?;
        let streams = expect::array(run, "streams")?.iter().filter(|stream| stream["bdf"] == "0000:00:07.0");
        let moved = streams.filter(|stream| expect::count(stream, "before", "delivered") != Some(0)).count();
        ensure(moved == 0, || format!("{name} was armed: {}", run["streams"]))?;
        expect::delivered(stream(run, "hda")?, "after")?;
    }
    Ok(())
}

fn not_armed(ended: &Ended, why: &str) -> Expected {
    let findings = ended.report()?["platform"]["findings"].as_array().ok_or("no findings")?;
    let named = findings.iter().find(|finding| finding["id"] == "endpoint-not-armed");
    let says = named.is_some_and(|finding| finding["text"].as_str().is_some_and(|text| text.contains(why)));
    ensure(says, || format!("no finding endpoint-not-armed with `{why}`: {findings:?}"))
}

fn plant(session: &Session<'_>, plant: &str) -> Result<Value, String> {
    let ended = planted(session, BOARD, plant, "")?;
    Ok(expect::run(&ended, "adopt")?.clone())
}

/// An adoption with a fault, which is found.
pub(super) fn planted(session: &Session<'_>, board: &str, plant: &str, qemu: &str) -> Result<Ended, String> {
    let ended = session.run(&words(&format!("{board} adopt --plant {plant} {qemu}")))?;
    expect::outcome(&ended, 1, "fail")?;
    ensure(ended.report()?["planted"] == plant, || "the report is not marked".to_owned())?;
    Ok(ended)
}

/// This check has this verdict, where `pass` is expected.
pub(super) fn sees(run: &Value, id: &str, verdict: &str) -> Expected {
    let check = check(run, id)?;
    ensure(check["verdict"] == verdict && check["expected"] == "pass", || format!("{check}"))
}

/// Of the streams exactly that of this device shows it after the takeover.
pub(super) fn only_hurt(run: &Value, key: &str, is_hurt: impl Fn(Option<u64>) -> bool, name: &str) -> Expected {
    let streams = expect::array(run, "streams")?.iter();
    let hurt: Vec<_> = streams.filter(|stream| is_hurt(expect::count(stream, "after", key))).collect();
    ensure(hurt.len() == 1 && hurt[0]["endpoint"] == name, || format!("{key}: {hurt:?}"))
}
