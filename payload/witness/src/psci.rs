//! Calls to firmware: HCR_EL2.TSC traps every SMC of the kernel, and most go on unchanged (DEN 0028, DEN 0022).
//!
//! Firmware takes the witness for its caller. What would come back at the exception level of the caller, at an address that
//! the kernel names, has to go through the witness: a CPU that is started, and one that wakes from a state that loses its
//! context. And after SYSTEM_OFF or a reset there is nobody left to tell what was seen.

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// On to firmware with x0 to x17 as they are; what comes back in x0 to x17 is the kernel's (DEN 0028, 2.6).
    Forward,
    /// Back to the kernel with this in x0.
    Answer(i64),
    /// CPU_ON of this CPU, to an entry of the witness's own; there, EL2 is made ready, and the kernel entered at `entry` with
    /// `context` in x0 (DEN 0022, 5.6). What firmware answers is the kernel's.
    Start {
        /// Affinity fields of the CPU's MPIDR_EL1.
        target: u64,
        /// Where the kernel wants it.
        entry: u64,
        /// What the kernel wants to find in x0.
        context: u64,
        /// It was the call for 64 bits, and has to be made as such.
        is_64: bool,
    },
    /// The observation ends; the call goes on when what was seen is told.
    End(Ended),
}

/// How the kernel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// SYSTEM_OFF, SYSTEM_OFF2.
    Off,
    /// SYSTEM_RESET, SYSTEM_RESET2: a kernel that panics comes here, too, if it was told `panic=`.
    Reset,
}

/// NOT_SUPPORTED, of DEN 0028 and DEN 0022 alike.
pub const NOT_SUPPORTED: i64 = -1;
/// INVALID_PARAMETERS (DEN 0022, 5.2.2).
pub const INVALID_PARAMETERS: i64 = -2;

/// A fast call, of which bit 16 says that the caller has nothing in its SVE registers (DEN 0028, 2.5.1): no part of the function's number.
/// Linux 5.14 to 6.12 sets it, where the CPU has SVE and firmware SMCCC 1.3.
const IS_FAST: u32 = 1 << 31;
const NO_SVE: u32 = 1 << 16;
/// A call for 64 bits (DEN 0028, 2.5.1).
const IS_64: u32 = 1 << 30;
const VERSION: u32 = 0x8400_0000;
/// Major version in the upper half (5.3.1).
const VERSION_0_2: i64 = 2;
const CPU_SUSPEND: u32 = 0x8400_0001;
const CPU_ON: u32 = 0x8400_0003;
const SYSTEM_OFF: u32 = 0x8400_0008;
const SYSTEM_RESET: u32 = 0x8400_0009;
const FEATURES: u32 = 0x8400_000A;
const CPU_DEFAULT_SUSPEND: u32 = 0x8400_000C;
const SYSTEM_SUSPEND: u32 = 0x8400_000E;
const SYSTEM_RESET2: u32 = 0x8400_0012;
const SYSTEM_OFF2: u32 = 0x8400_0015;

/// The function that a call in x0 names.
#[must_use]
pub const fn function(x0: u64) -> u32 {
    let id = x0 as u32;
    if id & IS_FAST != 0 { id & !NO_SVE } else { id }
}

/// What to do with an `SMC #immediate` and x0 to x3; `extended` if PSCI_FEATURES of CPU_SUSPEND has bit 1 set: power states
/// are then in the extended format (DEN 0022, 5.4.2).
#[must_use]
pub fn decide(immediate: u16, x: [u64; 4], extended: bool) -> Call {
    if immediate != 0 {
        // DEN 0028, 2.2: reserved.
        return Call::Answer(NOT_SUPPORTED);
    }
    let id = function(x[0]);
    let is_64 = id & IS_64 != 0;
    if refused(id) {
        return Call::Answer(NOT_SUPPORTED);
    }
    // Of a call for 32 bits the upper halves mean nothing (2.5.3).
    let [_, first, second, third] = if is_64 { x } else { x.map(|long| long & 0xFFFF_FFFF) };
    match id & !IS_64 {
        // These exist for 32 bits alone.
        SYSTEM_OFF if !is_64 => Call::End(Ended::Off),
        SYSTEM_RESET if !is_64 => Call::End(Ended::Reset),
        SYSTEM_OFF2 => Call::End(Ended::Off),
        SYSTEM_RESET2 => Call::End(Ended::Reset),
        CPU_ON => Call::Start { target: first, entry: second, context: third, is_64 },
        CPU_SUSPEND if is_power_down(x[1] as u32, extended) => Call::Answer(INVALID_PARAMETERS),
        FEATURES if !is_64 && refused(x[1] as u32) => Call::Answer(NOT_SUPPORTED),
        _ => Call::Forward,
    }
}

/// What to do with an `HVC #immediate` where no firmware takes calls: PSCI 0.2 of one CPU, so that a kernel has a way to end.
#[must_use]
pub fn alone(immediate: u16, x: [u64; 4]) -> Call {
    match decide(immediate, x, false) {
        Call::End(ended) => Call::End(ended),
        Call::Forward if function(x[0]) == VERSION => Call::Answer(VERSION_0_2),
        _ => Call::Answer(NOT_SUPPORTED),
    }
}

/// Never forwarded, and told to be missing.
const fn refused(id: u32) -> bool {
    match id {
        // SDEI (DEN 0054, 5): firmware would deliver the events to EL2, where nobody waits for them.
        0xC400_0020..=0xC400_003F => true,
        // They always lose the context.
        _ => matches!(id & !IS_64, CPU_DEFAULT_SUSPEND | SYSTEM_SUSPEND),
    }
}

/// StateType of a power state: 1 loses the context (5.4.2). A standby state comes back behind the call.
const fn is_power_down(state: u32, extended: bool) -> bool {
    state >> if extended { 30 } else { 16 } & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: u64) -> Call {
        decide(0, [id, 1, 2, 3], false)
    }

    #[test]
    fn what_a_kernel_asks_at_boot_goes_on() {
        // VERSION, CPU_OFF, AFFINITY_INFO, MIGRATE_INFO_TYPE; SMCCC_VERSION, ARCH_FEATURES, ARCH_WORKAROUND_1; TRNG_VERSION.
        for id in
            [0x8400_0000, 0x8400_0002, 0xC400_0004, 0x8400_0006, 0x8000_0000, 0x8000_0001, 0x8000_8000, 0x8400_0050]
        {
            assert_eq!(call(id), Call::Forward, "{id:#x}");
        }
        // FEATURES of what is forwarded, or done.
        for id in [0x8400_0001, 0xC400_0003, 0x8400_0012] {
            assert_eq!(decide(0, [0x8400_000A, id, 0, 0], false), Call::Forward, "{id:#x}");
        }
        // Upper bits of x0 are no part of the ID.
        assert_eq!(call(0xFFFF_FFFF_8400_0008), Call::End(Ended::Off));
    }

    #[test]
    fn the_end_is_seen() {
        for (id, ended) in [
            (0x8400_0008, Ended::Off),
            (0x8400_0009, Ended::Reset),
            (0x8400_0012, Ended::Reset),
            (0xC400_0012, Ended::Reset),
            (0x8400_0015, Ended::Off),
            (0xC400_0015, Ended::Off),
        ] {
            assert_eq!(call(id), Call::End(ended), "{id:#x}");
        }
        // No such call.
        assert_eq!(call(0xC400_0008), Call::Forward);
        // With the hint on SVE.
        assert_eq!((call(0x8401_0008), call(0xC401_0012)), (Call::End(Ended::Off), Call::End(Ended::Reset)));
        assert_eq!((function(0x8401_0002), function(0x1_0000)), (0x8400_0002, 0x1_0000));
    }

    #[test]
    fn a_cpu_is_started_through_the_witness() {
        let start = |id, is_64| match decide(0, [id, 0x1_8000_0100, 0x40_6020_0000, u64::MAX], false) {
            Call::Start { target, entry, context, is_64: found } if found == is_64 => (target, entry, context),
            other => panic!("{id:#x}: {other:?}"),
        };
        assert_eq!(start(0xC401_0003, true), start(0xC400_0003, true));
        assert_eq!(start(0xC400_0003, true), (0x1_8000_0100, 0x40_6020_0000, u64::MAX));
        assert_eq!(start(0x8400_0003, false), (0x8000_0100, 0x6020_0000, 0xFFFF_FFFF));
    }

    #[test]
    fn nothing_comes_back_at_el2_that_the_kernel_named() {
        for id in [0x8400_000C, 0xC400_000C, 0x8400_000E, 0xC400_000E, 0xC400_0020, 0xC400_003F] {
            assert_eq!(call(id), Call::Answer(NOT_SUPPORTED), "{id:#x}");
            assert_eq!(decide(0, [0x8400_000A, id, 0, 0], false), Call::Answer(NOT_SUPPORTED), "FEATURES {id:#x}");
        }
        let suspend = |state, extended| decide(0, [0xC400_0001, state, 0x1234, 0], extended);
        assert_eq!(suspend(0x0001_0000, false), Call::Answer(INVALID_PARAMETERS));
        assert_eq!(suspend(0x4000_0000, true), Call::Answer(INVALID_PARAMETERS));
        assert_eq!(suspend(0x4000_0000, false), Call::Forward, "bits 31:26 are reserved in the original format");
        assert_eq!(suspend(0x0001_0000, true), Call::Forward, "a standby state");
    }

    #[test]
    fn without_firmware_a_kernel_can_still_end() {
        let call = |id| alone(0, [id, 1, 2, 3]);
        assert_eq!(call(0x8400_0000), Call::Answer(2));
        assert_eq!((call(0x8400_0008), call(0x8400_0009)), (Call::End(Ended::Off), Call::End(Ended::Reset)));
        // CPU_ON, CPU_OFF, MIGRATE_INFO_TYPE, SMCCC_VERSION.
        for id in [0xC400_0003, 0x8400_0002, 0x8400_0006, 0x8000_0000] {
            assert_eq!(call(id), Call::Answer(NOT_SUPPORTED), "{id:#x}");
        }
        assert_eq!(alone(1, [0x8400_0008, 0, 0, 0]), Call::Answer(NOT_SUPPORTED));
    }

    #[test]
    fn another_immediate_is_nobodys() {
        assert_eq!(decide(1, [0x8400_0008, 0, 0, 0], false), Call::Answer(NOT_SUPPORTED));
    }
}
