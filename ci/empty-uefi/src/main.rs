//! Powers the machine off as soon as the firmware starts it.

#![no_std]
#![no_main]

use core::ffi::c_void;

/// `EfiResetShutdown` (UEFI 2.11, 8.5.1).
const SHUTDOWN: u32 = 2;

/// Beginning of `EFI_RUNTIME_SERVICES` (UEFI 2.11, 4.5), up to the service that is called.
#[repr(C)]
pub struct RuntimeServices {
    header: [u64; 3],
    others: [*const c_void; 10],
    reset_system: unsafe extern "efiapi" fn(u32, usize, usize, *const c_void) -> !,
}

/// Beginning of `EFI_SYSTEM_TABLE` (UEFI 2.11, 4.3), up to the pointer that is read.
#[repr(C)]
pub struct SystemTable {
    header: [u64; 3],
    vendor: *const u16,
    revision: u32,
    consoles: [*const c_void; 6],
    runtime_services: *const RuntimeServices,
}

/// The firmware calls this.
///
/// # Safety
/// `table` is the system table of a firmware whose boot services are still there.
#[unsafe(no_mangle)]
pub unsafe extern "efiapi" fn efi_main(_image: *const c_void, table: *const SystemTable) -> usize {
    // SAFETY: the caller hands over a system table with valid runtime services (UEFI 2.11, 4.1).
    unsafe { ((*(*table).runtime_services).reset_system)(SHUTDOWN, 0, 0, core::ptr::null()) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
