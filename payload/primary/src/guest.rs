//! A kernel that was brought along to take over: the bundle that holds it, the image that watches it, and the memory that it
//! may use.

use crate::{
    firmware::{Firmware, Left, Purpose, Reserved},
    kdump_image::KdumpImage,
};
use alloc::{
    boxed::Box,
    string::{String, ToString},
};
use arch::mmu::{Kind, Region};
use core::slice;
use handover::{boot, bundle::Bundle};
use scenario::options::{REGION_GRANULE, RunOptions};

/// All of it.
pub(crate) struct Brought {
    /// The image that watches.
    pub(crate) image: KdumpImage,
    /// What its boot block says.
    pub(crate) block: boot::Guest,
}

impl Brought {
    /// Looks into the bundle at `file`, and takes memory for the kernel.
    ///
    /// # Errors
    /// One line: what is wrong with the bundle, or how much memory is free.
    pub(crate) fn new(firmware: &mut dyn Firmware, file: Reserved, options: &RunOptions) -> Result<Box<Self>, String> {
        let start = core::ptr::with_exposed_provenance(file.start.0 as usize);
        // SAFETY: the firmware read it, or a boot loader put it there; it is mapped, kept for good, and nobody writes to it.
        let bytes: &'static [u8] = unsafe { slice::from_raw_parts(start, file.bytes as usize) };
        let part = Bundle::find(bytes).map_err(|error| error.to_string())?.image;
        // `find` has seen that the part lies inside.
        let packed = bytes.get(part.offset as usize..).and_then(|rest| rest.get(..part.bytes as usize));
        let image = KdumpImage::packed(packed.unwrap_or_default())?;
        let bytes = u64::from(options.guest_mib) << 20;
        let usable = firmware.reserve("the kernel (guest_mib)", bytes, REGION_GRANULE, u64::MAX, Purpose::Own)?;
        let block = boot::Guest { bundle: region(file), usable: region(usable), ..boot::Guest::default() };
        Ok(Box::new(Self { image, block }))
    }

    /// Adds what is known when the firmware's work has ended; `own` is memory of the primary's that is no kernel's business.
    pub(crate) fn complete(&mut self, left: &mut Left, own: [Reserved; 2]) {
        self.block.efi = left.efi;
        let (start, bytes) = (self.block.bundle.base, self.block.bundle.bytes);
        left.ram.push(Region { start, bytes, kind: Kind::Data });
        let [image, heap] = own.map(region);
        self.block.hidden = [image, heap, self.block.bundle, boot::Region::default()];
    }
}

/// The range as a boot block has it.
const fn region(range: Reserved) -> boot::Region {
    boot::Region { base: range.start, bytes: range.bytes }
}
