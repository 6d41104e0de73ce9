//! What the primary is told: what this file was told.

use uefi::{Handle, boot, proto::loaded_image::LoadedImage};

/// Nothing that would have to be taken back.
pub(crate) struct Given;

/// Hands the load options on.
pub(crate) fn give(own: Handle, primary: &mut LoadedImage) -> uefi::Result<Given> {
    let options = boot::open_protocol_exclusive::<LoadedImage>(own)?;
    if let Some(options) = options.load_options_as_bytes() {
        // SAFETY: the options belong to whoever started this image, and outlive it.
        unsafe { primary.set_load_options(options.as_ptr(), options.len() as u32) }
    }
    Ok(Given)
}

impl Given {
    /// The primary came back.
    pub(crate) const fn take_back(self) {}
}
