//! Which SMMU it is: what its ID registers announce, and whose behaviour it has.

use addr::PhysAddr;
use smmu::spec::registers::{Idr0, Idr1, Idr5};

/// Whose behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Personality {
    /// The architecture, with every freedom that SMMUv3.`minor` leaves.
    Architecture {
        /// SMMU_AIDR.ArchMinorRev: 0 to 4.
        minor: u8,
    },
    /// QEMU 10: everything at once, no guards, and its own oddities.
    Qemu10,
}

impl Personality {
    /// Every personality that is told apart.
    pub const ALL: [Self; 6] = [
        Self::Architecture { minor: 0 },
        Self::Architecture { minor: 1 },
        Self::Architecture { minor: 2 },
        Self::Architecture { minor: 3 },
        Self::Architecture { minor: 4 },
        Self::Qemu10,
    ];

    /// It is QEMU.
    #[must_use]
    pub const fn is_qemu(self) -> bool {
        matches!(self, Self::Qemu10)
    }

    /// From SMMUv3.2 on a guarded write is ignored; before, it is CONSTRAINED UNPREDICTABLE (6.2).
    #[must_use]
    pub const fn ignores_guarded_writes(self) -> bool {
        matches!(self, Self::Architecture { minor: 2.. })
    }

    /// SMMU_AIDR.
    #[must_use]
    pub const fn aidr(self) -> u32 {
        match self {
            Self::Architecture { minor } => minor as u32,
            Self::Qemu10 => 1,
        }
    }
}

/// An SMMU as it leaves the factory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// Whose behaviour.
    pub personality: Personality,
    /// SMMU_IDR0.
    pub idr0: Idr0,
    /// SMMU_IDR1.
    pub idr1: Idr1,
    /// SMMU_IDR3.
    pub idr3: u32,
    /// SMMU_IDR5.
    pub idr5: Idr5,
    /// SMMU_GBPA after reset: whether ABORT is set is the implementation's choice (6.3.14).
    pub gbpa: u32,
    /// Physical address of page 0, to which preset bases are relative with IDR1.REL (6.3.2).
    pub frame: PhysAddr,
    /// Accesses of the CPU after which an update is acknowledged and a command consumed at the latest.
    pub slowest: u8,
}

impl Hardware {
    /// The SMMU of QEMU's `virt` machine, version 9.2 or later, with the behaviour of `personality`.
    #[must_use]
    pub fn virt(personality: Personality) -> Self {
        Self {
            personality,
            idr0: Idr0::from(0x0D44_101B),
            idr1: Idr1::from(0x0273_0010),
            idr3: 0x1414,
            idr5: Idr5::from(0x74),
            gbpa: 0x1000,
            frame: PhysAddr(0x0905_0000),
            slowest: 3,
        }
    }

    /// An SMMU of a server: EL2 streams, ATS, PRI, stalls, substreams in two-level CD tables.
    #[must_use]
    pub fn server(minor: u8) -> Self {
        let hardware = Self::virt(Personality::Architecture { minor });
        Self {
            idr0: hardware.idr0.with_hyp(true).with_ats(true).with_pri(true).with_cd2l(true).with_stall_model(0),
            idr1: hardware.idr1.with_ssidsize(20).with_priqs(19),
            ..hardware
        }
    }

    /// Edits SMMU_IDR0.
    #[must_use]
    pub fn idr0(self, edit: impl FnOnce(Idr0) -> Idr0) -> Self {
        Self { idr0: edit(self.idr0), ..self }
    }

    /// Edits SMMU_IDR1.
    #[must_use]
    pub fn idr1(self, edit: impl FnOnce(Idr1) -> Idr1) -> Self {
        Self { idr1: edit(self.idr1), ..self }
    }

    /// Stalled transactions exist (IDR0.STALL_MODEL is not 1).
    #[must_use]
    pub const fn stalls(&self) -> bool {
        self.idr0.stall_model() != 1
    }
}
