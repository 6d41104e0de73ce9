//! Whether what was to outlive the kernel did: the image itself, its boot block, and memory that nobody writes to.

use addr::PhysAddr;
use alloc::{
    format,
    string::{String, ToString},
};
use arch::frames::FrameRange;
use core::slice;
use handover::boot::{Boot, Region};
use kdump::given;
use smmu::{frames::Frames, observe::Fold};

unsafe extern "C" {
    /// Behind all of the image that is only read (`linker/kdump.ld`).
    static read_only_end: u8;
}

/// Memory that is filled, and only looked at in the end.
const LURE_BYTES: u64 = 256 << 10;
const LURE: u8 = 0x5A;

/// What it was before the kernel ran.
pub(crate) struct Survival {
    image: Region,
    digest: u64,
    lure: Option<PhysAddr>,
}

impl Survival {
    /// Looks for the first time.
    pub(crate) fn new(boot: &Boot, frames: &mut FrameRange) -> Self {
        let end = (&raw const read_only_end).addr() as u64;
        let image = Region { base: boot.image.base, bytes: end.saturating_sub(boot.image.base.0) };
        let lure = frames.allocate(LURE_BYTES, 4096);
        if let Some(at) = lure {
            let to = core::ptr::with_exposed_provenance_mut(at.0 as usize);
            // SAFETY: frames of our own, given to nobody else.
            unsafe { slice::from_raw_parts_mut(to, LURE_BYTES as usize) }.fill(LURE);
        }
        Self { image, digest: Fold::of_bytes(given::bytes(image)), lure }
    }

    /// Writes one byte as a stray device would: the planted fault.
    pub(crate) fn damage(&self) {
        if let Some(at) = self.lure {
            // SAFETY: as above.
            unsafe { arch::mmio::write8(at.0 + LURE_BYTES / 2, !LURE) }
        }
    }

    /// Looks again; the first thing that did not survive.
    pub(crate) fn look(&self, boot: &Boot) -> Result<(), String> {
        boot.verify().map_err(|error| error.to_string())?;
        let found = Fold::of_bytes(given::bytes(self.image));
        if found != self.digest {
            return Err(format!("the image's digest is {found:#x}, not {:#x}", self.digest));
        }
        let at = self.lure.ok_or("no memory to be looked at was left")?;
        let bytes = given::bytes(Region { base: at, bytes: LURE_BYTES });
        match bytes.iter().position(|byte| *byte != LURE) {
            Some(offset) => Err(format!("somebody wrote to {}, which is nobody's", at.plus(offset as u64))),
            None => Ok(()),
        }
    }
}
