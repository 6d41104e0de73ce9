//! What the tables say of reserved memory and of devices, against the machine at hand. All of it ends as findings.

use crate::{firmware::Firmware, machine::Machine, notes::Notes};
use addr::{Bdf, PhysAddr, StreamId};
use alloc::{vec, vec::Vec};
use smmu::{
    access::SmmuIndex,
    observe::{Registers, not_identity},
};
use tables::{
    iort::{
        Iort, Node, RmrRange,
        rmr_place::{Occupant, Passage, Place, check_devices, check_memory, check_passage, check_places},
    },
    platform::Platform,
};

/// Bytes of registers: an SMMU's two pages, an ITS's two, a distributor's, a UART's.
const SMMU_BYTES: u64 = 0x2_0000;
const ITS_BYTES: u64 = 0x2_0000;
const GICD_BYTES: u64 = 0x1_0000;
const UART_BYTES: u64 = 0x1000;
/// Structures that a look at one stream's translation may read.
const PASSAGE_BYTES: u64 = 1 << 20;

/// Ranges against the firmware's memory map, before any of it is claimed.
pub(crate) fn memory(firmware: &dyn Firmware, platform: &Platform<'_>, notes: &mut Notes) {
    let Some(iort) = platform.iort.filter(|iort| iort.rmrs().next().is_some()) else { return };
    let map = firmware.memory_map();
    if !map.is_empty() {
        check_memory(iort, &map, &mut |finding| notes.table(finding));
    }
}

/// Ranges against register frames, the crash kernel's memory, and what the SMMUs let through as they were found.
pub(crate) fn places(machine: &mut Machine, notes: &mut Notes) {
    let Some(iort) = machine.platform.iort else { return };
    if iort.rmrs().next().is_none() {
        return;
    }
    let platform = &machine.platform;
    let place = |base, bytes, occupant| Place { base, bytes, occupant };
    let mut places = vec![
        place(machine.memory.kdump.start, machine.memory.kdump.bytes, Occupant::Kdump),
        place(machine.console.base, UART_BYTES, Occupant::Mmio),
    ];
    places.extend(platform.smmus.iter().map(|smmu| place(smmu.base, SMMU_BYTES, Occupant::Smmu)));
    places.extend(platform.gic.its.iter().map(|its| place(its.base, ITS_BYTES, Occupant::Its)));
    places.extend(platform.gic.distributor.map(|frame| place(frame.base, GICD_BYTES, Occupant::Mmio)));
    places.extend(platform.gic.redistributors.iter().map(|at| place(at.base, at.bytes.into(), Occupant::Mmio)));
    places.extend(platform.ecam.iter().map(|region| {
        let (base, bytes) = region.extent();
        place(base, bytes, Occupant::Ecam)
    }));
    check_places(iort, &places, &mut |finding| notes.table(finding));
    let bases: Vec<PhysAddr> = machine.smmus.iter().map(|at| at.base).collect();
    let mut passage = |smmu: &Node<'_>, stream: StreamId, range: RmrRange| {
        let base = smmu.smmu_v3().map(|smmu| smmu.base);
        let Some(index) = bases.iter().position(|at| Some(*at) == base) else { return Passage::Unknown };
        let registers = Registers::read(&mut machine.hw, SmmuIndex(index as u8));
        match not_identity(&mut machine.hw, &registers, stream, (range.base, range.bytes), PASSAGE_BYTES) {
            Ok(None) => Passage::Whole,
            Ok(Some(address)) => Passage::BrokenAt(address),
            Err(_) => Passage::Unknown,
        }
    };
    check_passage(iort, &mut passage, &mut |finding| notes.table(finding));
}

/// Every function that is there: whether Linux leads it elsewhere, and whether each RMR's streams are some device's.
pub(crate) fn devices(iort: Iort<'_>, functions: impl Iterator<Item = Bdf> + Clone, notes: &mut Notes) {
    for function in functions.clone() {
        if let Some(finding) = iort.readings_differ(function) {
            notes.table(finding);
        }
    }
    if iort.rmrs().next().is_none() {
        return;
    }
    let streams: Vec<(u32, StreamId)> =
        functions.filter_map(|function| iort.resolve(function).smmu.map(|smmu| (smmu.offset, smmu.stream))).collect();
    let mut has = |smmu: &Node<'_>, first, last| {
        streams.iter().any(|(offset, stream)| *offset == smmu.offset && (first..=last).contains(stream))
    };
    check_devices(iort, &mut has, &mut |finding| notes.table(finding));
}
