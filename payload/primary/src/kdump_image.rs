//! The image of a taker as `xtask` packs it: flat, with its relocations. Loaded afresh for each crash.
//!
//! ```text
//! "IFKDUMP4"  u32 image bytes  u32 memory bytes  u32 entry offset  u32 relocations
//! image bytes …  u32 distance of each relocation from the one before …  u64 CRC-64 of all before
//! ```

use crate::region;
use addr::PhysAddr;
use alloc::{format, string::String, vec::Vec};
use arch::mmio;
use handover::{boot::Image, crc64};
use smmu::observe::Fold;

/// What the build embedded; empty where the image was built without `cargo xtask build`.
static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kdump.bin"));

const HEADER_BYTES: usize = 24;
const RELOCATION_BYTES: usize = 4;

/// An image, its lengths checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KdumpImage {
    image: &'static [u8],
    /// Distances, four bytes each.
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
        Self::packed(PACKED)
    }

    /// The one in these bytes.
    ///
    /// # Errors
    /// One line: damaged.
    pub(crate) fn packed(packed: &'static [u8]) -> Result<Self, String> {
        let damaged = |what: &str| format!("the taker's image is damaged: {what}");
        // Of a file cut short the last bytes are no CRC.
        let (checked, crc) = packed.split_last_chunk::<8>().unwrap_or((&[], &[0; 8]));
        if crc64(checked) != u64::from_le_bytes(*crc) {
            return Err(damaged("wrong CRC"));
        }
        let parts = checked.split_first_chunk::<HEADER_BYTES>();
        let parts = parts.and_then(|(header, body)| Some((header.strip_prefix(b"IFKDUMP4")?, body)));
        let Some((fields, body)) = parts else { return Err(damaged("wrong magic")) };
        let mut fields = fields.as_chunks::<4>().0.iter().map(|field| u32::from_le_bytes(*field) as usize);
        let mut field = || fields.next().unwrap_or(0);
        let (image_bytes, memory_bytes, entry, count) = (field(), field(), field(), field());
        let parts = body.split_at_checked(image_bytes);
        let parts = parts.filter(|(_, relocations)| count.checked_mul(RELOCATION_BYTES) == Some(relocations.len()));
        match parts {
            Some((image, relocations))
                if memory_bytes as u64 <= region::BYTES && memory_bytes >= image_bytes && entry < image_bytes =>
            {
                Ok(Self { image, relocations, memory_bytes: memory_bytes as u64, entry: entry as u64 })
            }
            _ => Err(damaged("lengths contradict each other")),
        }
    }

    /// Bytes that it needs in memory, zero-initialised data included.
    pub(crate) const fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// The image as it must stand at `base` (4 KiB aligned): R_AARCH64_RELATIVE applied, zero-initialised data zero.
    pub(crate) fn relocated_to(&self, base: PhysAddr) -> Pristine {
        let mut memory = self.image.to_vec();
        let mut place = 0;
        for distance in self.relocations.as_chunks::<RELOCATION_BYTES>().0 {
            place += u32::from_le_bytes(*distance) as usize;
            let word = memory.get_mut(place..).and_then(<[u8]>::first_chunk_mut);
            if let Some(word) = word {
                *word = u64::from_le_bytes(*word).wrapping_add(base.0).to_le_bytes();
            }
        }
        let bytes = memory.len() as u64;
        let digest = Fold::of_bytes(&memory);
        memory.resize(self.memory_bytes as usize, 0);
        Pristine { image: Image { base, bytes, digest, entry: base.plus(self.entry) }, memory }
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

/// Digest of `image` as it lies in memory now, for the check before the jump.
///
/// # Safety
/// The image's range is mapped and holds no Rust objects.
pub(crate) unsafe fn digest(image: &Image) -> u64 {
    let pointer = core::ptr::with_exposed_provenance::<u8>(image.base.0 as usize);
    // SAFETY: the caller's promise; nothing writes to the range while the slice lives.
    Fold::of_bytes(unsafe { core::slice::from_raw_parts(pointer, image.bytes as usize) })
}
