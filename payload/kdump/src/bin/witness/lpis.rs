//! LPIs of a kernel: their tables lie in its memory, which is the next kernel's, too.
//!
//! Linux takes a crash kernel's LPIs that are on for those of the system that crashed, and goes on with their tables
//! (drivers/irqchip/irq-gic-v3-its.c, enabled_lpis_allowed()): here these would be pages that it also allocates. So an ITS is off, and
//! quiescent, and each redistributor has its LPIs off before the way back. A GIC may keep them on for good once they were (IHI 0069,
//! GICR_CTLR.CES); then its tables are the GIC's as long as it has power, and no other kernel gets the memory.

use crate::telling::note;
use addr::PhysAddr;
use alloc::{format, string::String, vec::Vec};
use arch::{cpu, frames::FrameRange, lpi, remap};
use core::ops::Range;
use handover::boot::{Boot, Region};
use kdump::given;
use tables::{Platform, Tables, devicetree::Devicetree, madt, platform::Gic};
use witness::guest::acpi;

const PAGE: u64 = 4096;

/// The GIC's parts that use memory.
pub(crate) struct Lpis {
    redistributors: Vec<u64>,
    its: Vec<u64>,
}

impl Lpis {
    /// Finds them in firmware's tables, and maps what is not mapped yet.
    pub(crate) fn new(boot: &Boot, frames: &mut FrameRange) -> Self {
        let distributor = boot.gic.distributor;
        let gic = described(boot).unwrap_or_default();
        // SAFETY: the primary mapped the ranges that can be mapped, and the tables say what is there.
        let in_range = |range: &madt::Gicr| unsafe { lpi::redistributors(range.base.0, range.bytes.into()) };
        let redistributors = gic.redistributors.iter().flat_map(in_range).collect();
        let is_mapped = |its: &madt::Its| {
            // SAFETY: the map is the primary's, made for this image; the tables say that there is an ITS.
            let is_mapped = unsafe { remap::map_like(distributor, its.base, PAGE, frames) };
            if !is_mapped {
                note("its-stays-on", &format!("the ITS at {} cannot be mapped, and is not turned off", its.base));
            }
            is_mapped
        };
        let its = gic.its.iter().copied().filter(is_mapped).map(|its| its.base.0).collect();
        Self { redistributors, its }
    }

    /// Whether memory is free of tables that a GIC uses.
    ///
    /// # Errors
    /// One line: whose are in it.
    pub(crate) fn are_outside(&self, Region { base, bytes }: Region) -> Result<(), String> {
        let end = base.plus(bytes);
        let is_inside = |table: &Range<PhysAddr>| table.start < end && base < table.end;
        for at in self.its.iter().copied() {
            // SAFETY: mapped by `new`.
            if let Some(table) = unsafe { lpi::its_tables(at) }.find(is_inside) {
                return Err(format!(
                    "the ITS at {at:#x} is still at work, by a table at {} in the memory of this kernel: with an ITS that does not come to \
                     rest a boot takes one kernel",
                    table.start
                ));
            }
        }
        for at in self.redistributors.iter().copied() {
            // SAFETY: it was found in `new`.
            let tables = unsafe { lpi::tables(at) };
            if let Some(table) = tables.into_iter().flatten().find(is_inside) {
                return Err(format!(
                    "the redistributor at {at:#x} still has an earlier kernel's LPIs on, by a table at {} in the memory of this one: \
                     with a GIC that does not turn them off (GICR_CTLR.CES) a boot takes one kernel",
                    table.start
                ));
            }
        }
        Ok(())
    }

    /// Turns all off: nobody else uses the GIC, and the kernel's other CPUs are off.
    pub(crate) fn turn_off(&self) {
        for at in self.its.iter().copied() {
            // SAFETY: mapped by `new`.
            if !unsafe { lpi::quiesce(at) } {
                note("its-stays-on", &format!("the ITS at {at:#x} was disabled, and does not become quiescent"));
            }
        }
        for at in self.redistributors.iter().copied() {
            // SAFETY: found by `new`.
            if !unsafe { lpi::disable(at) } {
                let text =
                    format!("the redistributor at {at:#x} keeps its LPIs on: no other kernel can have this memory");
                note("lpis-stay-on", &text);
            }
        }
    }
}

/// The GIC as firmware describes it.
fn described(boot: &Boot) -> Option<Gic> {
    let tree = given::bytes(boot.tables.devicetree);
    if !tree.is_empty() {
        let tree = Devicetree::read(tree, &mut |_| {}).ok()?;
        return Some(Platform::from_devicetree(&tree, given::bytes(boot.tables.iort), &mut |_| {}).gic);
    }
    let madt = acpi::table(boot.guest.efi.system_table.0, &madt::SIGNATURE, &firmware_memory);
    Some(Platform::from_tables(&Tables { madt, ..Tables::default() }, &mut |_| {}).gic)
}

/// Memory of the firmware's, where it is mapped.
pub(crate) fn firmware_memory(at: u64, bytes: u64) -> Option<&'static [u8]> {
    let end = at.checked_add(bytes).filter(|_| at != 0)?;
    let mut pages = (at & !(PAGE - 1)..end).step_by(PAGE as usize);
    pages.all(cpu::normal_memory_at).then(|| given::bytes(Region { base: PhysAddr(at), bytes }))
}
