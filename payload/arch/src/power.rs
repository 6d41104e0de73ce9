//! PSCI (Arm DEN 0022), through `smccc`.

use core::arch::asm;
use smccc::{Hvc, Smc, psci};

/// The instruction that reaches PSCI (FADT ARM_BOOT_ARCH).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// SMC: firmware at EL3, or QEMU in its place.
    Smc,
    /// HVC: a hypervisor.
    Hvc,
    /// No PSCI.
    None,
}

/// Powers the machine off; where that fails, sleeps for ever: the host's deadline then ends the run as lost.
pub fn off(conduit: Conduit) -> ! {
    // Nothing can be done about an error here.
    let _ = match conduit {
        Conduit::Smc => psci::system_off::<Smc>(),
        Conduit::Hvc => psci::system_off::<Hvc>(),
        Conduit::None => Ok(()),
    };
    loop {
        // SAFETY: waiting has no effect on memory.
        unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) }
    }
}
