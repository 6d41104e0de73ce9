//! The cycles of a run.

use smmu::access::SmmuIndex;

/// Cycles that ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cycles {
    /// How many.
    pub run: u32,
    /// Of these, how many failed.
    pub failed: u32,
    /// An SMMU that the last one did not get disabled: it may use memory that another one would hand out again.
    pub not_disabled: Option<SmmuIndex>,
}

/// Runs cycles for as long as `goes_on` says so of their number, at least one; and none after one that leaves an SMMU
/// enabled. `cycle` gets its number, and says whether it passed and which SMMU it left.
pub fn repeat(cycle: &mut dyn FnMut(u32) -> (bool, Option<SmmuIndex>), goes_on: &mut dyn FnMut(u32) -> bool) -> Cycles {
    let mut cycles = Cycles::default();
    loop {
        let (has_passed, not_disabled) = cycle(cycles.run);
        cycles.run += 1;
        cycles.failed += u32::from(!has_passed);
        cycles.not_disabled = not_disabled;
        if not_disabled.is_some() || !goes_on(cycles.run) {
            return cycles;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT: Option<SmmuIndex> = Some(SmmuIndex(1));

    #[test]
    fn cycles_are_numbered_and_counted() {
        let mut number = 0;
        let mut each = |cycle| {
            assert_eq!(cycle, number);
            number += 1;
            (cycle != 2, None)
        };
        assert_eq!(repeat(&mut each, &mut |run| run < 5), Cycles { run: 5, failed: 1, not_disabled: None });
        assert_eq!(repeat(&mut |_| (true, None), &mut |_| false).run, 1);
    }

    #[test]
    fn none_follows_one_that_leaves_an_smmu_enabled() {
        for (has_passed, failed) in [(true, 0), (false, 1)] {
            let mut left = |cycle| if cycle == 1 { (has_passed, LEFT) } else { (true, None) };
            assert_eq!(repeat(&mut left, &mut |run| run < 5), Cycles { run: 2, failed, not_disabled: LEFT });
        }
    }
}
