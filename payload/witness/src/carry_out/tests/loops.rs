//! Loops of exclusives: by the trap of either half, to the store, and where they never come round.

use super::*;

const AT: u64 = TABLE + 0x40;
/// ldxr x1, [x3]; add x1, x1, #1; stxr w4, x1, [x3]; cbnz w4, -12
const INCREMENT: [u32; 4] = [0xC85F_7C61, 0x9100_0421, 0xC804_7C61, 0x35FF_FFA4];

/// Of a kernel that has trapped at one of its instructions.
fn at(index: u64) -> Registers {
    Registers { pc: PC + 4 * index, ..registers() }
}

#[test]
fn a_trap_of_the_store_is_the_whole_loop() {
    let mut machine = Machine::with(&INCREMENT);
    let (done, after, stores) = run_on(&mut machine, at(2), STORE);
    let mut expected = at(3);
    (expected.x[1], expected.x[4]) = (old(AT) + 1, 0);
    assert_eq!((done, after), (Ok(Done::Carried), expected));
    assert_eq!(stores, [(AT, Some(old(AT)), old(AT) + 1)]);
}

#[test]
fn a_trap_of_the_load_is_the_same_and_it_is_logged() {
    let mut machine = Machine::with(&INCREMENT);
    machine.is_watching_loads = true;
    let (done, after, entries) = run_on(&mut machine, at(0), LOAD);
    assert_eq!((done, after.pc, after.x[4]), (Ok(Done::Carried), PC + 12, 0));
    assert_eq!(entries, [(AT, None, old(AT)), (AT, Some(old(AT)), old(AT) + 1)]);
}

#[test]
fn pairs_and_narrow_ones_are_stored_as_they_are() {
    // ldaxp x1, x2, [x3]; stlxp w4, x5, x6, [x3]; cbnz w4, -8
    let mut machine = Machine::with(&[0xC87F_8861, 0xC824_9865, 0x35FF_FFC4]);
    let (done, after, stores) = run_on(&mut machine, at(1), STORE);
    assert_eq!((done, after.pc), (Ok(Done::Carried), PC + 8));
    assert_eq!([after.x[1], after.x[2], after.x[4]], [old(AT), old(AT + 8), 0]);
    let [x5, x6] = [5, 6].map(|register| registers().x[register]);
    assert_eq!(stores, [(AT, Some(old(AT)), x5), (AT + 8, Some(old(AT + 8)), x6)]);
    // ldxp w1, w2, [x3]; stxp w4, w5, w6, [x3]; cbnz w4, -8: one word.
    let mut machine = Machine::with(&[0x887F_0861, 0x8824_1865, 0x35FF_FFC4]);
    let (_, _, stores) = run_on(&mut machine, at(1), STORE);
    assert_eq!(stores, [(AT, Some(old(AT)), 0x0606_0606_0505_0505)]);
    // ldxrh w1, [x3]; stxrh w4, w5, [x3]; cbnz w4, -8
    let mut machine = Machine::with(&[0x485F_7C61, 0x4804_7C65, 0x35FF_FFC4]);
    let (_, after, stores) = run_on(&mut machine, at(1), STORE);
    assert_eq!((after.x[1], stores), (old(AT) & 0xFFFF, vec![(AT, Some(old(AT)), old(AT) & !0xFFFF | 0x0505)]));
}

#[test]
fn what_changes_between_the_halves_is_kept() {
    let neighbour = TABLE + 0x408;
    let mut machine = Machine::with(&INCREMENT);
    let mut before = at(0);
    before.x[3] = HIGH + neighbour;
    let was = machine.load(PhysAddr(neighbour), 8).expect("memory");
    // A device, while the kernel adds.
    machine.others = vec![(999, neighbour + 7, 0x77)];
    let (done, _, stores) = run_on(&mut machine, before, LOAD);
    assert_eq!((done, stores), (Ok(Done::Carried), vec![]));
    assert_eq!(machine.neighbours, [(neighbour, 8, (was & !(0xFF << 56) | 0x77 << 56) + 1)]);
}

#[test]
fn an_interrupt_ends_it_and_nothing_is_stored() {
    for steps in 0..2 {
        let mut machine = Machine::with(&INCREMENT);
        machine.steps = steps;
        let (done, after, stores) = run_on(&mut machine, at(2), STORE);
        // Refused; at the branch, or behind the add of the next round.
        let pc = if steps == 0 { PC + 12 } else { PC + 4 };
        assert_eq!((done, after.pc, after.x[4], stores), (Ok(Done::Retried), pc, 1, vec![]));
    }
}

#[test]
fn what_waits_or_goes_far_away_ends_it() {
    // ldxr x1, [x3], and then wfe; svc #0; ret; clrex; mrs x0, midr_el1; the end of what is mapped.
    for word in [0xD503_205F, 0xD400_0001, 0xD65F_03C0, 0xD503_3F5F, 0xD538_0000] {
        let (done, after, stores) = run_on(&mut Machine::with(&[0xC85F_7C61, word]), at(0), LOAD);
        assert_eq!((done, after.pc, stores.len()), (Ok(Done::Carried), PC + 4, 0), "{word:#010x}");
    }
    // Barriers and hints do not.
    let program = [0xC85F_7C61, 0xD503_3BBF, 0xD503_201F, 0xC804_7C61];
    let (_, after, stores) = run_on(&mut Machine::with(&program), at(0), LOAD);
    assert_eq!((after.pc, stores.len()), (PC + 16, 1));
}

#[test]
fn a_store_elsewhere_or_of_another_width_is_refused_and_the_loop_is_bounded() {
    // The store is to [x3, 8 further on]: add x5, x3, #8; and of a word.
    for store in [0xC804_7CA1, 0x8804_7C61] {
        let program = [0xC85F_7C61, 0x9100_2065, store, 0x35FF_FFA4];
        let mut machine = Machine::with(&program);
        let mut before = at(2);
        before.x[5] = before.x[3] + 8;
        let (done, after, stores) = run_on(&mut machine, before, STORE);
        assert_eq!((done, after.x[4], stores), (Ok(Done::Retried), 1, vec![]));
        assert!(machine.steps > 1000 - 64, "{} steps", 1000 - machine.steps);
    }
}
