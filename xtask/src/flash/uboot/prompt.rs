//! A dialogue with a board's firmware, and with U-Boot above all: its countdown is interrupted, commands are typed, and each tells how it ended.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::ymodem::Line;
use crate::exit::{stopped, unexpected};
use crate::run;
use crate::serial::Console;

/// A line that is silent for so long waits for somebody.
const QUIET: Duration = Duration::from_secs(1);
/// Between two keys while the countdown runs.
const KEY: Duration = Duration::from_millis(100);
/// How often Ctrl-C is looked for.
const TURN: Duration = Duration::from_millis(50);
/// Most letters of a line that are shown in an error.
const SHOWN: usize = 160;

/// The other end of a console.
pub struct Prompt<'a> {
    console: &'a Console,
    /// Came, and nobody has looked at it yet.
    pending: Vec<u8>,
    /// All text so far, without what belongs to transfers.
    heard: Vec<u8>,
    /// Commands so far: each has its own mark.
    count: u32,
}

impl<'a> Prompt<'a> {
    /// Nothing was said yet.
    pub fn new(console: &'a Console) -> Self {
        Self { console, pending: Vec::new(), heard: Vec::new(), count: 0 }
    }

    /// All that was said, for a log.
    pub fn heard(&self) -> &[u8] {
        &self.heard
    }

    /// Interrupts the countdown (`Hit any key to stop autoboot`), or finds a prompt that waits already.
    ///
    /// # Errors
    /// No prompt answers in time; the last line that came is in the error.
    pub fn reach(&mut self, deadline: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + deadline;
        let (mut quiet_since, mut is_counting) = (Instant::now(), false);
        loop {
            if Instant::now() >= until {
                let seconds = deadline.as_secs();
                return Err(unexpected(format!("no U-Boot prompt within {seconds} s{}", self.last_line())));
            }
            let before = self.heard.len();
            self.listen(Instant::now() + if is_counting { KEY } else { TURN })?;
            if self.heard.len() != before {
                quiet_since = Instant::now();
            }
            let text = String::from_utf8_lossy(&self.heard);
            // The countdown rewrites its line until a key came.
            is_counting = self.heard.len() != before
                && text.lines().last().is_some_and(|line| line.to_ascii_lowercase().contains("autoboot"));
            if is_counting {
                self.console.write(b" ")?;
            } else if quiet_since.elapsed() >= QUIET {
                // Ctrl-U takes away the keys that were too many. Whoever answers is U-Boot's shell.
                self.console.write(b"\x15")?;
                if self.command("echo", QUIET * 2).is_ok() {
                    return Ok(());
                }
                quiet_since = Instant::now();
            }
        }
    }

    /// Runs a command and returns what it printed.
    ///
    /// # Errors
    /// It failed, or did not end in time.
    pub fn command(&mut self, text: &str, deadline: Duration) -> anyhow::Result<String> {
        self.type_in(text)?;
        self.end(text, deadline)
    }

    /// Types a command and does not wait for it.
    pub fn type_in(&mut self, text: &str) -> anyhow::Result<()> {
        self.count += 1;
        // What is typed is echoed: only the shell puts a digit behind the mark.
        self.console.write(format!("{text}; echo {}$?\n", self.mark()).as_bytes())
    }

    /// Types a command that does not come back.
    pub fn leave_by(&self, text: &str) -> anyhow::Result<()> {
        self.console.write(format!("{text}\n").as_bytes())
    }

    /// Waits for the end of the command that was typed in.
    pub fn end(&mut self, text: &str, deadline: Duration) -> anyhow::Result<String> {
        self.end_while(text, deadline, &mut || ())
    }

    /// The same; `each` is called again and again meanwhile.
    pub fn end_while(&mut self, text: &str, deadline: Duration, each: &mut dyn FnMut()) -> anyhow::Result<String> {
        let mark = self.mark();
        let said = self.until_while(deadline, |heard| status(heard, &mark).is_some(), each)?;
        let Some(said) = said else {
            let seconds = deadline.as_secs();
            return Err(unexpected(format!("U-Boot: `{text}` had no end within {seconds} s{}", self.last_line())));
        };
        let (output, status) = status(&said, &mark).unwrap_or_default();
        if status != "0" {
            let mut lines = output.lines().map(str::trim);
            let why = lines.rfind(|line| !line.is_empty() && !line.contains(&mark));
            let why = why.map_or_else(String::new, |line| format!(": {}", shortened(line)));
            return Err(unexpected(format!("U-Boot: `{text}` failed{why}")));
        }
        Ok(output.replace('\r', ""))
    }

    /// Waits for text. What came before it and with it, or nothing where it does not come.
    pub fn until(&mut self, deadline: Duration, is_there: impl Fn(&str) -> bool) -> anyhow::Result<Option<String>> {
        self.until_while(deadline, is_there, &mut || ())
    }

    fn until_while(
        &mut self,
        deadline: Duration,
        is_there: impl Fn(&str) -> bool,
        each: &mut dyn FnMut(),
    ) -> anyhow::Result<Option<String>> {
        let until = Instant::now() + deadline;
        let mut said = Vec::new();
        while Instant::now() < until {
            each();
            let before = self.heard.len();
            self.listen(Instant::now() + TURN)?;
            said.extend_from_slice(self.heard.get(before..).unwrap_or_default());
            let text = String::from_utf8_lossy(&said);
            if is_there(&text) {
                return Ok(Some(text.into_owned()));
            }
        }
        Ok(None)
    }

    fn mark(&self) -> String {
        format!("inflight-{}-", self.count)
    }

    /// Takes what has come, and waits until then where nothing has.
    fn listen(&mut self, until: Instant) -> anyhow::Result<()> {
        self.receive(until)?;
        self.heard.append(&mut self.pending);
        Ok(())
    }

    fn receive(&mut self, until: Instant) -> anyhow::Result<()> {
        if run::is_stopped() {
            return Err(stopped());
        }
        if self.pending.is_empty() {
            match self.console.said.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.pending = bytes,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(unexpected("the console was cut")),
            }
        }
        Ok(())
    }

    /// The last line that came, as the end of an error.
    pub fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.heard);
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        last.map_or_else(
            || "; the console never spoke".to_owned(),
            |line| format!("; it said last: {}", shortened(line)),
        )
    }
}

impl Line for Prompt<'_> {
    fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.console.write(bytes).context("in the midst of a transfer")
    }

    fn next(&mut self, until: Instant) -> anyhow::Result<Option<u8>> {
        if self.pending.is_empty() {
            self.receive(until)?;
        }
        Ok((!self.pending.is_empty()).then(|| self.pending.remove(0)))
    }
}

/// Output of a command, and its exit status behind the mark.
fn status<'t>(said: &'t str, mark: &str) -> Option<(&'t str, &'t str)> {
    said.match_indices(mark).find_map(|(at, _)| {
        let rest = said.get(at + mark.len()..)?;
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        (end > 0).then_some((said.get(..at)?, rest.get(..end)?))
    })
}

fn shortened(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_echo_of_a_command_is_not_its_end() {
        let mark = "inflight-7-";
        assert_eq!(status("crc32 1 2; echo inflight-7-$?\ncrc32 for 1 ... 2 ==> 3\n", mark), None);
        assert_eq!(status("x; echo inflight-7-$?\nfailed\ninflight-7-1", mark), None, "a number that is not whole");
        // The line's end may come in two pieces.
        let (output, status) = status("x; echo inflight-7-$?\r\nfailed\r\ninflight-7-1\r", mark).unwrap();
        assert_eq!((output.lines().last(), status), (Some("failed"), "1"));
    }
}
