//! The primary without firmware: an arm64 `Image` for `-kernel`, U-Boot's `booti`, TF-A's BL33, or a debugger.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "entered with the MMU off: memory by address, and the symbols of the linker")]

extern crate alloc;

mod entry;
mod first;
mod given;
mod memory;

use addr::PhysAddr;
use alloc::string::String;
use arch::{console, power, power::Conduit, serial::At};
use core::convert::Infallible;
use first::Map;
use given::Blob;
use memory::Memory;
use primary::refusal;

unsafe extern "C" {
    static __heap_start: u8;
    static __heap_end: u8;
}

/// Where the image's own parts are.
#[derive(Clone, Copy)]
struct Image {
    /// Code, data and stack.
    start: PhysAddr,
    /// Its end, where the heap begins.
    heap: PhysAddr,
    /// The first byte that is not the image's.
    end: PhysAddr,
}

/// The first Rust code with the MMU on.
extern "C" fn raw_main(devicetree: PhysAddr, start: PhysAddr) -> ! {
    let at = |symbol: *const u8| PhysAddr(symbol.addr() as u64);
    let image = Image { start, heap: at(&raw const __heap_start), end: at(&raw const __heap_end) };
    // SAFETY: the linker set it apart, the boot protocol keeps it free (image_size), and the first map has it.
    unsafe { arch::heap::give(image.heap, image.end.0 - image.heap.0) };
    // SAFETY: the entry made it, and this is the only call.
    let mut map = unsafe { Map::in_force() };
    // SAFETY: what x0 held at the entry; the first map has it.
    let blob = match unsafe { Blob::at(devicetree, &mut map) } {
        Ok(blob) => blob,
        // No console is known: whoever looks by a debugger finds the CPU asleep here.
        Err(given::NoDevicetree) => power::off(Conduit::None),
    };
    let (id, reason) = match start_at(arch::cpu::current_el(), &blob, image, &mut map) {
        Ok(never) => match never {},
        Err(refused) => refused,
    };
    if let Some(found) = blob.console()
        && map.device(found.base).is_ok()
    {
        // SAFETY: the devicetree names it as the console, and it is mapped as Device memory.
        unsafe { console::init(At::new(found.base.0, u32::from(found.access_bytes) * 8, found.stride.into()), 0) };
        console::with(|writer| refusal::write(writer, id, &reason));
    }
    power::off(blob.conduit())
}

type Refused = (&'static str, String);

fn start_at(el: u8, blob: &Blob, image: Image, map: &mut Map) -> Result<Infallible, Refused> {
    if el != 2 {
        let reason = "started at EL1, but the payload needs EL2 (QEMU: virtualization=on)";
        return Err(("started-at-el1", reason.into()));
    }
    let given = given::given(blob, image, map);
    let mut memory = Memory::new(blob, image, map);
    primary::run(&mut memory, given).map_err(|reason| ("cannot-start", reason))
}
