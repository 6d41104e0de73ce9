extern crate std;

use super::*;
use proptest::prelude::*;
use std::{string::String, vec::Vec};

const FIRST: Next = Next { run: 0, deaths: 0 };

fn died() -> LastWords {
    let mut words = LastWords::new(7, FIRST);
    words.begin(1, "adopt+l1-span@panic");
    words.begin_cycle(3);
    words.enter(BLACKOUT, "hold");
    words.step("adopt.validate");
    words
}

#[test]
fn words_are_read_as_they_were_last_written() {
    let words = died();
    assert_eq!(size_of::<LastWords>(), 160);
    let mut memory = words.as_bytes().to_vec();
    memory.extend([0xA5; 7]);
    let found = LastWords::find(&memory).unwrap();
    assert_eq!(found, words);
    assert_eq!((found.scenario(), found.step_name()), ("adopt+l1-span@panic", "adopt.validate"));
    assert_eq!((found.run, found.cycle, found.phase, found.steps), (1, 3, BLACKOUT, 2));
}

#[test]
fn what_does_not_fit_is_cut() {
    let mut words = died();
    let long = String::from_utf8(std::vec![b'x'; 100]).unwrap();
    words.begin(0, &long);
    words.step(&long);
    assert_eq!((words.scenario(), words.step_name()), (&long[..64], &long[..40]));
    words.step("shorter");
    assert_eq!(LastWords::find(words.as_bytes()).unwrap().step_name(), "shorter");
}

#[test]
fn what_nobody_can_print_is_no_text() {
    let mut words = died();
    words.step("\x1b[2J");
    assert_eq!(LastWords::find(words.as_bytes()).unwrap().step_name(), "");
}

#[test]
fn a_warm_reset_resumes_after_the_scenario_that_died() {
    assert_eq!(died().next(7, true), Some(Next { run: 2, deaths: 0 }));
    assert_eq!(died().next(8, true), Some(FIRST), "other work");
}

#[test]
fn words_of_a_variable_alone_begin_anew_and_not_for_ever() {
    let mut words = died();
    let mut starts = 0;
    while let Some(next) = words.next(7, false) {
        starts += 1;
        assert_eq!(next, Next { run: 0, deaths: starts });
        words = LastWords::new(7, next);
        words.begin(1, "adopt");
    }
    assert_eq!(starts, MOST_DEATHS - 1);
}

#[test]
fn a_board_that_dies_before_the_first_scenario_is_left_alone_in_the_end() {
    let mut next = died().next(7, true).unwrap();
    for deaths in 1..MOST_DEATHS {
        let mut words = LastWords::new(7, next);
        words.step("functions");
        next = words.next(7, true).unwrap();
        assert_eq!(next, Next { run: 2, deaths }, "the scenarios before are not run again");
    }
    assert_eq!(LastWords::new(7, next).next(7, true), None);
}

proptest! {
    #[test]
    fn every_flipped_bit_is_noticed(bit in 0usize..160 * 8) {
        let mut bytes = died().as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(LastWords::find(&bytes).is_err());
    }

    #[test]
    fn any_bytes_are_no_words(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(LastWords::find(&bytes).is_err());
    }

    #[test]
    fn cut_words_are_none(length in 0usize..160) {
        let bytes: Vec<u8> = died().as_bytes()[..length].to_vec();
        prop_assert!(LastWords::find(&bytes).is_err());
    }
}
