//! What the crashed image left broken, or otherwise than usual, and what follows from it.
//!
//! Damage to structures is done where no live stream looks, so that all of them go on until the takeover: to the last
//! level-1 descriptor, and to the last STE of the level-2 table in use.

mod apply;
mod each;
mod firmware;
mod later;
mod place;
mod queues;
mod rows;
mod words;

pub use apply::NotDone;
pub use each::Undone;
pub use later::LookedAgain;

use crate::{
    Risks,
    policy::{Documented, Expectation},
};
use addr::{PhysAddr, StreamId};
use rows::{Answer, ROWS, Row};
use smmu::{observe::Registers, spec::ste::STE_BYTES, table::SPLIT, takeover::Rule, translation::Stage};

/// A kind of damage: its place in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage(u8);

/// Names, for messages: there are too many to list.
pub(crate) const NAMES: &str = "those of --list-scenarios";
/// Bytes of a level-1 descriptor (IHI 0070, 5.1).
const L1STD_BYTES: u64 = 8;

/// What is done to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Nothing,
    /// A field of STRTAB_BASE_CFG, while the SMMU is enabled.
    Config(Config),
    /// The last level-1 descriptor.
    Level1 {
        span: u8,
        pointer: Pointer,
    },
    /// The last STE of the level-2 table in use, or of a linear table.
    Ste(Ste),
    /// A queue or an error.
    Queue(Queue),
    /// SMMUEN is 0.
    Off,
    /// The dead image itself found the SMMU translating, and kept firmware's table.
    FirmwareTable,
    /// Every domain is of stage 2.
    Stage2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Config {
    Log2size(u8),
    /// IDR1.SIDSIZE and one more.
    AboveSidsize,
    Split(u8),
    Format(u8),
    /// FMT 1 and SPLIT 8, over a linear table.
    TwoLevel,
}

/// Where a level-2 table is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pointer {
    /// Where there is one.
    Live,
    Null,
    Misaligned,
    /// At the end of the SMMU's output range, where nothing is.
    Nowhere,
    /// In the crash kernel's memory.
    Own,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ste {
    CdNull,
    /// S1CDMax is IDR1.SSIDSIZE and one more.
    CdMax,
    /// S1Fmt 3.
    CdFormat,
    /// A leaf of CDs that is no multiple of 64 KiB.
    CdLeaf,
    AsidZero,
    /// The ASID of a live stream, in another CD.
    AsidShared,
    VmidZero,
    /// Config 0b001.
    Config,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    /// An illegal command, so that CMDQ_ERR is active.
    CommandError,
    /// EVENTQ_ABT_ERR is active.
    EventAbort,
    /// The queue is stopped before commands that were handed over.
    Unconsumed,
    /// Half a command stands where the next one goes.
    Torn,
    /// The event queue is full.
    EventsFull,
}

impl Damage {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// All of them; the first is none.
    pub fn all() -> impl Iterator<Item = Self> {
        (0_u8..).map(Self).take(ROWS.len())
    }

    /// Every damage is made from a place in the table, so that the first row is never taken instead.
    fn row(self) -> &'static Row {
        ROWS.get(usize::from(self.0)).unwrap_or(&ROWS[0])
    }

    /// Name in scenarios and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::all().find(|damage| damage.name() == name)
    }

    /// A policy that adopts goes on all the same, so that the digests of before the crash are of the damaged tables.
    #[must_use]
    pub fn is_adopted(self) -> bool {
        matches!(self.row().answer, Answer::Adopted | Answer::OneRefused(_))
    }

    /// A policy with this expectation refuses to adopt an SMMU because of it, and resets that SMMU instead. `registers` are
    /// those that it finds, `lowest` is the first live stream behind it.
    #[must_use]
    pub fn falls_back(self, expectation: Expectation, registers: &Registers, lowest: Option<StreamId>) -> bool {
        expectation.adopts
            && match self.row().answer {
                Answer::Refused(_) => true,
                // Revision 7 does not look at it.
                Answer::RefusedByScan(_) => expectation.reserves_identifiers,
                Answer::RefusedAsLevel1 => {
                    let descriptors = registers.strtab_base_cfg.log2size().checked_sub(SPLIT).map(|bits| 1_u64 << bits);
                    let meets_live = |descriptors| {
                        lowest.is_some_and(|stream| u64::from(stream.0) * (STE_BYTES / L1STD_BYTES) < descriptors)
                    };
                    expectation.reserves_identifiers || descriptors.is_none_or(meets_live)
                }
                Answer::Adopted | Answer::OneRefused(_) => false,
            }
    }

    /// A kernel that adopts must refuse what this leaves behind, whatever the SMMU; `scans`: it looks at STEs and CDs, too.
    #[must_use]
    pub fn must_be_refused(self, scans: bool) -> bool {
        match self.row().answer {
            Answer::Refused(_) => true,
            Answer::RefusedByScan(_) | Answer::RefusedAsLevel1 => scans,
            Answer::Adopted | Answer::OneRefused(_) => false,
        }
    }

    /// The rule by which a table is refused as a whole, on an SMMU with these registers.
    #[must_use]
    pub fn rule(self, registers: &Registers) -> Option<Rule> {
        /// Bits of a StreamID that a first level of 2^17 descriptors covers.
        const MOST: u8 = 25;
        match self.row().answer {
            // What is too large for every kernel is mostly too large for the SMMU first.
            Answer::Refused(Rule::StrtabSize) if registers.idr1.sidsize() <= MOST => Some(Rule::StrtabLog2size),
            // A level 1 may be aligned as the linear table would be, by chance.
            Answer::RefusedByScan(Rule::StrtabAlignment)
                if PhysAddr(registers.strtab_base.addr())
                    .is_aligned(STE_BYTES << registers.strtab_base_cfg.log2size().min(32)) =>
            {
                Some(Rule::StrtabFormat)
            }
            Answer::RefusedAsLevel1 if registers.strtab_base_cfg.log2size() < SPLIT => Some(Rule::StrtabLog2size),
            // Span lies over V and Config: the first STE, whose V is 1 and which is no bypass, has neither 0 nor 9.
            Answer::RefusedAsLevel1 => Some(Rule::L1Span),
            Answer::Refused(rule) | Answer::RefusedByScan(rule) => Some(rule),
            Answer::Adopted | Answer::OneRefused(_) => None,
        }
    }

    /// The rule by which one stream is refused after the adoption.
    #[must_use]
    pub fn later_rule(self) -> Option<Rule> {
        match self.row().answer {
            Answer::OneRefused(rule) => Some(rule),
            _ => None,
        }
    }

    /// Stage of the domains that the dead image makes.
    #[must_use]
    pub fn stage(self) -> Stage {
        if self.row().what == What::Stage2 { Stage::Two } else { Stage::One }
    }

    /// The SMMU is found disabled.
    #[must_use]
    pub fn turns_off(self) -> bool {
        self.row().what == What::Off
    }

    /// Firmware has the SMMU before the image that is going to die.
    #[must_use]
    pub fn begins_in_firmware(self) -> bool {
        self.row().what == What::FirmwareTable
    }

    /// Events are left in the queue.
    #[must_use]
    pub fn leaves_events(self) -> bool {
        self.row().what == What::Queue(Queue::EventsFull)
    }

    /// What a policy with this expectation is expected to do with an SMMU that has it; the rest as for [`Self::falls_back`].
    #[must_use]
    pub fn applied_to(self, expectation: Expectation, registers: &Registers, lowest: Option<StreamId>) -> Expectation {
        if self.falls_back(expectation, registers, lowest) { Expectation::RESET } else { expectation }
    }

    /// What it adds to the policy's risks.
    #[must_use]
    pub fn risks(self) -> Risks {
        // A fallback is a reset: DMA is refused, and RMR streams bypass.
        let fallback = Risks::BUS_ERROR.with(Risks::STRAY_WRITE);
        match self.row().what {
            // 6.3.25: the SMMU may go to any address then, and be lost until it is reset.
            What::Config(_) => fallback.with(Risks::POWER_CYCLE),
            _ if self.is_adopted() => Risks::NONE,
            _ => fallback,
        }
    }

    /// In words; `None`: those of the policy hold. No image needs it.
    #[must_use]
    pub fn documented(self) -> Option<Documented> {
        words::of(self.row())
    }
}

#[cfg(test)]
mod tests;
