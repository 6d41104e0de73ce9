//! One file to one client (RFC 1350), with the options of RFC 2348 (block size), 2349 (time-out, size) and 7440 (windows).

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::packet::{self, LONGEST_REQUEST, Packet};

/// Bytes of a block, where nothing is agreed (RFC 1350).
const BLOCK: usize = 512;
/// Largest block that is agreed to: with its headers it is a frame of Ethernet, and nobody has to put fragments together.
const LARGEST_BLOCK: usize = 1468;
/// Most blocks before an acknowledgement: what boot firmware's receive rings hold.
const LARGEST_WINDOW: u16 = 32;
/// Until a block is sent again.
const REPEAT: Duration = Duration::from_secs(1);
/// So often is a window sent in vain.
const TRIES: u32 = 6;
/// How soon a stop is noticed.
const TURN: Duration = Duration::from_millis(100);

/// What both sides agree to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    block: usize,
    window: u16,
    repeat: Duration,
    /// What the client is told of it; nothing where it asked for nothing that is known.
    pub told: Vec<(&'static str, String)>,
}

impl Terms {
    /// What a client asks for, as far as it can be had. An option that is not understood is left out (RFC 2347).
    pub fn of(options: &[(&str, &str)], size: usize) -> Self {
        let mut terms = Self { block: BLOCK, window: 1, repeat: REPEAT, told: Vec::new() };
        for (key, value) in options {
            let (key, number) = (key.to_ascii_lowercase(), value.parse::<u32>().ok());
            let answer = match (key.as_str(), number) {
                ("blksize", Some(bytes @ 8..=65_464)) => {
                    terms.block = LARGEST_BLOCK.min(bytes as usize);
                    ("blksize", terms.block.to_string())
                }
                ("windowsize", Some(blocks @ 1..=65_535)) => {
                    terms.window = LARGEST_WINDOW.min(blocks as u16);
                    ("windowsize", terms.window.to_string())
                }
                ("timeout", Some(seconds @ 1..=255)) => {
                    terms.repeat = Duration::from_secs(seconds.into());
                    ("timeout", seconds.to_string())
                }
                ("tsize", Some(_)) => ("tsize", size.to_string()),
                _ => continue,
            };
            if !terms.told.iter().any(|(known, _)| *known == answer.0) {
                terms.told.push(answer);
            }
        }
        terms
    }
}

/// Why a transfer did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The client says so. Many ask for the size only, and then say so.
    Refused(u16, String),
    /// It does not answer any more.
    Gone,
    /// It takes too long.
    Late,
    /// Nobody here wants to go on.
    Stopped,
}

/// A client that has asked for a file.
pub struct Client<'a> {
    /// Connected to it: what others send does not come here.
    pub socket: &'a UdpSocket,
    pub is_over: &'a dyn Fn() -> bool,
    /// No transfer takes longer.
    pub until: Instant,
}

/// Sends a file. `took` hears what the client has acknowledged.
///
/// A window is sent again when its time is over, and for no other reason: an acknowledgement that comes twice does not double the
/// blocks from then on (the Sorcerer's Apprentice, RFC 1123, 4.2.3.1).
pub fn send(client: &Client<'_>, file: &[u8], terms: &Terms, took: &mut dyn FnMut(Range<usize>)) -> Result<(), Broken> {
    // A last block is short, if need be empty.
    let last = file.len() / terms.block + 1;
    // The answer to options is acknowledged as block 0.
    let mut next = usize::from(terms.told.is_empty());
    let (mut tries, mut done) = (0, 0);
    while next <= last {
        let top = if next == 0 { 0 } else { last.min(next + usize::from(terms.window) - 1) };
        for block in next..=top {
            let packet = if block == 0 { packet::accepted(&terms.told) } else { data(file, block, terms.block) };
            // What cannot be sent now is sent again.
            let _ = client.socket.send(&packet);
        }
        match client.acknowledged(next..=top, terms.repeat)? {
            Some(block) => {
                let until = file.len().min(block * terms.block);
                took(done..until);
                (next, tries, done) = (block + 1, 0, until);
            }
            None if tries + 1 == TRIES => return Err(Broken::Gone),
            None => tries += 1,
        }
    }
    Ok(())
}

/// Numbers of blocks have 16 bits, and begin again with 0.
fn data(file: &[u8], block: usize, bytes: usize) -> Vec<u8> {
    let start = (block - 1) * bytes;
    packet::data(block as u16, file.get(start..file.len().min(start + bytes)).unwrap_or_default())
}

impl Client<'_> {
    /// Waits for an acknowledgement of one of these blocks; nothing where none comes in time.
    fn acknowledged(
        &self,
        blocks: std::ops::RangeInclusive<usize>,
        patience: Duration,
    ) -> Result<Option<usize>, Broken> {
        let until = Instant::now() + patience;
        let mut buffer = [0; LONGEST_REQUEST];
        loop {
            let now = Instant::now();
            if (self.is_over)() {
                return Err(Broken::Stopped);
            }
            if now >= self.until {
                return Err(Broken::Late);
            }
            if now >= until {
                return Ok(None);
            }
            // Zero would be for ever.
            let turn = TURN.min(until - now).max(Duration::from_millis(1));
            let received = self.socket.set_read_timeout(Some(turn)).and_then(|()| self.socket.recv(&mut buffer));
            let count = match received {
                Ok(count) => count,
                // Its port is closed (ICMP).
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Err(Broken::Gone),
                Err(_) => continue,
            };
            match buffer.get(..count).and_then(packet::parse) {
                Some(Packet::Ack(number)) => {
                    let ahead = number.wrapping_sub(*blocks.start() as u16);
                    let block = blocks.start() + usize::from(ahead);
                    if blocks.contains(&block) {
                        return Ok(Some(block));
                    }
                }
                Some(Packet::Error { code, text }) => return Err(Broken::Refused(code, text)),
                _ => {}
            }
        }
    }
}
