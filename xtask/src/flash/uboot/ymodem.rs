//! Sends one file by YMODEM (Forsberg, *XMODEM/YMODEM Protocol Reference*, 1988), as U-Boot's `loady` receives it: blocks of 1 KiB
//! with CRC-16, each until it is acknowledged.

use std::time::{Duration, Instant};

use crc::{CRC_16_XMODEM, Crc};

use crate::exit::unexpected;

const SOH: u8 = 0x01;
const STX: u8 = 0x02;
const EOT: u8 = 0x04;
const ACK: u8 = 0x06;
const NAK: u8 = 0x15;
const CAN: u8 = 0x18;
/// What fills the last block up.
const SUB: u8 = 0x1a;
/// What a receiver asks with for CRC-16 instead of a sum.
const CRC: u8 = b'C';

/// Bytes of the block with name and size, and of all others.
const HEADER: usize = 128;
const BLOCK: usize = 1024;
/// A receiver that says nothing for so long has lost something; its own patience is about as long.
const PATIENCE: Duration = Duration::from_secs(5);
/// So often is one block sent.
const TRIES: u32 = 10;
/// Two end a transfer (8.2); more reach a receiver that waits for a block's rest.
const CANCEL: [u8; 8] = [CAN; 8];

/// What it goes over.
pub trait Line {
    /// Sends bytes.
    fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()>;
    /// The next byte that comes until then.
    fn next(&mut self, until: Instant) -> anyhow::Result<Option<u8>>;
}

/// Sends a file. `sent` hears of the bytes of each block that was acknowledged, and may end the transfer.
///
/// # Errors
/// The receiver cancels it, or does not take a block. It is told of an end that comes from here.
pub fn send(
    line: &mut dyn Line,
    name: &str,
    bytes: &[u8],
    sent: &mut dyn FnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let result = transfer(line, name, bytes, sent);
    if result.is_err() {
        // The first fault is told; a line that cannot even take this is dead.
        let _ = line.send(&CANCEL);
    }
    result
}

fn transfer(
    line: &mut dyn Line,
    name: &str,
    bytes: &[u8],
    sent: &mut dyn FnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut header = format!("{name}\0{}", bytes.len()).into_bytes();
    header.resize(HEADER, 0);
    wait_for_request(line)?;
    deliver(line, &block(SOH, 0, &header))?;
    wait_for_request(line)?;
    for (number, part) in bytes.chunks(BLOCK).enumerate() {
        let mut filled = part.to_vec();
        filled.resize(BLOCK, SUB);
        // Numbers begin again after 255.
        deliver(line, &block(STX, (number + 1) as u8, &filled))?;
        sent(part.len())?;
    }
    deliver(line, &[EOT])?;
    // A batch ends with a block that names no file.
    wait_for_request(line)?;
    deliver(line, &block(SOH, 0, &[0; HEADER]))
}

/// A block: kind, number, its complement, content, CRC-16 with the high byte first.
fn block(kind: u8, number: u8, content: &[u8]) -> Vec<u8> {
    let crc = Crc::<u16>::new(&CRC_16_XMODEM).checksum(content);
    [&[kind, number, !number], content, &crc.to_be_bytes()].concat()
}

/// Sends something until it is acknowledged.
fn deliver(line: &mut dyn Line, what: &[u8]) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        line.send(what)?;
        match answer(line, &[ACK, NAK])? {
            Some(ACK) => return Ok(()),
            Some(_) => {}
            // Anything late belongs to what was sent before.
            None => while line.next(Instant::now())?.is_some() {},
        }
    }
    Err(unexpected(format!("the receiver did not take a block in {TRIES} attempts")))
}

/// Waits until the receiver asks for what comes next.
fn wait_for_request(line: &mut dyn Line) -> anyhow::Result<()> {
    match answer(line, &[CRC])? {
        Some(_) => Ok(()),
        None => Err(unexpected("nobody asks for a file by YMODEM")),
    }
}

/// The next byte that is one of these. Two CAN in a row end it all; other bytes are noise, or were said twice.
fn answer(line: &mut dyn Line, wanted: &[u8]) -> anyhow::Result<Option<u8>> {
    let until = Instant::now() + PATIENCE;
    let mut before = 0;
    while let Some(byte) = line.next(until)? {
        if byte == CAN && before == CAN {
            return Err(unexpected("the receiver cancelled the transfer"));
        }
        if wanted.contains(&byte) {
            return Ok(Some(byte));
        }
        before = byte;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::exit::one_line;

    /// A receiver as the reference describes it. `fault` may change what reaches it, or what it answers.
    #[derive(Default)]
    struct Receiver {
        answers: VecDeque<u8>,
        name: String,
        size: usize,
        content: Vec<u8>,
        next: u8,
        sends: usize,
        is_at_end: bool,
        is_done: bool,
        cancelled: bool,
        /// The send (from 1) whose middle byte is turned over.
        damaged: Option<usize>,
        /// Refuses everything from this send on.
        refuses: Option<usize>,
        /// Cancels at this send.
        cancels: Option<usize>,
    }

    impl Receiver {
        fn new() -> Self {
            // Noise, then what it has asked for since it began.
            Self { answers: [b'\n', CRC, CRC].into(), ..Self::default() }
        }

        fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
            match *bytes {
                [EOT] => {
                    self.is_at_end = true;
                    vec![ACK, CRC]
                }
                [kind, number, complement, ref rest @ ..] if number == !complement => {
                    let (content, crc) = rest.split_at(rest.len() - 2);
                    assert_eq!(content.len(), if kind == SOH { 128 } else { 1024 });
                    if crc16(content).to_be_bytes() != crc { vec![NAK] } else { self.block(number, content) }
                }
                _ => vec![NAK],
            }
        }

        fn block(&mut self, number: u8, content: &[u8]) -> Vec<u8> {
            if self.is_at_end {
                self.is_done = content.iter().all(|byte| *byte == 0);
                return vec![ACK];
            }
            if self.name.is_empty() {
                let text = String::from_utf8_lossy(content).into_owned();
                let mut words = text.split('\0');
                self.name = words.next().unwrap().into();
                self.size = words.next().unwrap().parse().unwrap();
                self.next = 1;
                return vec![ACK, CRC];
            }
            assert_eq!(number, self.next, "the number of a block");
            self.content.extend(content);
            self.next = self.next.wrapping_add(1);
            vec![ACK]
        }
    }

    /// Bit by bit, beside the table of the library (CCITT polynomial 1021h, from 0).
    fn crc16(bytes: &[u8]) -> u16 {
        bytes.iter().fold(0, |crc, byte| {
            (0..8).fold(
                crc ^ (u16::from(*byte) << 8),
                |crc: u16, _| {
                    if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
                },
            )
        })
    }

    impl Line for Receiver {
        fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
            if bytes == CANCEL {
                self.cancelled = true;
                return Ok(());
            }
            self.sends += 1;
            let mut bytes = bytes.to_vec();
            if self.damaged == Some(self.sends) {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x40;
            }
            let answer = if self.cancels == Some(self.sends) {
                vec![CAN, CAN]
            } else if self.refuses.is_some_and(|from| self.sends >= from) {
                vec![NAK]
            } else {
                self.take(&bytes)
            };
            self.answers.extend(answer);
            Ok(())
        }

        fn next(&mut self, _: Instant) -> anyhow::Result<Option<u8>> {
            Ok(self.answers.pop_front())
        }
    }

    fn file() -> Vec<u8> {
        (0..300 * 1024 + 5_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    #[test]
    fn a_file_arrives_whole_over_more_blocks_than_a_number_has() {
        let (mut receiver, file) = (Receiver::new(), file());
        let mut told = 0;
        send(&mut receiver, "inflight.efi", &file, &mut |bytes| {
            told += bytes;
            Ok(())
        })
        .unwrap();
        assert!(receiver.is_done && !receiver.cancelled);
        assert_eq!((receiver.name.as_str(), receiver.size, told), ("inflight.efi", file.len(), file.len()));
        assert!(receiver.content.starts_with(&file));
        assert!(receiver.content[file.len()..].iter().all(|byte| *byte == SUB));
    }

    #[test]
    fn a_damaged_block_is_sent_again() {
        for damaged in [1, 2, 5, 302] {
            let mut receiver = Receiver { damaged: Some(damaged), ..Receiver::new() };
            send(&mut receiver, "a", &file(), &mut |_| Ok(())).unwrap();
            assert!(receiver.is_done && receiver.content.starts_with(&file()), "block {damaged}");
        }
    }

    #[test]
    fn a_block_that_is_never_taken_ends_it_and_the_receiver_is_told() {
        let mut receiver = Receiver { refuses: Some(3), ..Receiver::new() };
        let error = send(&mut receiver, "a", &file(), &mut |_| Ok(())).unwrap_err();
        assert_eq!(one_line(&error), "the receiver did not take a block in 10 attempts");
        assert!(receiver.cancelled && receiver.sends == 12);
    }

    #[test]
    fn a_receiver_that_cancels_or_never_asks_ends_it() {
        let mut receiver = Receiver { cancels: Some(4), ..Receiver::new() };
        let error = send(&mut receiver, "a", &file(), &mut |_| Ok(())).unwrap_err();
        assert_eq!(one_line(&error), "the receiver cancelled the transfer");
        let error = send(&mut Receiver::default(), "a", &file(), &mut |_| Ok(())).unwrap_err();
        assert_eq!(one_line(&error), "nobody asks for a file by YMODEM");
    }

    #[test]
    fn whoever_counts_may_end_it() {
        let mut receiver = Receiver::new();
        let error = send(&mut receiver, "a", &file(), &mut |_| Err(crate::exit::stopped())).unwrap_err();
        assert_eq!(one_line(&error), "stopped by Ctrl-C");
        assert!(receiver.cancelled);
    }
}
