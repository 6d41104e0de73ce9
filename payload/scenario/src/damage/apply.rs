//! Doing damage, and looking for it.

use super::{
    Config, Damage, Pointer, Ste, What, firmware,
    place::{Places, TWO_LEAVES, words},
    queues,
};
use addr::PhysAddr;
use smmu::{
    access::{Access, Barrier, SmmuIndex, Structure},
    observe::{Budget, Entry, ObserveError, Registers, for_each_ste},
    poll::until,
    spec::registers::{CR0, CR0ACK, Cr0, GBPA, Gbpa, STRTAB_BASE_CFG},
    spec::ste::{self, L1Std, Ste0},
    table::{ABORT, SPLIT},
};

/// How long an acknowledge is waited for.
const ACK_US: u64 = 100_000;
/// Bytes of a stream table that are looked at.
const TABLE_LIMIT: u64 = 16 << 20;
/// SMMU_AIDR of version 3.2.
const VERSION_3_2: u32 = 2;

/// Why nothing was damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// The tables have no such place, or it is in use.
    #[error("the tables have no unused place for it")]
    NoPlace,
    /// What was to be outside memory is memory.
    #[error("memory answers at {0}")]
    Memory(PhysAddr),
    /// No memory for the structures that the damage leads to.
    #[error("no memory for it")]
    NoMemory,
    /// The SMMU cannot have it at all.
    #[error("{0}")]
    Lacks(&'static str),
    /// The SMMU does not follow.
    #[error("the SMMU acknowledges no change of its registers")]
    NoAck,
}

impl Damage {
    /// Why it cannot be done to an SMMU with these registers at all, if so; `is_linear`: its table will have one level.
    #[must_use]
    pub fn lacks(self, registers: &Registers, is_linear: bool) -> Option<&'static str> {
        let is_two_level = !is_linear && registers.idr0.st_level() == 1 && registers.idr1.sidsize() > SPLIT;
        match self.row().what {
            What::Config(_) if registers.aidr >= VERSION_3_2 => {
                Some("from SMMUv3.2 on a write to STRTAB_BASE_CFG is ignored while it is enabled (IHI 0070 6.3.25)")
            }
            What::Config(Config::Format(2) | Config::AboveSidsize) => None,
            What::Config(Config::TwoLevel) if is_two_level => Some("the stream table has two levels"),
            What::Config(Config::TwoLevel) if registers.idr0.st_level() != 1 => {
                Some("IDR0.ST_LEVEL is 0: there is no STRTAB_BASE_CFG.FMT to write (IHI 0070 6.3.25)")
            }
            What::Config(Config::TwoLevel) => None,
            What::Config(_) | What::Level1 { .. } if !is_two_level => Some("the stream table has one level"),
            What::Stage2 if !registers.idr0.s2p() => Some("it has no stage 2 (IDR0.S2P)"),
            What::Ste(Ste::CdLeaf) if registers.idr1.ssidsize() < TWO_LEAVES => {
                Some("IDR1.SSIDSIZE leaves no room for a CD table of two levels")
            }
            _ => None,
        }
    }

    /// Damages `smmu`, which is live. `own` is where the crash kernel's memory begins, `scratch` an empty page.
    ///
    /// # Errors
    /// [`NotDone`].
    pub fn apply(self, hw: &mut dyn Access, smmu: SmmuIndex, own: PhysAddr, scratch: PhysAddr) -> Result<(), NotDone> {
        let registers = Registers::read(hw, smmu);
        match self.row().what {
            What::Nothing => Ok(()),
            // They were there before everything else, on the SMMUs that firmware had, or that have live streams.
            What::FirmwareTable | What::Stage2 => {
                if self.is_found(hw, smmu, own) {
                    Ok(())
                } else {
                    Err(NotDone::NoPlace)
                }
            }
            // Firmware's linear table may begin with an STE that reads as a descriptor.
            What::Config(Config::TwoLevel) if !is_table_of_stes(hw, &registers) => Err(NotDone::NoPlace),
            What::Config(config) => {
                let value = config.of(registers.strtab_base_cfg, &registers);
                hw.write32(smmu, STRTAB_BASE_CFG, value.into());
                Ok(())
            }
            What::Queue(queue) => queues::apply(queue, hw, &registers),
            What::Off => turn_off(hw, &registers),
            what => {
                let places = Places::find(hw, &registers).ok_or(NotDone::NoPlace)?;
                let words = words(what, hw, &registers, &places, own, scratch).ok_or(NotDone::NoPlace)?;
                let mut is = |what, at, value| hw.load(smmu, what, at) == Ok(value);
                let is_free = match what {
                    What::Level1 { .. } => is(Structure::L1Std, places.free_descriptor, 0),
                    _ => is(Structure::Ste, places.free_ste, ABORT[0]),
                };
                if !is_free {
                    return Err(NotDone::NoPlace);
                }
                if let What::Level1 { pointer: Pointer::Nowhere, .. } = what
                    && let Some((_, _, word)) = words.first()
                    && let at = PhysAddr(L1Std::from(*word).l2ptr())
                    && hw.load(smmu, Structure::Ste, at).is_ok()
                {
                    return Err(NotDone::Memory(at));
                }
                for (what, at, value) in words {
                    hw.store(smmu, what, at, value);
                    hw.barrier(Barrier::PublishStructure);
                }
                Ok(())
            }
        }
    }

    /// Tells whether the damage is there, before anybody acts on it. Nothing is written.
    pub fn is_found(self, hw: &mut dyn Access, smmu: SmmuIndex, own: PhysAddr) -> bool {
        let registers = Registers::read(hw, smmu);
        match self.row().what {
            What::Nothing => true,
            What::Config(config) => {
                let is_there = registers.strtab_base_cfg == config.of(registers.strtab_base_cfg, &registers);
                // Where FMT is the damage, what it says must not be so.
                is_there
                    && match config {
                        Config::Format(0) => !is_table_of_stes(hw, &registers),
                        Config::TwoLevel => is_table_of_stes(hw, &registers),
                        _ => true,
                    }
            }
            What::Queue(queue) => queues::is_found(queue, hw, &registers),
            What::FirmwareTable => firmware::is_found(hw, &registers),
            What::Off => !registers.cr0.smmuen() && !registers.cr0ack.smmuen(),
            What::Stage2 => has_stage2_alone(hw, &registers),
            what => {
                let Some(places) = Places::find(hw, &registers) else { return false };
                let scratch =
                    hw.load(smmu, Structure::Ste, places.free_ste).map_or(0, |word| Ste0::from(word).s1contextptr());
                let words = words(what, hw, &registers, &places, own, PhysAddr(scratch));
                words.is_some_and(|words| {
                    words.into_iter().all(|(what, at, value)| hw.load(smmu, what, at) == Ok(value))
                })
            }
        }
    }
}

/// The table begins with an STE. Of a two-level one the first word is 0, or a descriptor with the one span that fits.
fn is_table_of_stes(hw: &mut dyn Access, registers: &Registers) -> bool {
    let first = hw.load(registers.smmu, Structure::Ste, PhysAddr(registers.strtab_base.addr()));
    first.is_ok_and(|word| Ste0::from(word).v() && L1Std::from(word).span() != SPLIT + 1)
}

/// Changes CR0 and waits until the changed fields are acknowledged (6.3.9).
pub(super) fn set_cr0(hw: &mut dyn Access, registers: &Registers, value: Cr0) -> Result<(), NotDone> {
    let changed = u32::from(value) ^ u32::from(registers.cr0);
    hw.write32(registers.smmu, CR0, value.into());
    let acknowledged = until(hw, registers.smmu, CR0ACK, changed, u32::from(value) & changed, ACK_US);
    acknowledged.map(|_| ()).map_err(|_| NotDone::NoAck)
}

/// There are live streams, and all of them are at stage 2.
fn has_stage2_alone(hw: &mut dyn Access, registers: &Registers) -> bool {
    let mut is_any = false;
    let all =
        for_each_ste(hw, registers, &mut Budget::new(TABLE_LIMIT), &mut |_: &mut dyn Access, _: &mut Budget, entry| {
            let Entry::Ste { ste, .. } = entry else { return Ok(()) };
            let ste = Ste0::from(ste[0]);
            let config = ste::Config(ste.config());
            let is_live = ste.v() && !config.is_abort();
            is_any |= is_live;
            if is_live && config != ste::Config::S2 { Err(Other) } else { Ok(()) }
        });
    all.is_ok() && is_any
}

/// A live stream at another stage, or a table that cannot be read.
struct Other;

impl From<ObserveError> for Other {
    fn from(_: ObserveError) -> Self {
        Self
    }
}

/// SMMUEN off behind ABORT: what comes until the takeover harms nobody.
fn turn_off(hw: &mut dyn Access, registers: &Registers) -> Result<(), NotDone> {
    let update = u32::from(Gbpa::new().with_update(true));
    // 6.3.14: one write with Update, which was 0, and is 0 again when it is done.
    hw.write32(registers.smmu, GBPA, registers.gbpa.with_abort(true).with_update(true).into());
    until(hw, registers.smmu, GBPA, update, 0, ACK_US).map_err(|_| NotDone::NoAck)?;
    set_cr0(hw, registers, registers.cr0.with_smmuen(false))
}
