//! Puts the first HD Audio controller to work in memory of its own, tells nobody, and starts the payload: an image whose device was
//! never shut down. The payload shares nothing with it but the machine.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "device registers and DMA memory by address, another image's load options")]

extern crate alloc;

use addr::{Bdf, Iova, PhysAddr};
use alloc::vec::Vec;
use arch::bus::Devices;
use core::panic::PanicInfo;
use dma::{Endpoint, Stopper, hda::Hda};
use handover::oracle::{Stream, Window};
use pci::{BusRange, ConfigSpace, Function};
use uefi::{
    Status,
    boot::{
        self, AllocateType, LoadImageSource, MemoryType, OpenProtocolAttributes, OpenProtocolParams, ScopedProtocol,
    },
    cstr16, entry,
    proto::{
        device_path::LoadedImageDevicePath,
        loaded_image::LoadedImage,
        pci::{PciIoAddress, root_bridge::PciRootBridgeIo},
    },
    system,
};

static PAYLOAD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/payload.efi"));

/// 1 MiB.
const HEAP_PAGES: usize = 256;

#[entry]
fn main() -> Status {
    let pages = boot::allocate_pages(AllocateType::AnyPages, MemoryType::LOADER_DATA, HEAP_PAGES);
    let Ok(heap) = pages else { return Status::OUT_OF_RESOURCES };
    // SAFETY: just allocated for this, and never freed.
    unsafe { arch::heap::give(PhysAddr(heap.addr().get() as u64), HEAP_PAGES as u64 * 4096) };
    if leave_running().is_none() {
        system::with_stdout(|console| {
            // Without a console nobody reads it.
            let _ = console.output_string(cstr16!("left-running: no HD Audio controller that works\r\n"));
        });
        return Status::DEVICE_ERROR;
    }
    start_payload().unwrap_or_else(|error| error.status())
}

/// Configuration space by the firmware's root bridge.
struct Bridge(ScopedProtocol<PciRootBridgeIo>);

fn address(function: Bdf, offset: u16) -> PciIoAddress {
    PciIoAddress::new(function.bus(), function.device(), function.function()).with_extended_register(offset.into())
}

impl ConfigSpace for Bridge {
    fn read32(&mut self, function: Bdf, offset: u16) -> u32 {
        self.0.pci().read_one(address(function, offset)).unwrap_or(u32::MAX)
    }

    fn write32(&mut self, function: Bdf, offset: u16, value: u32) {
        // What is refused shows in what is read.
        let _ = self.0.pci().write_one(address(function, offset), value);
    }

    fn write16(&mut self, function: Bdf, offset: u16, value: u16) {
        // As above.
        let _ = self.0.pci().write_one(address(function, offset), value);
    }
}

/// Arms the controller at its own addresses: no SMMU translates for it.
fn leave_running() -> Option<()> {
    let handle = boot::get_handle_for_protocol::<PciRootBridgeIo>().ok()?;
    let params = OpenProtocolParams { handle, agent: boot::image_handle(), controller: None };
    // SAFETY: the bridge's driver stays, and keeps the protocol.
    let bridge = unsafe { boot::open_protocol::<PciRootBridgeIo>(params, OpenProtocolAttributes::GetProtocol).ok()? };
    let mut config = Bridge(bridge);
    let root = BusRange { segment: 0, first: 0, last: 0 };
    let functions: Vec<_> = pci::functions(&mut config, &[root], 64);
    let bdf = functions.iter().find(|found| Hda.claims(&found.identity))?.bdf;
    let registers = Function::new(&mut config, bdf)?.memory_bar(Hda.bar()).ok()??.address;
    let bytes = Hda.window_bytes();
    let pages = || {
        // Reserved: whoever comes next leaves it alone, as it would a dead kernel's memory.
        let all = (2 * bytes / 4096) as usize;
        let start = boot::allocate_pages(AllocateType::MaxAddress(0xffff_ffff), MemoryType::RESERVED, all).ok()?;
        Some(PhysAddr((start.addr().get() as u64).next_multiple_of(0x1_0000)))
    };
    let (target, canary) = (pages()?, pages()?);
    let window = Window { iova: Iova(target.0), target, canary, bytes };
    let mut stream = Stream { bdf, registers, window, ..Stream::default() };
    // SAFETY: the firmware maps BARs that it has set up, and the pages are ours.
    let mut bus = unsafe { Devices::new(true) };
    Hda.arm(&mut config, &mut bus, &mut stream).ok()
}

/// Starts the payload as if it lay where this file lies, with the same load options.
fn start_payload() -> uefi::Result<Status> {
    let own = boot::image_handle();
    let path = boot::open_protocol_exclusive::<LoadedImageDevicePath>(own).ok();
    let source = LoadImageSource::FromBuffer { buffer: PAYLOAD, file_path: path.as_ref().map(|path| &***path) };
    let handle = boot::load_image(own, source)?;
    let options = boot::open_protocol_exclusive::<LoadedImage>(own)?;
    let mut loaded = boot::open_protocol_exclusive::<LoadedImage>(handle)?;
    if let Some(options) = options.load_options_as_bytes() {
        // SAFETY: the options belong to whoever started this image, and outlive it.
        unsafe { loaded.set_load_options(options.as_ptr(), options.len() as u32) }
    }
    drop((path, options, loaded));
    boot::start_image(handle)?;
    Ok(Status::SUCCESS)
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
