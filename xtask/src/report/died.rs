//! What the boot before was doing when it died, as it kept it for this one.

use wire::Record;

/// Phases by their numbers in `handover::last_words`.
const PHASES: [&str; 4] = ["before the crash", "in the blackout", "after the takeover", "back in the first image"];

/// A death as its record tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Died {
    /// The scenario that it was in.
    pub run: u32,
    /// The same by name; empty before the first.
    pub scenario: String,
    /// With which this boot goes on; `None`: with none.
    pub next: Option<u32>,
    /// In words.
    pub text: String,
}

impl Died {
    /// Reads the record; `None` for another.
    pub fn of(record: &Record<'_>) -> Option<Self> {
        let Record::Died { run, cycle, scenario, phase, steps, step, memory, watchdog_s, next } = *record else {
            return None;
        };
        let phase = PHASES.get(usize::from(phase)).copied().unwrap_or("in a phase that nobody knows");
        // A variable is written once for each scenario: it knows no cycle and no step.
        let place = match (scenario, memory) {
            ("", _) => "before the first scenario".to_owned(),
            (_, false) => format!("in {scenario}; where, its memory did not keep"),
            (_, true) if step.is_empty() => format!("in {scenario}, cycle {cycle}, {phase}"),
            (_, true) => format!("in {scenario}, cycle {cycle}, {phase}, step {steps} ({step})"),
        };
        let watchdog = match watchdog_s {
            0 => "no watchdog was armed".to_owned(),
            seconds => format!("a watchdog of {seconds} s was armed"),
        };
        let on = match next {
            None => "it died too often to try again".to_owned(),
            Some(0) => "this boot begins anew".to_owned(),
            Some(next) if next > run => "this boot goes on after it".to_owned(),
            Some(_) => "this boot tries again".to_owned(),
        };
        let text = format!("the boot before died {place}; {watchdog}; {on}");
        Some(Self { run, scenario: scenario.into(), next, text })
    }

    /// It leaves out what was done before.
    pub fn is_resumed(&self) -> bool {
        self.next != Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: Record<'_> = Record::Died {
        run: 1,
        cycle: 3,
        scenario: "adopt",
        phase: 1,
        steps: 5,
        step: "adopt.validate",
        memory: true,
        watchdog_s: 60,
        next: Some(2),
    };

    fn text(change: impl FnOnce(&mut Record<'static>)) -> String {
        let mut record = RECORD;
        change(&mut record);
        Died::of(&record).unwrap().text
    }

    #[test]
    fn a_death_has_a_place_a_watchdog_and_a_consequence() {
        assert_eq!(
            text(|_| {}),
            "the boot before died in adopt, cycle 3, in the blackout, step 5 (adopt.validate); a watchdog of 60 s was armed; \
             this boot goes on after it"
        );
        let changed = text(|record| {
            if let Record::Died { memory, watchdog_s, next, .. } = record {
                (*memory, *watchdog_s, *next) = (false, 0, Some(0));
            }
        });
        assert_eq!(
            changed,
            "the boot before died in adopt; where, its memory did not keep; no watchdog was armed; this boot begins anew"
        );
        let changed = text(|record| {
            if let Record::Died { scenario, next, .. } = record {
                (*scenario, *next) = ("", None);
            }
        });
        assert!(changed.contains("before the first scenario; ") && changed.ends_with("it died too often to try again"));
        let again = text(|record| {
            if let Record::Died { scenario, next, .. } = record {
                (*scenario, *next) = ("", Some(1));
            }
        });
        assert!(again.ends_with("this boot tries again"), "{again}");
        let changed = text(|record| {
            if let Record::Died { phase, .. } = record {
                *phase = 9;
            }
        });
        assert!(changed.contains("a phase that nobody knows"), "{changed}");
        assert_eq!(Died::of(&Record::Lost { reason: "" }), None);
    }
}
