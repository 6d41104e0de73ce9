//! One machine line: framing, sequence number, check.

use crate::Record;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

/// First characters of every machine line.
pub const PREFIX: &str = "@inflight ";
/// Characters of the longest machine line, without its end.
pub const LINE_MAX: usize = 1000;
/// Sequence numbers count modulo this mask plus one: six hexadecimal digits.
pub const SEQUENCE_MASK: u32 = 0x00FF_FFFF;

/// Bytes of the sequence number and the blank after it.
const SEQUENCE_BYTES: usize = 7;
/// Bytes of the blank before the check, and the check.
const CHECK_BYTES: usize = 9;
/// Bytes of the longest payload: base64 makes four characters of three bytes.
pub(crate) const PAYLOAD_MAX: usize = (LINE_MAX - PREFIX.len() - SEQUENCE_BYTES - CHECK_BYTES) / 4 * 3;

// Without a table: a line is short, and the table would cost the kdump image 1 KiB.
const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A line, as bytes with CR LF at the end.
pub(crate) struct Line {
    bytes: [u8; LINE_MAX + 2],
    len: usize,
}

impl Line {
    /// Frames `record`; `None` where it does not fit. Not part of its callers, it is the same in both images, and stored once.
    #[inline(never)]
    pub(crate) fn encode(sequence: u32, record: &Record<'_>) -> Option<Self> {
        let mut payload = [0; PAYLOAD_MAX];
        let payload = postcard::to_slice(record, &mut payload).ok()?;
        let mut line = Self { bytes: [0; LINE_MAX + 2], len: 0 };
        line.push(PREFIX.as_bytes())?;
        let start = line.len;
        line.push_hex(sequence & SEQUENCE_MASK, 6)?;
        line.push(b" ")?;
        line.len += STANDARD_NO_PAD.encode_slice(&*payload, line.bytes.get_mut(line.len..)?).ok()?;
        let check = CRC.checksum(line.bytes.get(start..line.len)?);
        line.push(b" ")?;
        line.push_hex(check, 8)?;
        line.push(b"\r\n")?;
        Some(line)
    }

    /// The whole line.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len.checked_add(bytes.len())?;
        self.bytes.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    fn push_hex(&mut self, value: u32, digits: u32) -> Option<()> {
        for place in (0..digits).rev() {
            self.push(&[DIGITS[(value >> (4 * place)) as usize & 15]])?;
        }
        Some(())
    }
}

/// What is wrong with a line that begins like a machine line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It ends before its check.
    #[error("the line is cut short")]
    Cut,
    /// A character stands where it cannot.
    #[error("the line is not made of sequence number, payload and check")]
    Shape,
    /// The check does not agree.
    #[error("the line says CRC {stated:08x}, its characters make {computed:08x}")]
    Check {
        /// As the line says.
        stated: u32,
        /// As computed.
        computed: u32,
    },
    /// The check agrees, but there is no such record: another version of the payload wrote it.
    #[error("the line holds no record that this version knows")]
    Unknown,
    /// It is longer than [`LINE_MAX`].
    #[error("the line is longer than {LINE_MAX} characters")]
    TooLong,
}

/// Takes a line apart. `line` begins with [`PREFIX`]; what follows the check is noise and ignored.
pub(crate) fn decode<'a>(line: &[u8], payload: &'a mut [u8; LINE_MAX]) -> Result<(u32, Record<'a>), Damage> {
    let rest = line.get(PREFIX.len()..).ok_or(Damage::Cut)?;
    let digits = rest.get(..SEQUENCE_BYTES - 1).ok_or(Damage::Cut)?;
    let sequence = hex(digits).ok_or(Damage::Shape)?;
    let text = match rest.get(SEQUENCE_BYTES - 1..) {
        Some([b' ', text @ ..]) => text,
        Some([]) | None => return Err(Damage::Cut),
        Some(_) => return Err(Damage::Shape),
    };
    let end = text.iter().position(|byte| *byte == b' ').ok_or(Damage::Cut)?;
    let (encoded, check) = text.split_at_checked(end).ok_or(Damage::Cut)?;
    let stated = hex(check.get(1..CHECK_BYTES).ok_or(Damage::Cut)?).ok_or(Damage::Shape)?;
    let computed = CRC.checksum(rest.get(..SEQUENCE_BYTES + end).ok_or(Damage::Cut)?);
    if stated != computed {
        return Err(Damage::Check { stated, computed });
    }
    let len = STANDARD_NO_PAD.decode_slice(encoded, payload).map_err(|_| Damage::Shape)?;
    let bytes = payload.get(..len).ok_or(Damage::Shape)?;
    match postcard::take_from_bytes(bytes) {
        Ok((record, [])) => Ok((sequence, record)),
        Ok(_) | Err(_) => Err(Damage::Unknown),
    }
}

/// Reads lower-case hexadecimal digits, which are all that a writer makes.
fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |value, digit| {
        let place = DIGITS.iter().position(|known| known == digit)?;
        Some(value.checked_mul(16)? | u32::try_from(place).ok()?)
    })
}
