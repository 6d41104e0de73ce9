//! Policies that differ from `adopt` and `reset` in one thing each: the thing, and that the rest is equal.

use super::*;
use crate::event::Counts;
use crate::spec::registers::Gerror;

/// Traces of two policies, without what they have in common at the beginning and at the end.
fn difference(policy: Policy, like: Policy, options: &Options) -> (Vec<String>, Vec<String>) {
    let (taken, trace) = take(policy, &mut crashed(), options);
    assert_eq!(taken.expect("nothing is wrong").did, policy);
    let (_, other) = take(like, &mut crashed(), options);
    let start = trace.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let rest = (&trace[start..], &other[start..]);
    let end = rest.0.iter().rev().zip(rest.1.iter().rev()).take_while(|(a, b)| a == b).count();
    (rest.0[..rest.0.len() - end].to_vec(), rest.1[..rest.1.len() - end].to_vec())
}

/// facts: adopting-kernel.md §3.
#[test]
fn adopt_v7_looks_at_no_identifier() {
    let (more, less) = difference(Policy::AdoptV7, Policy::Adopt, &PLAIN);
    assert_trace(&more, "");
    assert_trace(
        &less,
        "
        L L1STD 0x40254000
        L STE 0x40260000 x17
        L CD 0x40270080
        L STE 0x40260440 x8
        L CD 0x402700c0
        L STE 0x40260640 x231
        L L1STD 0x40254008 x255
    ",
    );
    let (taken, _) = take(Policy::AdoptV7, &mut crashed(), &PLAIN);
    assert_eq!(taken.map(|taken| taken.reserved), Ok(Identifiers::default()));
}

/// Runs `adopt-v7` on a crashed SMMU that `damage` was done to.
fn v7(damage: impl FnOnce(&mut Fake)) -> (Policy, Option<Rule>) {
    let mut fake = crashed();
    damage(&mut fake);
    let (taken, _) = take(Policy::AdoptV7, &mut fake, &PLAIN);
    let taken = taken.expect("reset runs instead");
    (taken.did, taken.refusal.map(|refusal| refusal.rule))
}

fn config(value: u32) -> impl FnOnce(&mut Fake) {
    move |fake| fake.unit(SMMU).set(reg::STRTAB_BASE_CFG, value)
}

/// facts: adopting-kernel.md §7 and §9, 4 and 5.
#[test]
fn adopt_v7_believes_what_revision_10_does_not() {
    let adopted = (Policy::AdoptV7, None);
    // FMT=0 over a two-level table; 20 bits on an SMMU of 16; the bound of 25.
    for value in [0x10, 0x14, 0x19] {
        assert_eq!(v7(config(value)), adopted, "{value:#x}");
    }
    assert_eq!(v7(|fake| fake.poke(L1.plus(0x7F8), 9)), adopted);
    assert_eq!(v7(|fake| fake.poke(L1.plus(0x7F8), 5)), adopted);
    assert_eq!(v7(|fake| fake.poke(L1.plus(8), (L2.0 + 0x2000) | 9)), adopted);
    assert_eq!(v7(|fake| fake.unit(SMMU).set64(reg::STRTAB_BASE, STRTAB_BASE + 0x40)), adopted);
    // ASID 0, VMID 0, a CD table at 0: nobody looks.
    for ste0 in [0b1011 | CDS.0, 0b1101, 0b1011] {
        assert_eq!(v7(|fake| fake.poke(ste(7), ste0)), adopted);
    }
}

#[test]
fn adopt_v7_refuses_what_it_checks() {
    let refused = |rule| (Policy::Reset, Some(rule));
    for (rule, value) in [
        (Rule::StrtabFormat, 0x2_0210),
        (Rule::StrtabSplit, 0x1_0190),
        (Rule::StrtabLog2size, 0x1_0207),
        (Rule::StrtabLog2size, 0x1_0211),
        (Rule::StrtabSize, 0x1A),
    ] {
        assert_eq!(v7(config(value)), refused(rule));
    }
    assert_eq!(v7(|fake| fake.poke(L1.plus(200 * 8), L2.0 | 5)), refused(Rule::L1Span));
    // Without two levels the bound is SIDSIZE.
    let linear = |fake: &mut Fake| {
        fake.unit(SMMU).edit_idr0(|idr0| idr0.with_st_level(0));
        fake.unit(SMMU).set(reg::STRTAB_BASE_CFG, 0x11);
    };
    assert_eq!(v7(linear), refused(Rule::StrtabLog2size));
    // The real one dies of this.
    assert_eq!(v7(|fake| fake.unit(SMMU).set64(reg::STRTAB_BASE, 0x0B00_0000)), refused(Rule::Unbacked));
}

/// facts: adopting-kernel.md §6: before any register write, in place, cleared first, no invalidation of its own.
#[test]
fn adopt_rmr_bypass_rewrites_live_entries() {
    let options = Options { rmr: &[StreamId(0x18), StreamId(0x28), StreamId(0x301), StreamId(0x1_0000)], ..PLAIN };
    let (more, less) = difference(Policy::AdoptRmrBypass, Policy::Adopt, &options);
    assert_trace(&less, "");
    let cleared = |at: u64| (0..8).map(|word| format!("S STE {:#x} 0x0\n", at + word * 8)).collect::<String>();
    let expected = [
        "L L1STD 0x40254000\n",
        &cleared(0x4026_0600),
        "S STE 0x40260600 0x9\n L L1STD 0x40254000\n",
        &cleared(0x4026_0A00),
        // No level-2 table, and no entry at all, for the others.
        "S STE 0x40260a00 0x9\n L L1STD 0x40254018",
    ];
    assert_trace(&more, &expected.concat());

    let mut fake = crashed();
    let (_, trace) = take(Policy::AdoptRmrBypass, &mut fake, &options);
    let first_write = trace.iter().position(|row| row.starts_with('W')).expect("it takes over");
    let last_store = trace.iter().rposition(|row| row.starts_with("S STE")).expect("two entries");
    assert!(last_store < first_write);
    let opcodes: Vec<_> = fake.unit(SMMU).commands.iter().map(|command| command[0] & 0xFF).collect();
    assert_eq!(opcodes, [0x04, 0x46, 0x30, 0x46]);
}

#[test]
fn adopt_rmr_bypass_uses_incoming_shareability_where_it_can() {
    let mut fake = crashed();
    fake.unit(SMMU).set(reg::IDR1, 0x0273_0010 | 1 << 27);
    let (_, trace) = take(Policy::AdoptRmrBypass, &mut fake, &Options { rmr: &[StreamId(0x18)], ..PLAIN });
    let at = trace.iter().position(|row| row == "S STE 0x40260600 0x9").expect("bypass");
    assert_eq!(trace[at + 1], "S STE 0x40260608 0x100000000000");
}

#[test]
fn reset_evtq_differs_in_the_last_cr0_write() {
    let (more, less) = difference(Policy::ResetEvtq, Policy::Reset, &PLAIN);
    assert_trace(&more, "W CR0 0xd\n R CR0ACK 0xd");
    assert_trace(&less, "W CR0 0x9\n R CR0ACK 0x9");
    let (taken, trace) = take(Policy::ResetEvtq, &mut crashed(), &PLAIN);
    assert!(taken.is_ok_and(|taken| taken.events.is_some()));
    assert_eq!(written(&trace, "IRQ_CTRL"), ["0x0", "0x5"]);
    // PRI, too, stays on.
    let mut fake = crashed();
    fake.unit(SMMU).edit_idr0(|idr0| idr0.with_pri(true));
    let (_, trace) = take(Policy::ResetEvtq, &mut fake, &PLAIN);
    assert_eq!(written(&trace, "CR0").last(), Some(&"0xf"));
}

#[test]
fn a_handler_counts_what_is_written_and_makes_room() {
    let mut fake = crashed();
    let (taken, _) = take(Policy::ResetEvtq, &mut fake, &PLAIN);
    let queue = taken.expect("it resets").events.expect("left on");
    let mut handler = EventHandler::new(SMMU, queue, Counts::with_capacity(4));
    let event = |fake: &mut Fake, page: u64| fake.push_event(SMMU, [0x10 | 0x18 << 32, 0, page << 12, 0]);
    for round in 0..3 {
        (0..200).for_each(|_| event(&mut fake, round));
        handler.handle(&mut fake);
    }
    // More than there is room for: the rest is lost, and the overflow acknowledged.
    (0..300).for_each(|_| event(&mut fake, 3));
    handler.handle(&mut fake);
    let overflow = fake.unit(SMMU).get(reg::EVENTQ_PROD) ^ fake.unit(SMMU).get(reg::EVENTQ_CONS);
    assert_eq!(overflow, 0, "all read, nothing outstanding");
    // QEMU's way to say that it is full.
    fake.unit(SMMU).raise(Gerror::new().with_eventq_abt_err(true));
    // Bits that a kernel does not know stay.
    fake.unit(SMMU).raise(Gerror::from(0x600));
    handler.handle(&mut fake);
    assert_eq!(u32::from(fake.unit(SMMU).active_errors()), 0x600);
    let (counts, is_lossy) = handler.into_counts();
    assert!(is_lossy);
    assert_eq!((counts.total(), counts.rows().len()), (3 * 200 + 256, 4));
}

#[test]
fn a_handler_that_keeps_up_loses_nothing_and_writes_only_what_it_must() {
    let mut fake = crashed();
    let (taken, _) = take(Policy::ResetEvtq, &mut fake, &PLAIN);
    let queue = taken.expect("it resets").events.expect("left on");
    let mut handler = EventHandler::new(SMMU, queue, Counts::with_capacity(4));
    let mut log = Log::with_capacity(64);
    handler.handle(&mut Logged::new(&mut fake, &mut log));
    assert!(log.entries().iter().filter_map(words).all(|row| !row.starts_with('W')));
    fake.push_event(SMMU, [2, 0, 0, 0]);
    let mut log = Log::with_capacity(64);
    handler.handle(&mut Logged::new(&mut fake, &mut log));
    let trace: Vec<_> = log.entries().iter().filter_map(words).collect();
    assert_eq!(writes(&trace), ["W EVENTQ_CONS 0x1"]);
    let (counts, is_lossy) = handler.into_counts();
    assert_eq!((counts.total(), is_lossy), (1, false));
}

/// facts: adopting-kernel.md §5, last lines.
#[test]
fn reset_attach_gives_each_stream_an_empty_domain() {
    static ATTACH: [Attach; 1] = [Attach { stream: StreamId(0x10), identity: Vec::new() }];
    let options = Options { attach: &ATTACH, ..PLAIN };
    let (more, less) = difference(Policy::ResetAttach, Policy::ResetEvtq, &options);
    assert_trace(&less, "");
    let sync = |index, opcode: u64, leaf| command(index, [opcode | 0x10 << 32, leaf]);
    let expected = [
        "
        F STE 0x50008000 0x1 x256
        B publish-structure
        S L1STD 0x50004000 0x50008009
        B publish-structure
        ",
        &sync(4, 3, 0), // CFGI_STE, and the level-1 descriptor
        "
        S CD 0x5000d008 0x5000c000              ; TTB0: an empty table
        S CD 0x5000d018 0x444ff
        B publish-structure
        ",
        &sync(6, 5, 1), // CFGI_CD
        "
        S CD 0x5000d000 0x1e204c0003510         ; as the real kernel, but for the ASID
        B publish-structure
        ",
        &sync(8, 5, 1),
        "
        S STE 0x50008408 0xd6
        B publish-structure
        ",
        &sync(10, 3, 1), // CFGI_STE, leaf
        "
        S STE 0x50008400 0x5000d00b
        B publish-structure
        ",
        &sync(12, 3, 1),
        "
        S CMD 0x500000e0 0x1000000001           ; PREFETCH_CONFIG, no CMD_SYNC
        S CMD 0x500000e8 0x0
        B before-doorbell
        W CMDQ_PROD 0xf
        ",
    ];
    assert_trace(&more, &expected.concat());
    let (taken, _) = take(Policy::ResetAttach, &mut crashed(), &options);
    assert!(taken.is_ok_and(|taken| taken.events.is_some() && taken.ignored == Ignored::default()));
}

#[test]
fn reset_attach_keeps_what_firmware_reserves() {
    let mut fake = crashed();
    // With shareability of its own, word 1 of the bypass entry is in use: it has to go through V=0.
    fake.unit(SMMU).set(reg::IDR1, 0x0273_0010 | 1 << 27);
    let range = (PhysAddr(0x4800_0000), 0x2_0000);
    let identity = Vec::from([range, range]);
    let attach =
        [Attach { stream: StreamId(0x18), identity }, Attach { stream: StreamId(0x2_0000), identity: Vec::new() }];
    let mut log = Log::with_capacity(4096);
    let mut frames = FakeFrames::default();
    let site = Site { rmr_streams: &[StreamId(0x18)], attach: &attach, ..site(&mut frames) };
    let taken = take_over(Policy::ResetAttach, &mut Logged::new(&mut fake, &mut log), site);
    assert!(taken.is_ok());
    let trace: Vec<_> = log.entries().iter().filter_map(words).collect();
    let of_ste = |row: &&String| row.starts_with("S STE 0x500086");
    let stores: Vec<_> = trace.iter().filter(of_ste).map(|row| row.as_str()).collect();
    assert_eq!(stores[1], "S STE 0x50008600 0x9");
    assert_eq!(stores[2], "S STE 0x50008600 0x0");
    assert!(stores[3].starts_with("S STE 0x50008608 0xd6"));
    let pages = trace.iter().filter(|row| row.starts_with("S PTE") && row.contains(" 0x480")).count();
    let registers = crate::observe::Registers::read(&mut fake, SMMU);
    let mapped = crate::observe::ste(&mut fake, &registers, StreamId(0x18));
    assert!(mapped.is_ok_and(|ste| ste.is_some_and(|(_, ste)| ste[0] & 0xF == 0xB)));
    // The range is named twice: mapped twice, to the same.
    assert_eq!(pages, 64, "{trace:#?}");
}

#[test]
fn a_domain_without_memory_leaves_the_smmu_enabled() {
    let mut fake = crashed();
    let mut frames = FakeFrames { free: 0x5000_0000..0x5000_C000 };
    let attach = [Attach { stream: StreamId(0x18), identity: Vec::new() }];
    let site = Site { attach: &attach, ..site(&mut frames) };
    let error = take_over(Policy::ResetAttach, &mut fake, site).map(|_| ());
    assert_eq!(error, Err(TakeoverError::Domain { stream: StreamId(0x18) }));
    assert_eq!(fake.unit(SMMU).get(reg::CR0), 0xD);
}

#[test]
fn abort_and_bypass_set_gbpa_and_turn_the_smmu_off() {
    for (policy, found, set, left) in [
        (Policy::Abort, 0x1000, "0x80101000", 0x10_1000),
        (Policy::Abort, 0x10_1000, "0x80101000", 0x10_1000),
        (Policy::Bypass, 0x1000, "0x80001000", 0x1000),
        (Policy::Bypass, 0x10_1000, "0x80001000", 0x1000),
    ] {
        let mut fake = crashed();
        fake.unit(SMMU).set(reg::GBPA, found);
        let old = fake.memory().clone();
        let (taken, trace) = take(policy, &mut fake, &PLAIN);
        let tail = format!("R GBPA {found:#x}\n W GBPA {set}\n R GBPA {left:#x}\n W CR0 0x0\n R CR0ACK 0x0");
        assert_trace(&trace, &[PROBE, &tail].concat());
        let taken = taken.expect("the fake acknowledges");
        assert_eq!((taken.did, taken.ignored, taken.commands.is_none()), (policy, Ignored::default(), true));
        assert_eq!(*fake.memory(), old);
    }
}

#[test]
fn a_gbpa_that_does_not_follow_is_told() {
    let mut fake = crashed();
    fake.unit(SMMU).freeze_gbpa = true;
    let (taken, _) = take(Policy::Bypass, &mut fake, &PLAIN);
    assert_eq!(taken.map(|taken| taken.ignored.gbpa.map(|error| error.register)), Ok(Some(reg::GBPA)));
}

#[test]
fn stopping_devices_is_not_the_smmus_business() {
    for policy in
        [Policy::QuiesceBme, Policy::QuiesceDriver, Policy::QuiesceFlr, Policy::QuiesceBusReset, Policy::QuiesceDpc]
    {
        let (more, less) = difference(policy, Policy::Reset, &PLAIN);
        assert_eq!((more, less), (Vec::new(), Vec::new()));
    }
}

#[test]
fn a_held_takeover_is_the_same_with_a_look_before_each_step() {
    for policy in Policy::ALL {
        let (mut fake, mut log, mut looks) = (crashed(), Log::with_capacity(4096), 0);
        let mut frames = FakeFrames::default();
        let site = Site { rmr_streams: &[StreamId(0x18)], ..site(&mut frames) };
        let mut logged = Logged::new(&mut fake, &mut log);
        let mut look = || looks += 1;
        assert!(take_over(policy, &mut Held::new(&mut logged, &mut look), site).is_ok());
        let trace: Vec<_> = log.entries().iter().filter_map(words).collect();
        let (_, plain) = take(policy, &mut crashed(), &Options { rmr: &[StreamId(0x18)], ..PLAIN });
        assert_eq!(trace, plain);
        assert_eq!(looks, fake.steps.len(), "{policy}");
        assert!(looks >= 3);
    }
}
