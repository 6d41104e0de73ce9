//! The container in which the primary carries the kdump image: flat bytes, relocations, and a checksum.
//!
//! Little endian: magic, image bytes, memory bytes, entry, relocation count, image, relocations, CRC-64/XZ of all before.

use crc::{CRC_64_XZ, Crc};

/// First bytes of the container; the digit is its version.
pub const MAGIC: &[u8; 8] = b"IFKDUMP1";

/// A position-independent image, as if loaded at address 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flat {
    /// What the file holds; the rest up to `memory_bytes` is zero.
    pub image: Vec<u8>,
    /// What the image needs in memory, in whole pages.
    pub memory_bytes: u32,
    /// Offset of the first instruction.
    pub entry: u32,
    /// Words that become load address + addend.
    pub relocations: Vec<Relocation>,
}

/// One `R_AARCH64_RELATIVE`: the 64-bit word at `offset` becomes load address + `addend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// Where the word is.
    pub offset: u32,
    /// What is added to the load address.
    pub addend: u64,
}

/// Writes the container.
pub fn pack(flat: &Flat) -> anyhow::Result<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    let header =
        [u32::try_from(flat.image.len())?, flat.memory_bytes, flat.entry, u32::try_from(flat.relocations.len())?];
    for word in header {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(&flat.image);
    for relocation in &flat.relocations {
        bytes.extend(relocation.offset.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(relocation.addend.to_le_bytes());
    }
    let crc = Crc::<u64>::new(&CRC_64_XZ).checksum(&bytes);
    bytes.extend(crc.to_le_bytes());
    Ok(bytes)
}
