//! Who fetches what: kept by the servers, told by whoever waits.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use indicatif::HumanBytes;

use crate::run::Progress;

/// Clients that are kept, and lines that wait to be told: a network may have more of both.
const MOST: usize = 64;
/// Characters of what a client asks for that are shown.
const SHOWN: usize = 60;

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// RFC 9110.
    Http,
    /// RFC 1350.
    Tftp,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Tftp => "TFTP",
        })
    }
}

/// A client and a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The client.
    pub from: IpAddr,
    /// How it asks.
    pub by: By,
    /// For which file.
    pub name: String,
}

#[derive(Debug)]
struct Read {
    who: Who,
    /// It has this many bytes from the file's beginning on, without a gap.
    done: usize,
    size: usize,
    begin: Instant,
}

#[derive(Debug, Default)]
struct State {
    reads: Vec<Read>,
    /// Who has all of a file, the first of each.
    whole: Vec<Who>,
    /// Not told yet.
    lines: Vec<String>,
    last_refusal: Option<String>,
    /// What moved last, and is not told yet.
    moved: Option<usize>,
}

/// What was fetched so far.
#[derive(Debug, Default)]
pub struct Reads(Mutex<State>);

impl Reads {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client begins, or begins again.
    pub(super) fn begins(&self, who: &Who, size: usize) {
        let mut state = self.state();
        if let Some(at) = state.find(who, size) {
            (state.reads[at].done, state.reads[at].begin) = (0, Instant::now());
        }
    }

    /// It has a piece of a file of `size` bytes.
    pub(super) fn took(&self, who: &Who, piece: Range<usize>, size: usize) {
        let mut state = self.state();
        let Some(at) = state.find(who, size) else { return };
        let read = &mut state.reads[at];
        if piece.start <= read.done {
            read.done = read.done.max(piece.end);
        }
        state.moved = Some(at);
    }

    /// It has all of it, at once.
    pub(super) fn has_all(&self, who: &Who, size: usize) {
        let mut state = self.state();
        if let Some(at) = state.find(who, size) {
            let read = &state.reads[at];
            let seconds = read.begin.elapsed().as_secs_f64();
            let rate = HumanBytes((size as f64 / seconds.max(1e-6)) as u64);
            let Who { from, by, name } = who;
            // Of TFTP each block was acknowledged; what became of the last bytes of an HTTP answer only the reader knows.
            let got = if *by == By::Http { "was sent" } else { "has fetched" };
            let line = format!("{from} {got} {name} by {by}: {} in {seconds:.2} s, {rate}/s", HumanBytes(size as u64));
            state.say(line);
        }
        if !state.whole.iter().any(|known| known == who) && state.whole.len() < MOST {
            state.whole.push(who.clone());
        }
    }

    /// A client does not get what it asks for.
    pub(super) fn refused(&self, from: IpAddr, by: By, asked: &str, why: &str) {
        let asked: String = asked.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        let line = format!("{from} asks for `{asked}` by {by}: {why}");
        let mut state = self.state();
        // Firmware that tries again says nothing new.
        if state.last_refusal.as_ref() != Some(&line) {
            state.say(line.clone());
            state.last_refusal = Some(line);
        }
    }

    /// Who has all of a file, by one fetch, if anybody has.
    pub fn who_has(&self, name: &str) -> Option<Who> {
        self.state().whole.iter().find(|who| who.name == name).cloned()
    }

    /// The same where pieces count, too, from the file's beginning to its end.
    pub fn who_has_pieces(&self, name: &str) -> Option<Who> {
        let state = self.state();
        let read = state.reads.iter().find(|read| read.who.name == name && read.done == read.size);
        read.map(|read| read.who.clone())
    }

    /// The last that was refused, for an error about what nobody fetched.
    pub fn last_refusal(&self) -> Option<String> {
        self.state().last_refusal.clone()
    }

    /// Tells what is new.
    pub fn tell(&self, progress: &Progress) {
        let mut state = self.state();
        state.lines.drain(..).for_each(|line| progress.line(&line));
        let moved = state.moved.take().and_then(|at| state.reads.get(at));
        if let Some(Read { who: Who { from, by, name }, done, size, begin }) = moved {
            let rate = HumanBytes((*done as f64 / begin.elapsed().as_secs_f64().max(1e-6)) as u64);
            let (done, size) = (HumanBytes(*done as u64), HumanBytes(*size as u64));
            progress.detail(&format!("{from} fetches {name} by {by}: {done} of {size}, {rate}/s"));
        }
    }
}

impl State {
    /// The place of a client's read; nothing where there are too many clients.
    fn find(&mut self, who: &Who, size: usize) -> Option<usize> {
        let known = self.reads.iter().position(|read| read.who == *who);
        if known.is_none() && self.reads.len() < MOST {
            self.reads.push(Read { who: who.clone(), done: 0, size, begin: Instant::now() });
            return Some(self.reads.len() - 1);
        }
        known
    }

    fn say(&mut self, line: String) {
        if self.lines.len() < MOST {
            self.lines.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn who(last: u8) -> Who {
        Who { from: Ipv4Addr::new(192, 0, 2, last).into(), by: By::Http, name: "a.efi".into() }
    }

    #[test]
    fn pieces_are_all_of_a_file_only_without_a_gap() {
        let reads = Reads::default();
        reads.took(&who(1), 0..40, 100);
        reads.took(&who(1), 60..100, 100);
        reads.took(&who(2), 40..60, 100);
        assert_eq!(reads.who_has_pieces("a.efi"), None);
        reads.took(&who(1), 40..60, 100);
        reads.took(&who(1), 60..100, 100);
        assert_eq!(reads.who_has_pieces("a.efi"), Some(who(1)));
        assert_eq!(reads.who_has("a.efi"), None);
        // Whoever begins again has nothing.
        reads.begins(&who(1), 100);
        assert_eq!(reads.who_has_pieces("a.efi"), None);
        reads.has_all(&who(2), 100);
        assert_eq!((reads.who_has("a.efi"), reads.who_has("b.efi")), (Some(who(2)), None));
    }

    #[test]
    fn a_network_full_of_clients_is_forgotten_in_part() {
        let reads = Reads::default();
        for number in 0..1_000_u32 {
            let from = IpAddr::from(Ipv4Addr::from_bits(number));
            reads.refused(from, By::Tftp, &"\n".repeat(9), "there is none");
            reads.took(&Who { from, ..who(0) }, 0..1, 2);
        }
        let state = reads.state();
        assert_eq!((state.reads.len(), state.lines.len()), (MOST, MOST));
        assert_eq!(state.lines[0], "0.0.0.0 asks for `` by TFTP: there is none");
    }
}
