//! Endpoints that go on doing DMA without the CPU, and how their DMA is counted.
//!
//! A driver keeps all its state in [`handover::oracle::Stream`], so that another image can go on counting.
//!
//! [`frame`] is shared with the host tool that feeds the network endpoints.

#![no_std]
#![forbid(unsafe_code)]

pub mod ahci;
#[cfg(test)]
mod fake;
pub mod frame;
pub mod hda;
pub mod intel_nic;
pub mod load;
pub mod nvme;
pub mod once;
mod poll;
#[cfg(test)]
mod tests;
pub mod virtio;
mod window;
pub mod xhci;

use addr::{Bdf, PhysAddr};
use handover::oracle::Stream;
use pci::{ConfigSpace, Identity, PciError};

pub use window::{fingerprint, first_landed, poison};

/// The drivers, once for each half of them: an image that only counts, or that only stops strangers' devices, carries nothing
/// else.
macro_rules! drivers {
    ($($driver:expr),* $(,)?) => {
        /// All drivers.
        pub static DRIVERS: &[&dyn Endpoint] = &[$(&$driver),*];
        static WITNESSES: &[&dyn Witness] = &[$(&$driver),*];
        static STOPPERS: &[&dyn Stopper] = &[$(&$driver),*];
    };
}

drivers![
    hda::Hda,
    intel_nic::E1000E,
    intel_nic::IGB,
    intel_nic::IGBVF,
    intel_nic::I210,
    ahci::Ahci,
    nvme::Nvme,
    xhci::Xhci,
    virtio::RNG,
    virtio::NET,
    virtio::BLK,
    once::EDU,
    once::EXERCISER,
    once::TESTDEV,
];

/// Finds the driver for a function with these IDs.
#[must_use]
pub fn driver_for(identity: &Identity) -> Option<&'static dyn Endpoint> {
    DRIVERS.iter().copied().find(|driver| driver.claims(identity))
}

/// Finds who can stop a function with these IDs.
#[must_use]
pub fn stopper_for(identity: &Identity) -> Option<&'static dyn Stopper> {
    STOPPERS.iter().copied().find(|driver| driver.claims(identity))
}

/// Finds who counts a stream, by its number in `Stream::driver`.
#[must_use]
pub fn by_id(id: u32) -> Option<&'static dyn Witness> {
    WITNESSES.iter().copied().find(|driver| driver.id() == id)
}

/// What a driver needs of the board: device registers, DMA memory, order and time.
///
/// Register accesses are Device-nGnRE: neither merged nor re-ordered among themselves. Memory accesses reach what the
/// device reads and wrote, whatever its coherency.
pub trait Bus {
    /// Reads an 8-bit device register.
    fn read8(&mut self, at: PhysAddr) -> u8;
    /// Reads a 16-bit device register.
    fn read16(&mut self, at: PhysAddr) -> u16;
    /// Reads a 32-bit device register.
    fn read32(&mut self, at: PhysAddr) -> u32;
    /// Writes an 8-bit device register.
    fn write8(&mut self, at: PhysAddr, value: u8);
    /// Writes a 16-bit device register.
    fn write16(&mut self, at: PhysAddr, value: u16);
    /// Writes a 32-bit device register.
    fn write32(&mut self, at: PhysAddr, value: u32);

    /// Copies DMA memory to `into`.
    fn copy_from(&mut self, at: PhysAddr, into: &mut [u8]);
    /// Copies `from` to DMA memory.
    fn copy_to(&mut self, at: PhysAddr, from: &[u8]);
    /// Fills DMA memory.
    fn fill(&mut self, at: PhysAddr, bytes: u64, with: u8);
    /// Offset of the first of `bytes` bytes at `at` that is not `of`.
    fn first_other(&mut self, at: PhysAddr, bytes: u64, of: u8) -> Option<u64> {
        let mut byte = [0];
        (0..bytes).find(|offset| {
            self.copy_from(at.plus(*offset), &mut byte);
            byte != [of]
        })
    }
    /// Makes earlier memory writes visible to the device before the register write that follows. Pairs with its fetch.
    fn before_doorbell(&mut self);
    /// Orders reads of a device's progress, and of the newest memory that it wrote, before reads of what it wrote earlier.
    fn after_index_read(&mut self);

    /// The system counter, in ticks.
    fn ticks(&mut self) -> u64;
    /// Ticks per second.
    fn frequency(&self) -> u64;
    /// Waits about `us` microseconds, asleep where the board can.
    fn sleep_us(&mut self, us: u64);
}

/// Why an endpoint cannot be armed or stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DmaError {
    /// A register did not reach the value in time.
    #[error("{what} at {at} still reads {last:#x} after {after_us} us")]
    Timeout {
        /// Register, and field where it is one.
        what: &'static str,
        /// Its address.
        at: PhysAddr,
        /// The last value read.
        last: u32,
        /// The deadline.
        after_us: u64,
    },
    /// The function lacks what the driver needs.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The window is smaller than [`Endpoint::window_bytes`], or the identity window than [`Endpoint::rmr_bytes`].
    #[error("a window of {has} bytes, where {needs} are needed")]
    WindowTooSmall {
        /// Bytes of the window.
        has: u64,
        /// Bytes that the driver uses.
        needs: u64,
    },
    /// The function's configuration space is broken.
    #[error(transparent)]
    Config(#[from] PciError),
    /// Nobody answers at the stream's PCI address.
    #[error("nobody answers in configuration space")]
    Gone,
}

/// How one kind of endpoint is counted. Objects are stateless; the state is in [`Stream`].
pub trait Witness: Sync {
    /// Number in `Stream::driver`; unique and stable.
    fn id(&self) -> u32;
    /// Short name, as in the report.
    fn name(&self) -> &'static str;
    /// What is counted.
    fn unit(&self) -> &'static str;
    /// What in memory proves delivery.
    fn witness(&self) -> &'static str;
    /// Units after which every window of a stream has been used at least once.
    fn round(&self) -> u64;
    /// Offset in the canary window of a page that holds data only: where a fault in the translation loses data, and
    /// nothing that the device fetches.
    fn data_page(&self) -> u64;

    /// Brings `stream.totals` up to date. Must be called before the ring or cyclic buffer wraps; what was counted is
    /// poisoned again. Attempts are read on both sides of the scan, so that totals belong to one instant.
    fn sample(&self, bus: &mut dyn Bus, stream: &mut Stream);

    /// Samples that came too late since the stream was armed: the cyclic buffer may have wrapped in between, and the
    /// totals are a lower bound. Anything but 0 makes the stream's counts no evidence.
    fn overruns(&self, stream: &Stream) -> u64;

    /// Its buffer comes round by itself, so that a late sample loses count: others are made to wait for it.
    fn is_cyclic(&self) -> bool {
        false
    }

    /// Samples since the stream was armed that found its ring used up: before them the device waited for descriptors,
    /// and attempted nothing. A cyclic buffer is never used up.
    fn dry_samples(&self, _stream: &Stream) -> u64 {
        0
    }

    /// The device has a count of its attempts that does not pass through the SMMU. Without one `totals.attempted` stays 0
    /// and means nothing.
    fn counts_attempts(&self) -> bool {
        true
    }

    /// Signs, since the stream was armed, that DMA was refused, where attempts are not counted. They do not pass through
    /// the SMMU either. Not a count: one refusal may give many, and many may give one.
    fn refusals(&self, _stream: &Stream) -> u64 {
        0
    }

    /// Units tried between two samples of a stream, as far as that is known: [`Self::round`] of them have used every window.
    fn tried(&self, since: &Stream, now: &Stream) -> u64 {
        now.totals.attempted.saturating_sub(since.totals.attempted)
    }
}

/// A register that a working driver writes to have new work fetched. Written with the value that it has, it starts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doorbell {
    /// 16 bits, at this offset from `Stream::registers`.
    Wide16(u64),
    /// 32 bits.
    Wide32(u64),
    /// 32 bits that cannot be read: its value is kept in this word of `Stream::state`.
    Kept32 {
        /// Offset from `Stream::registers`.
        at: u64,
        /// Index of the word, whose low half it is.
        state: usize,
    },
}

/// How one kind of endpoint is stopped, also by one who does not know what it was doing.
pub trait Stopper: Sync {
    /// Tells whether this driver is for a function with these IDs.
    fn claims(&self, identity: &Identity) -> bool;
    /// Number of its BAR.
    fn bar(&self) -> u8 {
        0
    }
    /// Stops DMA: bus mastering off, then the driver's own reset, by the registers at `registers`.
    ///
    /// # Errors
    /// [`DmaError::Timeout`] where the device does not stop.
    fn stop(
        &self,
        config: &mut dyn ConfigSpace,
        bus: &mut dyn Bus,
        function: Bdf,
        registers: PhysAddr,
    ) -> Result<(), DmaError>;
}

/// One kind of endpoint: how it is put to work. `Stream::registers` is the address of [`Stopper::bar`].
pub trait Endpoint: Witness + Stopper {
    /// Bytes of the canary window that it needs, a multiple of 64 KiB.
    fn window_bytes(&self) -> u64;
    /// Bytes of the identity window that it uses, from its first address, when the stream has one.
    fn rmr_bytes(&self) -> u64;
    /// A doorbell that neither this driver nor its counting half writes while the endpoint works.
    fn doorbell(&self) -> Doorbell;

    /// Place in the order in which endpoints are armed: those with a higher rank come first. Controllers that take long have a
    /// high one, because a cyclic buffer that runs must be sampled before it comes round.
    fn rank(&self) -> u32 {
        self.id()
    }

    /// Virtual functions that it can serve beside its own.
    fn most_virtual(&self) -> u16 {
        0
    }

    /// Begins what takes long, before any endpoint is armed, so that all of them wait at the same time. What goes wrong is for
    /// [`Self::arm`] to say.
    fn begin(&self, _config: &mut dyn ConfigSpace, _bus: &mut dyn Bus, _stream: &mut Stream) {}

    /// Puts the function to work in the windows of `stream`: writes and poisons targets and canaries, starts DMA that
    /// needs no CPU. With an identity window its DMA alternates between both windows. Interrupts stay off. The function
    /// may be found running. On return bus mastering is on.
    ///
    /// # Errors
    /// [`DmaError`]; the function is then stopped and its bus mastering off.
    fn arm(&self, config: &mut dyn ConfigSpace, bus: &mut dyn Bus, stream: &mut Stream) -> Result<(), DmaError>;

    /// Stops the endpoint of a stream.
    ///
    /// # Errors
    /// As [`Stopper::stop`].
    fn quiesce(&self, config: &mut dyn ConfigSpace, bus: &mut dyn Bus, stream: &Stream) -> Result<(), DmaError> {
        self.stop(config, bus, stream.bdf, stream.registers)
    }
}
