//! Enables, and the order in which live structures change.

use super::*;
use text::synced;
use world::{L1, L2};

const PROGRAM: &str = "W64 CMDQ_BASE 0x50000008; W CMDQ_PROD 0; W CMDQ_CONS 0; W CR0 8; R CR0ACK 8";
const TABLE: &str = "W64 STRTAB_BASE 0x50004000; W STRTAB_BASE_CFG 0x10210";
const ENABLE: &str = "W CR0 9; R CR0ACK 9";
const ABORT: &str = "R GBPA 0x1000; W GBPA 0x80101000; R GBPA 0x101000";
/// StreamID 0x10 of the live table, and what is known of it.
const KNOWN: &str = "L l1 0x40254000 0x40260009";
const VALID: &str = "L l1 0x40254000 0x40260009; L ste 0x40260400 0x4027008b";
const INVALID: &str = "L l1 0x40254000 0x40260009; L ste 0x40260400 0";
const CFGI_STE: (u64, u64) = (3 | 0x10 << 32, 1);
const CFGI_CD_ALL: (u64, u64) = (6 | 0x10 << 32, 0);
/// An invalidation that is for something else.
const OTHER: (u64, u64) = (0x30, 0);

fn sync(index: u64, (low, high): (u64, u64)) -> String {
    synced(index, low, high)
}

fn everything() -> String {
    sync(0, (4, 31)) + &sync(2, (0x30, 0))
}

pub(super) fn pairs() -> Vec<Pair> {
    [enables(), structures()].into_iter().flatten().collect()
}

fn enables() -> Vec<Pair> {
    let hyp = Found { idr0: off().idr0 | 1 << 9, ..off() };
    let ats = Found { idr0: enabled().idr0 | 1 << 10, ..enabled() };
    let atschk = Found { cr0: 0x1D, cr0ack: 0x1D, ..ats };
    let start = format!("{TABLE}; {PROGRAM}");
    let invalidated = format!("{PROGRAM}\n{}", everything());
    let late = format!("{}\n{TABLE}", everything());
    let early = format!("{TABLE}\n{}", everything());
    let split = format!("L ste 0x40260400 0x4027008b; W CR0 0xd; R CR0ACK 0xd\n{}", sync(0, (4, 31)));
    let stored = "F ste 0x50008000 64 256 1; S l1 0x50004000 0x50008009";
    let rest = format!("{TABLE}; {invalidated}\n{ENABLE}");
    vec![
        pair("enable.not-invalidated", off(), &start, &everything(), &sync(0, (4, 31)), ENABLE),
        pair("enable.not-invalidated", hyp, &start, &(everything() + &sync(4, (0x20, 0))), &everything(), ENABLE),
        // What was invalidated while the SMMU was enabled may be back.
        pair(
            "enable.not-invalidated",
            enabled(),
            "",
            &format!("{ABORT}; W CR0 0xc; R CR0ACK 0xc\n{}", everything()),
            &format!("{}\n{ABORT}; W CR0 0xc; R CR0ACK 0xc", everything()),
            "W CR0 0xd; R CR0ACK 0xd",
        ),
        pair("enable.tables-after-invalidation", off(), PROGRAM, &early, &late, ENABLE),
        pair(
            "enable.table-shape",
            off(),
            "",
            TABLE,
            "W64 STRTAB_BASE 0x50004040; W STRTAB_BASE_CFG 0x10210",
            &format!("{invalidated}\n{ENABLE}"),
        ),
        pair(
            "enable.table-shape",
            off(),
            "",
            TABLE,
            "W64 STRTAB_BASE 0x50004000; W STRTAB_BASE_CFG 0x20210",
            &format!("{invalidated}\n{ENABLE}"),
        ),
        pair("enable.unpublished", off(), stored, "B publish", "", &rest),
        pair(
            "enable.atschk-cleared",
            atschk,
            KNOWN,
            "L ste 0x40260408 0x10000000",
            "L ste 0x40260408 0x20000000",
            &split,
        ),
        pair("enable.atschk-with-smmuen", atschk, ABORT, "W CR0 0x1c; R CR0ACK 0x1c", "", "W CR0 0"),
        pair("enable.atschk-no-cfgi", ats, "W CR0 0x1d; R CR0ACK 0x1d", &sync(0, (4, 31)), "", ""),
        pair("enable.irq-stale", Found { gerror: 1, ..off() }, "", "W GERRORN 1", "", "W IRQ_CTRL 1"),
        pair("disable.without-abort", enabled(), "", ABORT, "", "W CR0 0"),
        // Not acknowledged is not in force.
        pair(
            "disable.without-abort",
            enabled(),
            "W GBPA 0x80101000",
            "R GBPA 0x101000",
            "R GBPA 0x80001000",
            "W CR0 0",
        ),
    ]
}

fn structures() -> Vec<Pair> {
    let publish_and = |index, command| format!("B publish\n{}", sync(index, command));
    let changed = format!("S ste 0x40260400 0x402700cb\n{}", publish_and(2, CFGI_STE));
    let aborted = format!("{VALID}; S ste 0x40260400 1; B publish");
    let cleared = format!("{VALID}; S ste 0x40260400 0; B publish");
    let validated = format!("S ste 0x40260400 0x4027008b\n{}", publish_and(2, CFGI_STE));
    let first = format!("{INVALID}; S ste 0x40260408 0xd6");
    let level2 = "L l1 0x40254008 0; F ste 0x50008000 64 256 1";
    let linked = format!("S l1 0x40254008 0x50008009\n{}", publish_and(0, (3 | 0x100 << 32, 0)));
    let cd = format!("{VALID}; L ste 0x40260408 0xd6; L cd 0x40270080 0x2000080000000; S cd 0x40270088 0x1000");
    let cfgi_cd = |substream: u64, leaf: u64| (5 | 0x10 << 32 | substream << 12, leaf);
    let one_cd = format!("{VALID}; S cd 0x40270088 0x1000; B publish");
    // S1CDMax 2 and 12, the latter with S1Fmt 2: leaves of 64 KiB.
    let second_cd =
        format!("{KNOWN}; L ste 0x40260400 {:#x}; S cd 0x40270048 0x1000; B publish", 2_u64 << 59 | 0x4027_000b);
    let leaves = format!("{KNOWN}; L ste 0x40260400 {:#x}", 12_u64 << 59 | 0x4027_002b);
    let leaf_cd = format!("{leaves}; L l1cd 0x40270008 0x40280001; S cd 0x40280048 0x1000; B publish");
    let leaf = format!("{leaves}; L l1cd 0x40270008 0; S l1cd 0x40270008 0x40280001; B publish");
    let unlinked = format!("{leaves}; L l1cd 0x40270008 0x40280001; S l1cd 0x40270008 0; B publish");
    vec![
        pair(
            "structure.in-place",
            enabled(),
            &format!("{VALID}; S ste 0x40260408 0xd7"),
            &publish_and(0, CFGI_STE),
            &publish_and(0, OTHER),
            &changed,
        ),
        // Two words that are both in use, neither of them word 0.
        pair(
            "structure.in-place",
            enabled(),
            &cd,
            &publish_and(0, (5 | 0x10 << 32, 1)),
            &publish_and(0, OTHER),
            &format!("S cd 0x40270098 0x2000\n{}", publish_and(2, (6 | 0x10 << 32, 0))),
        ),
        pair("structure.words-before-valid", enabled(), &first, &publish_and(0, CFGI_STE), &sync(0, OTHER), &validated),
        pair(
            "structure.stale-invalid",
            enabled(),
            &first,
            &publish_and(0, CFGI_STE),
            &publish_and(0, OTHER),
            &validated,
        ),
        pair(
            "structure.invalid-not-synced",
            enabled(),
            &cleared,
            &sync(0, CFGI_STE),
            &sync(0, OTHER),
            &format!("S ste 0x40260408 0\n{}", publish_and(2, CFGI_STE)),
        ),
        pair("structure.invalid-not-synced", enabled(), &cleared, &sync(0, CFGI_STE), &sync(0, OTHER), &validated),
        pair("structure.no-cfgi", enabled(), &aborted, &sync(0, CFGI_STE), &sync(0, (3 | 0x11 << 32, 1)), ""),
        // A range, and one that ends before.
        pair("structure.no-cfgi", enabled(), &aborted, &sync(0, (4 | 0x1F << 32, 3)), &sync(0, (4 | 0xF << 32, 3)), ""),
        // A CD is invalidated by its place in the table (4.3.3): the only one, the second of four, one behind the second
        // level-1 descriptor; and that descriptor by any of those.
        pair("structure.no-cfgi", enabled(), &one_cd, &sync(0, cfgi_cd(0, 1)), &sync(0, cfgi_cd(1, 1)), ""),
        pair("structure.no-cfgi", enabled(), &second_cd, &sync(0, cfgi_cd(1, 1)), &sync(0, cfgi_cd(0, 1)), ""),
        pair("structure.no-cfgi", enabled(), &second_cd, &sync(0, CFGI_CD_ALL), &sync(0, cfgi_cd(0, 0)), ""),
        pair("structure.no-cfgi", enabled(), &leaf_cd, &sync(0, cfgi_cd(1025, 1)), &sync(0, cfgi_cd(1, 1)), ""),
        pair("structure.no-cfgi", enabled(), &leaf, &sync(0, cfgi_cd(2047, 0)), &sync(0, cfgi_cd(2048, 0)), ""),
        // CDs behind a descriptor that goes away.
        pair("structure.no-cfgi", enabled(), &unlinked, &sync(0, CFGI_CD_ALL), &sync(0, cfgi_cd(1024, 0)), ""),
        // STEs below a span that goes away.
        pair(
            "structure.no-cfgi",
            enabled(),
            &format!("{KNOWN}; S l1 0x40254000 0; B publish"),
            &sync(0, (4, 31)),
            &sync(0, (3, 0)),
            "",
        ),
        pair(
            "structure.no-barrier",
            enabled(),
            &format!("{VALID}; S ste 0x40260400 1"),
            "B publish",
            "",
            &sync(0, CFGI_STE),
        ),
        pair("structure.target-unpublished", enabled(), level2, "B publish", "", &linked),
        pair(
            "structure.l1std-leaf",
            enabled(),
            &format!("{level2}; B publish; S l1 0x40254008 0x50008009; B publish"),
            &sync(0, (3 | 0x100 << 32, 0)),
            &sync(0, (3 | 0x100 << 32, 1)),
            "",
        ),
        pair("structure.memory-reused", enabled(), &aborted, &sync(0, CFGI_STE), &sync(0, OTHER), "S cd 0x40270080 0"),
        pair("structure.memory-reused", enabled(), KNOWN, "S pte 0x50009000 3", "S pte 0x40260000 3", ""),
    ]
}

#[test]
fn what_is_not_live_has_no_order() {
    let entries = log("S ste 0x50008408 5; S ste 0x50008400 0xb; S ste 0x50008410 7; S l1 0x50004000 0x50008009");
    assert_eq!(judged(enabled(), &entries).found, []);
    // Nor has the table in STRTAB_BASE of an SMMU that is off.
    let found = Found { cr0: 0, cr0ack: 0, ..enabled() };
    let text = format!("L l1 {L1:#x} {:#x}; S ste {:#x} 5; S ste {:#x} 0xb", L2 | 9, L2 + 0x408, L2 + 0x400);
    assert_eq!(judged(found, &log(&text)).found, []);
}

#[test]
fn the_hitless_attach_of_the_real_kernel_is_legal() {
    // facts: adopting-kernel.md 5: the new CD, then word 0 of the STE under V=1.
    let attach = format!(
        "{VALID}; L ste 0x40260408 0xd6; S cd 0x50009008 0x5000a000; S cd 0x50009018 0xff; B publish\n{}
         S cd 0x50009000 0x2e204c0003510; B publish\n{}
         S ste 0x40260400 0x5000900b; B publish\n{}CMD 6 0x1000000001 0; GO 7",
        sync(0, (5 | 0x10 << 32, 1)),
        sync(2, (5 | 0x10 << 32, 1)),
        sync(4, CFGI_STE),
    );
    assert_eq!(judged(enabled(), &log(&attach)).found, []);
}

#[test]
fn an_abort_entry_may_be_filled_before_it_is_used() {
    // As the driver does it: unused words, synced, then word 0.
    let filled = format!(
        "{KNOWN}; L ste 0x40260400 1; S ste 0x40260408 0xd6; S ste 0x40260410 5; B publish\n{}
         S ste 0x40260400 0x4027008b; B publish\n{}",
        sync(0, CFGI_STE),
        sync(2, CFGI_STE)
    );
    assert_eq!(judged(enabled(), &log(&filled)).found, []);
    let hurried = format!(
        "{KNOWN}; L ste 0x40260400 1; S ste 0x40260408 0xd6; B publish; S ste 0x40260400 0x4027008b; B publish\n{}",
        sync(0, CFGI_STE)
    );
    assert_eq!(broken(&judged(enabled(), &log(&hurried))), ["structure.in-place"]);
}

#[test]
fn the_table_module_keeps_every_rule() {
    use crate::bringup::{Options, Unit};
    use crate::fake::{Fake, FakeFrames};
    use crate::log::{Log, Logged};
    use crate::observe::Registers;
    use crate::translation::Stage;
    use addr::{PhysAddr, StreamId};
    let mut fake = Fake::default();
    let mut frames = FakeFrames::default();
    let found = Found::from(&Registers::read(&mut fake, SMMU));
    let mut log = Log::with_capacity(1 << 14);
    let mut hw = Logged::new(&mut fake, &mut log);
    let options = Options {
        base: PhysAddr(0x0905_0000),
        format: None,
        unknown: crate::table::Unknown::Aborts,
        largest: StreamId(0x3FF),
        coherent_override: false,
        e2h: false,
        stage: Stage::One,
        first_id: 1,
        cmdq_log2: 8,
        eventq_log2: 8,
        timeout_us: 1000,
    };
    let mut unit = Unit::bring_up(&mut hw, SMMU, &options, &mut frames).unwrap();
    let domain = unit.new_domain(&mut hw, &mut frames).unwrap();
    for stream in [0x10, 0x18, 0x211] {
        unit.attach(&mut hw, &mut frames, StreamId(stream), &domain).unwrap();
        unit.detach(&mut hw, StreamId(stream)).unwrap();
        unit.attach_bypass(&mut hw, &mut frames, StreamId(stream)).unwrap();
    }
    unit.shut_down(&mut hw).unwrap();
    unit.restore_gbpa(&mut hw).unwrap();
    let report = judged(found, log.entries());
    assert_eq!(report.found, []);
}
