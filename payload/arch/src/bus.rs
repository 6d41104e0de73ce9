//! The board behind the traits of `smmu`, `dma` and `pci`.

use crate::{cache, cpu, exceptions, mmio, ranges::widest, timer};
use addr::{Bdf, PhysAddr};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use smmu::access::{Access, Barrier, SmmuIndex, Structure, Unbacked};

/// One SMMU's register frame.
#[derive(Clone, Copy, Debug)]
pub struct SmmuFrame {
    /// Page 0; page 1 is 64 KiB above.
    pub base: PhysAddr,
    /// Whether its structure reads snoop the CPU's caches.
    pub coherent: bool,
}

/// All SMMUs of the board.
#[derive(Clone, Debug)]
pub struct Smmus {
    frames: Vec<SmmuFrame>,
    /// The page that was last seen to be Normal memory: scans ask for the same one again and again.
    normal_page: u64,
}

impl Smmus {
    /// The SMMUs at `frames`, in the order of their indices.
    ///
    /// # Safety
    /// Each frame's two 64 KiB pages are mapped as Device memory for as long as this lives, and are an SMMUv3's.
    #[must_use]
    pub const unsafe fn new(frames: Vec<SmmuFrame>) -> Self {
        Self { frames, normal_page: u64::MAX }
    }

    /// An SMMU that the tables do not name reads as zero everywhere.
    fn register(&self, smmu: SmmuIndex, offset: u32) -> Option<u64> {
        self.frames.get(usize::from(smmu.0)).map(|frame| frame.base.0 + u64::from(offset))
    }

    /// Whether the map in force, which never changes while this lives, has memory at `at`.
    fn is_memory(&mut self, at: PhysAddr) -> bool {
        let page = at.0 >> 12;
        if page != self.normal_page && cpu::normal_memory_at(at.0) {
            self.normal_page = page;
        }
        at.is_aligned(8) && page == self.normal_page
    }

    fn is_coherent(&self, smmu: SmmuIndex) -> bool {
        self.frames.get(usize::from(smmu.0)).is_none_or(|frame| frame.coherent)
    }
}

impl Access for Smmus {
    fn read32(&mut self, smmu: SmmuIndex, offset: u32) -> u32 {
        // SAFETY: an offset of `smmu::spec` inside a frame that `new` vouches for.
        self.register(smmu, offset).map_or(0, |at| unsafe { mmio::read32(at) })
    }

    fn write32(&mut self, smmu: SmmuIndex, offset: u32, value: u32) {
        if let Some(at) = self.register(smmu, offset) {
            // SAFETY: an offset of `smmu::spec` inside a frame that `new` vouches for.
            unsafe { mmio::write32(at, value) }
        }
    }

    fn read64(&mut self, smmu: SmmuIndex, offset: u32) -> u64 {
        // SAFETY: an offset of `smmu::spec` inside a frame that `new` vouches for.
        self.register(smmu, offset).map_or(0, |at| unsafe { mmio::read64(at) })
    }

    fn write64(&mut self, smmu: SmmuIndex, offset: u32, value: u64) {
        if let Some(at) = self.register(smmu, offset) {
            // SAFETY: an offset of `smmu::spec` inside a frame that `new` vouches for.
            unsafe { mmio::write64(at, value) }
        }
    }

    fn load(&mut self, smmu: SmmuIndex, _: Structure, at: PhysAddr) -> Result<u64, Unbacked> {
        if !self.is_memory(at) {
            return Err(Unbacked(at));
        }
        if !self.is_coherent(smmu) {
            cache::refetch_line(at);
        }
        exceptions::probe_read64(at.0).ok_or(Unbacked(at))
    }

    fn load_words(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, into: &mut [u64]) -> Result<(), Unbacked> {
        // The map has one answer for a page, in which a table is read without asking again: it happens in every crash.
        if self.is_coherent(smmu) && self.is_memory(at) && (at.0 & 0xfff) + 8 * into.len() as u64 <= 0x1000 {
            return exceptions::probe_read_words(at.0, into).map_err(|at| Unbacked(PhysAddr(at)));
        }
        for (offset, word) in (0..).step_by(8).zip(into) {
            *word = self.load(smmu, what, at.plus(offset))?;
        }
        Ok(())
    }

    fn store(&mut self, smmu: SmmuIndex, _: Structure, at: PhysAddr, value: u64) {
        // A policy stores only to what it allocated or adopted; adopted tables were loaded, and so are memory.
        if !self.is_memory(at) {
            return;
        }
        // SAFETY: Normal memory by the check above; structures are never behind Rust references.
        unsafe { mmio::write64(at.0, value) }
        if !self.is_coherent(smmu) {
            cache::clean_line(at);
        }
    }

    fn swap(&mut self, _: SmmuIndex, _: Structure, at: PhysAddr, value: u64) -> Result<u64, Unbacked> {
        if !self.is_memory(at) {
            return Err(Unbacked(at));
        }
        // SAFETY: aligned Normal memory by the check above, mapped write-back and inner shareable; all that Rust knows of it
        // is this access.
        let word = unsafe { AtomicU64::from_ptr(core::ptr::with_exposed_provenance_mut(at.0 as usize)) };
        Ok(word.swap(value, Ordering::AcqRel))
    }

    fn barrier(&mut self, barrier: Barrier) {
        match barrier {
            // DSB, not DMB: `clean_line` and the register write that follows must be ordered too.
            Barrier::PublishStructure | Barrier::BeforeDoorbell => cpu::dsb(),
            Barrier::AfterIndexRead => cpu::dmb_load(),
        }
    }

    fn ticks(&mut self) -> u64 {
        timer::now()
    }

    fn frequency(&self) -> u64 {
        timer::frequency()
    }

    fn pause(&mut self) {
        core::hint::spin_loop();
    }

    fn step(&mut self, name: &'static str) {
        exceptions::step(name);
    }
}

/// Bytes that one load or store moves where a large window is filled or searched.
const PAIR: u64 = 16;

/// Device registers and DMA memory, for endpoint drivers.
#[derive(Clone, Copy, Debug)]
pub struct Devices {
    coherent: bool,
}

impl Devices {
    /// `coherent`: devices' accesses snoop the CPU's caches.
    ///
    /// # Safety
    /// BARs of functions that drivers claim are mapped as Device memory, and DMA windows as Normal memory that no Rust
    /// reference points to.
    #[must_use]
    pub const unsafe fn new(coherent: bool) -> Self {
        Self { coherent }
    }

    /// Ends of a range's unaligned head, of its aligned pairs of words, and of all of it.
    fn split(at: PhysAddr, bytes: u64) -> (u64, u64, u64) {
        let end = at.0 + bytes;
        let head = at.0.next_multiple_of(PAIR).min(end);
        (head, (end & !(PAIR - 1)).max(head), end)
    }

    fn sync(&self, at: PhysAddr, bytes: u64) {
        if !self.coherent {
            cache::clean_invalidate(at, bytes);
        }
    }
}

macro_rules! register {
    ($read:ident, $write:ident, $type:ty) => {
        fn $read(&mut self, at: PhysAddr) -> $type {
            // SAFETY: a register of a claimed function's BAR, mapped as `new` says.
            unsafe { mmio::$read(at.0) }
        }

        fn $write(&mut self, at: PhysAddr, value: $type) {
            // SAFETY: a register of a claimed function's BAR, mapped as `new` says.
            unsafe { mmio::$write(at.0, value) }
        }
    };
}

impl dma::Bus for Devices {
    register!(read8, write8, u8);
    register!(read16, write16, u16);
    register!(read32, write32, u32);

    fn copy_from(&mut self, at: PhysAddr, into: &mut [u8]) {
        self.sync(at, into.len() as u64);
        let mut next = at.0;
        let (words, rest) = if at.is_aligned(8) { into.as_chunks_mut::<8>() } else { (&mut [][..], into) };
        for word in words {
            // SAFETY: aligned, and inside a DMA window as `new` says.
            *word = unsafe { mmio::read64(next) }.to_le_bytes();
            next += 8;
        }
        let mut rest = rest;
        while !rest.is_empty() {
            let (now, later) = rest.split_at_mut(widest(next, rest.len()));
            // SAFETY: aligned, and inside a DMA window as `new` says.
            let value = unsafe { mmio::read(next, now.len()) };
            now.iter_mut().zip(value.to_le_bytes()).for_each(|(byte, read)| *byte = read);
            next += now.len() as u64;
            rest = later;
        }
    }

    fn copy_to(&mut self, at: PhysAddr, from: &[u8]) {
        let mut next = at.0;
        let (words, rest) = if at.is_aligned(8) { from.as_chunks::<8>() } else { (&[][..], from) };
        for word in words {
            // SAFETY: aligned, and inside a DMA window as `new` says.
            unsafe { mmio::write64(next, u64::from_le_bytes(*word)) }
            next += 8;
        }
        let mut rest = rest;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(widest(next, rest.len()));
            let value = now.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
            // SAFETY: aligned, and inside a DMA window as `new` says.
            unsafe { mmio::write(next, now.len(), value) }
            next += now.len() as u64;
            rest = later;
        }
        self.sync(at, from.len() as u64);
    }

    fn fill(&mut self, at: PhysAddr, bytes: u64, with: u8) {
        let (head, pairs_end, end) = Self::split(at, bytes);
        let word = u64::from_le_bytes([with; 8]);
        let mut next = at.0;
        while next < head {
            // SAFETY: inside a DMA window as `new` says.
            unsafe { mmio::write8(next, with) }
            next += 1;
        }
        while next < pairs_end {
            // SAFETY: aligned, and inside a DMA window as `new` says, which is Normal memory.
            unsafe { mmio::write_pair(next, word) }
            next += PAIR;
        }
        while next < end {
            // SAFETY: inside a DMA window as `new` says.
            unsafe { mmio::write8(next, with) }
            next += 1;
        }
        self.sync(at, bytes);
    }

    fn first_other(&mut self, at: PhysAddr, bytes: u64, of: u8) -> Option<u64> {
        self.sync(at, bytes);
        let (head, pairs_end, end) = Self::split(at, bytes);
        let word = u64::from_le_bytes([of; 8]);
        let mut next = at.0;
        // Skips what is as it was.
        while next >= head && next < pairs_end {
            // SAFETY: aligned, and inside a DMA window as `new` says, which is Normal memory.
            let (low, high) = unsafe { mmio::read_pair(next) };
            if (low ^ word) | (high ^ word) != 0 {
                break;
            }
            next += PAIR;
        }
        // SAFETY: inside a DMA window as `new` says.
        (next..end).find(|byte| unsafe { mmio::read8(*byte) } != of).map(|byte| byte - at.0)
    }

    fn before_doorbell(&mut self) {
        cpu::dsb();
    }

    fn after_index_read(&mut self) {
        cpu::dmb_load();
    }

    fn ticks(&mut self) -> u64 {
        timer::now()
    }

    fn frequency(&self) -> u64 {
        timer::frequency()
    }

    fn sleep_us(&mut self, us: u64) {
        timer::sleep_us(us);
    }
}

/// One ECAM window (MCFG allocation).
#[derive(Clone, Copy, Debug)]
pub struct EcamWindow {
    /// Address of bus 0 of the segment, even where `first_bus` is not 0 (PCI Firmware Specification 3.3, 4.1.2).
    pub base: PhysAddr,
    /// Segment group.
    pub segment: u16,
    /// First bus that it covers.
    pub first_bus: u8,
    /// Last bus that it covers.
    pub last_bus: u8,
}

/// Configuration space of the board.
#[derive(Clone, Debug)]
pub struct Ecam {
    windows: Vec<EcamWindow>,
}

impl Ecam {
    /// Configuration space through `windows`.
    ///
    /// # Safety
    /// Each window is mapped as Device memory.
    #[must_use]
    pub const unsafe fn new(windows: Vec<EcamWindow>) -> Self {
        Self { windows }
    }

    /// Its windows.
    #[must_use]
    pub fn windows(&self) -> &[EcamWindow] {
        &self.windows
    }

    fn register(&self, function: Bdf, offset: u16) -> Option<u64> {
        let window = self.windows.iter().find(|window| {
            window.segment == function.segment && (window.first_bus..=window.last_bus).contains(&function.bus())
        })?;
        Some(window.base.0 + (u64::from(function.rid) << 12) + u64::from(offset & 0xfff))
    }
}

impl pci::ConfigSpace for Ecam {
    fn read32(&mut self, function: Bdf, offset: u16) -> u32 {
        // Some root complexes answer a read of nobody with a bus error instead of all ones.
        self.register(function, offset & !3).and_then(exceptions::probe_read32).unwrap_or(u32::MAX)
    }

    fn write32(&mut self, function: Bdf, offset: u16, value: u32) {
        if let Some(at) = self.register(function, offset & !3) {
            // SAFETY: inside a window that `new` vouches for; the mask keeps it aligned.
            unsafe { mmio::write32(at, value) }
        }
    }

    fn write16(&mut self, function: Bdf, offset: u16, value: u16) {
        if let Some(at) = self.register(function, offset & !1) {
            // SAFETY: inside a window that `new` vouches for; the mask keeps it aligned.
            unsafe { mmio::write16(at, value) }
        }
    }
}
