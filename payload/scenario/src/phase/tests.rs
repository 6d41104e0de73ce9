extern crate std;

use super::{Cuts, Delta, gap};
use handover::oracle::Counts;
use proptest::prelude::*;
use wire::record::Phase;

const fn counts(attempted: u64, delivered: u64, mis_steered: u64) -> Counts {
    Counts { attempted, delivered, mis_steered }
}

#[test]
fn phases_are_the_differences_between_cuts() {
    let (crash, takeover, end) = (counts(10, 10, 0), counts(15, 12, 1), counts(35, 12, 1));
    let cuts = Cuts { armed: counts(0, 0, 0), crash, takeover, end, dry: [3, 3, 4], refusals: [1, 1, 5] };
    let [before, blackout, after] = cuts.phases(true).map(|delta| delta.phase);
    assert_eq!(before, Phase { attempted: Some(10), delivered: 10, blocked: Some(0), mis_steered: 0 });
    assert_eq!(blackout, Phase { attempted: Some(5), delivered: 2, blocked: Some(2), mis_steered: 1 });
    assert_eq!(after, Phase { attempted: Some(20), delivered: 0, blocked: Some(20), mis_steered: 0 });
    assert!(cuts.phases(true).iter().all(|delta| delta.is_live() && !delta.is_inconsistent));
    assert_eq!(cuts.phases(true).map(|delta| delta.is_dry), [true, false, true]);
}

#[test]
fn without_attempts_blocked_is_unknown_not_zero() {
    let delta = Delta::between(&counts(0, 1, 0), &counts(0, 3, 0), false);
    assert_eq!(delta.phase, Phase { attempted: None, delivered: 2, blocked: None, mis_steered: 0 });
    assert!(delta.is_live() && !delta.is_inconsistent);
    assert!(!Delta::between(&counts(0, 1, 0), &counts(9, 1, 0), false).is_live());
}

#[test]
fn impossible_counts_are_marked() {
    let cases = [
        (counts(0, 0, 0), counts(1, 2, 0)),
        (counts(0, 0, 0), counts(1, 1, 1)),
        (counts(5, 0, 0), counts(4, 0, 0)),
        (counts(5, 3, 0), counts(9, 2, 0)),
        (counts(5, 3, 2), counts(9, 3, 1)),
    ];
    for (from, to) in cases {
        let delta = Delta::between(&from, &to, true);
        assert!(delta.is_inconsistent, "{from:?} {to:?}");
        assert_eq!(delta.phase.blocked, Some(0));
    }
}

#[test]
fn the_gap_is_none_if_nothing_came_or_time_ran_backwards() {
    assert_eq!(gap(100, Some(150)), Some(50));
    assert_eq!(gap(100, None), None);
    assert_eq!(gap(100, Some(99)), None);
}

proptest! {
    #[test]
    fn any_counts_give_a_phase_that_adds_up(from: [u64; 3], to: [u64; 3], has_attempts: bool) {
        let [from, to] = [from, to].map(|[attempted, delivered, mis_steered]| counts(attempted, delivered, mis_steered));
        let delta = Delta::between(&from, &to, has_attempts);
        if let (false, Some(attempted), Some(blocked)) =
            (delta.is_inconsistent, delta.phase.attempted, delta.phase.blocked)
        {
            prop_assert_eq!(attempted, delta.phase.delivered + delta.phase.mis_steered + blocked);
        }
        prop_assert_eq!(delta.phase.blocked.is_some(), has_attempts);
    }
}
