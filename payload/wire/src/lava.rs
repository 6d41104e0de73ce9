//! LAVA signals: results as lines of the console, for a lab whose multiplexer is all that reads it.
//!
//! A test set for each scenario, a test case for each check. As in KTAP only a check that passed and was
//! expected to is a pass; LAVA knows no expected failure.

use crate::{
    WriteError, Writer,
    record::{
        Outcome,
        Verdict::{self, Fail, NotCovered, Pass, Skip},
    },
};
use embedded_io::Write;

impl<W: Write> Writer<W> {
    /// Begins the test set of a scenario.
    ///
    /// # Errors
    /// [`WriteError::Console`].
    pub fn lava_set(&mut self, scenario: &str) -> Result<(), WriteError<W::Error>> {
        // LAVA makes links of names: `+` and `@` are none of theirs.
        let mut parts = [""; 5];
        for (part, name) in parts.iter_mut().step_by(2).zip(scenario.split(['+', '@'])) {
            *part = name;
        }
        for place in [1, 3] {
            if !parts[place + 1].is_empty() {
                parts[place] = "_";
            }
        }
        let [policy, one, damage, other, crash] = parts;
        self.raw(&["<LAVA_SIGNAL_TESTSET START ", policy, one, damage, other, crash, ">"])
    }

    /// Writes the result of one check.
    ///
    /// # Errors
    /// [`WriteError::Console`].
    pub fn lava_case(&mut self, id: &str, verdict: Verdict, expected: Verdict) -> Result<(), WriteError<W::Error>> {
        let result = match (verdict, expected) {
            (Pass, Pass) => "pass",
            (Skip, Skip) | (Fail, Fail) => "skip",
            (NotCovered, NotCovered) => "unknown",
            _ => "fail",
        };
        self.raw(&["<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=", id, " RESULT=", result, ">"])
    }

    /// Ends a test set with the outcome of its scenario.
    ///
    /// # Errors
    /// [`WriteError::Console`].
    pub fn lava_end(&mut self, outcome: Outcome) -> Result<(), WriteError<W::Error>> {
        let verdict = if outcome == Outcome::Pass { Pass } else { Fail };
        self.lava_case("run.outcome", verdict, Pass)?;
        self.raw(&["<LAVA_SIGNAL_TESTSET STOP>"])
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::{string::String, vec::Vec};

    fn written(write: impl FnOnce(&mut Writer<&mut [u8]>)) -> Vec<String> {
        let mut buffer = [0; 1024];
        let mut writer = Writer::new(&mut buffer[..], 0);
        write(&mut writer);
        let left = writer.console().len();
        let text = String::from_utf8(buffer[..1024 - left].to_vec()).unwrap();
        text.split_terminator("\r\n").map(Into::into).collect()
    }

    #[test]
    fn a_scenario_is_a_set_with_a_case_for_each_check() {
        let lines = written(|writer| {
            writer.lava_set("adopt+l1-span-8@panic").unwrap();
            writer.lava_case("dma.no-blocked", Pass, Pass).unwrap();
            writer.lava_end(Outcome::Lost).unwrap();
            writer.lava_set("reset@panic").unwrap();
            writer.lava_end(Outcome::Pass).unwrap();
            writer.lava_set("adopt").unwrap();
        });
        let wanted = [
            "<LAVA_SIGNAL_TESTSET START adopt_l1-span-8_panic>",
            "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=dma.no-blocked RESULT=pass>",
            "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=run.outcome RESULT=fail>",
            "<LAVA_SIGNAL_TESTSET STOP>",
            "<LAVA_SIGNAL_TESTSET START reset_panic>",
            "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=run.outcome RESULT=pass>",
            "<LAVA_SIGNAL_TESTSET STOP>",
            "<LAVA_SIGNAL_TESTSET START adopt>",
        ];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn only_what_passed_as_expected_is_a_pass() {
        for verdict in [Pass, Fail, Skip, NotCovered] {
            for expected in [Pass, Fail, Skip, NotCovered] {
                let line = written(|writer| writer.lava_case("id", verdict, expected).unwrap()).remove(0);
                assert_eq!(line.contains("RESULT=pass"), (verdict, expected) == (Pass, Pass), "{line}");
                assert_eq!(line.contains("RESULT=fail"), verdict != expected, "{line}");
            }
        }
    }
}
