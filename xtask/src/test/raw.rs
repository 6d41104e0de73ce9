//! The raw image: the same verdicts as under firmware, however it is entered.

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::{Ended, Session};
use crate::build;

/// States of the CPU that `ci/raw-entry` makes.
pub(super) const E2H: u64 = 1;
const CACHES_ON: u64 = 2;
const OTHER_CPU: u64 = 4;

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case::new("raw", raw),
        Case::new("raw-as-uefi", as_uefi),
        Case::new("raw-bridges", bridges),
        Case::new("raw-at-el1", |session| {
            let machine = "virt,gic-version=3,iommu=smmuv3,acpi=off";
            let ended =
                session.run(&words(&format!("run --board qemu-virt-dt -- -machine {machine},virtualization=off")))?;
            expect::outcome(&ended, 1, "fail")?;
            expect::finding(&ended, "started-at-el1")
        }),
        Case::new("raw-without-smmu", |session| {
            let ended = session.run(&words("run --board qemu-virt-dt --scenario adopt -- -machine iommu=none"))?;
            expect::outcome(&ended, 1, "fail")?;
            expect::finding(&ended, "no-smmu")
        }),
        Case::new("raw-iort-file", |session| {
            let arguments = "run --board qemu-virt-dt --scenario reset --iort ci/fixtures/qemu-virt/IORT.aml";
            let ended = session.run(&words(arguments))?;
            expect::outcome(&ended, 0, "pass")?;
            let origin = &ended.report()?["platform"]["iort"]["origin"];
            ensure(origin == "file", || format!("the IORT is of {origin}"))
        }),
        Case::new("raw-too-little-memory", |session| {
            let ended = session.run(&words("run --board qemu-virt-dt -- -m 64M"))?;
            expect::outcome(&ended, 1, "fail")?;
            expect::finding(&ended, "too little memory")
        }),
        Case::new("uefi-devicetree", |session| {
            let machine = "virt,gic-version=3,virtualization=on,iommu=smmuv3,acpi=off";
            let ended = session.run(&words(&format!("run -- -machine {machine}")))?;
            both(&ended)?;
            // What firmware has assigned is left as it is.
            let has = expect::finding(&ended, "functions found").is_ok();
            ensure(!has, || "PCI addresses were given anew under UEFI".to_owned())
        }),
        Case::new("raw-under-u-boot", |session| {
            let ended = session.run(&words("run --board qemu-virt-uboot"))?;
            both(&ended)?;
            let log = std::fs::read(session.report().join("console.log")).map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&log);
            ensure(text.contains("U-Boot") && text.contains("Starting kernel"), || {
                "no U-Boot on the console".to_owned()
            })
        }),
        Case::new("raw-entered-with-e2h", |session| entered(session, E2H)),
        Case::new("raw-entered-with-caches-on", |session| {
            entered(session, CACHES_ON)?;
            entered(session, CACHES_ON | E2H)
        }),
        Case::new("raw-entered-on-another-cpu", |session| entered(session, OTHER_CPU)),
    ]
}

/// As a user runs it, beside the second witness.
fn raw(session: &Session<'_>) -> Expected {
    let ended = session.run_with_witness(&words("run --board qemu-virt-dt"), false)?;
    both(&ended)?;
    expect::finding(&ended, "functions found")?;
    let platform = &ended.report()?["platform"];
    ensure(platform["firmware"].is_null(), || format!("no firmware, and yet {}", platform["firmware"]))?;
    let origin = &platform["iort"]["origin"];
    // The board's wish was added to what the devicetree gave.
    ensure(origin == "amended", || format!("the IORT is of {origin}"))
}

fn both(ended: &Ended) -> Expected {
    expect::outcome(ended, 0, "pass")?;
    expect::adopted(expect::run(ended, "adopt")?)?;
    expect::was_reset(expect::run(ended, "reset")?)
}

/// Every policy, one damage and one crash: each check has the verdict that it has under UEFI.
fn as_uefi(session: &Session<'_>) -> Expected {
    let scenarios = "adopt,adopt-v7,adopt-rmr-bypass,reset,reset-evtq,reset-attach,abort,bypass,quiesce-bme,\
                     quiesce-driver,adopt-attach,adopt+l2-null,adopt+firmware-table,adopt@other-cpu";
    let mut verdicts = Vec::new();
    for board in ["qemu-virt", "qemu-virt-dt"] {
        let ended = session.run(&words(&format!("run --board {board} --scenario {scenarios}")))?;
        expect::outcome(&ended, 0, "pass").map_err(|what| format!("{board}: {what}"))?;
        let runs = expect::runs(&ended)?;
        ensure(runs.len() == scenarios.split(',').count(), || format!("{board}: {} runs", runs.len()))?;
        verdicts.push(runs.iter().map(expect::verdicts).collect::<Vec<_>>());
    }
    for (scenario, (uefi, raw)) in scenarios.split(',').zip(verdicts[0].iter().zip(&verdicts[1])) {
        // The RMR stream may have moved between SMMUEN and its domain.
        let is_fixed = |(id, _): &&(String, String)| scenario != "reset-attach" || !id.contains("dma.no-mis-steer");
        let [uefi, raw] = [uefi, raw].map(|all| all.iter().filter(is_fixed).collect::<Vec<_>>());
        let other = raw.iter().find(|verdict| !uefi.contains(verdict));
        ensure(uefi == raw, || format!("{scenario}: under UEFI not {other:?}"))?;
    }
    Ok(())
}

/// Endpoints behind bridges, whoever has numbered their buses: a switch leaves requests their names, a bridge to PCI gives them
/// its bus's device 0.
fn bridges(session: &Session<'_>) -> Expected {
    let devices = [
        "pcie-root-port,id=port1,bus=pcie.0,chassis=1,addr=5.0",
        "x3130-upstream,id=up,bus=port1",
        "xio3130-downstream,id=down,bus=up,chassis=2,slot=1",
        "ich9-intel-hda,id=audio2,bus=down",
        "hda-duplex,bus=audio2.0,audiodev=silence",
        "pcie-root-port,id=port2,bus=pcie.0,chassis=3,addr=6.0",
        "pcie-pci-bridge,id=conventional,bus=port2",
        "ich9-intel-hda,id=audio3,bus=conventional,addr=3",
        "hda-duplex,bus=audio3.0,audiodev=silence",
    ];
    for board in ["qemu-virt-dt", "qemu-virt"] {
        let mut arguments = words(&format!("run --board {board} --"));
        arguments.extend(devices.iter().flat_map(|device| ["-device".to_owned(), (*device).to_owned()]));
        let ended = session.run(&arguments)?;
        both(&ended).map_err(|what| format!("{board}: {what}"))?;
        // Root port 1, upstream port 2, downstream port 3; root port 4, bridge 5.
        let streams = expect::array(expect::run(&ended, "adopt")?, "streams")?;
        for (bdf, stream_id) in [("0000:03:00.0", 0x300), ("0000:05:03.0", 0x500)] {
            let found = streams.iter().find(|stream| stream["bdf"] == bdf).map(|stream| &stream["stream_id"]);
            let is_right = found.is_some_and(|found| *found == stream_id);
            ensure(is_right, || format!("{board}: {bdf} is stream {found:?}, not {stream_id:#x}"))?;
        }
    }
    Ok(())
}

/// The image behind `ci/raw-entry`.
fn entered(session: &Session<'_>, mode: u64) -> Expected {
    let image = build::raw_behind(mode, &build::places().raw).map_err(|error| format!("{error:#}"))?;
    let path = session.folder.with_extension(format!("{mode}.img"));
    std::fs::write(&path, image).map_err(|error| error.to_string())?;
    let mut arguments = words("run --board qemu-virt-dt --");
    arguments.extend(["-kernel".to_owned(), path.display().to_string()]);
    let ended = session.run(&arguments)?;
    both(&ended).map_err(|what| format!("mode {mode}: {what}"))?;
    let images = ended.report()?["images"].as_array().cloned().unwrap_or_default();
    let has_e2h = images.iter().any(|image| image["image"] == "kdump" && image["e2h"] == true);
    ensure(has_e2h == (mode & E2H != 0), || format!("mode {mode}: E2H is {has_e2h} in kdump"))
}
