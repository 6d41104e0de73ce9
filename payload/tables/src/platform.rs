//! What the payload needs to know of a machine, whichever tables say it.

use crate::fadt::{self, Conduit, Fadt};
use crate::finding::{Finding, Sink, Unreadable};
use crate::gtdt::{self, Gtdt, Timers, Watchdog};
use crate::iort::{self, Iort, Resolution, RmrFlags};
use crate::madt::{self, Gicd, Gicr, Its, Madt, Record};
use crate::mcfg::{self, EcamRegion, Mcfg};
use crate::rule::{self, Rule};
use crate::spcr::{self, Console, Spcr};
use crate::{dbg2::Dbg2, iort::SmmuStream};
use addr::{Bdf, PhysAddr, StreamId};
use arrayvec::ArrayVec;

/// Most SMMUs that are kept.
pub const MAX_SMMUS: usize = 16;
/// Most ECAM regions that are kept.
pub const MAX_ECAM: usize = 32;
/// Most reserved memory ranges that are kept, one for each range, SMMU and run of StreamIDs.
pub const MAX_RMRS: usize = 32;
/// Most CPUs that are kept.
pub const MAX_CPUS: usize = 256;
/// Most redistributor ranges that are kept; one for each CPU where firmware has no GICR records.
pub const MAX_REDISTRIBUTORS: usize = 256;
/// Most ITSs that are kept.
pub const MAX_ITS: usize = 16;
/// Most watchdogs that are kept.
pub const MAX_WATCHDOGS: usize = 4;

/// Bytes of one redistributor: two 64 KiB frames, four since `GICv4` (IHI 0069, 12.10).
const fn redistributor_bytes(gic_version: u8) -> u32 {
    if gic_version >= 4 { 0x4_0000 } else { 0x2_0000 }
}

/// Bytes of the tables that are there, each from its first byte on.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "each field holds the table of its name")]
pub struct Tables<'a> {
    pub iort: Option<&'a [u8]>,
    pub mcfg: Option<&'a [u8]>,
    pub spcr: Option<&'a [u8]>,
    pub dbg2: Option<&'a [u8]>,
    pub gtdt: Option<&'a [u8]>,
    pub madt: Option<&'a [u8]>,
    pub fadt: Option<&'a [u8]>,
}

/// An SMMUv3 that can be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Smmu {
    /// Base of register page 0.
    pub base: PhysAddr,
    /// Whether its table and queue accesses are coherent, where firmware overrides what IDR0.COHACC says.
    pub coherent_override: Option<bool>,
    /// What its IORT node says of hardware updates in translation tables, in place of IDR0.HTTU.
    pub httu_override: u8,
    /// 0 generic, 1 HiSilicon Hi161x, 2 Cavium CN99xx (no page 1).
    pub model: u32,
    /// Wired interrupts, zero where there is none: event queue, PRI queue, GERROR, CMD_SYNC.
    pub gsivs: [u32; 4],
    /// Offset of its IORT node.
    pub node: u32,
}

/// A reserved memory range of some streams of one SMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservedRange {
    /// First address.
    pub base: PhysAddr,
    /// Length in bytes, not zero.
    pub bytes: u64,
    /// Index of the SMMU in [`Platform::smmus`].
    pub smmu: usize,
    /// First StreamID.
    pub first: StreamId,
    /// Last StreamID.
    pub last: StreamId,
    /// Whether it may be remapped, privilege, memory attributes.
    pub flags: RmrFlags,
}

impl ReservedRange {
    /// Tells whether the range belongs to a stream.
    #[must_use]
    pub fn covers(&self, smmu: usize, stream: StreamId) -> bool {
        self.smmu == smmu && (self.first..=self.last).contains(&stream)
    }
}

/// A CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Affinity, as in `MPIDR_EL1`; what PSCI takes.
    pub mpidr: u64,
    /// Whether it can be started.
    pub is_enabled: bool,
}

/// The interrupt controller.
#[derive(Clone, Debug, Default)]
pub struct Gic {
    /// Its distributor.
    pub distributor: Option<Gicd>,
    /// Ranges of redistributors.
    pub redistributors: ArrayVec<Gicr, MAX_REDISTRIBUTORS>,
    /// Its ITSs.
    pub its: ArrayVec<Its, MAX_ITS>,
    /// CPUs that it serves.
    pub cpus: ArrayVec<Cpu, MAX_CPUS>,
}

/// The machine.
#[derive(Clone, Debug, Default)]
pub struct Platform<'a> {
    /// The IORT, for everything that is not copied below.
    pub iort: Option<Iort<'a>>,
    /// SMMUs of version 3 with a base address.
    pub smmus: ArrayVec<Smmu, MAX_SMMUS>,
    /// PCI configuration space.
    pub ecam: ArrayVec<EcamRegion, MAX_ECAM>,
    /// UART of the console.
    pub console: Option<Console>,
    /// Interrupt controller.
    pub gic: Gic,
    /// How to call PSCI.
    pub psci: Conduit,
    /// Timer interrupts.
    pub timers: Option<Timers>,
    /// SBSA watchdogs.
    pub watchdogs: ArrayVec<Watchdog, MAX_WATCHDOGS>,
    /// Reserved memory ranges.
    pub rmrs: ArrayVec<ReservedRange, MAX_RMRS>,
}

impl<'a> Platform<'a> {
    /// Reads all tables. One that is missing or bad is a finding, and what the others say is kept.
    #[must_use]
    pub fn from_tables(tables: &Tables<'a>, sink: &mut Sink<'_>) -> Self {
        let mut platform = Self::default();
        platform.read_iort(tables.iort, sink);
        if let Some(mcfg) = table(tables.mcfg, mcfg::SIGNATURE, Mcfg::parse, sink) {
            keep(&mut platform.ecam, mcfg.regions(), mcfg::SIGNATURE, sink);
        }
        platform.read_console(tables, sink);
        if let Some(gtdt) = table(tables.gtdt, gtdt::SIGNATURE, Gtdt::parse, sink) {
            platform.timers = Some(gtdt.timers);
            keep(&mut platform.watchdogs, gtdt.watchdogs(), gtdt::SIGNATURE, sink);
        }
        if let Some(madt) = table(tables.madt, madt::SIGNATURE, Madt::parse, sink) {
            platform.gic = gic(&madt, sink);
        }
        if let Some(fadt) = table(tables.fadt, fadt::SIGNATURE, Fadt::parse, sink) {
            platform.psci = fadt.psci;
        }
        platform
    }

    pub(crate) fn read_iort(&mut self, bytes: Option<&'a [u8]>, sink: &mut Sink<'_>) {
        self.iort = table(bytes, iort::SIGNATURE, Iort::parse, sink);
        let Some(iort) = self.iort else { return };
        let smmus = iort.smmus().filter(|smmu| smmu.base.0 != 0).map(|smmu| Smmu {
            base: smmu.base,
            coherent_override: smmu.is_coherent_override().then_some(true),
            httu_override: smmu.httu_override(),
            model: smmu.model,
            gsivs: smmu.gsivs,
            node: smmu.node.offset,
        });
        keep(&mut self.smmus, smmus, iort::SIGNATURE, sink);
        let kept = self.smmus.clone();
        let rmrs = iort.rmrs().flat_map(|rmr| {
            let kept = &kept;
            rmr.streams().flat_map(move |streams| {
                let smmu = kept.iter().position(|smmu| smmu.node == streams.smmu.offset);
                // A range that is empty or passes 64 bits is a finding of the parser, and nothing that can be mapped.
                let ranges = rmr.ranges().filter(|range| range.last().is_some());
                smmu.into_iter().flat_map(move |smmu| {
                    ranges.clone().map(move |range| ReservedRange {
                        base: range.base,
                        bytes: range.bytes,
                        smmu,
                        first: streams.first,
                        last: streams.last,
                        flags: rmr.flags,
                    })
                })
            })
        });
        keep(&mut self.rmrs, rmrs, iort::SIGNATURE, sink);
    }

    /// SPCR names the console; where it does not, the first debug port is taken, and DBG2's own lack is no finding
    /// beside a good SPCR.
    fn read_console(&mut self, tables: &Tables<'a>, sink: &mut Sink<'_>) {
        self.console = table(tables.spcr, spcr::SIGNATURE, Spcr::parse, sink).and_then(|spcr| spcr.console);
        if self.console.is_none()
            && let Some(bytes) = tables.dbg2
        {
            self.console = Dbg2::parse(bytes, sink).ok().and_then(|dbg2| dbg2.console);
        }
    }

    /// Where a PCI function's accesses and MSIs go.
    #[must_use]
    pub fn resolve(&self, function: Bdf) -> Resolution<'a> {
        self.iort.map(|iort| iort.resolve(function)).unwrap_or_default()
    }

    /// The SMMU in [`Platform::smmus`] that a resolution leads to; `None` for one of version 1 or 2.
    #[must_use]
    pub fn smmu_of(&self, stream: &SmmuStream) -> Option<usize> {
        self.smmus.iter().position(|smmu| smmu.node == stream.offset)
    }

    /// Address of a PCI function's configuration space.
    #[must_use]
    pub fn config_space(&self, function: Bdf) -> Option<PhysAddr> {
        self.ecam.iter().find_map(|region| region.function(function))
    }
}

fn gic(madt: &Madt<'_>, sink: &mut Sink<'_>) -> Gic {
    let mut gic = Gic {
        distributor: madt.records().find_map(|record| match record {
            Record::Gicd(distributor) => Some(distributor),
            _ => None,
        }),
        ..Gic::default()
    };
    let its = madt.records().filter_map(|record| match record {
        Record::Its(its) => Some(its),
        _ => None,
    });
    keep(&mut gic.its, its, madt::SIGNATURE, sink);
    let cpus = madt.records().filter_map(|record| match record {
        Record::Gicc(cpu) => Some(Cpu { mpidr: cpu.mpidr, is_enabled: cpu.is_enabled() }),
        _ => None,
    });
    keep(&mut gic.cpus, cpus, madt::SIGNATURE, sink);
    let ranges = madt.records().filter_map(|record| match record {
        Record::Gicr(range) => Some(range),
        _ => None,
    });
    keep(&mut gic.redistributors, ranges, madt::SIGNATURE, sink);
    if gic.redistributors.is_empty() {
        // Without GICR records each GICC record holds its own redistributor's address (ACPI 6.5, 5.2.12.14).
        let bytes = redistributor_bytes(gic.distributor.map_or(0, |distributor| distributor.version));
        let ranges = madt.records().filter_map(|record| match record {
            Record::Gicc(cpu) if cpu.redistributor.0 != 0 => Some(Gicr { base: cpu.redistributor, bytes }),
            _ => None,
        });
        keep(&mut gic.redistributors, ranges, madt::SIGNATURE, sink);
    }
    // A GICv2 has none, and says so only by its version.
    if gic.redistributors.is_empty() && gic.distributor.is_none_or(|distributor| !matches!(distributor.version, 1 | 2))
    {
        sink(Finding::new(&rule::W_GIC_NO_REDISTRIBUTOR, madt::SIGNATURE));
    }
    gic
}

/// Parses a table that should be there.
fn table<'a, T>(
    bytes: Option<&'a [u8]>,
    signature: [u8; 4],
    parse: impl FnOnce(&'a [u8], &mut Sink<'_>) -> Result<T, Unreadable>,
    sink: &mut Sink<'_>,
) -> Option<T> {
    match bytes {
        Some(bytes) => parse(bytes, sink).ok(),
        None => {
            sink(Finding::new(&rule::W_TABLE_MISSING, signature));
            None
        }
    }
}

/// Keeps what there is room for; the rest is a finding.
pub(crate) fn keep<T, const ROOM: usize>(
    list: &mut ArrayVec<T, ROOM>,
    items: impl Iterator<Item = T>,
    signature: [u8; 4],
    sink: &mut Sink<'_>,
) {
    const FULL: &Rule = &rule::W_CAPACITY;
    let mut left_out = 0_u64;
    for item in items {
        left_out += u64::from(list.try_push(item).is_err());
    }
    if left_out > 0 {
        sink(Finding::new(FULL, signature).found(left_out + ROOM as u64).against(ROOM as u64));
    }
}
