//! What the boot block names, as the board's own types.

use crate::observe;
use addr::PhysAddr;
use alloc::vec::Vec;
use arch::{
    bus::{Devices, Ecam, EcamWindow, SmmuFrame, Smmus},
    lost,
};
use core::{ops::Range, slice};
use handover::{
    boot::{self, Boot},
    oracle::{STREAM_NON_COHERENT, Stream},
};
use pci::{BusRange, Found, Function, Saved, sriov};
use scenario::{Hands, options::RunOptions};
use tables::iort::Iort;

/// More functions than this are not looked at.
const MOST_FUNCTIONS: usize = 1024;

/// The options that the primary passes on.
#[must_use]
pub fn options(boot: &Boot) -> RunOptions {
    let mut options = RunOptions::default();
    let text = core::str::from_utf8(bytes(boot.options)).unwrap_or("");
    options.apply(text, |problem| lost::because(format_args!("the primary's options: {problem}")));
    options
}

/// A range of the verified boot block as bytes: kept for this image, written before the crash, and only read from then on.
#[must_use]
pub fn bytes(range: boot::Region) -> &'static [u8] {
    if range.bytes == 0 {
        return &[];
    }
    // SAFETY: a range that the verified boot block names, as above.
    unsafe { slice::from_raw_parts(pointer(range.base).cast_const(), range.bytes as usize) }
}

/// An address of memory that no Rust object of ours has.
pub(crate) fn pointer(at: PhysAddr) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(at.0 as usize)
}

/// The SMMUs.
#[must_use]
pub fn smmus(boot: &Boot) -> Smmus {
    let frame = |smmu: &boot::Smmu| SmmuFrame {
        base: smmu.base,
        coherent: smmu.flags & boot::SMMU_COHERENT_OVERRIDE != 0 || observe::has_cohacc(smmu.base),
    };
    // SAFETY: the primary mapped the frames, and lists only SMMUs that answered it.
    unsafe { Smmus::new(boot.smmus().iter().map(frame).collect()) }
}

/// The devices of these streams.
#[must_use]
pub fn devices(known: &[Stream]) -> Devices {
    let is_coherent = known.iter().all(|stream| stream.flags & STREAM_NON_COHERENT == 0);
    // SAFETY: the primary mapped BARs and windows; no reference to them exists here.
    unsafe { Devices::new(is_coherent) }
}

/// Configuration space.
#[must_use]
pub fn config(boot: &Boot) -> Ecam {
    let window = |window: &boot::Ecam| EcamWindow {
        base: window.base,
        segment: window.segment,
        first_bus: window.first_bus,
        last_bus: window.last_bus,
    };
    // SAFETY: the primary mapped the windows that it lists.
    unsafe { Ecam::new(boot.ecam().iter().map(window).collect()) }
}

/// What no structure of the dead image may lie in.
#[must_use]
pub fn own_memory(boot: &Boot) -> Range<PhysAddr> {
    boot.region.base..boot.region.base.plus(boot.region.bytes)
}

/// The PCI functions that a crash kernel finds, as the firmware numbered them.
pub fn functions(boot: &Boot, iort: Option<&Iort<'_>>, config: &mut Ecam) -> Vec<Found> {
    let window =
        |window: &boot::Ecam| BusRange { segment: window.segment, first: window.first_bus, last: window.last_bus };
    let windows: Vec<BusRange> = boot.ecam().iter().map(window).collect();
    let mut roots = windows.clone();
    if let Some(iort) = iort {
        iort.each_root_bus(&mut |segment, bus| roots.extend(pci::root_at(&windows, segment, bus)));
    }
    pci::functions(config, &roots, MOST_FUNCTIONS)
}

/// Those of the functions that may be touched.
#[must_use]
pub fn not_denied(functions: &[Found], hands: &Hands) -> Vec<Found> {
    let denied = hands.denied(functions);
    functions.iter().filter(|found| !denied.contains(&found.bdf)).copied().collect()
}

/// Notes what these functions lose, in their order; one whose capabilities cannot be walked is left to lose it.
pub fn save<'a>(config: &mut Ecam, functions: impl Iterator<Item = &'a Found>) -> Vec<(Found, Saved)> {
    let saved = |found: &Found| Some((*found, Function::any(config, found.bdf)?.save().ok()?));
    functions.filter_map(saved).collect()
}

/// Where the registers behind a BAR of the function are.
pub fn registers(config: &mut Ecam, found: &Found, bar: u8) -> Option<PhysAddr> {
    match found.physical {
        Some(physical) => Some(sriov::virtual_registers(config, physical, bar).ok()??.0),
        None => Some(Function::new(config, found.bdf)?.memory_bar(bar).ok()??.address),
    }
}
