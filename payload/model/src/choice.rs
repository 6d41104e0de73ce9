//! Where the architecture leaves a choice, somebody has to make it: nobody (the choice that surprises least), a seed, or
//! a tape that is run through in every way.

/// What is left open, and to whom each pick of a tape belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Freedom {
    /// A store without a barrier after it: seen by the SMMU or not yet (IHI 0070, 3.21).
    Visibility = 0,
    /// The words of one STE or CD are not fetched at one instant (3.21.3).
    Torn = 1,
    /// A cached configuration structure may be dropped at any time.
    ConfigEviction = 2,
    /// A cached translation may be dropped at any time.
    TlbEviction = 3,
    /// A CR0 field is acknowledged late (6.3.9).
    Cr0Ack = 4,
    /// Before the acknowledge a transaction may meet the old or the new value (6.3.9).
    Cr0Effect = 5,
    /// GBPA.Update stays 1 for a while (6.3.14).
    GbpaAck = 6,
    /// While it does, the old or the new attributes hold (6.3.14).
    GbpaEffect = 7,
    /// IRQ_CTRLACK follows late (6.3.18).
    IrqAck = 8,
    /// Commands are consumed in order, at any time after PROD (4.1).
    Consume = 9,
    /// A consumed command other than CMD_SYNC may still be in progress (4.7.3).
    Complete = 10,
    /// CONSTRAINED UNPREDICTABLE: a guarded write is ignored, taken, or becomes any value (6.2, up to SMMUv3.1).
    Unpredictable = 11,
    /// A field written again before its acknowledge (6.3.9): either write wins.
    Rewritten = 12,
    /// Events are written to the queue late (7.2).
    EventWrite = 13,
    /// The access flag of a neighbouring descriptor is set too: a translation fetched ahead (3.13, DDI 0487, D8.5).
    AheadAccess = 14,
    /// An update of flags in tables that are not write-back is done, or fails (5.4, CD.IR0).
    UpdateAttributes = 15,
}

/// How many kinds there are.
const KINDS: usize = 16;

/// A set of [`Freedom`]s; the others take their first choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freedoms(u32);

impl Freedoms {
    /// Every freedom.
    pub const ALL: Self = Self((1 << KINDS) - 1);

    /// Only these.
    #[must_use]
    pub fn of(freedoms: &[Freedom]) -> Self {
        Self(freedoms.iter().fold(0, |set, freedom| set | 1 << (*freedom as u8)))
    }

    const fn contains(self, freedom: Freedom) -> bool {
        self.0 >> (freedom as u8) & 1 == 1
    }
}

/// One pick of a [`Tape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// What it was about.
    pub freedom: Freedom,
    /// Which choice; 0 is the one that surprises least.
    pub pick: u32,
    /// How many there were.
    pub of: u32,
}

/// A beginning of picks that are given, and what was picked after it.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    picks: Vec<Pick>,
    at: usize,
}

impl Tape {
    /// What was picked, in order.
    #[must_use]
    pub fn picks(&self) -> &[Pick] {
        &self.picks
    }

    fn pick(&mut self, freedom: Freedom, of: u32) -> u32 {
        let pick = match self.picks.get(self.at) {
            // The same beginning leads to the same question; a run that is not reproducible shows here.
            Some(known) => {
                assert!(known.freedom == freedom && known.of == of, "the run is not reproducible at pick {}", self.at);
                known.pick
            }
            None => {
                self.picks.push(Pick { freedom, pick: 0, of });
                0
            }
        };
        self.at += 1;
        pick
    }

    /// The next tape in order with at most `deviations` picks other than 0; `None` when all were run.
    fn next(mut self, deviations: usize) -> Option<Self> {
        let mut before = self.picks.iter().filter(|pick| pick.pick != 0).count();
        while let Some(mut last) = self.picks.pop() {
            if last.pick != 0 {
                before -= 1;
            }
            if last.pick + 1 < last.of && before < deviations {
                last.pick += 1;
                self.picks.push(last);
                self.at = 0;
                return Some(self);
            }
        }
        None
    }
}

#[derive(Clone, Debug)]
enum Source {
    Kind,
    /// State, and for each freedom how often it is used: out of 256.
    Seeded(u64, [u8; KINDS]),
    Tape(Tape),
}

/// Makes the choices of one run.
#[derive(Clone, Debug)]
pub struct Choices {
    source: Source,
    allowed: Freedoms,
}

impl Choices {
    /// Always the first choice: an SMMU that does everything at once, keeps what it has cached, and ignores what it may.
    #[must_use]
    pub const fn kind() -> Self {
        Self { source: Source::Kind, allowed: Freedoms::ALL }
    }

    /// Reproducible from `seed`. Each seed has its own temper: it uses some freedoms often and others never, so that
    /// long runs of one behaviour occur as well as mixtures.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut state = seed;
        let mut temper = [0; KINDS];
        for often in &mut temper {
            *often = match next(&mut state) & 7 {
                0 => 0,
                1 | 2 => 16,
                3..=5 => 96,
                _ => 208,
            };
        }
        Self { source: Source::Seeded(state, temper), allowed: Freedoms::ALL }
    }

    /// Follows a tape.
    #[must_use]
    pub const fn tape(tape: Tape) -> Self {
        Self { source: Source::Tape(tape), allowed: Freedoms::ALL }
    }

    /// The same with the first choice wherever the freedom is not in `allowed`.
    #[must_use]
    pub const fn only(mut self, allowed: Freedoms) -> Self {
        self.allowed = allowed;
        self
    }

    /// The tape as it was run, where there is one.
    #[must_use]
    pub fn into_tape(self) -> Option<Tape> {
        match self.source {
            Source::Tape(tape) => Some(tape),
            _ => None,
        }
    }

    /// One of `of` choices; 0 is the one that surprises least.
    pub(crate) fn pick(&mut self, freedom: Freedom, of: u32) -> u32 {
        if of <= 1 || !self.allowed.contains(freedom) {
            return 0;
        }
        match &mut self.source {
            Source::Kind => 0,
            Source::Seeded(state, temper) => {
                let random = next(state);
                let often = temper.get(freedom as usize).copied().unwrap_or(0);
                if random as u8 >= often { 0 } else { 1 + (random >> 32) as u32 % (of - 1) }
            }
            Source::Tape(tape) => tape.pick(freedom, of),
        }
    }

    /// Any 64-bit value, for registers that become UNKNOWN.
    pub(crate) fn any_value(&mut self) -> u64 {
        match &mut self.source {
            Source::Seeded(state, _) => next(state),
            _ => 0x5A5A_5A5A_5A5A_5A5A,
        }
    }
}

/// SplitMix64.
const fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Runs `run` once for every tape over the freedoms in `allowed` with at most `deviations` picks other than the first
/// choice, and returns how many runs that were. `run` gives its choices back.
///
/// # Panics
/// When the same beginning of a tape leads to other questions, or `run` returns choices that are not its own.
pub fn exhaust(allowed: Freedoms, deviations: usize, mut run: impl FnMut(Choices) -> Choices) -> u64 {
    let mut tape = Tape::default();
    let mut runs = 0;
    loop {
        runs += 1;
        let Some(used) = run(Choices::tape(tape).only(allowed)).into_tape() else {
            panic!("the run returned choices that follow no tape")
        };
        match used.next(deviations) {
            Some(next) => tape = next,
            None => return runs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_tape_visits_every_combination_once() {
        let mut seen = BTreeSet::new();
        let runs = exhaust(Freedoms::ALL, usize::MAX, |mut choices| {
            let first = choices.pick(Freedom::Torn, 3);
            // Later questions may depend on earlier answers.
            let second = if first == 2 { choices.pick(Freedom::Cr0Ack, 2) } else { 9 };
            assert!(seen.insert((first, second)));
            choices
        });
        assert_eq!(runs, 4);
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(0, 9), (1, 9), (2, 0), (2, 1)]);
    }

    #[test]
    fn deviations_bound_a_tape() {
        // One of five questions answered otherwise, or none.
        let ask = |mut choices: Choices| {
            for _ in 0..5 {
                choices.pick(Freedom::Torn, 2);
            }
            choices
        };
        assert_eq!(exhaust(Freedoms::ALL, 1, ask), 6);
        assert_eq!(exhaust(Freedoms::ALL, 2, ask), 16);
        assert_eq!(exhaust(Freedoms::of(&[Freedom::Cr0Ack]), 2, ask), 1);
    }

    #[test]
    fn a_seed_gives_the_same_choices_again() {
        let draw = |seed| {
            let mut choices = Choices::seeded(seed);
            (0..64).map(|_| choices.pick(Freedom::Torn, 3)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert!((0..16).any(|seed| draw(seed) != draw(seed + 16)));
        assert!((0..16).any(|seed| draw(seed).contains(&2)));
    }
}
