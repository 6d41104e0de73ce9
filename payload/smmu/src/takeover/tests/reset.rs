use super::*;
use crate::spec::registers::Gerror;

const FRESH: &str = "
    B publish-structure
";

/// facts: smmu-kdump.md §1.3, row by row.
#[test]
fn the_sequence_of_released_kernels() {
    let mut fake = crashed();
    let (taken, trace) = take(Policy::Reset, &mut fake, &PLAIN);
    let expected = [
        PROBE,
        FRESH,
        "
        R CR0 0xd                               ; 1
        R GBPA 0x1000                           ; 2
        W GBPA 0x80101000
        R GBPA 0x101000
        W CR0 0x0                               ; 3
        R CR0ACK 0x0
        W CR1 0xd75                             ; 4
        W CR2 0x6                               ; 5
        W64 STRTAB_BASE 0x4000000050004000      ; 6
        W STRTAB_BASE_CFG 0x10210
        W64 CMDQ_BASE 0x4000000050000008        ; 7
        W CMDQ_PROD 0x0
        W CMDQ_CONS 0x0
        W CR0 0x8                               ; 8
        R CR0ACK 0x8
        ",
        &command(0, CFGI_ALL), // 9
        &command(2, TLBI_NSNH_ALL),
        "
        W64 EVENTQ_BASE 0x4000000050002008      ; 10
        W EVENTQ_PROD 0x0
        W EVENTQ_CONS 0x0
        W CR0 0xc                               ; 11
        R CR0ACK 0xc
        W IRQ_CTRL 0x0                          ; 14
        R IRQ_CTRLACK 0x0
        W64 GERROR_IRQ_CFG0 0x0
        W64 EVENTQ_IRQ_CFG0 0x0
        W IRQ_CTRL 0x5
        R IRQ_CTRLACK 0x5
        W CR0 0x9                               ; 15, 16
        R CR0ACK 0x9
        ",
    ];
    assert_trace(&trace, &expected.concat());
    let taken = taken.expect("the fake acknowledges");
    assert_eq!((taken.did, taken.refusal, taken.ignored), (Policy::Reset, None, Ignored::default()));
    assert!(taken.reserved.asids.is_empty());
}

#[test]
fn hyp_ats_and_pri_add_their_rows() {
    let mut fake = crashed();
    fake.unit(SMMU).edit_idr0(|idr0| idr0.with_hyp(true).with_ats(true).with_pri(true));
    fake.unit(SMMU).set(reg::IDR1, 0x0273_0010 | 4 << 11);
    let (taken, trace) = take(Policy::Reset, &mut fake, &Options { cpu_is_vhe: true, ..PLAIN });
    assert!(taken.is_ok());
    let from = trace.iter().position(|row| row == "W CR1 0xd75").expect("row 4");
    let expected = [
        "
        W CR1 0xd75
        W CR2 0x7                               ; E2H
        W64 STRTAB_BASE 0x4000000050004800      ; after the PRI queue
        W STRTAB_BASE_CFG 0x10210
        W64 CMDQ_BASE 0x4000000050000008
        W CMDQ_PROD 0x0
        W CMDQ_CONS 0x0
        W CR0 0x8
        R CR0ACK 0x8
        ",
        &command(0, CFGI_ALL),
        &command(2, TLBI_EL2_ALL),
        &command(4, TLBI_NSNH_ALL),
        "
        W64 EVENTQ_BASE 0x4000000050002008
        W EVENTQ_PROD 0x0
        W EVENTQ_CONS 0x0
        W CR0 0xc
        R CR0ACK 0xc
        W64 PRIQ_BASE 0x4000000050004004        ; 12
        W PRIQ_PROD 0x0
        W PRIQ_CONS 0x0
        W CR0 0xe
        R CR0ACK 0xe
        W CR0 0x1e                              ; 13
        R CR0ACK 0x1e
        W IRQ_CTRL 0x0
        R IRQ_CTRLACK 0x0
        W64 GERROR_IRQ_CFG0 0x0
        W64 EVENTQ_IRQ_CFG0 0x0
        W64 PRIQ_IRQ_CFG0 0x0
        W IRQ_CTRL 0x7
        R IRQ_CTRLACK 0x7
        W CR0 0x19
        R CR0ACK 0x19
        ",
    ];
    assert_trace(&trace[from..], &expected.concat());
}

#[test]
fn e2h_needs_both_sides() {
    let mut fake = crashed();
    let (_, trace) = take(Policy::Reset, &mut fake, &Options { cpu_is_vhe: true, ..PLAIN });
    assert_eq!(written(&trace, "CR2"), ["0x6"]);
}

#[test]
fn a_disabled_smmu_keeps_its_gbpa() {
    let mut fake = crashed();
    fake.unit(SMMU).set(reg::CR0, 0);
    let (taken, trace) = take(Policy::Reset, &mut fake, &PLAIN);
    assert!(taken.is_ok());
    assert!(!trace.iter().any(|row| row.contains("GBPA")));
    assert_eq!(written(&trace, "CR0"), ["0x0", "0x8", "0xc", "0x9"]);
}

#[test]
fn rmr_streams_get_bypass_in_the_new_table() {
    let mut fake = crashed();
    let old = fake.memory().clone();
    fake.unit(SMMU).set(reg::IDR1, 0x0273_0010 | 1 << 27);
    let rmr = &[StreamId(0x18), StreamId(0x28), StreamId(0x301), StreamId(0x1_0000)];
    let (taken, trace) = take(Policy::Reset, &mut fake, &Options { rmr, ..PLAIN });
    assert!(taken.is_ok());
    let stores: Vec<_> = trace.iter().take_while(|row| !row.starts_with('B')).skip(5).collect();
    let expected = "
        F STE 0x50008000 0x1 x256
        S L1STD 0x50004000 0x50008009
        S STE 0x50008608 0x100000000000
        S STE 0x50008600 0x9
        S STE 0x50008a08 0x100000000000
        S STE 0x50008a00 0x9
        F STE 0x5000c000 0x1 x256
        S L1STD 0x50004018 0x5000c009
        S STE 0x5000c048 0x100000000000
        S STE 0x5000c040 0x9
    ";
    assert_trace(&stores.into_iter().cloned().collect::<Vec<_>>(), expected);
    assert!(old.iter().all(|(at, word)| fake.peek(PhysAddr(*at)) == *word), "the live table was written");
    assert_eq!(fake.peek(PhysAddr(0x5000_8000)), 1);
    assert_eq!(fake.peek(PhysAddr(0x5000_BFC0)), 1);
}

#[test]
fn without_two_levels_the_table_is_linear_and_aborts() {
    let mut fake = crashed();
    fake.unit(SMMU).edit_idr0(|idr0| idr0.with_st_level(0));
    fake.unit(SMMU).set(reg::IDR1, 0x0273_0000 | 9);
    let (taken, trace) = take(Policy::Reset, &mut fake, &Options { rmr: &[StreamId(0x18)], ..PLAIN });
    assert!(taken.is_ok());
    assert!(trace.contains(&"F STE 0x50008000 0x1 x512".into()), "{trace:#?}");
    assert!(trace.contains(&"S STE 0x50008600 0x9".into()));
    assert_eq!(written(&trace, "STRTAB_BASE_CFG"), ["0x9"]);
}

#[test]
fn a_small_sidsize_is_linear_and_a_large_one_is_capped() {
    for (sidsize, config) in [(8, "0x8"), (9, "0x10209"), (25, "0x10219"), (32, "0x10219")] {
        let mut fake = crashed();
        fake.unit(SMMU).set(reg::IDR1, 0x0273_0000 | sidsize);
        let (taken, trace) = take(Policy::Reset, &mut fake, &PLAIN);
        assert!(taken.is_ok());
        assert_eq!(written(&trace, "STRTAB_BASE_CFG"), [config]);
    }
}

#[test]
fn a_stale_command_error_times_every_sync_out() {
    let mut fake = crashed();
    fake.unit(SMMU).raise(Gerror::new().with_cmdq_err(true));
    let before = fake.ticks();
    let (taken, trace) = take(Policy::Reset, &mut fake, &PLAIN);
    let taken = taken.expect("results are passed over");
    assert!(matches!(taken.ignored.invalidation, Some(QueueError::TimedOut { prod: 2, cons: 0, .. })));
    assert!(fake.ticks() - before >= 2000);
    assert!(fake.unit(SMMU).commands.is_empty());
    assert_eq!(written(&trace, "GERRORN"), [""; 0]);
    assert_eq!(written(&trace, "CR0"), ["0x0", "0x8", "0xc", "0x9"]);
}

#[test]
fn gbpa_is_polled_on_both_sides_and_its_failure_passed_over() {
    let mut fake = crashed();
    fake.unit(SMMU).gbpa_delay = 3;
    let (taken, trace) = take(Policy::Reset, &mut fake, &PLAIN);
    assert_eq!(taken.map(|taken| taken.ignored), Ok(Ignored::default()));
    assert!(trace.contains(&"R GBPA 0x80001000 x3".into()));

    let mut fake = crashed();
    fake.unit(SMMU).freeze_gbpa = true;
    let (taken, trace) = take(Policy::Reset, &mut fake, &PLAIN);
    assert_eq!(taken.map(|taken| taken.ignored.gbpa.map(|error| error.register)), Ok(Some(reg::GBPA)));
    assert_eq!(written(&trace, "CR0"), ["0x0", "0x8", "0xc", "0x9"]);
}

#[test]
fn a_missing_acknowledge_ends_with_cr0_written_0() {
    let mut fake = crashed();
    fake.unit(SMMU).freeze_cr0ack = true;
    let (taken, trace) = take(Policy::Reset, &mut fake, &PLAIN);
    let error = taken.map(|_| ()).expect_err("CR0ACK is frozen");
    assert!(matches!(error, TakeoverError::NoAck { step: "reset.disable", .. }), "{error}");
    assert_eq!(format!("{error}"), "while reset.disable: CR0ACK is 0xd after 1000 µs, not 0x0 under mask 0xffffffff");
    assert_eq!(written(&trace, "CR0"), ["0x0", "0x0"]);
}

#[test]
fn a_missing_interrupt_acknowledge_only_warns() {
    let mut fake = crashed();
    fake.unit(SMMU).freeze_irq_ctrlack = true;
    let (taken, _) = take(Policy::Reset, &mut fake, &PLAIN);
    let warned = taken.expect("only a warning").ignored.irq_ctrl.expect("a warning");
    assert_eq!((warned.register, warned.wanted, warned.last), (reg::IRQ_CTRLACK, 0, 5));
}

#[test]
fn steps_are_named_in_order() {
    let mut fake = crashed();
    let (taken, _) = take(Policy::Reset, &mut fake, &PLAIN);
    assert!(taken.is_ok());
    let expected = [
        "probe",
        "reset.new-table",
        "reset.read-cr0",
        "reset.abort",
        "reset.disable",
        "reset.attributes",
        "reset.strtab",
        "reset.cmdq",
        "reset.invalidate",
        "reset.evtq",
        "reset.interrupts",
        "reset.enable",
        "reset.implementation",
    ];
    assert_eq!(fake.steps, expected);
}
