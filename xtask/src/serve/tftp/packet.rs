//! Packets of TFTP (RFC 1350, 5; options: RFC 2347).

/// A request is no longer than this (RFC 2347); some clients send a little more.
pub const LONGEST_REQUEST: usize = 1024;

/// Error codes (RFC 1350, appendix I; RFC 2347).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Code {
    Other = 0,
    NoSuchFile = 1,
    Access = 2,
    Illegal = 4,
}

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'p> {
    Read {
        name: &'p str,
        mode: &'p str,
        options: Vec<(&'p str, &'p str)>,
    },
    Write {
        name: &'p str,
    },
    Ack(u16),
    Error {
        code: u16,
        text: String,
    },
    /// Only a server sends it.
    Data,
}

/// Reads a packet; nothing where it is none.
pub fn parse(bytes: &[u8]) -> Option<Packet<'_>> {
    let (opcode, rest) = bytes.split_first_chunk()?;
    match u16::from_be_bytes(*opcode) {
        1 => {
            let (name, rest) = text(rest)?;
            let (mode, mut rest) = text(rest)?;
            let mut options = Vec::new();
            while !rest.is_empty() {
                let (key, value);
                (key, rest) = text(rest)?;
                (value, rest) = text(rest)?;
                options.push((key, value));
            }
            Some(Packet::Read { name, mode, options })
        }
        2 => Some(Packet::Write { name: text(rest)?.0 }),
        3 => Some(Packet::Data),
        4 => Some(Packet::Ack(u16::from_be_bytes(*rest.first_chunk()?))),
        5 => {
            let (code, text) = rest.split_first_chunk()?;
            let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
            Some(Packet::Error { code: u16::from_be_bytes(*code), text: String::from_utf8_lossy(text).into_owned() })
        }
        _ => None,
    }
}

/// ASCII that ends with a zero, and what follows.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((str::from_utf8(text).ok()?, rest.get(1..)?))
}

pub fn data(block: u16, bytes: &[u8]) -> Vec<u8> {
    [&[0, 3][..], &block.to_be_bytes(), bytes].concat()
}

pub fn error(code: Code, text: &str) -> Vec<u8> {
    [&[0, 5][..], &(code as u16).to_be_bytes(), text.as_bytes(), &[0]].concat()
}

/// The options that were accepted.
pub fn accepted(options: &[(&str, String)]) -> Vec<u8> {
    let words = options.iter().flat_map(|(key, value)| [key.as_bytes(), &[0], value.as_bytes(), &[0]]);
    words.fold(vec![0, 6], |packet, word| [packet.as_slice(), word].concat())
}
