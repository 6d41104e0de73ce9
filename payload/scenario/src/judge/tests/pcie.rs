//! What PCI Express functions tell of errors: who, when, and what a policy's documentation allows for.

use super::{find, world::World};
use crate::{Policy, quiesce::Means};
use alloc::string::String;
use pci::{ErrorRegister as Register, ErrorState};
use wire::record::Verdict;

const ID: &str = "pcie.no-new-errors";
const PORT: usize = 0;
const FUNCTION: usize = 1;

fn state(bits: &[(Register, u32)]) -> ErrorState {
    let mut state = ErrorState::default();
    bits.iter().for_each(|(register, bits)| state.bits[*register as usize] |= bits);
    state
}

/// From this phase on the function tells this.
fn tell(world: &mut World, function: usize, phase: usize, state: ErrorState) {
    world.functions[function].1[phase..].fill(state);
}

/// Verdict, expectation and reason.
fn judged(world: &World) -> (Verdict, Verdict, String) {
    let check = find(&world.judge(), ID).clone();
    (check.verdict, check.expected, check.reason)
}

fn of(change: impl FnOnce(&mut World), policy: Policy) -> (Verdict, Verdict, String) {
    let mut world = World::new(policy);
    change(&mut world);
    judged(&world)
}

#[test]
fn an_error_is_named_with_function_register_and_phase() {
    let timeout = state(&[(Register::Uncorrectable, 1 << 14), (Register::Device, 1 << 1)]);
    for (phase, name) in ["before", "blackout", "after"].into_iter().enumerate() {
        let (verdict, expected, reason) = of(|w| tell(w, FUNCTION, phase, timeout), Policy::Adopt);
        assert_eq!((verdict, expected), (Verdict::Fail, Verdict::Pass));
        assert_eq!(
            reason,
            alloc::format!(
                "0000:00:02.0: Uncorrectable: Completion Timeout; Device Status: Non-Fatal Error in phase {name}"
            )
        );
    }
    // What was there when all was armed is not new.
    let (verdict, _, reason) = of(
        |w| {
            w.functions[FUNCTION].0.armed = timeout;
            tell(w, FUNCTION, 0, timeout);
        },
        Policy::Adopt,
    );
    assert_eq!((verdict, &*reason), (Verdict::Pass, ""));
}

#[test]
fn a_message_is_the_source_functions_error() {
    let message = |rid: u32| ErrorState {
        root_sources: rid << 16,
        ..state(&[(Register::Root, 0x24), (Register::Secondary, 1 << 14)])
    };
    // The port of the world is in another segment, so that its source is not the stream's function.
    let (verdict, _, reason) = of(|w| tell(w, PORT, 1, message(0x10)), Policy::Adopt);
    assert_eq!(verdict, Verdict::Fail);
    assert!(reason.starts_with("0001:00:02.0, by its message to 0001:00:01.0: Secondary Status"), "{reason}");
    assert!(reason.ends_with("ERR_FATAL/NONFATAL, Non-Fatal Message in phase blackout"), "{reason}");
    // The function's own word comes first, and the message with it.
    let malformed = state(&[(Register::Uncorrectable, 1 << 18)]);
    let (_, _, reason) = of(
        |w| {
            w.functions[PORT].0.places.bdf.segment = 0;
            tell(w, PORT, 1, message(0x10));
            tell(w, FUNCTION, 1, malformed);
        },
        Policy::Adopt,
    );
    assert_eq!(reason, "0000:00:02.0: Uncorrectable: Malformed TLP in phase blackout, told to 0000:00:01.0");
}

#[test]
fn refused_requests_may_be_told_where_a_policy_refuses_them_and_nothing_else() {
    let master_abort = state(&[(Register::Status, 1 << 13)]);
    let at_port =
        state(&[(Register::Uncorrectable, 1 << 20), (Register::Device, 1 << 3), (Register::Secondary, 1 << 11)]);
    let other = state(&[(Register::Uncorrectable, 1 << 20 | 1 << 16)]);
    for policy in [Policy::Reset, Policy::Abort] {
        // On silicon it may fail and on QEMU it passes: both are as documented.
        assert_eq!(of(|_| (), policy).1, Verdict::Pass);
        for (function, state) in [(FUNCTION, master_abort), (PORT, at_port)] {
            let (verdict, expected, _) = of(|w| tell(w, function, 2, state), policy);
            assert_eq!((verdict, expected), (Verdict::Fail, Verdict::Fail), "{policy:?}");
            // Not before the crash.
            let (verdict, expected, _) = of(|w| tell(w, function, 0, state), policy);
            assert_eq!((verdict, expected), (Verdict::Fail, Verdict::Pass), "{policy:?}");
        }
        let (verdict, expected, reason) = of(
            |w| {
                tell(w, PORT, 2, at_port);
                tell(w, FUNCTION, 2, other);
            },
            policy,
        );
        assert_eq!((verdict, expected), (Verdict::Fail, Verdict::Pass));
        assert!(reason.starts_with("0000:00:02.0: Uncorrectable: Unexpected Completion"), "{reason}");
    }
    let (verdict, expected, _) = of(|w| tell(w, FUNCTION, 2, master_abort), Policy::Adopt);
    assert_eq!((verdict, expected), (Verdict::Fail, Verdict::Pass), "nothing is refused");
    // A port on nobody's path.
    let (verdict, expected, _) = of(
        |w| {
            w.functions[FUNCTION].0.places.upstream = pci::ErrorPlaces::NONE;
            tell(w, PORT, 2, at_port);
        },
        Policy::Abort,
    );
    assert_eq!((verdict, expected), (Verdict::Fail, Verdict::Pass));
}

#[test]
fn a_link_that_is_taken_down_may_tell_of_it_and_has_to_come_back() {
    let surprise = state(&[(Register::Uncorrectable, 1 << 5)]);
    let expected = |function: usize, phase: usize, new: ErrorState, means| {
        let told = |w: &mut World| {
            w.streams.iter_mut().for_each(|stream| stream.means = Some(means));
            tell(w, function, phase, new);
        };
        of(told, Policy::QuiesceBusReset).1
    };
    for means in [Means::BusReset, Means::Containment] {
        assert_eq!(expected(PORT, 1, surprise, means), Verdict::Fail, "as documented");
        assert_eq!(expected(PORT, 2, surprise, means), Verdict::Pass, "it is up again by then");
        assert_eq!(expected(FUNCTION, 1, ErrorState::GONE, means), Verdict::Pass, "it has to answer");
    }
    assert_eq!(expected(PORT, 1, surprise, Means::Flr), Verdict::Pass, "no link goes down");
}

#[test]
fn a_function_that_is_gone_fails_once() {
    let (verdict, expected, reason) = of(|w| tell(w, FUNCTION, 1, ErrorState::GONE), Policy::Abort);
    assert_eq!((verdict, expected), (Verdict::Fail, Verdict::Pass));
    assert_eq!(reason, "0000:00:02.0: does not answer in phase blackout");
}

#[test]
fn many_errors_are_counted() {
    let bad = state(&[(Register::Correctable, 1 << 6)]);
    let (.., reason) = of(
        |w| {
            (0..4).for_each(|function| {
                w.functions[function].1 = [ErrorState::default(), bad, state(&[(Register::Correctable, 1 << 7)])];
            });
        },
        Policy::Adopt,
    );
    assert!(reason.ends_with(" | and 4 more"), "{reason}");
}

#[test]
fn without_express_functions_it_does_not_apply_and_without_a_look_it_is_not_covered() {
    let (verdict, expected, _) = of(|w| w.functions.clear(), Policy::Adopt);
    assert_eq!((verdict, expected), (Verdict::Skip, Verdict::Skip));
    let (verdict, expected, _) = of(|w| w.functions_seen = 3, Policy::Adopt);
    assert_eq!((verdict, expected), (Verdict::NotCovered, Verdict::Pass));
    let (verdict, expected, _) = of(|w| w.oracle_cycle += 1, Policy::Adopt);
    assert_eq!((verdict, expected), (Verdict::NotCovered, Verdict::Pass));
}
