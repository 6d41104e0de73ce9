//! LPIs and the ITSs that make them (Arm IHI 0069): off, before memory with their tables is given to somebody else.

use crate::{cpu, mmio, timer};
use addr::PhysAddr;
use core::ops::Range;

/// GICR_CTLR (12.11.2).
const GICR_CTLR: u64 = 0x0;
const GICR_CTLR_ENABLE_LPIS: u32 = 1 << 0;
const GICR_CTLR_RWP: u32 = 1 << 3;
const GICR_TYPER: u64 = 0x8;
const GICR_TYPER_PLPIS: u64 = 1 << 0;
const GICR_TYPER_VLPIS: u64 = 1 << 1;
const GICR_TYPER_LAST: u64 = 1 << 4;
const GICR_PROPBASER: u64 = 0x70;
const GICR_PENDBASER: u64 = 0x78;
/// Physical_Address of both: 51:12 and 51:16.
const PROPBASER_ADDRESS: u64 = 0xf_ffff_ffff_f000;
const PENDBASER_ADDRESS: u64 = 0xf_ffff_ffff_0000;
/// The first INTID of an LPI: the property table has a byte for each from here on, the pending table a bit for each from 0 on.
const FIRST_LPI: u64 = 8192;
/// GITS_CTLR (12.19.2).
const GITS_CTLR: u64 = 0x0;
const GITS_CTLR_ENABLED: u32 = 1 << 0;
const GITS_CTLR_QUIESCENT: u32 = 1 << 31;
/// GITS_CBASER and GITS_BASER<n> (12.19.1, 12.19.4): both have Valid, an address, and a number of pages less one; of the latter Page_Size says
/// of which size.
const GITS_CBASER: u64 = 0x80;
const GITS_BASER: u64 = 0x100;
const GITS_BASERS: u64 = 8;
const BASER_VALID: u64 = 1 << 63;
const CBASER_ADDRESS: u64 = 0xf_ffff_ffff_f000;
const BASER_ADDRESS: u64 = 0xffff_ffff_f000;
/// Pending LPIs are written to memory, and translations that are under way are ended: Linux waits as long (irq-gic-v3-its.c).
const PATIENCE_US: u64 = 1_000_000;

/// The redistributors in a range of them.
///
/// # Safety
/// What of the range is mapped is mapped as Device memory, and holds redistributor frames.
pub unsafe fn redistributors(base: u64, bytes: u64) -> impl Iterator<Item = u64> {
    let end = base.saturating_add(bytes);
    let mut next = Some(base);
    core::iter::from_fn(move || {
        let at = next.filter(|at| *at < end && cpu::device_memory_at(*at))?;
        // SAFETY: a register of the frame, which is mapped.
        let typer = unsafe { mmio::read64(at + GICR_TYPER) };
        let frames = if typer & GICR_TYPER_VLPIS != 0 { 0x4_0000 } else { 0x2_0000 };
        next = if typer & GICR_TYPER_LAST == 0 { at.checked_add(frames) } else { None };
        Some(at)
    })
}

/// Where the tables are of a redistributor that has LPIs on: properties, and what is pending.
///
/// # Safety
/// The frame is one that [`redistributors`] found.
#[must_use]
pub unsafe fn tables(redistributor: u64) -> Option<[Range<PhysAddr>; 2]> {
    // SAFETY: registers of the frame.
    let read = |offset| unsafe { mmio::read64(redistributor + offset) };
    // SAFETY: the same.
    let is_on = unsafe { mmio::read32(redistributor + GICR_CTLR) } & GICR_CTLR_ENABLE_LPIS != 0;
    if read(GICR_TYPER) & GICR_TYPER_PLPIS == 0 || !is_on {
        return None;
    }
    let (properties, pending) = (read(GICR_PROPBASER), read(GICR_PENDBASER) & PENDBASER_ADDRESS);
    let intids = 1_u64 << (1 + (properties & 0x1f));
    let properties = properties & PROPBASER_ADDRESS;
    let range = |base, bytes| PhysAddr(base)..PhysAddr(base + bytes);
    Some([range(properties, intids.saturating_sub(FIRST_LPI)), range(pending, intids / 8)])
}

/// Turns the LPIs of a redistributor off: whether they are. Some cannot be turned off once they were on (GICR_CTLR.CES).
///
/// # Safety
/// The frame is one that [`redistributors`] found, and nobody else uses it.
#[must_use]
pub unsafe fn disable(redistributor: u64) -> bool {
    let at = redistributor + GICR_CTLR;
    // SAFETY: a register of the frame.
    let read = || unsafe { mmio::read32(at) };
    if read() & GICR_CTLR_ENABLE_LPIS == 0 {
        return true;
    }
    // SAFETY: as above.
    unsafe { mmio::write32(at, read() & !GICR_CTLR_ENABLE_LPIS) }
    // The write arrives before its effect is asked for.
    cpu::dsb();
    until(|| read() & GICR_CTLR_RWP == 0) && read() & GICR_CTLR_ENABLE_LPIS == 0
}

/// The queue and the tables of an ITS that uses them, or may do so still. With pages of 64 KiB bits 15:12 are address bits
/// 51:48.
///
/// # Safety
/// The first page of the ITS is mapped as Device memory.
pub unsafe fn its_tables(its: u64) -> impl Iterator<Item = Range<PhysAddr>> {
    // SAFETY: registers of the frame.
    let control = unsafe { mmio::read32(its + GITS_CTLR) };
    let is_idle = control & GITS_CTLR_ENABLED == 0 && control & GITS_CTLR_QUIESCENT != 0;
    let places = core::iter::once(GITS_CBASER).chain((0..GITS_BASERS).map(|n| GITS_BASER + 8 * n));
    places.filter(move |_| !is_idle).filter_map(move |offset| {
        // SAFETY: the same.
        let register = unsafe { mmio::read64(its + offset) };
        let (address, page) = match (offset, register >> 8 & 3) {
            (GITS_CBASER, _) => (register & CBASER_ADDRESS, 4 << 10),
            (_, 0) => (register & BASER_ADDRESS, 4 << 10),
            (_, 1) => (register & BASER_ADDRESS, 16 << 10),
            _ => (register & BASER_ADDRESS & !0xf000 | (register >> 12 & 0xf) << 48, 64 << 10),
        };
        let bytes = ((register & 0xff) + 1) * page;
        (register & BASER_VALID != 0).then(|| PhysAddr(address)..PhysAddr(address + bytes))
    })
}

/// Turns an ITS off: whether it is, and uses its tables and its queue no more.
///
/// # Safety
/// The first page of the ITS is mapped as Device memory, and nobody else uses it.
#[must_use]
pub unsafe fn quiesce(its: u64) -> bool {
    let at = its + GITS_CTLR;
    // SAFETY: a register of the frame.
    let read = || unsafe { mmio::read32(at) };
    // SAFETY: the same.
    unsafe { mmio::write32(at, read() & !GITS_CTLR_ENABLED) }
    cpu::dsb();
    until(|| read() & GITS_CTLR_QUIESCENT != 0)
}

fn until(is_so: impl Fn() -> bool) -> bool {
    let deadline = timer::now() + timer::ticks_of_us(PATIENCE_US);
    loop {
        if is_so() {
            return true;
        }
        if timer::now() > deadline {
            return false;
        }
    }
}
