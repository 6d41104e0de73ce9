//! What is neither a plain load or store of general registers, nor exclusive; and where it may go.

use super::*;

const AT: u64 = TABLE + 0x40;

fn ran(word: u32) -> (Registers, Stores, Machine) {
    let (done, after, stores, machine) = run(word, STORE);
    assert_eq!((done, after.pc), (Ok(Done::Carried), PC + 4), "{word:#010x}");
    (after, stores, machine)
}

/// What an instruction changes of one word at [`AT`], and what it leaves in X7.
fn word(instruction: u32) -> (Option<u64>, u64) {
    let (after, stores, _) = ran(instruction);
    let new = match stores[..] {
        [] => None,
        [(AT, Some(before), new)] if before == old(AT) => Some(new),
        _ => panic!("{instruction:#010x}: {stores:x?}"),
    };
    (new, after.x[7])
}

#[test]
fn an_atomic_is_one_store_and_leaves_what_was_there() {
    let (before, ones, x7) = (old(AT), 0x0101_0101_0101_0101_u64, 7 * 0x0101_0101_0101_0101);
    // stadd x1, [x3]; ldclral w1, w7, [x3]; ldeor x1, x7, [x3]; ldseth w1, w7, [x3]
    assert_eq!(word(0xF821_007F), (Some(before + ones), x7));
    assert_eq!(word(0xB8E1_1067), (Some(before & !0x0101_0101), before & 0xFFFF_FFFF));
    assert_eq!(word(0xF821_2067), (Some(before ^ ones), before));
    assert_eq!(word(0x7821_3067), (Some(before | 0x0101), before & 0xFFFF));
    // ldsmin w1, w7, [x3]: 0x80000008 is less than 0x01010101, and so it is stored again.
    assert_eq!(word(0xB821_5067), (Some(before), before & 0xFFFF_FFFF));
    assert_eq!(word(0xB821_4067).0, Some(before & !0xFFFF_FFFF | 0x0101_0101), "ldsmax");
    assert_eq!(word(0xB821_6067).0, Some(before), "ldumax");
    // swpb w1, w7, [x3]; swpal xzr, x7, [x3]
    assert_eq!(word(0x3821_8067), (Some(before & !0xFF | 1), before & 0xFF));
    assert_eq!(word(0xF8FF_8067), (Some(0), before));
}

#[test]
fn compare_and_swap_stores_where_it_finds_what_it_expects() {
    // casal x7, x1, [x3]
    let (done, after, stores, _) = run(0xC8E7_FC61, STORE);
    assert_eq!((done, after.x[7], stores), (Ok(Done::Carried), old(AT), vec![]));
    let swap = |word, [x6, x7]: [u64; 2]| {
        let mut before = registers();
        (before.x[6], before.x[7]) = (x6, x7);
        let (done, after, stores) = run_on(&mut Machine::with(&[word]), before, STORE);
        assert_eq!(done, Ok(Done::Carried));
        ([after.x[6], after.x[7]], stores)
    };
    assert_eq!(swap(0xC8E7_FC61, [6, old(AT)]), ([6, old(AT)], vec![(AT, Some(old(AT)), 0x0101_0101_0101_0101)]));
    // caspal x6, x7, x8, x9, [x3]; casp w6, w7, w8, w9, [x3]
    let (both, x8) = ([old(AT), old(AT + 8)], 8 * 0x0101_0101_0101_0101_u64);
    let stores = vec![(AT, Some(both[0]), x8), (AT + 8, Some(both[1]), x8 / 8 * 9)];
    assert_eq!(swap(0x4866_FC68, both), (both, stores));
    assert_eq!(swap(0x4866_FC68, [both[0], 0]), (both, vec![]));
    let halves = [old(AT) & 0xFFFF_FFFF, old(AT) >> 32];
    assert_eq!(swap(0x0826_7C68, halves), (halves, vec![(AT, Some(old(AT)), 0x0909_0909_0808_0808)]));
}

#[test]
fn a_watched_load_of_an_atomic_is_logged() {
    let mut machine = Machine::with(&[0xF821_007F]);
    machine.is_watching_loads = true;
    let (_, _, entries) = run_on(&mut machine, registers(), STORE);
    let before = old(AT);
    assert_eq!(entries, [(AT, None, before), (AT, Some(before), before + 0x0101_0101_0101_0101)]);
}

#[test]
fn vectors_are_stored_word_by_word_and_loaded_whole() {
    // str q31, [x3]; stp d1, d2, [x3], #-16; str b5, [x3]
    let (_, stores, machine) = ran(0x3D80_007F);
    let v31 = machine.vectors[31];
    assert_eq!(stores, [(AT, Some(old(AT)), v31 as u64), (AT + 8, Some(old(AT + 8)), (v31 >> 64) as u64)]);
    let (after, stores, machine) = ran(0x6CBF_0861);
    assert_eq!(after.x[3], registers().x[3] - 16);
    let of = |register: usize| machine.vectors[register] as u64;
    assert_eq!(stores, [(AT, Some(old(AT)), of(1)), (AT + 8, Some(old(AT + 8)), of(2))]);
    assert_eq!(ran(0x3D00_0065).1, [(AT, Some(old(AT)), old(AT) & !0xFF)]);
    // ldr q7, [x3]; ldr h7, [x3]
    let (_, _, _, machine) = run(0x3DC0_0067, LOAD);
    assert_eq!(machine.vectors[7], u128::from(old(AT + 8)) << 64 | u128::from(old(AT)));
    let (_, _, _, machine) = run(0x7D40_0067, LOAD);
    assert_eq!(machine.vectors[7], u128::from(old(AT) as u16));
}

#[test]
fn an_offset_in_a_register_is_added() {
    let mut before = registers();
    before.x[5] = 0xFFFF_FFFE;
    // str x1, [x3, w5, sxtw #3]; str x1, [x3, x5], with X5 as a distance that wraps.
    let (_, after, stores) = run_on(&mut Machine::with(&[0xF825_D861]), before, STORE);
    assert_eq!((after.x[3], &stores[..]), (before.x[3], &[(AT - 16, Some(old(AT - 16)), 0x0101_0101_0101_0101)][..]));
    before.x[5] = 8_u64.wrapping_neg();
    let (_, _, stores) = run_on(&mut Machine::with(&[0xF825_6861]), before, STORE);
    assert_eq!(stores, [(AT - 8, Some(old(AT - 8)), 0x0101_0101_0101_0101)]);
}

#[test]
fn a_block_is_zeroed_word_by_word() {
    // dc zva, x3, which may point anywhere into it.
    let mut before = registers();
    before.x[3] += 13;
    let (_, _, stores) = run_on(&mut Machine::with(&[0xD50B_7423]), before, STORE);
    let words: Vec<_> = (0..8).map(|word| (AT + 8 * word, Some(old(AT + 8 * word)), 0)).collect();
    assert_eq!(stores, words);
}

#[test]
fn an_access_across_words_is_one_store_of_each() {
    // stur w1, [x3, #6]; stur x1, [x3, #3]
    let two = |new: [u64; 2]| vec![(AT, Some(old(AT)), new[0]), (AT + 8, Some(old(AT + 8)), new[1])];
    let parts = |low: u64, high: u64| {
        [old(AT) & !low | 0x0101_0101_0101_0101 & low, old(AT + 8) & !high | 0x0101_0101_0101_0101 & high]
    };
    assert_eq!(ran(0xB800_6061).1, two(parts(0xFFFF << 48, 0xFFFF)));
    assert_eq!(ran(0xF800_3061).1, two(parts(0xFF_FFFF_FFFF << 24, 0xFF_FFFF)));
    // ldur x7, [x3, #3]
    let (_, after, _, _) = run(0xF840_3067, LOAD);
    assert_eq!(after.x[7], old(AT) >> 24 | old(AT + 8) << 40);
}

/// The last word before a page and the first in it: another table's, a neighbour's, or nobody's business.
#[test]
fn a_second_part_goes_where_it_leads_or_nothing_is_done() {
    let mut before = registers();
    before.x[3] = HIGH + TABLE + 0x3F8;
    // stp x1, x2, [x3]: the table ends behind the first.
    let mut machine = Machine::with(&[0xA900_0861]);
    let (done, _, stores) = run_on(&mut machine, before, STORE);
    let at = TABLE + 0x3F8;
    assert_eq!((done, stores), (Ok(Done::Carried), vec![(at, Some(old(at)), 0x0101_0101_0101_0101)]));
    assert_eq!(machine.neighbours, [(at + 8, 8, 0x0202_0202_0202_0202)]);
    // stp x1, x2, [x3]; stur q1, [x3]; stur x1, [x3, #4]; casp x0, x1, x2, x3, [x3]; ldp x1, x2, [x3]
    for word in [0xA900_0861, 0x3C80_0061, 0xF800_4061, 0x4820_7C62, 0xA940_0861] {
        let mut machine = Machine::with(&[word]);
        machine.hidden = TABLE + 0x1000..TABLE + 0x2000;
        before.x[3] = HIGH + TABLE + 0xFF8;
        let (done, after, stores) = run_on(&mut machine, before, STORE);
        assert_eq!(done, Err(Stopped::Hidden(PhysAddr(TABLE + 0x1000))), "{word:#010x}");
        assert_eq!((after, stores, machine.neighbours), (before, vec![], vec![]));
    }
}

#[test]
fn what_el2_does_not_reach_is_not_dropped() {
    let at = TABLE + 0x400;
    // str x1, [x3]; ldr x7, [x3]
    for (word, esr) in [(0xF900_0061, STORE), (0xF940_0067, LOAD)] {
        let mut machine = Machine::with(&[word]);
        machine.unmapped = at..at + 8;
        let mut before = registers();
        before.x[3] = HIGH + at;
        let (done, after, _) = run_on(&mut machine, before, esr);
        assert_eq!((done, after), (Err(Stopped::Unmapped(PhysAddr(at))), before));
    }
}

/// FAR_EL2 is the first byte of the page that did not let it pass.
#[test]
fn a_syndrome_of_the_rest_of_an_access_is_not_believed() {
    let mut machine = Machine::with(&[0xF800_4061]);
    let mut before = registers();
    before.x[3] = HIGH + TABLE - 8;
    let esr = STORE | 1 << 24 | 3 << 22 | 1 << 16 | 1 << 15;
    let (mut fake, mut witness) = self::machine();
    let done = carry_out([esr, HIGH + TABLE, 0], &mut before, &mut machine, &mut witness, &mut fake);
    assert_eq!((done, machine.neighbours), (Ok(Done::Carried), vec![(TABLE - 4, 4, 0x0101_0101)]));
    let stores: Vec<_> = witness.log().entries().iter().map(|seen| (seen.entry.address, seen.entry.value)).collect();
    assert_eq!(stores, [(TABLE, old(TABLE) & !0xFFFF_FFFF | 0x0101_0101)]);
}

#[test]
fn a_register_of_an_smmu_takes_plain_accesses_alone() {
    let stopped = |word: u32| {
        let (mut fake, mut witness) = machine();
        let (mut machine, mut registers) = (Machine::with(&[word]), registers());
        registers.x[3] = HIGH + FRAME + 0x20;
        let page = (FRAME >> 12) << 4;
        let done = carry_out([LOAD, HIGH + FRAME + 0x20, page], &mut registers, &mut machine, &mut witness, &mut fake);
        assert_eq!(witness.log().entries(), []);
        done.map_err(|stopped| std::format!("{stopped}"))
    };
    // swp w1, w7, [x3]; ldxr w1, [x3]; str q1, [x3]; dc zva, x3
    for (word, what) in [
        (0xB821_8067, "updates atomically"),
        (0x885F_7C61, "is exclusive at"),
        (0x3D80_0061, "moves vectors to or from"),
        (0xD50B_7423, "zeroes"),
    ] {
        assert!(stopped(word).is_err_and(|line| line.ends_with(what)), "{word:#010x}");
    }
    // ldrb w1, [x3]; ldp x1, x2, [x3, #8] of which a register is no part of a word.
    assert!(stopped(0x3940_0061).is_err_and(|line| line.contains("an SMMU takes 4 or 8 bytes")));
}
