//! The file that firmware starts: the primary image, compressed, and what unpacks and starts it.
//!
//! A serial line or a BMC's virtual media carries half as many bytes. The firmware itself loads what comes out (UEFI
//! 2.11, 7.4, LoadImage from memory), so that its rules for image memory and its Secure Boot policy hold for it, too.
//!
//! ```text
//! u32 bytes of the primary image (little endian)  u32 CRC-32 of what follows  LZMA stream
//! ```

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "hands load options on, and pages of the firmware become a slice")]

#[cfg_attr(feature = "told", path = "told.rs")]
mod options;

use core::{panic::PanicInfo, slice};
use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use uefi::{
    CStr16, Handle, ResultExt, Status,
    boot::{self, AllocateType, LoadImageSource, MemoryType},
    cstr16, entry,
    proto::{device_path::LoadedImageDevicePath, loaded_image::LoadedImage},
    system,
};

/// What the build embedded; empty where the loader was built without `cargo xtask build`.
static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/primary.bin"));
/// More than any primary has: a length beyond is damage.
const LARGEST: usize = 16 << 20;
static CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

#[entry]
fn main() -> Status {
    match unpacked().and_then(load) {
        // The primary only comes back where it could not start, and then it has said why.
        Ok((primary, given)) => {
            let status = boot::start_image(primary).status();
            given.take_back();
            status
        }
        Err((status, reason)) => {
            system::with_stdout(|console| {
                // A firmware without a console: the status is all that can be told.
                let _ = console.output_string(reason);
            });
            status
        }
    }
}

type Failure = (Status, &'static CStr16);

/// Unpacks the primary into pages of their own; the primary's own copy is made by the firmware.
fn unpacked() -> Result<&'static [u8], Failure> {
    let damaged = (Status::COMPROMISED_DATA, cstr16!("inflight: damaged; copy it again\r\n"));
    let length = PACKED.split_first_chunk();
    let Some((length, (sum, stream))) = length.and_then(|(length, rest)| Some((length, rest.split_first_chunk()?)))
    else {
        return Err((Status::NOT_FOUND, cstr16!("inflight: empty; use `cargo xtask build`\r\n")));
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length > LARGEST {
        return Err(damaged);
    }
    let pages = boot::allocate_pages(AllocateType::AnyPages, MemoryType::LOADER_DATA, length.div_ceil(4096).max(1));
    let pages = pages.map_err(|error| (error.status(), cstr16!("inflight: no memory left\r\n")))?;
    // SAFETY: as many bytes as were just allocated, at least.
    unsafe { pages.as_ptr().write_bytes(0, length) }
    // SAFETY: the same bytes, initialised by now, and never freed.
    let memory = unsafe { slice::from_raw_parts_mut(pages.as_ptr(), length) };
    // Of the packed bytes, which are fewer: what comes out of them is then what went in.
    if CRC.checksum(stream) != u32::from_le_bytes(*sum) {
        return Err(damaged);
    }
    unpack::decode(stream, memory).map_err(|_| damaged)?;
    unpack::restore(memory, unpack::START);
    Ok(memory)
}

/// Lets the firmware load the primary as if it lay where this file lies.
fn load(primary: &[u8]) -> Result<(Handle, options::Given), Failure> {
    let own = boot::image_handle();
    let refused = |error: uefi::Error| {
        (error.status(), cstr16!("inflight: firmware does not load it; under Secure Boot sign inflight-plain.efi\r\n"))
    };
    let path = boot::open_protocol_exclusive::<LoadedImageDevicePath>(own).ok();
    let source = LoadImageSource::FromBuffer { buffer: primary, file_path: path.as_ref().map(|path| &***path) };
    let handle = boot::load_image(own, source).map_err(refused)?;
    let mut loaded = boot::open_protocol_exclusive::<LoadedImage>(handle).map_err(refused)?;
    let given = options::give(own, &mut loaded).map_err(refused)?;
    Ok((handle, given))
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        // SAFETY: nothing of this image is used after it. It only comes back where the firmware has no such image.
        let _ = unsafe { boot::exit(boot::image_handle(), Status::ABORTED, 0, core::ptr::null_mut()) };
    }
}
