//! What the primary is told, where this file came over a network and no volume is beside it: what the build put into this file.
//! Load options of the boot entry are not asked: what was brought is what runs.

use core::{ffi::c_void, ptr};
use uefi::{
    Guid, Handle, Identify, Status, boot, guid,
    proto::{device_path::DevicePath, loaded_image::LoadedImage, media::load_file::LoadFile2},
};

/// UCS-2 text with its terminator.
static OPTIONS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/options.bin"));
/// A table that replaces the firmware's; empty: none does.
static IORT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/iort.bin"));

/// LINUX_EFI_INITRD_MEDIA_GUID, under which the primary asks for a table.
const INITRD_MEDIA: Guid = guid!("5568e427-68fc-4f3d-ac74-ca555231cc68");
/// One vendor media node (type 4, subtype 3), then the end node (UEFI 2.11, 10.3.1, 10.3.5.3).
static PATH: [u8; 24] = {
    let mut path = [0; 24];
    let (head, rest) = path.split_at_mut(4);
    let (guid, end) = rest.split_at_mut(16);
    head.copy_from_slice(&[4, 3, 20, 0]);
    guid.copy_from_slice(&INITRD_MEDIA.to_bytes());
    end.copy_from_slice(&[0x7f, 0xff, 4, 0]);
    path
};

/// EFI_LOAD_FILE2_PROTOCOL (UEFI 2.11, 13.2).
#[repr(C)]
struct Offer {
    load_file: extern "efiapi" fn(*mut c_void, *const c_void, u8, *mut usize, *mut u8) -> Status,
}

static OFFER: Offer = Offer { load_file };

/// The handle on which the table is offered.
pub(crate) struct Given(Option<Handle>);

/// Tells the primary what this file holds.
pub(crate) fn give(_own: Handle, primary: &mut LoadedImage) -> uefi::Result<Given> {
    // SAFETY: they are part of this image, which outlives the one that it starts.
    unsafe { primary.set_load_options(OPTIONS.as_ptr(), OPTIONS.len() as u32) }
    if IORT.is_empty() {
        return Ok(Given(None));
    }
    // SAFETY: a device path, which stays until the primary comes back, and with it the interface.
    let handle = unsafe { boot::install_protocol_interface(None, &DevicePath::GUID, ptr::from_ref(&PATH).cast()) }?;
    // SAFETY: as above; it is of the layout that the protocol has.
    unsafe { boot::install_protocol_interface(Some(handle), &LoadFile2::GUID, ptr::from_ref(&OFFER).cast()) }?;
    Ok(Given(Some(handle)))
}

impl Given {
    /// The primary came back: nothing may point into this image when it is gone.
    pub(crate) fn take_back(self) {
        let Some(handle) = self.0 else { return };
        // SAFETY: installed above, and nobody uses it any more. Where the firmware refuses there is nothing left to do.
        let _ = unsafe { boot::uninstall_protocol_interface(handle, &LoadFile2::GUID, ptr::from_ref(&OFFER).cast()) };
        // SAFETY: as above.
        let _ = unsafe { boot::uninstall_protocol_interface(handle, &DevicePath::GUID, ptr::from_ref(&PATH).cast()) };
    }
}

/// Copies the table to whoever asks, or says how large it is.
extern "efiapi" fn load_file(_: *mut c_void, _: *const c_void, is_boot: u8, size: *mut usize, to: *mut u8) -> Status {
    if is_boot != 0 {
        return Status::UNSUPPORTED;
    }
    if size.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null, and the caller's by the protocol.
    let room = unsafe { size.replace(IORT.len()) };
    if to.is_null() || room < IORT.len() {
        return Status::BUFFER_TOO_SMALL;
    }
    // SAFETY: the caller has that much room there.
    unsafe { to.copy_from_nonoverlapping(IORT.as_ptr(), IORT.len()) }
    Status::SUCCESS
}
