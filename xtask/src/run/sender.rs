//! The sender of network frames: UDP datagrams over loopback, each a raw Ethernet frame with a number.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use dma::frame::Frame;

/// A tick of the sender.
const PAUSE: Duration = Duration::from_millis(1);
/// Frames of one tick at most: after a stall the receiver's ring must not be flooded with all that is due.
const BURST: u64 = 64;

/// A socket and the emulator's port, before the emulator runs.
#[derive(Debug)]
pub struct Line {
    socket: UdpSocket,
    /// The port that the emulator is to take.
    pub emulator_port: u16,
    /// The port that the frames come from.
    pub host_port: u16,
}

impl Line {
    /// Finds two free ports of loopback.
    pub fn open() -> anyhow::Result<Self> {
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no free UDP port on 127.0.0.1");
        let (socket, other) = (bind()?, bind()?);
        let emulator_port = other.local_addr().context("a socket without address")?.port();
        let host_port = socket.local_addr().context("a socket without address")?.port();
        // `other` closes here, and the emulator takes its port.
        socket.connect((Ipv4Addr::LOCALHOST, emulator_port)).context("cannot use 127.0.0.1")?;
        Ok(Self { socket, emulator_port, host_port })
    }

    /// Starts to send.
    pub fn start(self, stream: u32, frames_per_second: u32) -> Sender {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || send(&self.socket, stream, frames_per_second, &seen));
        Sender { stop, thread: Some(thread) }
    }
}

/// A running sender; dropping it stops it.
#[derive(Debug)]
pub struct Sender {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Sender {
    /// Stops, waits until nothing more is sent, and tells how many frames were.
    pub fn stop(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or(0)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop();
    }
}

fn send(socket: &UdpSocket, stream: u32, frames_per_second: u32, stop: &AtomicBool) -> u64 {
    let mut sent = 0;
    let mut start = Instant::now();
    let mut due_from = 0;
    while !stop.load(Ordering::Relaxed) {
        let elapsed = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let due = due_from + elapsed.saturating_mul(frames_per_second.into()) / 1_000_000;
        if due > sent + BURST {
            // What a stall left undone is not made up for.
            (start, due_from) = (Instant::now(), sent + BURST);
        }
        for sequence in sent + 1..=due.min(sent + BURST) {
            // Refused as long as nobody listens; such a frame is as lost as on a cable.
            let _ = socket.send(&Frame { stream, sequence }.encode());
            sent = sequence;
        }
        std::thread::sleep(PAUSE);
    }
    sent
}
