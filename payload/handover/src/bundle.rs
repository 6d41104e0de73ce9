//! The file that a witness is brought in: its image, and the kernel that it starts, in one piece.
//!
//! `xtask` writes it, a front end reads it into memory that is kept, the primary loads the image from it, and the image takes
//! the rest.

use crate::seal::{HandoverError, Header, Kind, crc};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of [`Bundle`]'s layout.
pub const VERSION: u32 = 1;
/// Every part begins at a multiple of this.
pub const ALIGNMENT: u64 = 4096;
/// Of [`Bundle::flags`]: loads from tables of an SMMU are watched, too, not only stores.
pub const WATCH_READS: u64 = 1;
/// [`Bundle::flags`]: the kernel is started and not watched: what watching costs is measured against that.
pub const UNWATCHED: u64 = 2;
/// The same, and with stage 2 in force all the same: what that costs by itself.
pub const MAPPED: u64 = 4;

const KIND: Kind = Kind { block: "bundle", magic: u64::from_le_bytes(*b"inflbndl"), version: VERSION };

/// One part of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Part {
    /// First byte, from the beginning of the file.
    pub offset: u64,
    /// Length; 0: there is none.
    pub bytes: u64,
    /// CRC-64 of these bytes.
    pub digest: u64,
}

/// First bytes of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Bundle {
    /// Magic, version, length of this block, CRC.
    pub header: Header,
    /// Bytes of the whole file.
    pub file_bytes: u64,
    /// What the witness is asked to do, such as [`WATCH_READS`].
    pub flags: u64,
    /// The witness, packed as the kdump image is.
    pub image: Part,
    /// An arm64 `Image`, unpacked.
    pub kernel: Part,
    /// Its initrd, as it is.
    pub initrd: Part,
    /// Its command line, UTF-8.
    pub arguments: Part,
}

impl Bundle {
    /// Lays parts of these lengths out one after the other: image, kernel, initrd, command line. Digests and flags are still
    /// to be filled in.
    #[must_use]
    pub fn of_lengths(lengths: [u64; 4]) -> Self {
        let mut end = size_of::<Self>() as u64;
        let [image, kernel, initrd, arguments] = lengths.map(|bytes| {
            let offset = end.next_multiple_of(ALIGNMENT);
            end = offset + bytes;
            Part { offset, bytes, digest: 0 }
        });
        Self { header: Header::default(), file_bytes: end, flags: 0, image, kernel, initrd, arguments }
    }

    /// All parts, in the order of the file.
    #[must_use]
    pub fn parts_mut(&mut self) -> [&mut Part; 4] {
        [&mut self.image, &mut self.kernel, &mut self.initrd, &mut self.arguments]
    }

    /// Writes magic, version, length and CRC; to be called last.
    pub fn seal(&mut self) {
        self.header = KIND.header(size_of::<Self>() as u32);
        self.header.crc = crc(self.as_bytes());
    }

    /// Finds and verifies the block at the start of `file` (at a multiple of 8), which may be longer than it says. Digests are not
    /// checked.
    ///
    /// # Errors
    /// The first that is wrong of magic, version, length and CRC; also where a part is not inside the file, or the file not
    /// inside `file`.
    pub fn find(file: &[u8]) -> Result<&Self, HandoverError> {
        let short = KIND.length(file.len(), size_of::<Self>());
        let bytes = file.get(..size_of::<Self>()).ok_or(short)?;
        let bundle = Self::ref_from_bytes(bytes).map_err(|_| HandoverError::Misaligned { block: KIND.block })?;
        KIND.check_whole(bytes, bundle.header.bytes)?;
        let ends = [bundle.image, bundle.kernel, bundle.initrd, bundle.arguments]
            .map(|part| part.offset.checked_add(part.bytes));
        if ends.iter().any(|end| end.is_none_or(|end| end > bundle.file_bytes)) || bundle.file_bytes > file.len() as u64
        {
            return Err(KIND.length(file.len(), usize::try_from(bundle.file_bytes).unwrap_or(usize::MAX)));
        }
        Ok(bundle)
    }
}
