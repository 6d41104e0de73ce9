//! The primary as a UEFI application.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "memory and tables of the firmware by address, and the end of boot services")]

extern crate alloc;

mod acpi_tables;
mod bus_masters;
mod firmware;
mod refuse;

use alloc::string::String;
use core::convert::Infallible;
use firmware::Uefi;
use primary::firmware::{Firmware, Purpose};
use uefi::{Status, entry};

#[entry]
fn main() -> Status {
    let el = arch::cpu::current_el();
    if el != 2 {
        let reason = "started at EL1, but the payload needs EL2 (QEMU: virtualization=on)";
        return refuse::refuse("started-at-el1", reason);
    }
    match start() {
        Ok(never) => match never {},
        Err(reason) => refuse::refuse("cannot-start", &reason),
    }
}

fn start() -> Result<Infallible, String> {
    let mut uefi = Uefi::default();
    let heap = uefi.reserve("the heap", primary::HEAP_BYTES, 4096, u64::MAX, Purpose::Own)?;
    // SAFETY: just allocated for this, and never freed.
    unsafe { arch::heap::give(heap.start, heap.bytes) };
    primary::run(&mut uefi, firmware::collect(heap)?)
}
