//! The machine as the primary left it: whatever the kernel has set up anew is as it was, and silent, before the way back.

use crate::lpis;
use alloc::vec::Vec;
use arch::{bus::Ecam, mmio, timer};
use handover::boot::{Boot, Efi};
use kdump::{given, image};
use pci::{Found, Function, Saved, sriov};
use scenario::Hands;
use witness::guest::{acpi, efi::MEMRESERVE_GUID};

/// From D3hot to D0 (PCI Express Base 6.0, 5.9.1).
const WAKE_US: u64 = 10_000;
/// Offset of `next` in `struct linux_efi_memreserve`: size and count of the first stay 0.
const NEXT: u64 = 8;

/// How every function is set up that may be touched, in bus order.
pub(crate) struct Before(Vec<(Found, Saved)>);

impl Before {
    /// Looks before the kernel runs.
    pub(crate) fn new(config: &mut Ecam, functions: &[Found], hands: &Hands) -> Self {
        Self(given::save(config, given::not_denied(functions, hands).iter()))
    }

    /// Puts functions, interrupts and timer back. Of an endpoint bus mastering stays off.
    pub(crate) fn put_back(&self, boot: &Boot, config: &mut Ecam) {
        image::wake_by_timer(boot);
        // A bridge comes before what lies behind it, and virtual functions after their own.
        let (physical, virtuals): (Vec<_>, Vec<_>) = self.0.iter().partition(|(found, _)| found.physical.is_none());
        for (index, (found, saved)) in physical.iter().chain(&virtuals).enumerate() {
            if index == physical.len() {
                timer::sleep_us(sriov::ENABLE_US);
            }
            // One that is gone is missed where it is to be armed.
            let Some(mut function) = Function::any(config, found.bdf) else { continue };
            if function.wake() == Ok(true) {
                timer::sleep_us(WAKE_US);
            }
            function.take_back(saved);
        }
    }
}

/// Empties the table in which a kernel of an earlier cycle left word for the next: the memory of both is the same.
pub(crate) fn forget_reservations(efi: &Efi) {
    let memory = &lpis::firmware_memory;
    if let Some(table) = acpi::configuration(efi.system_table.0, &MEMRESERVE_GUID, memory) {
        // SAFETY: the table that the primary made for kernels to write to.
        unsafe { mmio::write64(table + NEXT, 0) }
    }
}
