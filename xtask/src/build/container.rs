//! The container in which the primary carries the kdump image: flat bytes, relocations, and a checksum.
//!
//! Little endian: magic, image bytes, memory bytes, entry, relocation count, body (image, `u32` offset of each
//! relocation), CRC-64/XZ of all before. A relocation's addend stands in the image where the relocation points.

use anyhow::Context;
use crc::{CRC_64_XZ, Crc};

/// First bytes of the container; the digit is its version.
pub const MAGIC: &[u8; 8] = b"IFKDUMP3";

/// miniz's slowest and smallest.
const LEVEL: u8 = 10;

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
    bytes.extend(body(flat)?);
    let crc = Crc::<u64>::new(&CRC_64_XZ).checksum(&bytes);
    bytes.extend(crc.to_le_bytes());
    Ok(bytes)
}

/// What the loader carries: the length of `image`, and `image` as a zlib stream.
pub fn compress(image: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = u32::try_from(image.len())?.to_le_bytes().to_vec();
    bytes.extend(miniz_oxide::deflate::compress_to_vec_zlib(image, LEVEL));
    Ok(bytes)
}

/// The image with the addends in it, and where they are.
fn body(flat: &Flat) -> anyhow::Result<Vec<u8>> {
    let mut body = flat.image.clone();
    for &Relocation { offset, addend } in &flat.relocations {
        let place = offset as usize;
        let word = body.get_mut(place..place + 8);
        let word = word.with_context(|| format!("relocation at {offset:#x}: in memory that starts as zero"))?;
        word.copy_from_slice(&addend.to_le_bytes());
    }
    body.extend(flat.relocations.iter().flat_map(|relocation| relocation.offset.to_le_bytes()));
    Ok(body)
}
