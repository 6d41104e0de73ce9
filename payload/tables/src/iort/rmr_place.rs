//! Checks of reserved memory ranges against the machine: where they lie, whose they are, and whether the stream table in
//! force lets them through. Plain data in, findings out; who has the data calls.

use super::{Iort, Node, Rmr, RmrRange, finding};
use crate::finding::{Finding, Sink};
use crate::rule::{self, Rule};
use addr::{PhysAddr, StreamId};

/// `EfiReservedMemoryType` and `EfiRuntimeServicesData` (UEFI 2.10, 7.2.1): no operating system takes them for itself.
const KEPT_TYPES: [u32; 2] = [0, 6];

/// One descriptor of the UEFI memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// First address.
    pub base: PhysAddr,
    /// Length in bytes.
    pub bytes: u64,
    /// EFI_MEMORY_TYPE.
    pub kind: u32,
}

impl MemoryRange {
    /// It is RAM, whoever has it, and nobody is harmed who maps it: every fetch from there, one ahead too, is answered. Types
    /// without an owner's word for that are left out: secure firmware may hide in `EfiReservedMemoryType`, where a fetch may be an
    /// external abort; `EfiUnusableMemory` has errors; the rest are registers, or memory that does not forget.
    #[must_use]
    pub const fn is_ram(&self) -> bool {
        // Loader's, boot services', runtime services', EfiConventionalMemory, EfiACPIReclaimMemory, EfiACPIMemoryNVS.
        matches!(self.kind, 1..=7 | 9 | 10)
    }
}

/// What stands at some addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupant {
    /// Registers of an SMMU.
    Smmu,
    /// Registers of an ITS, its doorbell among them.
    Its,
    /// PCI configuration space.
    Ecam,
    /// Registers of any other device.
    Mmio,
    /// Memory of the crash kernel.
    Kdump,
}

impl Occupant {
    const fn rule(self) -> &'static Rule {
        match self {
            Self::Smmu => &rule::E_RMR_ON_SMMU,
            Self::Its => &rule::W_RMR_ON_ITS,
            Self::Ecam => &rule::E_RMR_ON_ECAM,
            Self::Mmio => &rule::W_RMR_ON_MMIO,
            Self::Kdump => &rule::E_RMR_ON_KDUMP,
        }
    }
}

/// Addresses that something stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First address.
    pub base: PhysAddr,
    /// Length in bytes.
    pub bytes: u64,
    /// What.
    pub occupant: Occupant,
}

fn last_of(base: PhysAddr, bytes: u64) -> Option<u64> {
    base.0.checked_add(bytes.checked_sub(1)?)
}

fn overlap(one: (u64, u64), two: (u64, u64)) -> bool {
    one.0 <= two.1 && two.0 <= one.1
}

/// Ranges of RMR nodes that have a first and a last address, with the place of their descriptor in the table.
fn each_range<'a>(iort: Iort<'a>, visit: &mut dyn FnMut(&Rmr<'a>, RmrRange, u64, usize)) {
    for rmr in iort.rmrs() {
        for (index, range) in rmr.ranges().enumerate() {
            if let Some(last) = range.last() {
                visit(&rmr, range, last.0, rmr.descriptor_at(index));
            }
        }
    }
}

/// Each range must lie inside one descriptor of the memory map, of a type that operating systems leave alone.
pub fn check_memory(iort: Iort<'_>, memory: &[MemoryRange], sink: &mut Sink<'_>) {
    each_range(iort, &mut |_, range, last, at| {
        let mut there = memory.iter().filter_map(|part| Some((part, last_of(part.base, part.bytes)?)));
        let here = there.find(|(part, end)| overlap((range.base.0, last), (part.base.0, *end)));
        let about = |rule| finding(rule).at(at).found(range.base.0);
        match here {
            None => sink(about(&rule::W_RMR_MEMORY_ABSENT).against(range.bytes)),
            Some((part, end)) if part.base > range.base || end < last => {
                sink(about(&rule::W_RMR_MEMORY_SPLIT).against(if part.base > range.base { part.base.0 } else { end }));
            }
            Some((part, _)) if !KEPT_TYPES.contains(&part.kind) => {
                sink(about(&rule::W_RMR_MEMORY_TYPE).against(part.kind));
            }
            Some(_) => {}
        }
    });
}

/// No range may lie where something else stands. The table's own SMMUs need not be among `places`; the first page of
/// each is known from it.
pub fn check_places(iort: Iort<'_>, places: &[Place], sink: &mut Sink<'_>) {
    each_range(iort, &mut |_, range, last, at| {
        let about = |rule, base: PhysAddr| finding(rule).at(at).found(range.base.0).against(base.0);
        let bases = iort.nodes().filter_map(|node| node.smmu_base()).filter(|base| base.0 != 0);
        let mut on_smmu = bases.filter(|base| (range.base.0..=last).contains(&base.0));
        let smmu = on_smmu.next();
        if let Some(base) = smmu {
            sink(about(&rule::E_RMR_ON_SMMU, base));
        }
        for place in places {
            let end = last_of(place.base, place.bytes);
            let is_told = smmu.is_some() && place.occupant == Occupant::Smmu;
            if !is_told && end.is_some_and(|end| overlap((range.base.0, last), (place.base.0, end))) {
                sink(about(place.occupant.rule(), place.base));
            }
        }
    });
}

/// Every RMR node must belong to a stream that some device has. `has` tells whether any device of the machine has one of
/// the streams from first to last at an SMMU; named components, which no bus can show, are taken to be there.
pub fn check_devices(iort: Iort<'_>, has: &mut dyn FnMut(&Node<'_>, StreamId, StreamId) -> bool, sink: &mut Sink<'_>) {
    for rmr in iort.rmrs() {
        for (streams, at) in rmr.streams_at() {
            let is_named = iort.named_components().any(|component| {
                iort.component_streams(&component, super::Reading::Spec).any(|of| {
                    of.smmu.offset == streams.smmu.offset && of.first <= streams.last && streams.first <= of.last
                })
            });
            if !is_named && !has(&streams.smmu, streams.first, streams.last) {
                sink(finding(&rule::W_RMR_NO_DEVICE).at(at).found(streams.first.0).against(streams.last.0));
            }
        }
    }
}

/// What a stream table in force makes of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// The whole range arrives at itself.
    Whole,
    /// From this address on it does not.
    BrokenAt(PhysAddr),
    /// It could not be told.
    Unknown,
}

/// Streams of one RMR mapping that are asked about.
const ASKED_STREAMS: u32 = 16;

/// While a range is reserved its streams must be let through to it, unchanged: what firmware set up before us is asked
/// by `passage`. Of a long run of streams the first ones are asked.
pub fn check_passage(
    iort: Iort<'_>,
    passage: &mut dyn FnMut(&Node<'_>, StreamId, RmrRange) -> Passage,
    sink: &mut Sink<'_>,
) {
    each_range(iort, &mut |rmr, range, _, at| {
        for streams in rmr.streams() {
            let last = streams.last.0.min(streams.first.0.saturating_add(ASKED_STREAMS - 1));
            for stream in (streams.first.0..=last).map(StreamId) {
                let about: Option<(&Rule, u64)> = match passage(&streams.smmu, stream, range) {
                    Passage::Whole => None,
                    Passage::BrokenAt(address) => Some((&rule::W_RMR_NOT_PASSED, address.0)),
                    Passage::Unknown => Some((&rule::N_RMR_PASSAGE_UNKNOWN, range.base.0)),
                };
                if let Some((rule, address)) = about {
                    let told: Finding = finding(rule).at(at).found(stream.0).against(address);
                    sink(told);
                    // What holds for one stream of a run mostly holds for all.
                    break;
                }
            }
        }
    });
}
