//! The one way to an SMMU: every register, structure word and barrier of a policy passes through [`Access`].
//!
//! `arch` implements it on the board and the tests' fakes on the host; [`crate::log::Logged`] wraps either and records.

use addr::PhysAddr;

/// Which SMMU of the platform, in the order in which the firmware tables name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SmmuIndex(pub u8);

/// What a 64-bit word in memory belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Structure {
    /// Level-1 stream table descriptor (IHI 0070, 5.1).
    L1Std = 0,
    /// Stream table entry (5.2).
    Ste = 1,
    /// Level-1 context descriptor (5.3).
    L1Cd = 2,
    /// Context descriptor (5.4).
    Cd = 3,
    /// Command queue entry (4.1).
    Command = 4,
    /// Event queue entry (7.2).
    Event = 5,
    /// Translation table descriptor (VMSAv8-64).
    Pte = 6,
}

/// A barrier, named by what it orders; the implementation picks the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Barrier {
    /// Structure words are visible to the SMMU before anything after it (IHI 0070, 3.21.3). Pairs with its fetch.
    PublishStructure = 0,
    /// Queue entries are visible before the PROD write that hands them over. Pairs with the SMMU's queue read.
    BeforeDoorbell = 1,
    /// Queue entries are read only after the PROD or CONS read that announced them.
    AfterIndexRead = 2,
}

/// Nothing answers at this address: it is outside RAM, or the read was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory answers at {0}")]
pub struct Unbacked(pub PhysAddr);

/// Registers, structures, order and time, for any number of SMMUs.
///
/// Offsets are from the SMMU's page 0; page 1 is at `0x1_0000`. Structure addresses are 8-byte aligned.
pub trait Access {
    /// Reads a 32-bit register.
    fn read32(&mut self, smmu: SmmuIndex, offset: u32) -> u32;
    /// Writes a 32-bit register.
    fn write32(&mut self, smmu: SmmuIndex, offset: u32, value: u32);
    /// Reads a 64-bit register.
    fn read64(&mut self, smmu: SmmuIndex, offset: u32) -> u64;
    /// Writes a 64-bit register.
    fn write64(&mut self, smmu: SmmuIndex, offset: u32, value: u64);

    /// Reads a structure word with single-copy atomicity; for a non-coherent SMMU, past the CPU's caches.
    ///
    /// # Errors
    /// [`Unbacked`] where no memory answers: a crashed kernel's table may point anywhere.
    fn load(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr) -> Result<u64, Unbacked>;
    /// Reads neighbouring structure words, each as [`Access::load`] does.
    ///
    /// # Errors
    /// [`Unbacked`] for the first where no memory answers.
    fn load_words(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, into: &mut [u64]) -> Result<(), Unbacked> {
        for (offset, word) in (0..).step_by(8).zip(into) {
            *word = self.load(smmu, what, at.plus(offset))?;
        }
        Ok(())
    }
    /// Writes a structure word with single-copy atomicity; for a non-coherent SMMU, cleaned to the point of coherency.
    fn store(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64);
    /// Writes `value` to `count` structure words, `stride` bytes apart: one entry in the log for a table being filled.
    fn fill(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, stride: u32, count: u32, value: u64) {
        for index in 0..u64::from(count) {
            self.store(smmu, what, at.plus(index.wrapping_mul(stride.into())), value);
        }
    }
    /// Writes a structure word and returns what was there, as one atomic access: of a descriptor whose flags the SMMU
    /// updates (IHI 0070, 3.13), between whose load and store an update would be lost. Normal write-back shareable memory,
    /// and a coherent SMMU, only.
    ///
    /// # Errors
    /// [`Unbacked`] where no memory answers.
    fn swap(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64) -> Result<u64, Unbacked>;
    /// Orders what came before against what follows.
    fn barrier(&mut self, barrier: Barrier);

    /// The system counter, in ticks.
    fn ticks(&mut self) -> u64;
    /// Ticks per second.
    fn frequency(&self) -> u64;
    /// Waits a little inside a poll (a few microseconds at most).
    fn pause(&mut self);
    /// Names the step that begins: SErrors are attributed to it. Costs no bus access.
    fn step(&mut self, name: &'static str);
}

/// Hands everything on but `write32` and `step`, which whoever sits between a policy and the SMMU looks at.
macro_rules! forward {
    ($self:ident => $hw:expr) => {
        fn read32(&mut $self, smmu: SmmuIndex, offset: u32) -> u32 {
            $hw.read32(smmu, offset)
        }
        fn read64(&mut $self, smmu: SmmuIndex, offset: u32) -> u64 {
            $hw.read64(smmu, offset)
        }
        fn write64(&mut $self, smmu: SmmuIndex, offset: u32, value: u64) {
            $hw.write64(smmu, offset, value);
        }
        fn load(&mut $self, smmu: SmmuIndex, what: Structure, at: PhysAddr) -> Result<u64, Unbacked> {
            $hw.load(smmu, what, at)
        }
        fn store(&mut $self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64) {
            $hw.store(smmu, what, at, value);
        }
        fn fill(&mut $self, smmu: SmmuIndex, what: Structure, at: PhysAddr, stride: u32, count: u32, value: u64) {
            $hw.fill(smmu, what, at, stride, count, value);
        }
        fn swap(&mut $self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64) -> Result<u64, Unbacked> {
            $hw.swap(smmu, what, at, value)
        }
        fn barrier(&mut $self, barrier: Barrier) {
            $hw.barrier(barrier);
        }
        fn ticks(&mut $self) -> u64 {
            $hw.ticks()
        }
        fn frequency(&$self) -> u64 {
            $hw.frequency()
        }
        fn pause(&mut $self) {
            $hw.pause();
        }
    };
}
pub(crate) use forward;
