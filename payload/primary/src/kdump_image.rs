//! The kdump image as `xtask` packs it: flat, with its relocations. Loaded afresh for each crash.
//!
//! ```text
//! "IFKDUMP1"  u32 image bytes  u32 memory bytes  u32 entry offset  u32 relocations
//! image bytes …  relocations { u32 offset, u32 0, u64 addend } …  u64 CRC-64 of all before
//! ```

use addr::PhysAddr;
use alloc::{format, string::String, vec};
use arch::{cache, mmio};
use handover::{boot::Image, crc64};

/// What the build embedded; empty where the image was built without `cargo xtask build`.
static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kdump.bin"));

const HEADER_BYTES: usize = 24;
const RELOCATION_BYTES: usize = 16;

/// The packed image, its lengths checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KdumpImage {
    image: &'static [u8],
    relocations: &'static [u8],
    memory_bytes: u64,
    entry: u64,
}

impl KdumpImage {
    /// The embedded image.
    ///
    /// # Errors
    /// One line: nothing embedded, or damaged.
    pub(crate) fn embedded() -> Result<Self, String> {
        if PACKED.is_empty() {
            return Err("no kdump image is embedded: build with `cargo xtask build`".into());
        }
        let damaged = |what: &str| format!("the embedded kdump image is damaged: {what}");
        let word = |at: usize| -> Option<u32> { Some(u32::from_le_bytes(*PACKED.get(at..)?.first_chunk()?)) };
        let field = |at: usize| word(at).map(|value| value as usize).ok_or_else(|| damaged("cut short"));
        if PACKED.get(..8) != Some(b"IFKDUMP1") {
            return Err(damaged("wrong magic"));
        }
        let (image_bytes, memory_bytes, entry, count) = (field(8)?, field(12)?, field(16)?, field(20)?);
        let (body, crc) = PACKED.split_last_chunk::<8>().ok_or_else(|| damaged("cut short"))?;
        if crc64(body) != u64::from_le_bytes(*crc) {
            return Err(damaged("wrong CRC"));
        }
        let relocations_at = HEADER_BYTES + image_bytes;
        let image = body.get(HEADER_BYTES..relocations_at);
        let relocations = body.get(relocations_at..relocations_at + count * RELOCATION_BYTES);
        let (Some(image), Some(relocations)) = (image, relocations) else { return Err(damaged("cut short")) };
        if memory_bytes < image_bytes || entry >= image_bytes {
            return Err(damaged("lengths contradict each other"));
        }
        Ok(Self { image, relocations, memory_bytes: memory_bytes as u64, entry: entry as u64 })
    }

    /// Bytes that it needs in memory, zero-initialised data included.
    pub(crate) const fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Copies it to `base` (4 KiB aligned), applies R_AARCH64_RELATIVE, zeroes the rest, and cleans all to PoC: the
    /// caller's taker starts with caches off.
    ///
    /// # Safety
    /// `base..base + memory_bytes()` is mapped, writable and nobody else's.
    pub(crate) unsafe fn load(&self, base: PhysAddr) -> Image {
        let mut copy = vec![0_u8; self.memory_bytes as usize];
        copy[..self.image.len()].copy_from_slice(self.image);
        for relocation in self.relocations.as_chunks::<RELOCATION_BYTES>().0 {
            let (offset, addend) = relocation.split_at(8);
            let offset = u32::from_le_bytes([offset[0], offset[1], offset[2], offset[3]]) as usize;
            let addend = u64::from_le_bytes(*addend.first_chunk().unwrap_or(&[0; 8]));
            if let Some(word) = copy.get_mut(offset..offset + 8) {
                word.copy_from_slice(&base.0.wrapping_add(addend).to_le_bytes());
            }
        }
        let mut at = base.0;
        for word in copy.as_chunks::<8>().0 {
            // SAFETY: inside the range that the caller vouches for.
            unsafe { mmio::write64(at, u64::from_le_bytes(*word)) }
            at += 8;
        }
        cache::clean_invalidate(base, self.memory_bytes);
        cache::invalidate_instructions();
        let bytes = self.image.len() as u64;
        let crc = crc64(copy.get(..self.image.len()).unwrap_or(&[]));
        Image { base, bytes, crc, entry: base.plus(self.entry) }
    }
}

/// CRC-64 of `image` as it lies in memory now, for the check before the jump.
///
/// # Safety
/// The image's range is mapped and holds no Rust objects.
pub(crate) unsafe fn digest(image: &Image) -> u64 {
    let pointer = core::ptr::with_exposed_provenance::<u8>(image.base.0 as usize);
    // SAFETY: the caller's promise; nothing writes to the range while the slice lives.
    crc64(unsafe { core::slice::from_raw_parts(pointer, image.bytes as usize) })
}
