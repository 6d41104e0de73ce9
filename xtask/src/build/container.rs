//! The container in which the primary carries the kdump image: flat bytes, relocations, and a checksum.
//!
//! Little endian: magic, image bytes, memory bytes, entry, relocation count, body (image, `u32` offset of each
//! relocation) as an LZMA stream without a header, CRC-64/XZ of the header and of the unpacked body. A relocation's
//! addend stands in the image where the relocation points.

use std::io::Write;

use anyhow::Context;
use crc::{CRC_64_XZ, Crc};
use lzma_rust2::{LzmaOptions, LzmaWriter};

/// First bytes of the container; the digit is its version.
pub const MAGIC: &[u8; 8] = b"IFKDUMP2";

/// LZMA parameters: all code and data is made of aligned 32-bit words.
const LITERAL_CONTEXT_BITS: u32 = 2;
const LITERAL_POSITION_BITS: u32 = 2;
const POSITION_BITS: u32 = 2;
/// More than any image has.
const DICTIONARY_BYTES: u32 = 1 << 20;

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
    let body = body(flat)?;
    let crc = Crc::<u64>::new(&CRC_64_XZ);
    let mut digest = crc.digest();
    digest.update(&bytes);
    digest.update(&body);
    bytes.extend(compressed(&body)?);
    bytes.extend(digest.finalize().to_le_bytes());
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

/// One LZMA stream with the parameters that the primary expects, no header and no end marker.
fn compressed(body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut options = LzmaOptions::with_preset(9);
    options.dict_size = DICTIONARY_BYTES;
    (options.lc, options.lp, options.pb) = (LITERAL_CONTEXT_BITS, LITERAL_POSITION_BITS, POSITION_BITS);
    let mut writer = LzmaWriter::new_no_header(Vec::new(), &options, false)?;
    writer.write_all(body)?;
    Ok(writer.finish()?)
}
