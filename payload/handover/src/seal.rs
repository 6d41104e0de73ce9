//! Magic, version, length and CRC at the head of every block.

use crc::{CRC_64_XZ, Crc, Digest};
use spin::Once;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Its table of 2 KiB does not compress: it is made on the board, and the images do not carry it.
static CRC: Once<Crc<u64>> = Once::new();

fn crc_64_xz() -> &'static Crc<u64> {
    CRC.call_once(|| Crc::<u64>::new(&CRC_64_XZ))
}

/// CRC-64 (XZ) of `bytes`, as in every block and for the kdump image's digest.
#[must_use]
pub fn crc64(bytes: &[u8]) -> u64 {
    crc_64_xz().checksum(bytes)
}

/// The same of bytes that come in several parts.
pub fn crc64_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut digest = digest();
    parts.into_iter().for_each(|part| digest.update(part));
    digest.finalize()
}

/// First bytes of every block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// Which block it is.
    pub magic: u64,
    /// Version of its layout; there is no compatibility between versions, both images come from one build.
    pub version: u32,
    /// Bytes in use, this header included.
    pub bytes: u32,
    /// CRC-64 of the bytes in use, without this field.
    pub crc: u64,
}

/// Offset of [`Header::crc`].
const CRC_AT: usize = core::mem::offset_of!(Header, crc);
/// What follows the header.
const BODY_AT: usize = size_of::<Header>();

/// Why a block cannot be believed.
#[expect(missing_docs, reason = "the messages say what the fields are")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandoverError {
    /// Something else stands there.
    #[error("{block} block: magic {found:#x}, expected {expected:#x}")]
    Magic { block: &'static str, found: u64, expected: u64 },
    /// Images of two builds met.
    #[error("{block} block: version {found}, expected {expected}")]
    Version { block: &'static str, found: u32, expected: u32 },
    /// The stated length is not that of the layout or its counts, or the memory ends before it.
    #[error("{block} block: {found} bytes, expected {expected}")]
    Length { block: &'static str, found: u64, expected: u64 },
    /// It changed since it was sealed.
    #[error("{block} block: CRC {found:#x}, its bytes make {expected:#x}")]
    Crc { block: &'static str, found: u64, expected: u64 },
    /// More entries than the block has room for.
    #[error("{block} block: {found} entries, at most {expected} fit")]
    Count { block: &'static str, found: u32, expected: u32 },
    /// The memory does not begin at a multiple of 8.
    #[error("{block} block: not at a multiple of 8")]
    Misaligned { block: &'static str },
}

/// A block's own words: its name in errors, magic and version.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) block: &'static str,
    pub(crate) magic: u64,
    pub(crate) version: u32,
}

impl Kind {
    /// A header without a CRC.
    pub(crate) const fn header(self, bytes: u32) -> Header {
        Header { magic: self.magic, version: self.version, bytes, crc: 0 }
    }

    pub(crate) const fn length(self, found: usize, expected: usize) -> HandoverError {
        HandoverError::Length { block: self.block, found: found as u64, expected: expected as u64 }
    }

    /// Checks magic, version and length of the block at the start of `memory`, in the order in which they are needed to
    /// believe the next, and gives the bytes in use.
    pub(crate) fn check_header(self, memory: &[u8]) -> Result<&[u8], HandoverError> {
        let block = self.block;
        let Ok((header, _)) = Header::read_from_prefix(memory) else {
            return Err(self.length(memory.len(), BODY_AT));
        };
        if header.magic != self.magic {
            return Err(HandoverError::Magic { block, found: header.magic, expected: self.magic });
        }
        if header.version != self.version {
            return Err(HandoverError::Version { block, found: header.version, expected: self.version });
        }
        if (header.bytes as usize) < BODY_AT {
            return Err(self.length(header.bytes as usize, BODY_AT));
        }
        memory.get(..header.bytes as usize).ok_or(self.length(memory.len(), header.bytes as usize))
    }

    /// Checks a block of fixed size, all of whose bytes are `block`.
    pub(crate) fn check_whole(self, block: &[u8], stated: u32) -> Result<(), HandoverError> {
        let wrong = self.length(stated as usize, block.len());
        match self.check_header(block) {
            Err(HandoverError::Length { .. }) => Err(wrong),
            Ok(used) if used.len() != block.len() => Err(wrong),
            Ok(used) => self.check_crc(used),
            Err(other) => Err(other),
        }
    }

    /// Checks the CRC; `used` begins with a header.
    pub(crate) fn check_crc(self, used: &[u8]) -> Result<(), HandoverError> {
        let Ok((header, _)) = Header::read_from_prefix(used) else {
            return Err(self.length(used.len(), BODY_AT));
        };
        let expected = crc(used);
        if header.crc == expected {
            Ok(())
        } else {
            Err(HandoverError::Crc { block: self.block, found: header.crc, expected })
        }
    }
}

/// CRC of a block without the field that holds it.
pub(crate) fn crc(used: &[u8]) -> u64 {
    let mut digest = crc_64_xz().digest();
    update_head(&mut digest, used);
    digest.finalize()
}

/// A digest for a block in several parts.
pub(crate) fn digest() -> Digest<'static, u64> {
    crc_64_xz().digest()
}

/// Adds the first part of a block, without the field that holds the CRC.
pub(crate) fn update_head(digest: &mut Digest<'_, u64>, head: &[u8]) {
    digest.update(head.get(..CRC_AT).unwrap_or(&[]));
    digest.update(head.get(BODY_AT..).unwrap_or(&[]));
}
