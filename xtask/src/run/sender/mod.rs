//! The sender of network frames: each raw Ethernet, broadcast, with a number of its own, at a rate, over one of two lines.

#[cfg(target_os = "linux")]
mod interface;
mod loopback;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use board::Board;
use dma::frame::Frame;

pub use interface::Interface;
pub use loopback::Loopback;

/// A tick of the sender.
const PAUSE: Duration = Duration::from_millis(1);
/// Frames of one tick at most: after a stall the receiver's ring must not be flooded with all that is due.
const BURST: u64 = 64;

/// What carries the frames to the board, before the board runs.
#[derive(Debug)]
pub struct Line {
    cable: Cable,
    frames_per_second: u32,
}

#[derive(Debug)]
enum Cable {
    Loopback(Loopback),
    Interface(Interface),
}

impl Line {
    /// Opens the line that the board's file names, if it names one.
    pub fn of(board: &Board) -> anyhow::Result<Option<Self>> {
        if let Some(sender) = &board.sender {
            let cable = Cable::Interface(Interface::open(&sender.interface)?);
            return Ok(Some(Self { cable, frames_per_second: sender.frames_per_second }));
        }
        let Some(sender) = board.qemu.as_ref().and_then(|qemu| qemu.sender.as_ref()) else { return Ok(None) };
        let cable = Cable::Loopback(Loopback::open()?);
        Ok(Some(Self { cable, frames_per_second: sender.frames_per_second }))
    }

    /// UDP ports of loopback, where it runs over them: the emulator's and the sender's.
    pub fn ports(&self) -> Option<(u16, u16)> {
        match &self.cable {
            Cable::Loopback(loopback) => Some(loopback.ports()),
            Cable::Interface(_) => None,
        }
    }

    /// Starts to send.
    pub fn start(self, stream: u32) -> Sender {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || send(&self, stream, &seen));
        Sender { stop, thread: Some(thread), sent: Sent::default() }
    }
}

/// Packet sockets are Linux'.
#[cfg(not(target_os = "linux"))]
mod interface {
    #[derive(Debug)]
    pub enum Interface {}

    impl Interface {
        pub fn open(name: &str) -> anyhow::Result<Self> {
            Err(crate::exit::host_lacks(format!("sender: frames go out of {name} on a Linux host only")))
        }

        pub fn send(&self, _frame: &[u8]) -> Result<(), String> {
            match *self {}
        }
    }
}

/// A running sender; dropping it stops it.
#[derive(Debug)]
pub struct Sender {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Sent>>,
    sent: Sent,
}

impl Sender {
    /// Stops, waits until nothing more is sent, and tells what was.
    pub fn stop(&mut self) -> &Sent {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sent) = self.thread.take().and_then(|thread| thread.join().ok()) {
            self.sent = sent;
        }
        &self.sent
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What became of the frames on this side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Frames that were due.
    pub frames: u64,
    /// Those that did not go out, by reason: how many, and the number of the first.
    pub refused: BTreeMap<String, (u64, u64)>,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = self.refused.iter().map(|(reason, (count, first))| {
            format!("{count} of {} frames were not sent, from number {first} on: {reason}", self.frames)
        });
        f.write_str(&refused.collect::<Vec<_>>().join("; "))
    }
}

fn send(line: &Line, stream: u32, stop: &AtomicBool) -> Sent {
    let mut sent = Sent::default();
    let mut start = Instant::now();
    let mut due_from = 0;
    while !stop.load(Ordering::Relaxed) {
        let elapsed = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let due = due_from + elapsed.saturating_mul(line.frames_per_second.into()) / 1_000_000;
        let most = sent.frames + BURST;
        if due > most {
            // What a stall left undone is not made up for.
            (start, due_from) = (Instant::now(), most);
        }
        for sequence in sent.frames + 1..=due.min(most) {
            let frame = Frame { stream, sequence }.encode();
            let result = match &line.cable {
                Cable::Loopback(loopback) => {
                    loopback.send(&frame);
                    Ok(())
                }
                Cable::Interface(interface) => interface.send(&frame),
            };
            sent.frames = sequence;
            // The run goes on: what its streams lack, the judge sees.
            if let Err(reason) = result {
                sent.refused.entry(reason).or_insert((0, sequence)).0 += 1;
            }
        }
        std::thread::sleep(PAUSE);
    }
    sent
}
