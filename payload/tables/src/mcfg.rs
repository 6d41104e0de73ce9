//! MCFG: where PCI configuration space is mapped (PCI Firmware Specification 3.3, 4.1.2).

use crate::finding::{Finding, Sink, Unreadable};
use crate::sdt::Sdt;
use crate::{read, rule};
use addr::{Bdf, PhysAddr};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Signature of the table.
pub const SIGNATURE: [u8; 4] = *b"MCFG";
/// ACPI header and 8 reserved bytes.
const FIXED_BYTES: usize = 44;
/// Configuration space of one bus: 32 devices of 8 functions of 4 KiB.
const BUS_BYTES: u64 = 1 << 20;

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Entry {
    base: U64,
    segment: U16,
    first_bus: u8,
    last_bus: u8,
    reserved: U32,
}
const _: () = assert!(size_of::<Entry>() == 16);

/// Configuration space of some buses of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EcamRegion {
    /// Where *bus 0* of the segment would be, even if the region starts at a later bus.
    pub base: PhysAddr,
    /// PCI segment group.
    pub segment: u16,
    /// First bus of the region.
    pub first_bus: u8,
    /// Last bus of the region.
    pub last_bus: u8,
}

impl EcamRegion {
    /// Address of a function's 4 KiB; `None` where the region does not hold it.
    #[must_use]
    pub fn function(&self, function: Bdf) -> Option<PhysAddr> {
        let is_here = function.segment == self.segment && (self.first_bus..=self.last_bus).contains(&function.bus());
        is_here.then(|| self.base.checked_add(u64::from(function.rid) << 12)).flatten()
    }

    /// First address and number of bytes that are mapped.
    #[must_use]
    pub fn extent(&self) -> (PhysAddr, u64) {
        let buses = u64::from(self.last_bus.saturating_sub(self.first_bus)) + 1;
        (self.base.plus(u64::from(self.first_bus) * BUS_BYTES), buses * BUS_BYTES)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.segment == other.segment && self.first_bus <= other.last_bus && other.first_bus <= self.last_bus
    }
}

/// The table.
#[derive(Clone, Copy, Debug)]
pub struct Mcfg<'a> {
    sdt: Sdt<'a>,
}

impl<'a> Mcfg<'a> {
    /// Reads the table and checks its entries.
    ///
    /// # Errors
    /// The bytes hold no MCFG.
    pub fn parse(bytes: &'a [u8], sink: &mut Sink<'_>) -> Result<Self, Unreadable> {
        let mcfg = Self { sdt: Sdt::parse(bytes, SIGNATURE, FIXED_BYTES, sink)? };
        let mut at = FIXED_BYTES;
        while let Some(entry) = mcfg.entry(at) {
            mcfg.check(&entry, at, sink);
            at += size_of::<Entry>();
        }
        let left = mcfg.sdt.bytes.len().saturating_sub(at);
        if left > 0 {
            sink(finding(&rule::E_RECORD_OOB).at(at).found(left as u64).against(size_of::<Entry>() as u64));
        }
        if mcfg.regions().next().is_none() {
            sink(finding(&rule::W_ECAM_NONE));
        }
        Ok(mcfg)
    }

    fn entry(&self, at: usize) -> Option<EcamRegion> {
        let entry: Entry = read::record(self.sdt.bytes, at)?;
        Some(EcamRegion {
            base: PhysAddr(entry.base.get()),
            segment: entry.segment.get(),
            first_bus: entry.first_bus,
            last_bus: entry.last_bus,
        })
    }

    fn check(&self, entry: &EcamRegion, at: usize, sink: &mut Sink<'_>) {
        if entry.last_bus < entry.first_bus {
            sink(finding(&rule::E_ECAM_BUSES).at(at + 10).found(entry.last_bus).against(entry.first_bus));
        } else if !is_usable(entry) {
            sink(finding(&rule::E_ECAM_BASE).at(at).found(entry.base.0));
        }
        if !entry.base.is_aligned(BUS_BYTES) {
            sink(finding(&rule::W_ECAM_UNALIGNED).at(at).found(entry.base.0));
        }
        let earlier = (FIXED_BYTES..at).step_by(size_of::<Entry>()).filter_map(|at| self.entry(at));
        // A segment has 256 buses, so no more than as many entries can be right.
        if let Some(other) = earlier.take(256).find(|other| other.overlaps(entry)) {
            let twice = finding(&rule::W_ECAM_OVERLAP).at(at + 8).found(entry.segment);
            sink(twice.against(other.first_bus));
        }
    }

    /// Regions that can be used, in table order.
    pub fn regions(&self) -> impl Iterator<Item = EcamRegion> + use<'a> {
        let mcfg = *self;
        (FIXED_BYTES..)
            .step_by(size_of::<Entry>())
            .map_while(move |at| mcfg.entry(at))
            .filter(|entry| entry.first_bus <= entry.last_bus && is_usable(entry))
    }
}

fn is_usable(entry: &EcamRegion) -> bool {
    let end = (u64::from(entry.last_bus) + 1) * BUS_BYTES;
    entry.base.0 != 0 && entry.base.checked_add(end - 1).is_some()
}

fn finding(rule: &'static rule::Rule) -> Finding {
    Finding::new(rule, SIGNATURE)
}
