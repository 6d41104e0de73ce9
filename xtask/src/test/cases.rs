//! Boards that run to their end: both policies, their variants, and machines that lack something.

use std::time::Duration;

use addr::{PhysAddr, StreamId};
use serde_json::Value;
use tables::iort::amend::{RmrWish, amend, amended_len};

use super::Case;
use super::expect::{self, Expected, ensure};
use super::session::{Ended, Session};

/// Arguments, split at spaces.
pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases = vec![
        Case::new("adopt", |session| {
            let ended = session.run_with_witness(&words("run --scenario adopt"), false)?;
            expect::outcome(&ended, 0, "pass")?;
            kept_registers(expect::run(&ended, "adopt")?)?;
            expect::adopted(expect::run(&ended, "adopt")?)
        }),
        Case::new("reset", |session| {
            let ended = session.run_with_witness(&words("run --scenario reset"), false)?;
            expect::outcome(&ended, 0, "pass")?;
            expect::was_reset(expect::run(&ended, "reset")?)
        }),
        Case::new("main-job", main_job),
        Case::new("e2h", |session| {
            let ended = session.run(&words("run --option e2h=1"))?;
            both(&ended)?;
            let images = ended.report()?["images"].as_array().cloned().unwrap_or_default();
            let is_e2h = |image: &Value| image["image"] != "kdump" || image["e2h"] == true;
            ensure(images.iter().any(|image| image["image"] == "kdump") && images.iter().all(is_e2h), || {
                format!("not with E2H: {images:?}")
            })
        }),
        Case::new("strtab-linear", |session| {
            let ended = session.run(&words("run --option strtab=linear"))?;
            both(&ended)?;
            // IHI 0070, 6.3.25: FMT is bits 17:16, 0 is linear.
            let config = register(expect::run(&ended, "adopt")?, "STRTAB_BASE_CFG")?.0;
            ensure(config & 0x3_0000 == 0, || format!("STRTAB_BASE_CFG {config:#x} is not linear"))
        }),
        Case::new("shuffled", shuffled),
        Case { deadline: Duration::from_secs(300), ..Case::new("cycles-100", cycles_100) },
    ];
    cases.extend(tables());
    cases.extend(machines());
    cases
}

/// `run` alone: both policies, and the table that compares them.
fn main_job(session: &Session<'_>) -> Expected {
    let ended = session.run(&words("run"))?;
    both(&ended)?;
    for stream in expect::array(expect::run(&ended, "adopt")?, "streams")? {
        let bdf = stream["bdf"].as_str().unwrap_or_default();
        // Some users write the segment, some tables leave it out.
        let short = bdf.split_once(':').map_or(bdf, |(_, rest)| rest);
        ensure(ended.stdout.matches(short).count() >= 2, || format!("{bdf} is not compared:\n{}", ended.stdout))?;
    }
    for name in ["report.json", "report.html", "junit.xml", "ktap.txt", "console.log"] {
        let size = std::fs::metadata(session.report().join(name)).map_or(0, |file| file.len());
        ensure(size > 0, || format!("{name} is missing or empty"))?;
    }
    let vendor = &ended.report()?["platform"]["firmware"]["vendor"];
    ensure(vendor.as_str().is_some_and(|vendor| vendor.contains("EDK II")), || format!("firmware by {vendor}"))
}

fn both(ended: &Ended) -> Expected {
    expect::outcome(ended, 0, "pass")?;
    ensure(expect::runs(ended)?.len() == 2, || "not two runs".to_owned())?;
    expect::adopted(expect::run(ended, "adopt")?)?;
    expect::was_reset(expect::run(ended, "reset")?)
}

/// A number of the report.
pub fn hex(value: &Value) -> Option<u64> {
    value.as_str().and_then(|text| text.strip_prefix("0x")).and_then(|digits| u64::from_str_radix(digits, 16).ok())
}

/// A register before and after.
pub fn register(run: &Value, name: &str) -> Result<(u64, u64), String> {
    let register = expect::array(run, "registers")?.iter().find(|register| register["name"] == name);
    let register = register.ok_or_else(|| format!("no register {name} in the report"))?;
    let value = |key: &str| hex(&register[key]).ok_or_else(|| format!("no {name}.{key}"));
    Ok((value("before")?, value("after")?))
}

/// What adoption must leave as it is.
fn kept_registers(run: &Value) -> Expected {
    for name in ["STRTAB_BASE", "STRTAB_BASE_CFG", "CR1", "CR2", "GBPA"] {
        let (before, after) = register(run, name)?;
        ensure(before == after, || format!("{name} was {before:#x} and is {after:#x}"))?;
    }
    let (before, after) = register(run, "CR0")?;
    ensure(before & after & 1 == 1, || format!("CR0 was {before:#x} and is {after:#x}: SMMUEN"))
}

/// The same scenario has the same verdicts at every place in the order.
fn shuffled(session: &Session<'_>) -> Expected {
    const NAMES: [&str; 4] = ["adopt", "reset", "adopt@panic", "reset@panic"];
    let first = session.run(&words("run --scenario adopt,reset,adopt@panic,reset@panic"))?;
    expect::outcome(&first, 0, "pass")?;
    for order in ["reset@panic,adopt@panic,reset,adopt", "reset,adopt@panic,adopt,reset@panic"] {
        let second = session.run(&words(&format!("run --scenario {order}")))?;
        expect::outcome(&second, 0, "pass")?;
        for name in NAMES {
            let verdicts = |ended| expect::run(ended, name).map(expect::verdicts);
            let (one, other) = (verdicts(&first)?, verdicts(&second)?);
            ensure(!one.is_empty() && one == other, || format!("{name} in order {order}: {one:?} and {other:?}"))?;
        }
    }
    Ok(())
}

fn cycles_100(session: &Session<'_>) -> Expected {
    let ended = session.run(&words("run --scenario adopt --cycles 100"))?;
    expect::outcome(&ended, 0, "pass")?;
    let run = expect::run(&ended, "adopt")?;
    ensure(run["cycles_done"] == 100 && run["cycles_failed"] == 0, || {
        format!("{} cycles done, {} failed", run["cycles_done"], run["cycles_failed"])
    })?;
    let lines = expect::array(run, "cycle_lines")?;
    ensure(lines.len() == 100, || format!("{} lines for 100 cycles", lines.len()))?;
    for stream in expect::array(run, "streams")? {
        for phase in ["before", "blackout", "after"] {
            for key in ["delivered", "mis_steered"] {
                let cells = lines.iter().flat_map(|line| line["streams"].as_array().into_iter().flatten());
                let own = cells.filter(|cell| cell["bdf"] == stream["bdf"]);
                let sum: u64 = own.map(|cell| expect::count(cell, phase, key).unwrap_or(0)).sum();
                let total = expect::count(stream, phase, key);
                ensure(total == Some(sum), || format!("{} {phase} {key}: {total:?}, lines {sum}", stream["bdf"]))?;
            }
        }
    }
    expect::adopted(run)
}

/// QEMU's own IORT, changed and with its checksum made right again where `is_valid`.
fn iort_file(session: &Session<'_>, is_valid: bool, change: impl Fn(&mut [u8])) -> Result<Vec<String>, String> {
    changed_iort(session, is_valid, change, "--scenario adopt")
}

/// `run` with `arguments` and QEMU's own IORT whose root complex has these ID mappings, both to the SMMU: first requester ID,
/// number of IDs less one, first StreamID.
pub fn with_mappings(session: &Session<'_>, mappings: [[u32; 3]; 2], arguments: &str) -> Result<Vec<String>, String> {
    let change = |table: &mut [u8]| {
        for (at, [input, count, output]) in (RC_MAPPINGS..).step_by(20).zip(mappings) {
            for (at, word) in (at..).step_by(4).zip([input, count, output, SMMU_NODE]) {
                table[at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
    };
    changed_iort(session, true, change, arguments)
}

fn changed_iort(
    session: &Session<'_>,
    is_valid: bool,
    change: impl Fn(&mut [u8]),
    arguments: &str,
) -> Result<Vec<String>, String> {
    let fixture = crate::workspace::root().join("ci/fixtures/qemu-virt/IORT.aml");
    let mut table = std::fs::read(&fixture).map_err(|error| format!("cannot read {}: {error}", fixture.display()))?;
    change(&mut table);
    if is_valid {
        // ACPI 6.5, 5.2.6: all bytes together are 0.
        table[9] = 0;
        table[9] = table.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    }
    let file = session.folder.with_extension("iort");
    std::fs::write(&file, table).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    Ok([words("run --iort"), vec![file.display().to_string()], words(arguments)].concat())
}

/// `run` with `arguments` and QEMU's own IORT with an RMR node for `stream`, whose range is the console's registers: nothing
/// that may be taken.
pub fn with_rmr_on_uart(session: &Session<'_>, stream: StreamId, arguments: &str) -> Result<Vec<String>, String> {
    with_rmr(session, stream, PhysAddr(0x0900_0000), arguments)
}

/// `run` with `arguments` and QEMU's own IORT with an RMR node for `stream` and a range from `base` on.
fn with_rmr(session: &Session<'_>, stream: StreamId, base: PhysAddr, arguments: &str) -> Result<Vec<String>, String> {
    let fixture = crate::workspace::root().join("ci/fixtures/qemu-virt/IORT.aml");
    let table = std::fs::read(&fixture).map_err(|error| format!("cannot read {}: {error}", fixture.display()))?;
    let wish = RmrWish { stream, smmu: SMMU_NODE, base, bytes: 0x1_0000 };
    let mut amended = vec![0; amended_len(&table)];
    let length = amend(&table, &wish, &mut amended).map_err(|error| error.to_string())?;
    let file = session.folder.with_extension("iort");
    std::fs::write(&file, &amended[..length]).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    Ok([words("run --iort"), vec![file.display().to_string()], words(arguments)].concat())
}

/// Offset of the SMMUv3 node in the fixture.
const SMMU_NODE: u32 = 0x48;
/// Offset of the root complex' two ID mappings in the fixture: node at 0xa0, fixed part of 36 bytes.
const RC_MAPPINGS: usize = 0xc4;
/// Offset of the SMMUv3 node's base address in the fixture: node at 0x48, field at 0x10 (IORT E.e, 3.1.1.2).
const SMMU_BASE: usize = 0x58;

fn tables() -> Vec<Case> {
    vec![
        Case::new("iort-file", |session| {
            let ended = session.run(&iort_file(session, true, |_| {})?)?;
            expect::outcome(&ended, 0, "pass")?;
            let iort = &ended.report()?["platform"]["iort"];
            ensure(iort["firmware_sha256"].is_string(), || format!("the firmware's own table has no digest: {iort}"))?;
            ensure(iort["origin"] == "file", || format!("origin {}, not file", iort["origin"]))
        }),
        Case::new("iort-wrong-checksum", |session| {
            // A finding, and the run goes on: the table can be read.
            let ended = session.run(&iort_file(session, false, |table| table[9] ^= 0x55)?)?;
            expect::outcome(&ended, 0, "pass")?;
            expect::finding(&ended, "checksum")
        }),
        Case::new("iort-smmu-where-none-is", |session| {
            // Between the flash and the GIC of the machine: nothing answers there.
            let elsewhere = |table: &mut [u8]| {
                table[SMMU_BASE..SMMU_BASE + 8].copy_from_slice(&0x0b00_0000_u64.to_le_bytes());
            };
            let ended = session.run(&iort_file(session, true, elsewhere)?)?;
            expect::outcome(&ended, 1, "fail")?;
            expect::finding(&ended, "0xb000000").or_else(|_| expect::finding(&ended, "0x0b000000"))
        }),
        Case::new("iort-rmr-not-free", |session| {
            let ended = session.run(&with_rmr_on_uart(session, StreamId(0x18), "--scenario adopt,reset")?)?;
            expect::outcome(&ended, 0, "pass")?;
            expect::finding(&ended, "rmr-not-free")?;
            // Nor is it memory at all.
            expect::finding(&ended, "W_RMR_ON_MMIO")?;
            expect::finding(&ended, "W_RMR_MEMORY_ABSENT")?;
            // The stream is named by a node all the same, and so a reset lets it past the SMMU.
            let report = ended.report()?;
            let streams = report["runs"][1]["streams"].as_array().into_iter().flatten();
            let of_rmr = streams.clone().find(|stream| stream["rmr"] == true).ok_or("no stream is an RMR's")?;
            ensure(of_rmr["after"]["mis_steered"].as_u64() > Some(0), || format!("not mis-steered: {of_rmr}"))
        }),
        Case::new("iort-rmr-of-nobody", |session| {
            // Free memory, and a stream that no device of this machine has.
            let ended =
                session.run(&with_rmr(session, StreamId(0x7777), PhysAddr(0x5000_0000), "--scenario adopt")?)?;
            expect::finding(&ended, "W_RMR_NO_DEVICE")?;
            expect::finding(&ended, "W_RMR_MEMORY_TYPE")
        }),
        Case::new("iort-two-readings", |session| {
            // A count that is one too large: function 0000:00:02.0 is in two mappings, and Linux takes the second.
            let split = [[0, 0x10, 0], [0x10, 0xffef, 0x10]];
            let ended = session.run(&with_mappings(session, split, "--scenario adopt")?)?;
            expect::finding(&ended, "W_MAP_OFF_BY_ONE")?;
            expect::finding(&ended, "W_READINGS_DIFFER")
        }),
    ]
}

fn machines() -> Vec<Case> {
    vec![
        Case::new("no-smmu", |session| {
            let ended = session.run(&words("run --scenario adopt -- -machine iommu=none"))?;
            expect::outcome(&ended, 1, "fail")?;
            says(&ended, &["SMMU"])?;
            let about = |id: &str| ["dma.", "adopt.", "smmu.", "log."].iter().any(|group| id.starts_with(group));
            for check in expect::array(expect::run(&ended, "adopt")?, "checks")? {
                // What is about another policy does not apply, with or without an SMMU.
                let is_about = check["id"].as_str().is_some_and(about) && check["expected"] != "skip";
                ensure(!is_about || check["verdict"] == "not-covered", || format!("without an SMMU: {check}"))?;
            }
            Ok(())
        }),
        Case::new("little-memory", |session| {
            // The firmware itself needs more than this, and dies of it: no verdict.
            let ended = session.run(&words("run --scenario adopt --timeout 5 -- -m 96M"))?;
            expect::outcome(&ended, 3, "lost")
        }),
        Case::new("too-little-memory", |session| {
            // Enough for the firmware, too little for the payload, which says so.
            let ended = session.run(&words("run --scenario adopt -- -m 128M"))?;
            expect::outcome(&ended, 1, "fail")?;
            expect::finding(&ended, "too little memory")
        }),
        Case::new("least-memory", |session| {
            let ended = session.run(&words("run --scenario adopt -- -m 256M"))?;
            expect::outcome(&ended, 0, "pass")
        }),
        Case::new("el1", |session| {
            let ended = session.run(&words("run --scenario adopt -- -machine virtualization=off"))?;
            expect::outcome(&ended, 1, "fail")?;
            says(&ended, &["EL2"])
        }),
    ]
}

/// The report names at least one of these in its findings, its checks, or where it says why there is no verdict.
fn says(ended: &Ended, names: &[&str]) -> Expected {
    let report = ended.report()?;
    let checks = expect::runs(ended)?.iter().map(|run| run["checks"].to_string()).collect::<String>();
    let text = format!("{}{}{checks}", report["platform"]["findings"], report["lost"]);
    ensure(names.iter().any(|name| text.contains(name)), || format!("none of {names:?} is named: {text}"))
}
