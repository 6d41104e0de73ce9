//! From an SMMU that firmware left translating to one in our hands, with firmware's table kept in force: its streams go on.

use super::{BringUpError, Found, Options, Unit, identify::identify};
use crate::access::{Access, SmmuIndex};
use crate::bringup::control::Control;
use crate::frames::Frames;
use crate::queue::output_queue;
use crate::spec::event::EVENT_BYTES;
use crate::spec::registers::{self as reg, Cr0, StrtabBaseCfg};
use crate::table::StreamTable;
use crate::takeover::{self, Adopted, Refusal, Site, TakeoverError};
use addr::{PhysAddr, StreamId};

/// Why firmware's table was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdopted {
    /// It breaks a rule of the adoption; no register was written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It ends before the largest StreamID that is wanted; no register was written.
    #[error("StreamID {largest} does not fit into the {bits} bits of firmware's stream table")]
    TooSmall {
        /// The largest StreamID that is wanted.
        largest: StreamId,
        /// STRTAB_BASE_CFG.LOG2SIZE.
        bits: u8,
    },
    /// It reads tables and queues past the CPUs' caches, though it could snoop them: what is written here it would not see.
    /// No register was written.
    #[error("its tables and queues are not cacheable and shareable: CR1 {cr1:#x}")]
    Attributes {
        /// SMMU_CR1.
        cr1: u32,
    },
    /// The SMMU did not follow half-way.
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
    /// The same after the adoption.
    #[error(transparent)]
    BringUp(#[from] BringUpError),
}

/// QUEUE_* and TABLE_* of SMMU_CR1 (6.3.11) are cacheable, inner and outer, and shareable.
const fn is_snooping(cr1: u32) -> bool {
    const IC_OC: u32 = 0b11;
    let (queues, tables) = (cr1, cr1 >> 6);
    queues & IC_OC != 0
        && queues >> 2 & IC_OC != 0
        && queues >> 4 & 0b11 != 0
        && tables & IC_OC != 0
        && tables >> 2 & IC_OC != 0
        && tables >> 4 & 0b11 != 0
}

impl Unit {
    /// Takes the SMMU over as a crash kernel that adopts would, and has it record events. SMMUEN stays 1 and every STE what
    /// it is; identifiers in use are kept out of new domains. [`Options::format`] is firmware's choice.
    ///
    /// # Errors
    /// [`NotAdopted`]. Where nothing was written, [`Unit::prepare`] and [`Unit::start`] can still take it.
    pub fn adopt(
        hw: &mut dyn Access,
        smmu: SmmuIndex,
        options: &Options,
        frames: &mut dyn Frames,
    ) -> Result<Self, NotAdopted> {
        hw.step("smmu.identify");
        let control = Control { smmu, timeout_us: options.timeout_us };
        let (idr0, idr1, geometry) = identify(hw, smmu, options.base, options.stage)?;
        let found = Found::read(hw, smmu);
        let cfg = StrtabBaseCfg::from(hw.read32(smmu, reg::STRTAB_BASE_CFG));
        let table = StreamTable::found(smmu, hw.read64(smmu, reg::STRTAB_BASE).into(), cfg);
        let (largest, bits) = (options.largest, table.stream_bits());
        if u64::from(largest.0) >> bits != 0 {
            return Err(NotAdopted::TooSmall { largest, bits });
        }
        // Of tables these attributes cannot be changed under SMMUEN.
        let cr1 = hw.read32(smmu, reg::CR1);
        if !is_snooping(cr1) {
            return Err(NotAdopted::Attributes { cr1 });
        }
        let eventq = output_queue(frames, idr1.eventqs(), options.eventq_log2, EVENT_BYTES)
            .map_err(|error| BringUpError::Queue { step: "queue memory", error })?;
        let site = Site {
            smmu,
            coherent: options.coherent_override.then_some(true),
            cpu_is_vhe: options.e2h,
            queue_cap_log2: options.cmdq_log2,
            timeout_us: options.timeout_us,
            own: PhysAddr(0)..PhysAddr(0),
            frames,
            rmr_streams: &[],
            attach: &[],
        };
        let Adopted { commands, reserved, ignored, .. } = takeover::adopt_or_refuse(hw, site)??;
        // A kernel passes over it; here the machine is still to be relied on.
        if let Some(error) = ignored.invalidation {
            return Err(BringUpError::Queue { step: "invalidation", error }.into());
        }
        let unit = Self {
            control,
            idr0,
            idr1,
            geometry,
            coherent: idr0.cohacc() || options.coherent_override,
            e2h: options.e2h && idr0.hyp(),
            found,
            table,
            commands,
            eventq,
            next_id: options.first_id.max(1),
            domains: 0,
            is_started: true,
            reserved: Some(reserved),
        };
        hw.step("smmu.events");
        let cr0 = Cr0::from(hw.read32(smmu, reg::CR0));
        unit.enable_events(hw, cr0)?;
        Ok(unit)
    }

    /// Firmware's table is the one in force.
    #[must_use]
    pub const fn has_adopted(&self) -> bool {
        self.reserved.is_some()
    }
}
