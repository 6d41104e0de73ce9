//! The deferred attach, access by access, and what the checker says of it.

use super::*;
use crate::access::Structure;
use crate::checker::{Checker, Coverage, Found, Profile};
use crate::observe::{Registers, stage2_tables, tables};
use crate::spec::registers::Idr0;
use crate::spec::ste::Ste;
use crate::translation::{Identifier, Memory};
use addr::Iova;
use alloc::vec;

const STREAM: StreamId = StreamId(0x18);
const WINDOW: (Iova, PhysAddr, u64) = (Iova(0x4800_0000), PhysAddr(0x5600_0000), 0x2000);

/// What an attach did.
struct Done {
    attached: Result<Attached, TakeoverError>,
    /// Accesses of the attach alone.
    trace: Vec<String>,
    fake: Fake,
    report: crate::checker::Report,
}

/// Takes `fake` over, and attaches [`STREAM`] with so many domains before its own.
fn attach(policy: Policy, mut fake: Fake, earlier: u16) -> Done {
    let found = Found::from(&Registers::read(&mut fake, SMMU));
    let (mut log, mut frames) = (Log::with_capacity(4096), FakeFrames::default());
    let attach = Attach { stream: STREAM, identity: vec![(PhysAddr(0x4900_0000), 0x1000)] };
    let mut site = Site { rmr_streams: &[STREAM], ..site(&mut frames) };
    let mut logged = Logged::new(&mut fake, &mut log);
    let again = Site { own: OWN, frames: &mut FakeFrames::default(), ..site };
    let mut taken = take_over(policy, &mut logged, again).unwrap();
    // The first frames went to the queues.
    site.frames.allocate(0x10_0000, 4096).unwrap();
    let wanted = NewDomain { attach: &attach, window: WINDOW, memory: Memory::WriteBack, earlier };
    let before = log.entries().len();
    let mut logged = Logged::new(&mut fake, &mut log);
    let attached = attach_deferred(&mut logged, &mut site, &mut taken, &wanted);
    assert!(!log.overflowed());
    let mut checker = Checker::new(&[found], Coverage::ALL);
    log.entries().iter().for_each(|entry| checker.push(entry));
    let trace = log.entries()[before..].iter().filter_map(words).collect();
    Done { attached, trace, report: checker.finish(true), fake }
}

/// The same streams at stage 2, with VMIDs in the place of the ASIDs, and a shape that the taker gives its own tables too.
fn at_stage2() -> Fake {
    let mut fake = crashed();
    for (stream, vmid) in [(0x10, 2), (0x18, 3)] {
        // S2T0SZ 20 from level 0, write-back, 44 bits out, AArch64, R.
        let word2 = vmid | 20 << 32 | 2 << 38 | 1 << 40 | 1 << 42 | 3 << 44 | 4 << 48 | 1 << 51 | 1 << 58;
        for (word, value) in (0..).zip([0b1101, 0, word2, CDS.0 + vmid * 0x1000]) {
            fake.poke(ste(stream).plus(word * 8), value);
        }
    }
    fake
}

fn read_ste(fake: &mut Fake, at: PhysAddr) -> Ste {
    let mut ste = [0; 8];
    for (word, offset) in ste.iter_mut().zip((0..).step_by(8)) {
        *word = fake.load(SMMU, Structure::Ste, at.plus(offset)).unwrap();
    }
    ste
}

/// Stores to STEs and CDs, and commands by opcode, in order.
fn changes(trace: &[String]) -> Vec<String> {
    let is_store = |row: &&String| row.starts_with("S STE") || row.starts_with("S CD ") || row.starts_with("S CMD ");
    let rows = trace.iter().filter(is_store).map(|row| row.split_whitespace().map(String::from).collect::<Vec<_>>());
    rows.filter_map(|row| {
        let [address, value] = [&row[2], &row[3]].map(|text| u64::from_str_radix(&text[2..], 16).unwrap());
        match row[1].as_str() {
            "CMD" if address % 16 != 0 => None,
            "CMD" => Some(format!("command {:#x}", value as u8)),
            name => Some(format!("{name}[{}]", address % 64 / 8)),
        }
    })
    .collect()
}

#[test]
fn the_order_is_that_of_a_real_kernel() {
    // Word 1 is right already (0xD6): CD, CFGI_CD, CD, CFGI_CD, one store, CFGI_STE, prefetch; no CMD_TLBI.
    let done = attach(Policy::AdoptAttach, crashed(), 1);
    assert_eq!(done.attached.map(|attached| attached.ignored), Ok(None));
    let wanted = [
        "CD[1]",
        "CD[3]",
        "command 0x5",
        "command 0x46",
        "CD[0]",
        "command 0x5",
        "command 0x46",
        "STE[0]",
        "command 0x3",
        "command 0x46",
        "command 0x1",
    ];
    assert_eq!(changes(&done.trace), wanted);
    // Word 1 differs in what is ignored without substreams alone: written first, and still without V=0.
    let mut fake = crashed();
    fake.poke(ste(0x18).plus(8), 0xD4);
    let done = attach(Policy::AdoptAttach, fake, 1);
    assert_eq!(changes(&done.trace)[7..12], ["STE[1]", "command 0x3", "command 0x46", "STE[0]", "command 0x3"]);
}

#[test]
fn the_stream_gets_its_window_and_what_firmware_reserves_and_no_other_entry_changes() {
    let mut done = attach(Policy::AdoptAttach, crashed(), 1);
    let attached = done.attached.unwrap();
    assert_eq!(attached.ste_at, ste(0x18));
    let new = read_ste(&mut done.fake, ste(0x18));
    let cd = PhysAddr(crate::spec::ste::Ste0::from(new[0]).s1contextptr());
    assert!(OWN.contains(&cd), "{cd}");
    let mut words = [0; 8];
    for (word, offset) in words.iter_mut().zip((0..).step_by(8)) {
        *word = done.fake.load(SMMU, Structure::Cd, cd.plus(offset)).unwrap();
    }
    let registers = Registers::read(&mut done.fake, SMMU);
    let [Some(tables), None] = tables(&registers, &words).unwrap() else { panic!("{words:#x?}") };
    for (iova, pa) in [(0x4800_1234, 0x5600_1234), (0x4900_0010, 0x4900_0010)] {
        let leaf = tables.lookup(&mut done.fake, Iova(iova)).unwrap().unwrap();
        assert_eq!(leaf.pa.0 + (iova - leaf.iova.0), pa);
    }
    let mut fresh = crashed();
    for stream in (0..256).filter(|stream| *stream != 0x18) {
        assert_eq!(read_ste(&mut done.fake, ste(stream)), read_ste(&mut fresh, ste(stream)), "{stream:#x}");
    }
}

#[test]
fn reserved_identifiers_are_passed_over_and_without_them_the_old_one_comes_again() {
    // The dead kernel used 2 and 3, 3 for this stream.
    for (policy, earlier, id) in [
        (Policy::AdoptAttach, 0, 1),
        (Policy::AdoptAttach, 1, 4),
        (Policy::AdoptV7Attach, 1, 2),
        (Policy::AdoptV7Attach, 2, 3),
    ] {
        for (fake, kind) in [(crashed(), Identifier::Asid as fn(u16) -> Identifier), (at_stage2(), Identifier::Vmid)] {
            let attached = attach(policy, fake, earlier).attached.unwrap();
            assert_eq!((attached.id, attached.old), (kind(id), Some(kind(3))), "{policy} {earlier}");
        }
    }
    // All that 8 bits have.
    let mut fake = crashed();
    let idr0 = Idr0::from(fake.unit(SMMU).get(reg::IDR0)).with_asid16(false);
    fake.unit(SMMU).set(reg::IDR0, idr0.into());
    let full = attach(Policy::AdoptAttach, fake, 253).attached;
    assert_eq!(full, Err(TakeoverError::Domain { stream: STREAM }));
    let mut fake = at_stage2();
    let idr0 = Idr0::from(fake.unit(SMMU).get(reg::IDR0)).with_vmid16(false);
    fake.unit(SMMU).set(reg::IDR0, idr0.into());
    let full = attach(Policy::AdoptAttach, fake, 253).attached;
    assert_eq!(full, Err(TakeoverError::Domain { stream: STREAM }));
}

#[test]
fn the_checker_names_a_reused_identifier_and_nothing_else() {
    for crashed in [crashed, at_stage2] {
        let good = attach(Policy::AdoptAttach, crashed(), 1).report;
        assert_eq!(good.violations().count(), 0, "{:?}", good.found);
        assert_eq!(good.followed[&SMMU].profile, Some(Profile::AdoptV10));
        assert_eq!(good.followed[&SMMU].left, None);
        // The domain that is given up is the only one that revision 7 looks at: another stream's identifier it cannot know.
        for earlier in [1, 2] {
            let reused = attach(Policy::AdoptV7Attach, crashed(), earlier).report;
            let rules: Vec<_> = reused.violations().map(|violation| violation.rule).collect();
            let wanted: &[&str] = if earlier == 2 { &["adopt.identifier-reused"] } else { &[] };
            assert_eq!(rules, wanted, "{earlier}");
            assert_eq!(reused.followed[&SMMU].profile, Some(Profile::AdoptV7));
        }
    }
}

#[test]
fn at_stage_2_the_entry_is_broken_before_it_is_made_unless_the_tables_alone_change() {
    let done = attach(Policy::AdoptAttach, at_stage2(), 1);
    assert_eq!(done.attached.map(|attached| attached.ignored), Ok(None));
    let through_invalid =
        ["STE[0]", "command 0x3", "command 0x46", "STE[2]", "STE[3]", "command 0x3", "command 0x46", "STE[0]"];
    assert_eq!(changes(&done.trace)[..8], through_invalid);
    assert_eq!(changes(&done.trace)[8..], ["command 0x3", "command 0x46", "command 0x1"]);
    // With the VMID of before, S2TTB is the one word that the SMMU uses and that differs.
    let done = attach(Policy::AdoptV7Attach, at_stage2(), 2);
    assert_eq!(changes(&done.trace), ["STE[3]", "command 0x3", "command 0x46", "command 0x1"]);
}

#[test]
fn a_stage_2_stream_gets_its_window_by_tables_of_its_own() {
    let mut done = attach(Policy::AdoptAttach, at_stage2(), 1);
    let new = read_ste(&mut done.fake, ste(0x18));
    let registers = Registers::read(&mut done.fake, SMMU);
    let tables = stage2_tables(&registers, &new).unwrap().unwrap();
    assert!(OWN.contains(&tables.root), "{}", tables.root);
    for (iova, pa) in [(0x4800_1234, 0x5600_1234), (0x4900_0010, 0x4900_0010)] {
        let leaf = tables.lookup(&mut done.fake, Iova(iova)).unwrap().unwrap();
        assert_eq!((leaf.pa.0 + (iova - leaf.iova.0), leaf.writable), (pa, true));
    }
    // No stage 2 in the hardware, whatever the STE says.
    let mut fake = at_stage2();
    let idr0 = Idr0::from(fake.unit(SMMU).get(reg::IDR0)).with_s2p(false);
    fake.unit(SMMU).set(reg::IDR0, idr0.into());
    assert_eq!(attach(Policy::AdoptAttach, fake, 1).attached, Err(TakeoverError::Domain { stream: STREAM }));
}

#[test]
fn only_what_one_word_cannot_do_goes_through_an_invalid_entry() {
    let breaks = |words: &[(u64, u64)]| {
        let mut fake = crashed();
        words.iter().for_each(|(word, value)| fake.poke(ste(0x18).plus(word * 8), *value));
        let done = attach(Policy::AdoptV7Attach, fake, 1);
        assert_eq!(done.report.violations().filter(|broken| broken.rule.starts_with("structure")).count(), 0);
        done.trace.contains(&format!("S STE {:#x} 0x0", ste(0x18).0))
    };
    assert!(!breaks(&[]));
    // Shareability of the CD fetch differs; a VMID that tags stage 1.
    assert!(breaks(&[(1, 0x56)]));
    assert!(breaks(&[(2, 7)]));
    // Abort and bypass use word 0 alone.
    assert!(!breaks(&[(0, 1), (1, 0)]));
    assert!(!breaks(&[(0, 9), (1, 0)]));
    // Nested: the new domain is of stage 1, and the VMID goes.
    assert!(breaks(&[(0, 0b1111 | CDS.0), (2, 7), (3, CDS.0)]));
}

#[test]
fn a_stream_that_is_not_found_any_more_is_refused_and_nothing_is_stored() {
    let mut fake = crashed();
    fake.poke(L1, 0);
    let done = attach(Policy::AdoptAttach, fake, 1);
    assert_eq!(done.attached, Err(TakeoverError::Domain { stream: STREAM }));
    assert!(done.trace.iter().all(|row| !row.starts_with('S')), "{:#?}", done.trace);
}
