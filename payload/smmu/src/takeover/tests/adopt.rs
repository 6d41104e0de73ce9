use super::*;

/// facts: adopting-kernel.md §3, row by row; what revision 10 adds is marked.
#[test]
fn the_sequence_of_the_real_kernel() {
    let mut fake = crashed();
    let (taken, trace) = take(Policy::Adopt, &mut fake, &PLAIN);
    let expected = [
        PROBE, // 1-5
        "
        R CR0 0xd                               ; 6
        R GERROR 0x0                            ; 7
        R GERRORN 0x0                           ; 8
        R STRTAB_BASE_CFG 0x10210               ; 9
        R64 STRTAB_BASE 0x4000000040254000      ; 10
        L L1STD 0x40254000 x256                 ; validation
        L L1STD 0x40254000                      ; revision 10: identifiers
        L STE 0x40260000 x17
        L CD 0x40270080
        L STE 0x40260440 x8
        L CD 0x402700c0
        L STE 0x40260640 x231
        L L1STD 0x40254008 x255                 ; end of what revision 10 adds
        R CR0 0xd                               ; 11
        W CR0 0x1                               ; 12
        R CR0ACK 0x1
        R GERROR 0x0                            ; 13
        R GERRORN 0x0
        W64 CMDQ_BASE 0x4000000050000008        ; 14
        W CMDQ_PROD 0x0
        W CMDQ_CONS 0x0
        W CR0 0x9                               ; 15
        R CR0ACK 0x9
        ",
        &command(0, CFGI_ALL),      // 16
        &command(2, TLBI_NSNH_ALL), // 17
        "
        W IRQ_CTRL 0x0                          ; 18
        R IRQ_CTRLACK 0x0
        W64 GERROR_IRQ_CFG0 0x0                 ; 19
        W64 EVENTQ_IRQ_CFG0 0x0
        W IRQ_CTRL 0x1                          ; 20
        R IRQ_CTRLACK 0x1
        W CR0 0x9                               ; 21
        R CR0ACK 0x9
        ",
    ];
    assert_trace(&trace, &expected.concat());
    let taken = taken.expect("the table is healthy");
    assert_eq!((taken.did, taken.refusal, taken.ignored), (Policy::Adopt, None, Ignored::default()));
    assert_eq!(taken.reserved.asids.iter().collect::<Vec<_>>(), [2, 3]);
    assert!(taken.reserved.vmids.is_empty());
    assert!(taken.last_ack_ticks > 0);
}

#[test]
fn tables_of_the_dead_kernel_keep_every_byte() {
    let mut fake = crashed();
    let before = fake.memory().clone();
    let options = Options { rmr: &[StreamId(0x18), StreamId(0x28)], ..PLAIN };
    let (taken, _) = take(Policy::Adopt, &mut fake, &options);
    assert_eq!(taken.map(|taken| taken.did), Ok(Policy::Adopt));
    for (at, word) in &before {
        assert_eq!(fake.peek(PhysAddr(*at)), *word, "{at:#x}");
    }
    // Only the command queue is new.
    let new = fake.memory().keys().filter(|at| !before.contains_key(at));
    assert!(new.copied().all(|at| (0x5000_0000..0x5000_1000).contains(&at)));
}

#[test]
fn stale_command_error_is_acknowledged_first() {
    let mut fake = crashed();
    fake.unit(SMMU).set(reg::GERROR, 1);
    let (taken, trace) = take(Policy::Adopt, &mut fake, &PLAIN);
    assert_eq!(taken.map(|taken| (taken.did, taken.ignored)), Ok((Policy::Adopt, Ignored::default())));
    let writes = writes(&trace);
    assert_eq!(writes[..3], ["W CR0 0x1", "W GERRORN 0x1", "W64 CMDQ_BASE 0x4000000050000008"]);
    assert_eq!(fake.unit(SMMU).commands.len(), 4);
}

#[test]
fn errors_outside_the_mask_are_left() {
    let mut fake = crashed();
    fake.unit(SMMU).set(reg::GERROR, 0x602);
    let (_, trace) = take(Policy::Adopt, &mut fake, &PLAIN);
    assert_eq!(written(&trace, "GERRORN"), [""; 0]);
}

#[test]
fn hyp_adds_one_invalidation() {
    let mut fake = crashed();
    fake.unit(SMMU).edit_idr0(|idr0| idr0.with_hyp(true));
    let (taken, trace) = take(Policy::Adopt, &mut fake, &Options { cpu_is_vhe: true, ..PLAIN });
    assert!(taken.is_ok());
    let opcodes: Vec<_> = fake.unit(SMMU).commands.iter().map(|command| command[0] & 0xFF).collect();
    assert_eq!(opcodes, [0x04, 0x46, 0x20, 0x46, 0x30, 0x46]);
    assert_eq!(written(&trace, "CR2"), [""; 0]);
}

#[test]
fn atschk_is_kept_as_found() {
    for (found, expected) in [(0x1D, ["0x11", "0x19", "0x19"]), (0xD, ["0x1", "0x9", "0x9"])] {
        let mut fake = crashed();
        fake.unit(SMMU).edit_idr0(|idr0| idr0.with_ats(true));
        fake.unit(SMMU).set(reg::CR0, found);
        let (taken, trace) = take(Policy::Adopt, &mut fake, &PLAIN);
        assert!(taken.is_ok());
        assert_eq!(written(&trace, "CR0"), expected);
    }
}

#[test]
fn pri_clears_its_msi_address_and_nothing_else() {
    let mut fake = crashed();
    fake.unit(SMMU).edit_idr0(|idr0| idr0.with_pri(true));
    fake.unit(SMMU).set(reg::CR0, 0xF);
    let (_, trace) = take(Policy::Adopt, &mut fake, &PLAIN);
    assert!(trace.contains(&"W64 PRIQ_IRQ_CFG0 0x0".into()));
    assert_eq!(written(&trace, "CR0"), ["0x1", "0x9", "0x9"]);
    assert!(!trace.iter().any(|row| row.contains("PRIQ_BASE") || row.contains("PRIQ_PROD")));
}

#[test]
fn a_linear_table_is_adopted_where_two_levels_exist() {
    let mut fake = crashed();
    fake.unit(SMMU).set(reg::STRTAB_BASE_CFG, 8);
    fake.unit(SMMU).set64(reg::STRTAB_BASE, L2.0);
    let (taken, trace) = take(Policy::Adopt, &mut fake, &PLAIN);
    let taken = taken.expect("the table is healthy");
    assert_eq!((taken.did, taken.reserved.asids.len()), (Policy::Adopt, 2));
    assert!(!trace.iter().any(|row| row.contains("L1STD")));
}

#[test]
fn smmuen_stays_when_the_acknowledge_never_comes() {
    let mut fake = crashed();
    fake.unit(SMMU).freeze_cr0ack = true;
    let before = fake.ticks();
    let (taken, trace) = take(Policy::Adopt, &mut fake, &PLAIN);
    let error = taken.map(|_| ()).expect_err("CR0ACK is frozen");
    let TakeoverError::NoAck { step, source } = error else { panic!("{error}") };
    assert_eq!((step, source.wanted, source.last), ("adopt.queues-off", 1, 0xD));
    assert_eq!(writes(&trace), ["W CR0 0x1"]);
    assert!(fake.ticks() - before < 5000);
}

#[test]
fn a_silent_command_queue_does_not_stop_it() {
    let mut fake = crashed();
    fake.unit(SMMU).freeze_cmdq = true;
    let (taken, trace) = take(Policy::Adopt, &mut fake, &PLAIN);
    let ignored = taken.expect("results are passed over").ignored;
    assert!(matches!(ignored.invalidation, Some(QueueError::TimedOut { prod: 2, cons: 0, .. })));
    assert_eq!(written(&trace, "CR0"), ["0x1", "0x9", "0x9"]);
}
