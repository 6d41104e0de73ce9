//! What the devicetree says of the machine.

use crate::{
    console,
    first::{DEVICETREE_MOST, Map},
};
use addr::{PhysAddr, StreamId};
use alloc::vec::Vec;
use arch::{mmio, power::Conduit};
use core::{
    ops::Range,
    slice,
    sync::atomic::{AtomicU32, Ordering},
};
use smccc::{Hvc, Smc};
use tables::{Platform, devicetree::Devicetree, fadt};

/// Bytes of an SMMU's two register pages.
const SMMU_BYTES: u64 = 0x2_0000;

/// One SMMU.
pub(crate) struct Smmu {
    pub(crate) base: PhysAddr,
    /// The devicetree's word over IDR0.COHACC.
    pub(crate) coherent: Option<bool>,
    /// Streams that firmware reserves ranges for.
    pub(crate) rmr_streams: Vec<StreamId>,
}

/// The machine.
pub(crate) struct Board {
    tree: Devicetree<'static>,
    smmus: Vec<Smmu>,
    pub(crate) conduit: Conduit,
    /// The interrupt controller's distributor.
    distributor: Option<PhysAddr>,
    /// Image, heap and stack.
    pub(crate) own: Range<PhysAddr>,
}

/// For a panic, which knows nothing else.
static CONDUIT: AtomicU32 = AtomicU32::new(Conduit::None as u32);

impl Board {
    /// Reads the devicetree, and maps what it names: RAM that may be mapped, the SMMUs, the console. `None` without a devicetree.
    ///
    /// # Safety
    /// The block at `at` is mapped, what the header there counts is memory, and nobody writes to it.
    pub(crate) unsafe fn at(at: PhysAddr, map: &mut Map, own: Range<PhysAddr>) -> Option<Self> {
        let pointer = core::ptr::with_exposed_provenance::<u8>(at.0 as usize);
        // SAFETY: the caller's promise.
        let start = unsafe { slice::from_raw_parts(pointer, 8) };
        let length = Devicetree::length(*start.first_chunk()?)?;
        map.memory(at, length as u64).ok().filter(|()| length as u64 <= DEVICETREE_MOST)?;
        // SAFETY: the caller's promise; nothing is ever written there.
        let tree = Devicetree::read(unsafe { slice::from_raw_parts(pointer, length) }, &mut |_| {}).ok()?;

        let iort = tree.to_iort(&mut |_| {});
        let platform = Platform::from_devicetree(&tree, &iort, &mut |_| {});
        let conduit = match platform.psci {
            fadt::Conduit::Smc => Conduit::Smc,
            fadt::Conduit::Hvc => Conduit::Hvc,
            fadt::Conduit::None => Conduit::None,
        };
        CONDUIT.store(conduit as u32, Ordering::Relaxed);
        if let Some(console) = platform.console.filter(|console| console.stride == 0)
            && map.device(console.base).is_ok()
        {
            // SAFETY: the devicetree's console, without strides a PL011, and mapped just now.
            unsafe { console::init(console.base.0) };
        }
        // The dead kernel's tables are anywhere in it. Blocks that the first map has already are the same.
        for range in tree.memory(&mut |_| {}) {
            map.memory(range.base, range.bytes).unwrap_or_else(|_| panic!("no table to map memory at {}", range.base));
        }
        let smmu = |(index, smmu): (usize, &tables::platform::Smmu)| {
            for page in (0..SMMU_BYTES).step_by(4096) {
                map.device(smmu.base.plus(page))
                    .unwrap_or_else(|_| panic!("no table to map the SMMU at {}", smmu.base));
            }
            let ranges = platform.rmrs.iter().filter(|range| range.smmu == index);
            let rmr_streams = ranges.flat_map(|range| (range.first.0..=range.last.0).map(StreamId)).collect();
            Smmu { base: smmu.base, coherent: smmu.coherent_override, rmr_streams }
        };
        let smmus = platform.smmus.iter().enumerate().map(smmu).collect();
        let distributor = platform.gic.distributor.map(|distributor| distributor.base);
        let distributor = distributor.filter(|base| map.device(*base).is_ok());
        Some(Self { tree, smmus, conduit, distributor, own })
    }

    pub(crate) fn arguments(&self) -> &str {
        self.tree.bootargs().unwrap_or_default()
    }

    pub(crate) fn smmus(&self) -> &[Smmu] {
        &self.smmus
    }

    /// The first memory that nobody may map: where a witness hides what is its own.
    pub(crate) fn hidden(&self) -> Option<PhysAddr> {
        let reserved = self.tree.reserved(&mut |_| {});
        reserved.iter().find(|reserved| reserved.is_no_map).map(|reserved| reserved.range.base)
    }

    /// From here on nobody visits this kernel where it does not trap, which keeps its lines whole: a witness lends it the timer until
    /// it reaches for the interrupt controller.
    pub(crate) fn end_visits(&self) {
        if let Some(at) = self.distributor {
            // SAFETY: GICD_CTLR, which is read without effect (IHI 0069, 12.9.4).
            let _ = unsafe { mmio::read32(at.0) };
        }
    }

    /// What the loader put beside the image.
    pub(crate) fn initrd(&self) -> Option<(PhysAddr, u64)> {
        self.tree.initrd(&mut |_| {}).map(|range| (range.base, range.bytes))
    }

    /// The last byte of RAM.
    pub(crate) fn last_ram(&self) -> u64 {
        self.tree.memory(&mut |_| {}).iter().filter_map(|range| range.last()).map(|last| last.0).max().unwrap_or(0)
    }

    /// A call of firmware by the 64-bit convention; x0 of the answer.
    pub(crate) fn call(&self, function: u32, arguments: [u64; 3]) -> u64 {
        call(self.conduit, function, arguments)
    }
}

fn call(conduit: Conduit, function: u32, arguments: [u64; 3]) -> u64 {
    let mut all = [0; 17];
    all[..3].copy_from_slice(&arguments);
    match conduit {
        Conduit::Smc => <Smc as smccc::Call>::call64(function, all)[0],
        Conduit::Hvc => <Hvc as smccc::Call>::call64(function, all)[0],
        Conduit::None => u64::MAX,
    }
}

/// Resets the machine.
pub(crate) fn reset() {
    let conduits = [Conduit::Smc, Conduit::Hvc];
    for conduit in conduits.into_iter().filter(|conduit| *conduit as u32 == CONDUIT.load(Ordering::Relaxed)) {
        call(conduit, crate::actions::PSCI_SYSTEM_RESET, [0; 3]);
    }
}
