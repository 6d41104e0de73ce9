//! What only observer and judge may know: the live streams, where their data must arrive, and what the tables were.

mod view;

pub use view::{OracleMut, OracleView};

use crate::seal::{Header, Kind};
use addr::{Bdf, Iova, PhysAddr, StreamId};
use pci::{ErrorPlaces, ErrorState};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of the layout.
pub const VERSION: u32 = 3;
/// Bytes of an oracle with as many streams, SMMUs and functions as fit.
pub const MAX_BYTES: usize = size_of::<OracleHeader>()
    + MAX_STREAMS * size_of::<Stream>()
    + MAX_SMMUS * size_of::<SmmuLeft>()
    + MAX_FUNCTIONS * size_of::<FunctionLeft>();

const KIND: Kind = Kind { block: "oracle", magic: u64::from_le_bytes(*b"inflorac"), version: VERSION };

/// Streams that one oracle holds.
pub const MAX_STREAMS: usize = 128;
/// SMMUs that one oracle holds.
pub const MAX_SMMUS: usize = 16;
/// PCI functions that one oracle holds.
pub const MAX_FUNCTIONS: usize = 256;

/// Head of an oracle; `stream_count` streams, `smmu_count` SMMUs and `function_count` PCI functions follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OracleHeader {
    /// Magic, version, length, CRC.
    pub header: Header,
    /// Scenario of this boot that it was made for.
    pub run: u32,
    /// Crash of that run that it was made for.
    pub cycle: u32,
    /// Counter when the last stream was armed.
    pub armed_tick: u64,
    /// Counter at the crash.
    pub crash_tick: u64,
    /// Planted fault, by `scenario`'s number; 0 none.
    pub plant: u32,
    /// Streams that follow.
    pub stream_count: u32,
    /// SMMUs that follow the streams.
    pub smmu_count: u32,
    /// PCI functions that follow the SMMUs.
    pub function_count: u32,
}

/// A range that a stream may reach. Translated DMA to `iova` lands at `target`; untranslated DMA at `canary` (== `iova`).
/// An identity window (RMR) has `target == canary == iova`; a window of 0 bytes is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Window {
    /// First address that the device issues.
    pub iova: Iova,
    /// First address where translated DMA lands.
    pub target: PhysAddr,
    /// First address where untranslated DMA lands.
    pub canary: PhysAddr,
    /// Length.
    pub bytes: u64,
}

/// Units moved since the stream was armed, all phases together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Counts {
    /// Units that the device tried to move, by a count that does not pass through the SMMU.
    pub attempted: u64,
    /// Units found at their target.
    pub delivered: u64,
    /// Units found anywhere else.
    pub mis_steered: u64,
}

/// The stream is named by an RMR node; `rmr` is its identity window, where one is ours to be written.
pub const STREAM_RMR: u32 = 1 << 0;
/// The device has no attempt count: `Counts::attempted` means nothing.
pub const STREAM_NO_ATTEMPTS: u32 = 1 << 1;

/// The device's accesses do not snoop the CPU's caches (IORT root complex, CCA 0).
pub const STREAM_NON_COHERENT: u32 = 1 << 2;
/// Firmware's translation serves the stream: `window.target == window.iova`, and untranslated DMA arrives there too; its
/// canary lies beside it.
pub const STREAM_IDENTITY: u32 = 1 << 3;

/// The device moves only what a sender outside of the machine sends it.
pub const STREAM_FED: u32 = 1 << 8;

/// A live stream: all that a driver needs to go on counting in another image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Stream {
    /// The PCI function.
    pub bdf: Bdf,
    /// Its StreamID.
    pub stream_id: StreamId,
    /// Its SMMU, by index.
    pub smmu: u32,
    /// Its driver, by `dma`'s number.
    pub driver: u32,
    /// `STREAM_*` bits.
    pub flags: u32,
    /// ASID of its CD; 0 where it has none. A VMID is in `ste`.
    pub asid: u32,
    /// First address of the registers that the driver uses.
    pub registers: PhysAddr,
    /// The canary window.
    pub window: Window,
    /// The identity window of an RMR stream.
    pub rmr: Window,
    /// The driver's own words (positions, last register values).
    pub state: [u64; 8],
    /// Running totals.
    pub totals: Counts,
    /// The totals at the crash.
    pub at_crash: Counts,
    /// The STE that the primary wrote.
    pub ste: [u64; 8],
}

/// The scenario's damage was done to this SMMU.
pub const SMMU_DAMAGED: u64 = 1 << 0;

/// An SMMU as the primary left it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SmmuLeft {
    /// Register frame.
    pub base: PhysAddr,
    /// STRTAB_BASE.
    pub strtab_base: u64,
    /// STRTAB_BASE_CFG.
    pub strtab_base_cfg: u64,
    /// Event queue of the primary: EVENTQ_BASE.
    pub eventq_base: u64,
    /// Digest of the stream table (linear, or level 1).
    pub level1_digest: u64,
    /// Digest of all level-2 tables in level-1 order.
    pub level2_digest: u64,
    /// Digest of all CDs in StreamID order.
    pub contexts_digest: u64,
    /// Structures under these digests, in bytes.
    pub digest_bytes: u64,
    /// `SMMU_*` bits.
    pub flags: u64,
}

/// A PCI function whose errors are watched, and what it told when the last stream was armed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FunctionLeft {
    /// Where it tells errors, and what it is behind, by its place in this list.
    pub places: ErrorPlaces,
    /// What it told.
    pub armed: ErrorState,
}
