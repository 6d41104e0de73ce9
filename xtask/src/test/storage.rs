//! Disks: devices that must never be given anything but reads, and streams whose attempts nobody counts.

use std::collections::BTreeMap;

use scenario::policy::After;
use serde_json::Value;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::policies::course;
use super::session::Session;

const BOARD: &str = "run --board qemu-virt-storage --scenario";

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case::new("storage-policies", policies),
        Case::new("storage-adopt-witness", |session| {
            let ended = session.run_with_witness(&words(&format!("{BOARD} adopt")), true)?;
            expect::outcome(&ended, 0, "pass")?;
            expect::adopted(expect::run(&ended, "adopt")?)
        }),
        Case::new("storage-reset-witness", |session| {
            let ended = session.run_with_witness(&words(&format!("{BOARD} reset")), true)?;
            expect::outcome(&ended, 0, "pass")?;
            courses(expect::run(&ended, "reset")?, After::Blocked, After::Untranslated)
        }),
        Case::new("storage-nvme-reads-only", nvme_reads_only),
        Case::new("storage-ahci-reads-only", ahci_reads_only),
        Case::new("storage-nvme-rmr", |session| {
            // A queue in each window. A reset's moment of abort is left out: after the fatal status that it leaves, nobody can
            // tell a queue that waits for the other from one that is refused.
            let policies = "adopt,bypass,adopt-rmr-bypass";
            let ended = session.run(&words(&format!("{BOARD} {policies} --option rmr=0000:00:04.0:0x10000")))?;
            expect::outcome(&ended, 0, "pass")?;
            expect::adopted(expect::run(&ended, "adopt")?)?;
            courses(expect::run(&ended, "bypass")?, After::Untranslated, After::Untranslated)?;
            courses(expect::run(&ended, "adopt-rmr-bypass")?, After::Delivered, After::Untranslated)
        }),
        Case::new("storage-ahci-rmr", |session| {
            // What the HBA fetches lies in the reserved range: it goes on where nothing else can be reached.
            let policies = "adopt,reset,bypass,reset-attach";
            let ended = session.run(&words(&format!("{BOARD} {policies} --option rmr=0000:00:05.0:0x10000")))?;
            expect::outcome(&ended, 0, "pass")?;
            expect::adopted(expect::run(&ended, "adopt")?)?;
            for policy in ["reset", "bypass"] {
                course(stream_of(expect::run(&ended, policy)?, "ahci")?, After::Untranslated)?;
            }
            course(stream_of(expect::run(&ended, "reset-attach")?, "ahci")?, After::IdentityBlocked)
        }),
        Case::new("storage-leaf-unmapped", |session| {
            let run = planted(session, "leaf-unmapped")?;
            sees(&run, "dma.no-blocked", "signs of refusal")?;
            sees(&run, "dma.delivered-after", "nothing delivered")?;
            one_hurt(&run, "delivered", |after| after == Some(0))
        }),
        Case::new("storage-leaf-canary", |session| {
            let run = planted(session, "leaf-canary")?;
            sees(&run, "dma.no-mis-steer", "mis-steered")?;
            one_hurt(&run, "mis_steered", |after| after > Some(0))
        }),
        Case::new("storage-stalled", |session| {
            // One request a second: the disk takes its reads and ends none.
            for (disk, bdf) in [("disk0", "0000:00:03.0"), ("disk2", "0000:00:05.0")] {
                let slow = format!("-- -set drive.{disk}.throttling.iops-total=1");
                let ended = session.run(&words(&format!("{BOARD} adopt {slow}")))?;
                expect::outcome(&ended, 1, "fail")?;
                sees(expect::run(&ended, "adopt")?, "dma.delivered-after", bdf)?;
            }
            Ok(())
        }),
        Case::new("storage-without-media", |session| {
            // An HBA without a disk, a controller without a namespace: said, and neither hangs.
            let more = "-device ich9-ahci,id=empty,bus=pcie.0,addr=6.0 -device nvme,serial=none,bus=pcie.0,addr=7.0";
            let ended = session.run(&words(&format!("{BOARD} adopt -- {more}")))?;
            expect::finding(&ended, "0000:00:06.0: ahci cannot be armed: no port has a disk")?;
            expect::finding(&ended, "0000:00:07.0: nvme cannot be armed: no active namespace")?;
            let run = expect::run(&ended, "adopt")?;
            let streams =
                expect::array(run, "streams")?.iter().filter(|stream| stream["bdf"].as_str() < Some("0000:00:06"));
            streams.into_iter().try_for_each(|stream| expect::delivered(stream, "after"))
        }),
    ]
}

/// The stream of a kind of endpoint.
fn stream_of<'a>(run: &'a Value, endpoint: &str) -> Result<&'a Value, String> {
    let stream = expect::array(run, "streams")?.iter().find(|stream| stream["endpoint"] == endpoint);
    stream.ok_or_else(|| format!("no stream of {endpoint}"))
}

/// All policies in one boot: what each does to disks, with no count of attempts anywhere.
fn policies(session: &Session<'_>) -> Expected {
    const QUIET: [&str; 3] = ["quiesce-driver", "quiesce-bme", "quiesce-flr"];
    let ended = session.run(&words(&format!("{BOARD} adopt,reset,abort,bypass,{}", QUIET.join(","))))?;
    expect::outcome(&ended, 0, "pass")?;
    expect::adopted(expect::run(&ended, "adopt")?)?;
    courses(expect::run(&ended, "reset")?, After::Blocked, After::Untranslated)?;
    courses(expect::run(&ended, "abort")?, After::Blocked, After::Blocked)?;
    courses(expect::run(&ended, "bypass")?, After::Untranslated, After::Untranslated)?;
    for (policy, after) in [("reset", After::Blocked), ("abort", After::Blocked), ("bypass", After::Untranslated)] {
        course(stream_of(expect::run(&ended, policy)?, "ahci")?, after)?;
    }
    // Both NVMe controllers have function level reset, the HBA has none.
    QUIET.iter().try_for_each(|policy| courses(expect::run(&ended, policy)?, After::Silent, After::Silent))?;
    course(stream_of(expect::run(&ended, "quiesce-driver")?, "ahci")?, After::Silent)?;
    course(stream_of(expect::run(&ended, "quiesce-flr")?, "ahci")?, After::Blocked)
}

/// What the disks did after the takeover, as far as arrivals tell; that refusal was seen, the judge's checks say.
fn courses(run: &Value, plain: After, rmr: After) -> Expected {
    expect::only_broken(run, &[])?;
    let disks = expect::array(run, "streams")?.iter().filter(|stream| stream["endpoint"] == "nvme");
    let mut seen = 0;
    for stream in disks {
        seen += 1;
        expect::delivered(stream, "before")?;
        let is_rmr = stream["rmr"] == true;
        let after = if is_rmr { rmr } else { plain };
        let shows = |key| expect::count(stream, "after", key).is_some_and(|units| units > 0);
        let right = (shows("delivered"), shows("mis_steered")) == (after.delivers(is_rmr), after.mis_steers());
        ensure(right, || format!("{} is to be {after:?}: {}", stream["bdf"], stream["after"]))?;
        for phase in ["before", "blackout", "after"] {
            let unknown = ["attempted", "blocked"].map(|key| stream[phase][key].is_null());
            ensure(unknown == [true; 2], || format!("{}: attempts that nobody counts: {stream}", stream["bdf"]))?;
        }
    }
    ensure(seen >= 2, || format!("{seen} disks"))
}

/// QEMU's own list of commands: reads on every I/O queue, as many as were delivered and more, and nothing that changes a
/// disk on the admin queue.
fn nvme_reads_only(session: &Session<'_>) -> Expected {
    /// Delete and create queues, Get Log Page, Identify, Abort, Set and Get Features, Asynchronous Event Request: firmware's
    /// driver may use them all, and none touches data.
    const HARMLESS: [u64; 10] = [0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0c];
    let file = session.folder.with_extension("trace");
    let trace = format!("-- -trace pci_nvme_io_cmd -trace pci_nvme_admin_cmd -D {}", file.display());
    let ended = session.run(&words(&format!("{BOARD} adopt,reset,bypass {trace}")))?;
    expect::outcome(&ended, 0, "pass")?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("no trace of QEMU: {error}"))?;
    let mut opcodes = BTreeMap::new();
    for line in text.lines() {
        let is_io = line.contains("pci_nvme_io_cmd ");
        if is_io || line.contains("pci_nvme_admin_cmd ") {
            let opcode = line.split_once("opc 0x").and_then(|(_, rest)| rest.split_whitespace().next());
            let opcode = opcode.and_then(|digits| u64::from_str_radix(digits, 16).ok());
            *opcodes.entry((is_io, opcode.ok_or_else(|| format!("no opcode in `{line}`"))?)).or_insert(0_u64) += 1;
        }
    }
    let bad = opcodes.keys().find(|(is_io, opcode)| if *is_io { *opcode != 2 } else { !HARMLESS.contains(opcode) });
    ensure(bad.is_none(), || format!("commands other than reads: {opcodes:?}"))?;
    let mut moved = 0;
    for run in expect::runs(&ended)? {
        for stream in expect::array(run, "streams")?.iter().filter(|stream| stream["endpoint"] == "nvme") {
            for phase in ["before", "blackout", "after"] {
                moved += ["delivered", "mis_steered"]
                    .map(|key| expect::count(stream, phase, key).unwrap_or(0))
                    .iter()
                    .sum::<u64>();
            }
        }
    }
    let reads = opcodes.get(&(true, 2)).copied().unwrap_or(0);
    ensure(moved > 0 && reads >= moved, || format!("{moved} completions of {reads} reads"))
}

/// The same for the Serial ATA disk: its reads, and what asks it who it is.
fn ahci_reads_only(session: &Session<'_>) -> Expected {
    /// Beside those of ours firmware's driver may send SET FEATURES and SET MULTIPLE MODE, or reads of its own.
    const HARMLESS: [&str; 8] = ["0xec", "0x24", "0x25", "0x20", "0xc8", "0x29", "0xef", "0xc6"];
    let file = session.folder.with_extension("trace");
    let ended =
        session.run(&words(&format!("{BOARD} adopt,reset -- -trace ide_bus_exec_cmd -D {}", file.display())))?;
    expect::outcome(&ended, 0, "pass")?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("no trace of QEMU: {error}"))?;
    let mut commands = BTreeMap::new();
    for line in text.lines().filter(|line| line.contains("ide_bus_exec_cmd")) {
        let command = line.rsplit(' ').next().unwrap_or_default();
        *commands.entry(command).or_insert(0_u64) += 1;
    }
    let bad = commands.keys().find(|command| !HARMLESS.contains(command));
    ensure(bad.is_none(), || format!("commands other than reads: {commands:?}"))?;
    let reads = commands.get("0x24").copied().unwrap_or(0);
    ensure(reads > 32 && commands.contains_key("0xec"), || format!("too few commands: {commands:?}"))
}

fn planted(session: &Session<'_>, plant: &str) -> Result<Value, String> {
    let ended = session.run(&words(&format!("{BOARD} adopt --plant {plant}")))?;
    expect::outcome(&ended, 1, "fail")?;
    ensure(ended.report()?["planted"] == plant, || "the report is not marked".to_owned())?;
    Ok(expect::run(&ended, "adopt")?.clone())
}

/// This check fails, and says this.
fn sees(run: &Value, id: &str, what: &str) -> Expected {
    let check = super::policies::check(run, id)?;
    let says = check["reason"].as_str().is_some_and(|reason| reason.contains(what));
    ensure(check["verdict"] == "fail" && says, || format!("{check}"))
}

/// Of the streams exactly one, a disk, shows it after the takeover.
fn one_hurt(run: &Value, key: &str, is_hurt: impl Fn(Option<u64>) -> bool) -> Expected {
    let streams = expect::array(run, "streams")?.iter();
    let hurt: Vec<_> = streams.filter(|stream| is_hurt(expect::count(stream, "after", key))).collect();
    ensure(hurt.len() == 1 && hurt[0]["endpoint"] == "nvme", || format!("{key}: {hurt:?}"))
}
