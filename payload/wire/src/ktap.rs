//! KTAP lines (Kernel Test Anything Protocol, version 1), for a person or a lab's parser.
//!
//! Only a check that passed and was expected to is a bare `ok`.

use crate::{
    WriteError, Writer,
    record::{Outcome, Verdict},
};
use embedded_io::Write;

/// First line of a boot's results, for parsers that wait for it.
pub const START_LINE: &str = "# inflight: start of results";
/// Beginning of the last line of a boot's results; the outcome follows.
pub const END_LINE: &str = "# inflight: end of results: ";

impl<W: Write> Writer<W> {
    /// Writes [`START_LINE`] and the version line of the outermost test.
    ///
    /// # Errors
    /// [`WriteError::Console`].
    pub fn ktap_start(&mut self) -> Result<(), WriteError<W::Error>> {
        self.raw(&[START_LINE])?;
        self.ktap_version(0)
    }

    /// Writes the version line of a test at nesting `depth`.
    ///
    /// # Errors
    /// [`WriteError::Console`].
    pub fn ktap_version(&mut self, depth: usize) -> Result<(), WriteError<W::Error>> {
        self.raw(&[indent(depth), "KTAP version 1"])
    }

    /// Announces `count` results at nesting `depth`.
    ///
    /// # Errors
    /// [`WriteError::Console`].
    pub fn ktap_plan(&mut self, depth: usize, count: u32) -> Result<(), WriteError<W::Error>> {
        self.raw(&[indent(depth), "1..", decimal(count, &mut [0; 10])])
    }

    /// Writes the result of one check.
    ///
    /// # Errors
    /// [`WriteError::Console`].
    pub fn ktap_check(
        &mut self,
        depth: usize,
        number: u32,
        id: &str,
        verdict: Verdict,
        expected: Verdict,
        reason: &str,
    ) -> Result<(), WriteError<W::Error>> {
        let (word, directive) = match (verdict, expected) {
            (Verdict::Pass, Verdict::Pass) => ("ok ", ""),
            (Verdict::Skip, Verdict::Skip) => ("ok ", " # SKIP "),
            (Verdict::Fail, Verdict::Fail) => ("not ok ", " # XFAIL "),
            (Verdict::NotCovered, _) => ("not ok ", " # not covered: "),
            (Verdict::Pass, _) => ("not ok ", " # passed, which is not expected "),
            (Verdict::Skip, _) => ("not ok ", " # skipped, which is not expected: "),
            (Verdict::Fail, _) => ("not ok ", " # "),
        };
        // A passing check's reason is for the report; on its line it would read as a directive.
        let reason = if verdict == Verdict::Pass { "" } else { reason };
        self.raw(&[indent(depth), word, decimal(number, &mut [0; 10]), " ", id, directive, reason])
    }

    /// Writes the result of a check whose deviation is known and accepted.
    ///
    /// # Errors
    /// [`WriteError::Console`].
    pub fn ktap_todo(&mut self, depth: usize, number: u32, id: &str, why: &str) -> Result<(), WriteError<W::Error>> {
        self.raw(&[indent(depth), "not ok ", decimal(number, &mut [0; 10]), " ", id, " # TODO ", why])
    }

    /// Writes the result of a whole test, after its checks.
    ///
    /// # Errors
    /// [`WriteError::Console`].
    pub fn ktap_result(
        &mut self,
        depth: usize,
        number: u32,
        name: &str,
        outcome: Outcome,
    ) -> Result<(), WriteError<W::Error>> {
        let word = if outcome == Outcome::Pass { "ok " } else { "not ok " };
        self.raw(&[indent(depth), word, decimal(number, &mut [0; 10]), " ", name])
    }

    /// Writes a diagnostic line.
    ///
    /// # Errors
    /// [`WriteError::Console`].
    pub fn ktap_comment(&mut self, depth: usize, text: &str) -> Result<(), WriteError<W::Error>> {
        self.raw(&[indent(depth), "# ", text])
    }

    /// Writes the last line of a boot's results.
    ///
    /// # Errors
    /// [`WriteError::Console`].
    pub fn ktap_end(&mut self, outcome: Outcome) -> Result<(), WriteError<W::Error>> {
        let word = match outcome {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::Lost => "lost",
        };
        self.raw(&[END_LINE, word])
    }

    /// Writes the parts as one line of printable ASCII: nothing in a reason may end the line or begin another.
    pub(crate) fn raw(&mut self, parts: &[&str]) -> Result<(), WriteError<W::Error>> {
        let mut buffer = [0; 64];
        let mut len = 0;
        for byte in parts.iter().flat_map(|part| part.bytes()) {
            if let Some(slot) = buffer.get_mut(len) {
                *slot = if matches!(byte, b' '..=b'~') { byte } else { b'?' };
                len += 1;
            }
            if len == buffer.len() {
                self.console.write_all(&buffer).map_err(WriteError::Console)?;
                len = 0;
            }
        }
        self.console.write_all(buffer.get(..len).unwrap_or(&[])).map_err(WriteError::Console)?;
        self.console.write_all(b"\r\n").map_err(WriteError::Console)
    }
}

/// Two blanks a level; deeper than this is not nested further.
fn indent(depth: usize) -> &'static str {
    const BLANKS: &str = "        ";
    BLANKS.get(..(2 * depth).min(BLANKS.len())).unwrap_or(BLANKS)
}

fn decimal(mut value: u32, digits: &mut [u8; 10]) -> &str {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    digits.get(start..).and_then(|digits| core::str::from_utf8(digits).ok()).unwrap_or("")
}

#[cfg(test)]
mod tests;
