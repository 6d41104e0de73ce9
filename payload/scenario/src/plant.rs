//! Planted faults: each breaks one rule, to show that the check of that rule sees it.

/// A fault that is planted on purpose. A run with one is marked, and never passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Plant {
    /// One leaf of one stream's window is unmapped just before the crash.
    LeafUnmapped = 1,
    /// One leaf of one stream's window points at its canary page.
    LeafCanary = 2,
    /// The takeover writes one STE anew with the words it has.
    SteRewritten = 3,
    /// The takeover clears SMMUEN for one write.
    SmmuenCleared = 4,
    /// The sender of one stream stops before the crash.
    SenderStopped = 5,
    /// One endpoint is never started.
    EndpointOff = 6,
    /// The judge is given the oracle of the cycle before.
    StaleOracle = 7,
    /// The digest of the kdump image is wrong: there must be no jump.
    KdumpDigest = 8,
    /// The taker loads from where nothing answers: an external abort, taken and passed over.
    BusError = 9,
    /// The payload's own start drops firmware's table, though it could be kept.
    FirmwareDropped = 10,
    /// A policy that stops devices leaves that of one stream at work.
    StopSkipped = 11,
    /// One stream has an address of the kdump region among its own.
    IovaInKdump = 12,
    /// The host injects a PCI Express error between the last arming and the crash.
    PcieErrorBefore = 13,
    /// The same between the crash and the takeover.
    PcieErrorBlackout = 14,
    /// The same after the takeover.
    PcieErrorAfter = 15,
    /// The image that dies hangs while it arms its endpoints, in the last cycle of each run.
    HangBefore = 16,
    /// The taker hangs in the middle of its takeover, in the last cycle of each run.
    HangTakeover = 17,
    /// The kernel of a bundle has another digest than the bundle says: it must not be started.
    BundleDigest = 18,
    /// A byte of the taker's memory that nobody writes to is another after the kernel's end.
    KdumpOverwritten = 19,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::LeafUnmapped,
        Self::LeafCanary,
        Self::SteRewritten,
        Self::SmmuenCleared,
        Self::SenderStopped,
        Self::EndpointOff,
        Self::StaleOracle,
        Self::KdumpDigest,
        Self::BusError,
        Self::FirmwareDropped,
        Self::StopSkipped,
        Self::IovaInKdump,
        Self::PcieErrorBefore,
        Self::PcieErrorBlackout,
        Self::PcieErrorAfter,
        Self::HangBefore,
        Self::HangTakeover,
        Self::BundleDigest,
        Self::KdumpOverwritten,
    ];
    /// Their names, for messages.
    pub const NAMES: &'static str = "leaf-unmapped, leaf-canary, ste-rewritten, smmuen-cleared, sender-stopped, \
                                     endpoint-off, stale-oracle, kdump-digest, bus-error, firmware-dropped, \
                                     stop-skipped, iova-in-kdump, pcie-error-before, pcie-error-blackout, \
                                     pcie-error-after, hang-before, hang-takeover, bundle-digest, \
                                     kdump-overwritten";

    /// Name, as in the option `plant=` and in the report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeafUnmapped => "leaf-unmapped",
            Self::LeafCanary => "leaf-canary",
            Self::SteRewritten => "ste-rewritten",
            Self::SmmuenCleared => "smmuen-cleared",
            Self::SenderStopped => "sender-stopped",
            Self::EndpointOff => "endpoint-off",
            Self::StaleOracle => "stale-oracle",
            Self::KdumpDigest => "kdump-digest",
            Self::BusError => "bus-error",
            Self::FirmwareDropped => "firmware-dropped",
            Self::StopSkipped => "stop-skipped",
            Self::IovaInKdump => "iova-in-kdump",
            Self::PcieErrorBefore => "pcie-error-before",
            Self::PcieErrorBlackout => "pcie-error-blackout",
            Self::PcieErrorAfter => "pcie-error-after",
            Self::HangBefore => "hang-before",
            Self::HangTakeover => "hang-takeover",
            Self::BundleDigest => "bundle-digest",
            Self::KdumpOverwritten => "kdump-overwritten",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plant| plant.name() == name)
    }

    /// Number in the oracle; 0 there is no plant.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Reads a number in the oracle.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|plant| plant.code() == code)
    }
}
