//! The container in which the primary carries the kdump image: flat bytes, relocations, and a checksum.
//!
//! Little endian: magic, image bytes, memory bytes, entry, relocation count, body (image, `u32` distance of
//! each relocation from the one before, which repeats), CRC-64/XZ of all before. A relocation's addend stands in the image where the relocation points.

use std::io::Write;

use anyhow::Context;
use crc::{CRC_32_ISO_HDLC, CRC_64_XZ, Crc};
use lzma_rust2::filter::bcj::BcjWriter;
use lzma_rust2::{LzmaOptions, LzmaWriter};

/// First bytes of the container; the digit is its version.
pub const MAGIC: &[u8; 8] = b"IFKDUMP4";

/// The slowest and smallest.
const PRESET: u32 = 9;
/// Larger than any primary: all of it is one window, so that what both images have in common is stored once.
const WINDOW: u32 = 1 << 20;

/// A position-independent image, as if loaded at address 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flat {
    /// What the file holds; the rest up to `memory_bytes` is zero.
    pub image: Vec<u8>,
    /// Where code and data end in it, and only tables of the dynamic linker follow.
    pub content: usize,
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
        [u32::try_from(content(flat).len())?, flat.memory_bytes, flat.entry, u32::try_from(flat.relocations.len())?];
    for word in header {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(body(flat)?);
    let crc = Crc::<u64>::new(&CRC_64_XZ).checksum(&bytes);
    bytes.extend(crc.to_le_bytes());
    Ok(bytes)
}

/// What the loader carries: the length of `image`, and `image` filtered and as an LZMA stream, behind the stream's CRC-32.
/// Crate `unpack` undoes it.
pub fn compress(image: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut filter = BcjWriter::new_arm64(Vec::new(), unpack::START as usize);
    filter.write_all(image)?;
    let (lc, lp, pb) = (unpack::LC, unpack::LP, unpack::PB);
    let nice_len = LzmaOptions::NICE_LEN_MAX;
    let options = LzmaOptions { dict_size: WINDOW, lc, lp, pb, nice_len, ..LzmaOptions::with_preset(PRESET) };
    let mut writer = LzmaWriter::new_no_header(Vec::new(), &options, false)?;
    writer.write_all(&filter.finish()?)?;
    let stream = writer.finish()?;
    let sum = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(&stream);
    Ok([&u32::try_from(image.len())?.to_le_bytes(), &sum.to_le_bytes(), stream.as_slice()].concat())
}

/// Relocations travel in the container's own form: the linker's tables at the end need not travel as well.
fn content(flat: &Flat) -> &[u8] {
    flat.image.get(..flat.content).unwrap_or(&flat.image)
}

/// The image with the addends in it, and where they are.
fn body(flat: &Flat) -> anyhow::Result<Vec<u8>> {
    let mut body = content(flat).to_vec();
    for &Relocation { offset, addend } in &flat.relocations {
        let place = offset as usize;
        let word = body.get_mut(place..place + 8);
        let word = word.with_context(|| format!("relocation at {offset:#x}: in memory that starts as zero"))?;
        word.copy_from_slice(&addend.to_le_bytes());
    }
    let mut last = 0;
    for &Relocation { offset, .. } in &flat.relocations {
        let distance = offset.checked_sub(last);
        let distance = distance.with_context(|| format!("relocation at {offset:#x}: behind one at {last:#x}"))?;
        body.extend(distance.to_le_bytes());
        last = offset;
    }
    Ok(body)
}
