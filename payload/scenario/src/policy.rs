//! What each takeover policy is documented to do: the judge takes its expectations from here, and the list of scenarios its
//! words.

use crate::Risks;
pub use smmu::takeover::Policy;

/// What becomes of a stream's DMA once the takeover is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Goes on where the dead kernel's tables say.
    Delivered,
    /// Is refused.
    Blocked,
    /// Arrives at the address that the device issues: right in an identity window, astray in every other.
    Untranslated,
    /// Arrives in an identity window, and is refused elsewhere.
    IdentityBlocked,
    /// There is none: the device was stopped.
    Silent,
}

impl After {
    /// Something of the DMA of a stream is refused.
    #[must_use]
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Blocked | Self::IdentityBlocked)
    }

    /// Something of it arrives where nobody wants it.
    #[must_use]
    pub const fn mis_steers(self) -> bool {
        matches!(self, Self::Untranslated)
    }

    /// Something of it arrives where it belongs; `has_identity`: a part of it goes to an identity window.
    #[must_use]
    pub const fn delivers(self, has_identity: bool) -> bool {
        match self {
            Self::Delivered => true,
            Self::Blocked | Self::Silent => false,
            Self::Untranslated | Self::IdentityBlocked => has_identity,
        }
    }
}

/// What a scenario's documentation says, for the judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Streams that no RMR node names.
    pub plain: After,
    /// Streams that an RMR node names.
    pub rmr: After,
    /// The dead kernel's table stays in force: the checks of an adoption apply.
    pub adopts: bool,
    /// The SMMU starts again with a table of its own: the checks of a reset apply.
    pub resets: bool,
    /// The STEs of RMR streams stay as they are.
    pub keeps_rmr_stes: bool,
    /// The identifiers in use are found and kept out of use.
    pub reserves_identifiers: bool,
    /// The event queue stays on, and refused DMA is recorded.
    pub records_events: bool,
    /// After the adoption one stream moves to a domain of the taker's own.
    pub attaches: bool,
}

impl Expectation {
    /// Everything goes on.
    pub const ADOPTED: Self = Self {
        plain: After::Delivered,
        rmr: After::Delivered,
        adopts: true,
        resets: false,
        keeps_rmr_stes: true,
        reserves_identifiers: true,
        records_events: false,
        attaches: false,
    };
    /// Everything is refused but RMR streams, which bypass. Where an adoption is refused it ends like this too.
    pub const RESET: Self = Self {
        plain: After::Blocked,
        rmr: After::Untranslated,
        adopts: false,
        resets: true,
        keeps_rmr_stes: false,
        ..Self::ADOPTED
    };
    /// The SMMU is off, and GBPA decides.
    const OFF: Self = Self { adopts: false, ..Self::ADOPTED };
    /// Stopped, then reset.
    const QUIET: Self = Self { plain: After::Silent, rmr: After::Silent, ..Self::RESET };

    /// The SMMU is left disabled.
    #[must_use]
    pub const fn turns_off(&self) -> bool {
        !self.adopts && !self.resets
    }

    /// Devices are stopped before the SMMU is touched.
    #[must_use]
    pub const fn quiesces(&self) -> bool {
        matches!(self.plain, After::Silent)
    }

    /// What the checks that are common to all, or those of a reset, demand of DMA is not all that is documented.
    #[must_use]
    pub fn has_own_course(&self) -> bool {
        let course = (self.plain, self.rmr);
        course != (After::Delivered, After::Delivered) && course != (After::Blocked, After::Untranslated)
    }

    /// What becomes of one stream.
    #[must_use]
    pub const fn of(&self, is_rmr: bool) -> After {
        if is_rmr { self.rmr } else { self.plain }
    }
}

/// What the images need to know of a policy.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// What it may do to a board.
    pub risks: Risks,
    /// What it does to DMA.
    pub expectation: Expectation,
}

const REFUSES: Risks = Risks::BUS_ERROR.with(Risks::STRAY_WRITE);
const STOPS: Risks = REFUSES.with(Risks::DEVICE_RESET);

/// In the order of [`Policy::ALL`].
static ROWS: [Behaviour; Policy::ALL.len()] = [
    Behaviour { risks: Risks::NONE, expectation: Expectation::ADOPTED },
    Behaviour { risks: Risks::NONE, expectation: Expectation { reserves_identifiers: false, ..Expectation::ADOPTED } },
    Behaviour {
        risks: Risks::STRAY_WRITE,
        expectation: Expectation { rmr: After::Untranslated, keeps_rmr_stes: false, ..Expectation::ADOPTED },
    },
    // In-flight DMA is refused, and RMR streams bypass.
    Behaviour { risks: REFUSES, expectation: Expectation::RESET },
    Behaviour { risks: REFUSES, expectation: Expectation { records_events: true, ..Expectation::RESET } },
    // Until they have a domain, RMR streams bypass here too.
    Behaviour {
        risks: REFUSES,
        expectation: Expectation { rmr: After::IdentityBlocked, records_events: true, ..Expectation::RESET },
    },
    Behaviour {
        risks: Risks::BUS_ERROR,
        expectation: Expectation { plain: After::Blocked, rmr: After::Blocked, ..Expectation::OFF },
    },
    Behaviour {
        risks: Risks::STRAY_WRITE,
        expectation: Expectation { plain: After::Untranslated, rmr: After::Untranslated, ..Expectation::OFF },
    },
    Behaviour { risks: REFUSES, expectation: Expectation::QUIET },
    Behaviour { risks: STOPS, expectation: Expectation::QUIET },
    Behaviour { risks: STOPS, expectation: Expectation::QUIET },
    Behaviour { risks: STOPS, expectation: Expectation::QUIET },
    Behaviour { risks: STOPS, expectation: Expectation::QUIET },
    Behaviour { risks: Risks::DEVICE_RESET, expectation: Expectation { attaches: true, ..Expectation::ADOPTED } },
    // What is cached of the dead kernel's domain leads to its memory.
    Behaviour {
        risks: Risks::DEVICE_RESET.with(Risks::STRAY_WRITE),
        expectation: Expectation { attaches: true, reserves_identifiers: false, ..Expectation::ADOPTED },
    },
];

/// The row of a policy.
#[must_use]
pub fn behaviour(policy: Policy) -> &'static Behaviour {
    &ROWS[policy as usize]
}

/// Names, for messages.
pub(crate) const NAMES: &str = "adopt, adopt-v7, adopt-rmr-bypass, reset, reset-evtq, reset-attach, abort, bypass, \
                                quiesce-bme, quiesce-driver, quiesce-flr, quiesce-bus-reset, quiesce-dpc, \
                                adopt-attach, adopt-v7-attach";

/// What a part of a scenario is expected to do, and by which source. No image needs it: only the host lists scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Documented {
    /// What is expected.
    pub expects: &'static str,
    /// Where that comes from.
    pub source: &'static str,
}

/// A policy in words.
#[must_use]
pub const fn documented(policy: Policy) -> Documented {
    match policy {
        Policy::Adopt => Documented {
            expects: "every stream delivered in every phase, 0 blocked, 0 mis-steered; SMMUEN never 0; tables \
                      byte-identical",
            source: "Chen, Adopt the crashed kernel's stream table for kdump, v7 and v10 (Aug 2026)",
        },
        Policy::AdoptV7 => Documented {
            expects: "as adopt; ASIDs and VMIDs of adopted streams are not reserved, and the table is believed: FMT, \
                      alignment, null pointers",
            source: "Chen v7 (Jun 2026), measured on 7.3.4; Shrivastava, 1 Jul 2026",
        },
        Policy::AdoptRmrBypass => Documented {
            expects: "as adopt, but STEs of RMR streams become bypass in the live table: their canary window is \
                      mis-steered",
            source: "Chen v6 6/7, which mends it: RMR bypass installed for kdump adoption",
        },
        Policy::Reset => Documented {
            expects: "DMA blocked from the takeover on; RMR streams mis-steered in their canary window by new bypass STEs",
            source: "Linux 6.1 to 7.3, arm_smmu_device_reset() in a kdump kernel",
        },
        Policy::ResetEvtq => Documented {
            expects: "as reset, with the event queue on: C_BAD_STREAMID for streams without a level-2 table, nothing for \
                      those whose STE aborts; counted by stream, page and direction",
            source: "Linux 6.12, arm_smmu_device_reset() without is_kdump_kernel(); Hicks, Deacon, Mar 2024",
        },
        Policy::ResetAttach => Documented {
            expects: "as reset-evtq, then an empty default domain for every function: F_TRANSLATION; RMR streams delivered \
                      in their identity window, blocked elsewhere",
            source: "Linux 7.3, default domains at iommu_device_register(); Chen v6 6/7, last paragraph",
        },
        Policy::Abort => Documented {
            expects: "every stream blocked; SMMUEN 0 behind GBPA.ABORT",
            source: "b63b3439b856; Murphy, 16 Apr 2026: abort all was the intention",
        },
        Policy::Bypass => Documented {
            expects: "every stream untranslated: all of its canary window mis-steered, its RMR range delivered",
            source: "IHI 0070 6.3.14, GBPA; arm_smmu_device_shutdown(); Hicks, Mar 2024",
        },
        Policy::QuiesceBme => Documented {
            expects: "bus mastering off in every function, then reset: nothing lands any more; a device's own counter may \
                      run on",
            source: "Indoh, 2012: bus master off in a kdump kernel",
        },
        Policy::QuiesceDriver => Documented {
            expects: "every device stopped by its driver's reset, then reset: streams silent",
            source: "Kaya, RFC of 1 Mar 2018; Tian, 17 Apr 2026: quiesce the devices",
        },
        Policy::QuiesceFlr => Documented {
            expects: "function level reset, where there is none the next means, then reset: streams silent",
            source: "Kaya, RFC of 1 Mar 2018; PCI Express Base 6.0, 6.6.2",
        },
        Policy::QuiesceBusReset => Documented {
            expects: "the bus below each port on a root bus is reset, functions without a port by the next means, then reset: \
                      streams silent",
            source: "Indoh, 2012 and 2013: hot reset in a kdump kernel; PCI Express Base 6.0, 6.6.1, 7.5.1.3.13",
        },
        Policy::QuiesceDpc => Documented {
            expects: "each port on a root bus contains what is below it, where it cannot the next means, then reset: streams \
                      silent",
            source: "Kaya, RFC of 1 Mar 2018; PCI Express Base 6.0, 6.2.11, 7.9.14",
        },
        Policy::AdoptAttach => Documented {
            expects: "as adopt; then one device is stopped and started again in a new domain at its old addresses, whose ASID \
                      is none of the dead kernel's: all of its DMA lands in the new pages, the other streams go on",
            source: "Chen v7 4/7: deferred attach; Shrivastava, 1 Jul 2026; v10: identifiers reserved",
        },
        Policy::AdoptV7Attach => Documented {
            expects: "as adopt-v7; then the same with an ASID in use and no TLBI: stale translations lead into the dead \
                      kernel's pages, under QEMU always, on silicon by chance",
            source: "Chen v7 (Jun 2026), measured on 7.3.4: 645 to 720 of 1,000 translations stale",
        },
    }
}
