//! PCI Express configuration space: functions, BARs, capabilities.
//!
//! Every walk is bounded and every answer of a function is taken as untrusted: a function that is gone reads as all
//! ones, a broken one may link its capabilities in a circle.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod assign;
mod audit;
mod bar;
mod capability;
mod dpc;
mod enumerate;
pub mod error;
#[cfg(test)]
mod fake;
mod function;
pub mod isolation;
mod offers;
pub mod port;
mod reset;
pub mod sriov;
pub mod state;
#[cfg(test)]
mod tests;

use addr::Bdf;

pub use audit::{Fault, FaultKind, audit};
pub use bar::Bar;
pub use capability::{CapabilityId, ExtendedCapabilityId};
pub use enumerate::{BusRange, Found, for_each_function, functions, functions_and_faults, port_above, root_at};
pub use error::{ErrorPlaces, ErrorRegister, ErrorState};
pub use function::{Command, Function, HeaderType};
pub use isolation::isolation;
pub use offers::{Offers, offers};
pub use reset::{ANSWER_US, RESET_US, Saved};
pub use state::State;

/// Configuration space by ECAM (PCI Firmware Specification 3.3, 4.1.2). Offsets are below 4096 and naturally aligned.
pub trait ConfigSpace {
    /// Reads 32 bits; all ones where no function answers.
    fn read32(&mut self, function: Bdf, offset: u16) -> u32;
    /// Writes 32 bits.
    fn write32(&mut self, function: Bdf, offset: u16, value: u32);
    /// Writes 16 bits, leaving the neighbouring 16 (status bits are write-one-to-clear).
    fn write16(&mut self, function: Bdf, offset: u16, value: u16);
}

/// IDs of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// Class code 23:0: base class, sub-class, programming interface.
    pub class: u32,
}

/// What is wrong with a function's configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PciError {
    /// The capability list does not end: it has more entries than fit.
    #[error("{function}: the capability list at {at:#x} does not end")]
    CapabilityLoop {
        /// The function.
        function: Bdf,
        /// Offset of the entry where the walk stopped.
        at: u16,
    },
    /// A capability pointer leads outside the space that capabilities may use.
    #[error("{function}: a capability pointer leads to {at:#x}")]
    CapabilityPointer {
        /// The function.
        function: Bdf,
        /// Where it leads.
        at: u16,
    },
    /// A base address register has a reserved type, or a 64-bit one is the last.
    #[error("{function}: BAR {index} reads {value:#x}")]
    BarType {
        /// The function.
        function: Bdf,
        /// Number of the register.
        index: u8,
        /// What it reads.
        value: u32,
    },
}
