//! GTDT: interrupts of the generic timers, and SBSA watchdogs (ACPI 6.5, 5.2.25).

use crate::finding::{Finding, Sink, Unreadable};
use crate::sdt::Sdt;
use crate::{read, rule};
use addr::PhysAddr;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Signature of the table.
pub const SIGNATURE: [u8; 4] = *b"GTDT";
/// Fields since ACPI 5.1; the EL2 virtual timer follows at revision 3.
const FIXED_BYTES: usize = 96;
/// Platform timer type of an SBSA generic watchdog.
const WATCHDOG: u8 = 1;

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTimer {
    gsiv: U32,
    flags: U32,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Fields {
    counter_control: U64,
    reserved: U32,
    secure_el1: RawTimer,
    non_secure_el1: RawTimer,
    virtual_el1: RawTimer,
    el2: RawTimer,
    counter_read: U64,
    platform_count: U32,
    platform_offset: U32,
}
const _: () = assert!(size_of::<Fields>() == FIXED_BYTES - 36);

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawWatchdog {
    kind: u8,
    length: [u8; 2],
    reserved: u8,
    refresh: U64,
    control: U64,
    interrupt: RawTimer,
}
const _: () = assert!(size_of::<RawWatchdog>() == 28);

/// Interrupt of a timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timer {
    /// GIC interrupt number, zero where there is none.
    pub gsiv: u32,
    /// Bit 0 edge triggered, bit 1 active low, bit 2 always on.
    pub flags: u32,
}

impl From<RawTimer> for Timer {
    fn from(raw: RawTimer) -> Self {
        Self { gsiv: raw.gsiv.get(), flags: raw.flags.get() }
    }
}

/// Interrupts of the CPU's timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    /// Secure EL1 physical timer.
    pub secure_el1: Timer,
    /// Non-secure EL1 physical timer.
    pub non_secure_el1: Timer,
    /// EL1 virtual timer.
    pub virtual_el1: Timer,
    /// EL2 physical timer.
    pub el2: Timer,
    /// EL2 virtual timer, since table revision 3.
    pub virtual_el2: Option<Timer>,
}

/// An SBSA generic watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchdog {
    /// Refresh frame.
    pub refresh: PhysAddr,
    /// Control frame.
    pub control: PhysAddr,
    /// Interrupt; flag bit 2 says that the watchdog is a Secure one.
    pub interrupt: Timer,
}

impl Watchdog {
    /// It is the secure world's (ACPI 6.5, 5.2.25.2, watchdog timer flags, bit 2).
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.interrupt.flags & 1 << 2 != 0
    }
}

/// The table.
#[derive(Clone, Copy, Debug)]
pub struct Gtdt<'a> {
    /// Interrupts of the CPU's timers.
    pub timers: Timers,
    table: &'a [u8],
    platform_count: u32,
    platform_offset: u32,
}

impl<'a> Gtdt<'a> {
    /// Reads the table and checks its platform timers.
    ///
    /// # Errors
    /// The bytes hold no GTDT.
    pub fn parse(bytes: &'a [u8], sink: &mut Sink<'_>) -> Result<Self, Unreadable> {
        let sdt = Sdt::parse(bytes, SIGNATURE, FIXED_BYTES, sink)?;
        let Some(fields) = read::record::<Fields>(sdt.bytes, 36) else {
            let short = finding(&rule::E_SHORT).found(sdt.bytes.len() as u64);
            return Err(crate::finding::refuse(short, sink));
        };
        let virtual_el2: Option<RawTimer> = match sdt.revision {
            3.. => read::record(sdt.bytes, FIXED_BYTES),
            _ => None,
        };
        let timers = Timers {
            secure_el1: fields.secure_el1.into(),
            non_secure_el1: fields.non_secure_el1.into(),
            virtual_el1: fields.virtual_el1.into(),
            el2: fields.el2.into(),
            virtual_el2: virtual_el2.map(Timer::from).filter(|timer| timer.gsiv != 0),
        };
        if timers.el2.gsiv == 0 {
            sink(finding(&rule::W_TIMER_GSIV).at(72));
        }
        let (platform_count, platform_offset) = (fields.platform_count.get(), fields.platform_offset.get());
        let gtdt = Self { timers, table: sdt.bytes, platform_count, platform_offset };
        for record in gtdt.records() {
            if let Err(finding) = record {
                sink(finding);
            }
        }
        Ok(gtdt)
    }

    /// Platform timer records; an error ends the walk.
    fn records(&self) -> impl Iterator<Item = Result<&'a [u8], Finding>> + use<'a> {
        let (table, mut left, mut at) = (self.table, self.platform_count, self.platform_offset as usize);
        core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let record = record(table, at);
            match record {
                Ok(bytes) => at = at.saturating_add(bytes.len()),
                Err(_) => left = 0,
            }
            Some(record)
        })
    }

    /// SBSA generic watchdogs.
    pub fn watchdogs(&self) -> impl Iterator<Item = Watchdog> + use<'a> {
        self.records().filter_map(|record| {
            let raw: RawWatchdog = read::record(record.ok()?, 0)?;
            (raw.kind == WATCHDOG).then(|| Watchdog {
                refresh: PhysAddr(raw.refresh.get()),
                control: PhysAddr(raw.control.get()),
                interrupt: raw.interrupt.into(),
            })
        })
    }
}

fn record(table: &[u8], at: usize) -> Result<&[u8], Finding> {
    let cut = finding(&rule::E_RECORD_OOB).at(at).against(table.len() as u64);
    let (kind, length) = match table.get(at..) {
        Some([kind, low, high, ..]) => (*kind, usize::from(u16::from_le_bytes([*low, *high]))),
        _ => return Err(cut),
    };
    let fixed = if kind == WATCHDOG { size_of::<RawWatchdog>() } else { 20 };
    if length < fixed {
        let rule = if length == 0 { &rule::E_RECORD_LEN_ZERO } else { &rule::E_RECORD_SHORT };
        return Err(finding(rule).at(at + 1).found(length as u64).against(fixed as u64));
    }
    at.checked_add(length).and_then(|end| table.get(at..end)).ok_or(cut.found(length as u64))
}

fn finding(rule: &'static rule::Rule) -> Finding {
    Finding::new(rule, SIGNATURE)
}
