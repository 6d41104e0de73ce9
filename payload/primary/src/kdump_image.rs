//! The kdump image as `xtask` packs it: flat, with its relocations. Loaded afresh for each crash.
//!
//! ```text
//! "IFKDUMP1"  u32 image bytes  u32 memory bytes  u32 entry offset  u32 relocations
//! image bytes …  relocations { u32 offset, u32 0, u64 addend } …  u64 CRC-64 of all before
//! ```

use addr::PhysAddr;
use alloc::{format, string::String, vec, vec::Vec};
use arch::mmio;
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

    /// The image as it must stand at `base` (4 KiB aligned): R_AARCH64_RELATIVE applied, zero-initialised data zero.
    pub(crate) fn relocated_to(&self, base: PhysAddr) -> Pristine {
        let mut memory = vec![0_u8; self.memory_bytes as usize];
        memory[..self.image.len()].copy_from_slice(self.image);
        for relocation in self.relocations.as_chunks::<RELOCATION_BYTES>().0 {
            let (offset, addend) = relocation.split_at(8);
            let offset = u32::from_le_bytes([offset[0], offset[1], offset[2], offset[3]]) as usize;
            let addend = u64::from_le_bytes(*addend.first_chunk().unwrap_or(&[0; 8]));
            if let Some(word) = memory.get_mut(offset..offset + 8) {
                word.copy_from_slice(&base.0.wrapping_add(addend).to_le_bytes());
            }
        }
        let bytes = self.image.len() as u64;
        let crc = crc64(memory.get(..self.image.len()).unwrap_or(&[]));
        Pristine { image: Image { base, bytes, crc, entry: base.plus(self.entry) }, memory }
    }
}

/// A relocated image that never runs: every crash starts from a copy of it.
#[derive(Debug)]
pub(crate) struct Pristine {
    image: Image,
    memory: Vec<u8>,
}

impl Pristine {
    /// Makes memory at the image's place equal to this one.
    ///
    /// # Safety
    /// The place is mapped, writable and nobody else's.
    pub(crate) unsafe fn load(&self) -> Image {
        // SAFETY: the caller's promise.
        unsafe { make_equal(self.image.base, &self.memory) };
        self.image
    }
}

/// Makes memory at `at` (8-byte aligned) equal to `bytes`, a multiple of 8 long. Words that are equal already are not
/// written: code that did not change need not be fetched anew, nor translated anew by an emulator.
///
/// # Safety
/// The range is mapped, writable and nobody else's.
pub(crate) unsafe fn make_equal(at: PhysAddr, bytes: &[u8]) {
    let mut next = at.0;
    for word in bytes.as_chunks::<8>().0 {
        let wanted = u64::from_le_bytes(*word);
        // SAFETY: inside the range that the caller vouches for.
        if unsafe { mmio::read64(next) } != wanted {
            // SAFETY: as above.
            unsafe { mmio::write64(next, wanted) }
        }
        next += 8;
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
