//! PSCI (Arm DEN 0022), through `smccc`.

use crate::alive;
use core::arch::asm;
use smccc::{
    Hvc, Smc,
    psci::{self, AffinityState, LowestAffinityLevel},
};

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
    alive::end();
    // Nothing can be done about an error here.
    let _ = match conduit {
        Conduit::Smc => psci::system_off::<Smc>(),
        Conduit::Hvc => psci::system_off::<Hvc>(),
        Conduit::None => Ok(()),
    };
    halt()
}

/// Turns a CPU on: it enters `entry` at this exception level, MMU off, all exceptions masked, with `argument` in x0.
///
/// # Errors
/// PSCI's code (Arm DEN 0022, 5.2.2); NOT_SUPPORTED without PSCI.
pub(crate) fn cpu_on(conduit: Conduit, affinity: u64, entry: u64, argument: u64) -> Result<(), i64> {
    let answer = match conduit {
        Conduit::Smc => psci::cpu_on::<Smc>(affinity, entry, argument),
        Conduit::Hvc => psci::cpu_on::<Hvc>(affinity, entry, argument),
        Conduit::None => Err(psci::Error::NotSupported),
    };
    answer.map_err(i64::from)
}

/// Turns the running CPU off; where that fails, it sleeps for ever, and [`is_off`] says so.
pub fn cpu_off(conduit: Conduit) -> ! {
    // Nobody waits for an error here but who asks `is_off`.
    let _ = match conduit {
        Conduit::Smc => psci::cpu_off::<Smc>(),
        Conduit::Hvc => psci::cpu_off::<Hvc>(),
        Conduit::None => Ok(()),
    };
    halt()
}

/// Passes a call of a kernel's on to firmware: x0 to x17 as it made it, and as firmware answers (Arm DEN 0028, 2.6).
pub fn forward(x: &mut [u64; 18]) {
    let [function, arguments @ ..] = *x;
    *x = smccc::smc64(function as u32, arguments);
}

/// Whether a CPU is off: its last access is done.
#[must_use]
pub fn is_off(conduit: Conduit, affinity: u64) -> bool {
    let state = match conduit {
        Conduit::Smc => psci::affinity_info::<Smc>(affinity, LowestAffinityLevel::All),
        Conduit::Hvc => psci::affinity_info::<Hvc>(affinity, LowestAffinityLevel::All),
        Conduit::None => Err(psci::Error::NotSupported),
    };
    matches!(state, Ok(AffinityState::Off))
}

/// Sleeps for ever.
pub fn halt() -> ! {
    loop {
        // SAFETY: waiting has no effect on memory.
        unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) }
    }
}
