//! A board for the drivers' tests: memory, a translation that can be switched, time, and one device at a time.

extern crate std;
use crate::Bus;
use addr::{Bdf, Iova, PhysAddr, StreamId};
use handover::oracle::{Stream, Window};
use pci::ConfigSpace;
use std::cell::Cell;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

pub(crate) const REGISTERS: PhysAddr = PhysAddr(0x1000_0000);
pub(crate) const TARGET: PhysAddr = PhysAddr(0x8800_0000);
pub(crate) const CANARY: PhysAddr = PhysAddr(0x9900_0000);
pub(crate) const RMR: PhysAddr = PhysAddr(0x7700_0000);
const WINDOW_BYTES: u64 = 0x2_0000;
const RMR_BYTES: u64 = 0x1_0000;
pub(crate) const BDF: Bdf = Bdf::new(0, 0, 2, 0);

/// What happens to DMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The SMMU translates.
    Translate,
    /// It refuses everything.
    Block,
    /// It lets everything through untranslated.
    Bypass,
}

/// Ranges of RAM by their start.
type Ram = Vec<(u64, Vec<u8>)>;

fn bytes(ram: &mut Ram, at: u64, length: usize) -> &mut [u8] {
    let range = |(start, bytes): &&mut (u64, Vec<u8>)| (*start..*start + bytes.len() as u64).contains(&at);
    let (start, bytes) = ram.iter_mut().find(range).unwrap_or_else(|| panic!("no memory at {at:#x}"));
    &mut bytes[(at - *start) as usize..][..length]
}

/// Memory as the device sees it.
pub(crate) struct Fabric {
    memory: Ram,
    /// The memory as it was when the CPU last ordered its reads: it may have read anything but the newest word as early.
    seen: Ram,
    pub(crate) mode: Mode,
    pub(crate) bus_master: Rc<Cell<bool>>,
    stream: Stream,
    /// Writes of the device that reached memory.
    pub(crate) landed: usize,
}

impl Fabric {
    fn bytes(&mut self, at: u64, length: usize) -> &mut [u8] {
        bytes(&mut self.memory, at, length)
    }

    fn translate(&self, iova: u64) -> Option<u64> {
        if !self.bus_master.get() {
            return None;
        }
        let inside = |window: &Window| iova.checked_sub(window.iova.0).filter(|offset| *offset < window.bytes);
        match self.mode {
            Mode::Block => None,
            Mode::Bypass => Some(iova),
            Mode::Translate => [&self.stream.window, &self.stream.rmr]
                .into_iter()
                .find_map(|window| Some(window.target.0 + inside(window)?)),
        }
    }

    /// A device read; zeros where it is refused, as QEMU completes it.
    pub(crate) fn read<const N: usize>(&mut self, iova: u64) -> [u8; N] {
        let mut bytes = [0; N];
        if let Some(at) = self.translate(iova) {
            bytes.copy_from_slice(self.bytes(at, N));
        }
        bytes
    }

    /// A device write; `false` where it is refused.
    pub(crate) fn write(&mut self, iova: u64, bytes: &[u8]) -> bool {
        let Some(at) = self.translate(iova) else { return false };
        self.landed += 1;
        self.bytes(at, bytes.len()).copy_from_slice(bytes);
        true
    }
}

/// A device's registers and what it does by itself.
pub(crate) trait Device {
    fn read(&mut self, fabric: &mut Fabric, offset: u64, bytes: u8) -> u32;
    fn write(&mut self, fabric: &mut Fabric, offset: u64, bytes: u8, value: u32);
    /// Called before every access of the CPU, with the time.
    fn advance(&mut self, fabric: &mut Fabric, now_us: u64);
}

/// The board. Time is in microseconds and passes with each register access and in sleep.
pub(crate) struct Board<D> {
    pub(crate) device: D,
    pub(crate) fabric: Fabric,
    pub(crate) now_us: u64,
    /// Microseconds that pass with each access of the CPU.
    pub(crate) access_us: u64,
}

impl<D: Device> Board<D> {
    pub(crate) fn new(device: D, stream: &Stream, bus_master: Rc<Cell<bool>>) -> Self {
        let window = stream.window.bytes;
        let ranges = [(TARGET.0, window), (CANARY.0, window), (RMR.0, RMR_BYTES)];
        let memory: Ram = ranges.into_iter().map(|(start, bytes)| (start, vec![0x5c; bytes as usize])).collect();
        let fabric =
            Fabric { seen: memory.clone(), memory, mode: Mode::Translate, bus_master, stream: *stream, landed: 0 };
        Self { device, fabric, now_us: 0, access_us: 1 }
    }

    fn step(&mut self) {
        self.pass(self.access_us);
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, us: u64) {
        self.now_us += us;
        self.device.advance(&mut self.fabric, self.now_us);
    }

    fn read(&mut self, at: PhysAddr, bytes: u8) -> u32 {
        self.step();
        assert!(at.is_aligned(bytes.into()));
        self.device.read(&mut self.fabric, at.0 - REGISTERS.0, bytes)
    }

    fn write(&mut self, at: PhysAddr, bytes: u8, value: u32) {
        self.step();
        assert!(at.is_aligned(bytes.into()));
        self.device.write(&mut self.fabric, at.0 - REGISTERS.0, bytes, value);
    }
}

impl<D: Device> Bus for Board<D> {
    fn read8(&mut self, at: PhysAddr) -> u8 {
        self.read(at, 1) as u8
    }
    fn read16(&mut self, at: PhysAddr) -> u16 {
        self.read(at, 2) as u16
    }
    fn read32(&mut self, at: PhysAddr) -> u32 {
        self.read(at, 4)
    }
    fn write8(&mut self, at: PhysAddr, value: u8) {
        self.write(at, 1, value.into());
    }
    fn write16(&mut self, at: PhysAddr, value: u16) {
        self.write(at, 2, value.into());
    }
    fn write32(&mut self, at: PhysAddr, value: u32) {
        self.write(at, 4, value);
    }
    fn copy_from(&mut self, at: PhysAddr, into: &mut [u8]) {
        self.step();
        // A driver waits for a word to change; what is longer is read once.
        let ram = if into.len() > 4 { &mut self.fabric.seen } else { &mut self.fabric.memory };
        into.copy_from_slice(bytes(ram, at.0, into.len()));
    }
    fn copy_to(&mut self, at: PhysAddr, from: &[u8]) {
        self.step();
        for ram in [&mut self.fabric.memory, &mut self.fabric.seen] {
            bytes(ram, at.0, from.len()).copy_from_slice(from);
        }
    }
    fn fill(&mut self, at: PhysAddr, length: u64, with: u8) {
        self.step();
        for ram in [&mut self.fabric.memory, &mut self.fabric.seen] {
            bytes(ram, at.0, length as usize).fill(with);
        }
    }
    fn before_doorbell(&mut self) {}
    fn after_index_read(&mut self) {
        self.fabric.seen.clone_from(&self.fabric.memory);
    }
    fn ticks(&mut self) -> u64 {
        self.step();
        self.now_us
    }
    fn frequency(&self) -> u64 {
        1_000_000
    }
    fn sleep_us(&mut self, us: u64) {
        self.pass(us);
    }
}

/// Configuration space with one function at [`BDF`]; bus mastering reaches the fabric.
pub(crate) struct Config {
    pub(crate) page: Vec<u8>,
    pub(crate) bus_master: Rc<Cell<bool>>,
    /// Number and length of its BAR.
    pub(crate) bar: (u16, u32),
}

impl Config {
    pub(crate) fn new(vendor: u16, device: u16, class: u32) -> Self {
        let mut page = vec![0; 4096];
        page[0..2].copy_from_slice(&vendor.to_le_bytes());
        page[2..4].copy_from_slice(&device.to_le_bytes());
        page[8..12].copy_from_slice(&(class << 8).to_le_bytes());
        page[0x10..0x14].copy_from_slice(&((REGISTERS.0 as u32) | 4).to_le_bytes());
        Self { page, bus_master: Rc::default(), bar: (0, 0x4000) }
    }
}

impl ConfigSpace for Config {
    fn read32(&mut self, function: Bdf, offset: u16) -> u32 {
        let at = usize::from(offset);
        if function == BDF { u32::from_le_bytes(self.page[at..at + 4].try_into().unwrap()) } else { u32::MAX }
    }
    fn write32(&mut self, function: Bdf, offset: u16, value: u32) {
        self.write16(function, offset, value as u16);
        self.write16(function, offset + 2, (value >> 16) as u16);
    }
    fn write16(&mut self, function: Bdf, offset: u16, value: u16) {
        assert_eq!(function, BDF);
        let at = usize::from(offset);
        let (number, bytes) = self.bar;
        let mask = bytes.wrapping_neg();
        let value = match offset.wrapping_sub(0x10 + 4 * number) {
            // Memory, 64 bits.
            0 => value & mask as u16 | 4,
            2 => value & (mask >> 16) as u16,
            _ => value,
        };
        self.page[at..at + 2].copy_from_slice(&value.to_le_bytes());
        if offset == 4 {
            self.bus_master.set(value & 4 != 0);
        }
    }
}

/// A stream with a canary window and, where asked, an identity window.
pub(crate) fn stream(rmr: bool) -> Stream {
    stream_of(rmr, WINDOW_BYTES)
}

/// The same with a canary window of `bytes`.
pub(crate) fn stream_of(rmr: bool, bytes: u64) -> Stream {
    let window = Window { iova: Iova(CANARY.0), target: TARGET, canary: CANARY, bytes };
    let identity = Window { iova: Iova(RMR.0), target: RMR, canary: RMR, bytes: RMR_BYTES };
    Stream {
        bdf: BDF,
        stream_id: StreamId(BDF.rid.into()),
        registers: REGISTERS,
        window,
        rmr: if rmr { identity } else { Window::default() },
        ..Stream::default()
    }
}
