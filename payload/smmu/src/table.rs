//! Stream tables: built before the SMMU is enabled, changed while it runs in the order of IHI 0070, 3.21.3.

mod common;
mod entry;

use crate::access::{Access, Barrier, SmmuIndex, Structure, Unbacked};
use crate::frames::Frames;
use crate::queue::{CommandQueue, QueueError};
use crate::spec::command::cfgi_ste;
use crate::spec::registers::{Idr0, Idr1, StrtabBase, StrtabBaseCfg};
use crate::spec::ste::{Config, L1Std, STE_BYTES, STE_WORDS, Ste, Ste0};
use addr::{PhysAddr, StreamId};
use common::Common;
pub use entry::{ABORT, bypass_ste, context_descriptor, stage1_ste, stage2_ste, updating, write_cd};

/// Bits that level 2 resolves: 16 KiB tables, the only split that the adoption series accepts.
pub const SPLIT: u8 = 8;
/// A level 1 of 2^17 descriptors is 1 MiB; Linux stops there too.
const MAX_LEVEL1_BITS: u8 = 17;
/// A linear table of 2^16 STEs is 4 MiB: every requester of one PCIe segment.
const MAX_LINEAR_BITS: u8 = 16;

/// Form of a stream table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One array of STEs.
    Linear,
    /// Level-1 descriptors, and level-2 tables that appear when a StreamID of theirs is attached.
    TwoLevel,
}

/// What a stream table has to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// `None`: two-level where the hardware has it.
    pub format: Option<Format>,
    /// The largest StreamID that will be attached.
    pub largest: StreamId,
    /// What StreamIDs meet that nobody attached.
    pub unknown: Unknown,
}

/// What becomes of transactions of a StreamID that nobody attached: both refuse them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// An STE that aborts, in silence (5.2, Config 0b000).
    #[default]
    Aborts,
    /// An STE that is not valid: C_BAD_STE is recorded (7.3.5).
    IsRecorded,
}

/// Why a stream table cannot be built or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The option asks for what the hardware has not.
    #[error(
        "two-level stream table asked for, but SMMU_IDR0 is {idr0:#010x} (ST_LEVEL) and SMMU_IDR1 {idr1:#010x} (SIDSIZE)"
    )]
    NoTwoLevel {
        /// SMMU_IDR0.
        idr0: u32,
        /// SMMU_IDR1.
        idr1: u32,
    },
    /// A StreamID that the table cannot hold.
    #[error("StreamID {stream_id} does not fit into {bits} bits")]
    StreamIdRange {
        /// Which.
        stream_id: StreamId,
        /// Bits of the table.
        bits: u8,
    },
    /// No memory for a table.
    #[error("no memory for a stream table of {0:#x} bytes")]
    OutOfMemory(u64),
    /// The table itself cannot be read.
    #[error("stream table: {0}")]
    Unbacked(#[from] Unbacked),
    /// The SMMU did not complete an invalidation.
    #[error("stream table invalidation: {0}")]
    Queue(#[from] QueueError),
}

/// A stream table of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamTable {
    smmu: SmmuIndex,
    format: Format,
    base: PhysAddr,
    log2size: u8,
    unknown: Unknown,
    /// What StreamIDs share that nobody attached, where they lead somewhere.
    common: Option<Common>,
}

impl StreamTable {
    /// A table in which every StreamID is refused: those of a linear table by their STEs, those of a two-level one by
    /// having no level 2 (C_BAD_STREAMID).
    ///
    /// # Errors
    /// [`TableError`].
    pub fn build(
        hw: &mut dyn Access,
        smmu: SmmuIndex,
        idr0: Idr0,
        idr1: Idr1,
        options: TableOptions,
        frames: &mut dyn Frames,
    ) -> Result<Self, TableError> {
        let TableOptions { format, largest, unknown } = options;
        let has_two_level = has_two_level(idr0, idr1);
        let format = match format {
            Some(Format::TwoLevel) if !has_two_level => {
                return Err(TableError::NoTwoLevel { idr0: idr0.into_bits(), idr1: idr1.into_bits() });
            }
            Some(format) => format,
            None if has_two_level => Format::TwoLevel,
            None => Format::Linear,
        };
        let needed = (u32::BITS - largest.0.leading_zeros()) as u8;
        let log2size = match format {
            Format::TwoLevel => Self::most_bits(idr0, idr1),
            Format::Linear => needed.min(idr1.sidsize()).min(MAX_LINEAR_BITS),
        };
        if needed > log2size {
            return Err(TableError::StreamIdRange { stream_id: largest, bits: log2size });
        }
        let bytes = match format {
            Format::TwoLevel => (8 << (log2size - SPLIT)).max(64),
            Format::Linear => STE_BYTES << log2size,
        };
        // 6.3.24: the base is aligned to the size of the table, or of its first level.
        let base = frames.allocate(bytes, bytes).ok_or(TableError::OutOfMemory(bytes))?;
        let table = Self { smmu, format, base, log2size, unknown, common: None };
        if format == Format::Linear {
            table.fill_with_unknown(hw, base, 1 << log2size);
        }
        hw.barrier(Barrier::PublishStructure);
        Ok(table)
    }

    /// Bits of a StreamID that a table of this image can have at most; where the SMMU has more, the rest is refused
    /// (C_BAD_STREAMID).
    #[must_use]
    pub const fn most_bits(idr0: Idr0, idr1: Idr1) -> u8 {
        let most = if has_two_level(idr0, idr1) { MAX_LEVEL1_BITS + SPLIT } else { MAX_LINEAR_BITS };
        if idr1.sidsize() < most { idr1.sidsize() } else { most }
    }

    /// The table that firmware has in force, with the form that an adoption accepts: a level 2 of [`SPLIT`] bits.
    pub(crate) const fn found(smmu: SmmuIndex, base: StrtabBase, cfg: StrtabBaseCfg) -> Self {
        let format = if cfg.fmt() == 0 { Format::Linear } else { Format::TwoLevel };
        let (base, log2size) = (PhysAddr(base.addr()), cfg.log2size());
        Self { smmu, format, base, log2size, unknown: Unknown::Aborts, common: None }
    }

    /// Bits of a StreamID that it has room for.
    #[must_use]
    pub const fn stream_bits(&self) -> u8 {
        self.log2size
    }

    /// Whether transactions of `stream_id` get anywhere: by a valid STE that does not abort.
    ///
    /// # Errors
    /// [`TableError::StreamIdRange`], [`TableError::Unbacked`].
    pub fn serves(&self, hw: &mut dyn Access, stream_id: StreamId) -> Result<bool, TableError> {
        let Some(at) = self.ste_address(hw, stream_id)? else { return Ok(false) };
        let ste0 = Ste0::from(hw.load(self.smmu, Structure::Ste, at)?);
        Ok(ste0.v() && !Config(ste0.config()).is_abort())
    }

    /// Its form.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// STRTAB_BASE for this table, with read-allocate as Linux has it.
    #[must_use]
    pub const fn strtab_base(&self) -> StrtabBase {
        StrtabBase::new().with_addr(self.base.0).with_ra(true)
    }

    /// STRTAB_BASE_CFG for this table.
    #[must_use]
    pub const fn strtab_base_cfg(&self) -> StrtabBaseCfg {
        let cfg = StrtabBaseCfg::new().with_log2size(self.log2size);
        match self.format {
            Format::Linear => cfg,
            Format::TwoLevel => cfg.with_split(SPLIT).with_fmt(1),
        }
    }

    /// Where the STE of `stream_id` is; `None` where its level 2 does not exist yet.
    ///
    /// # Errors
    /// [`TableError::StreamIdRange`], [`TableError::Unbacked`].
    pub fn ste_address(&self, hw: &mut dyn Access, stream_id: StreamId) -> Result<Option<PhysAddr>, TableError> {
        let sid = u64::from(stream_id.0);
        if sid >> self.log2size != 0 {
            return Err(TableError::StreamIdRange { stream_id, bits: self.log2size });
        }
        if self.format == Format::Linear {
            return Ok(Some(self.base.plus(sid * STE_BYTES)));
        }
        let descriptor = L1Std::from(hw.load(self.smmu, Structure::L1Std, self.descriptor_address(stream_id))?);
        let index = sid & ((1 << SPLIT) - 1);
        let is_common = self.common.is_some_and(|common| common.level2 == Some(PhysAddr(descriptor.l2ptr())));
        Ok((descriptor.span() != 0 && !is_common).then(|| PhysAddr(descriptor.l2ptr()).plus(index * STE_BYTES)))
    }

    /// Replaces the STE of `stream_id`, making its level 2 where there is none. `commands` is `None` only while the SMMU is
    /// disabled and has everything invalidated before it is enabled.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn write_ste(
        &self,
        hw: &mut dyn Access,
        mut commands: Option<&mut CommandQueue>,
        frames: &mut dyn Frames,
        stream_id: StreamId,
        ste: &Ste,
    ) -> Result<(), TableError> {
        let at = match self.ste_address(hw, stream_id)? {
            Some(at) => at,
            None => self.add_level2(hw, commands.as_deref_mut(), frames, stream_id)?,
        };
        let old = self.read(hw, at)?;
        if old == *ste {
            return Ok(());
        }
        let old0 = Ste0::from(old[0]);
        let in_use = old0.v() && !Config(old0.config()).is_abort();
        if in_use && old[1..] != ste[1..] {
            // More than one word that the hardware uses would change under it.
            self.store_words(hw, at, 0, &[0]);
            publish(hw, commands.as_deref_mut(), stream_id, true)?;
        }
        if old[1..] != ste[1..] {
            // The STE may be cached as it stands: not valid, or aborting, which uses word 0 alone.
            self.store_words(hw, at, 1, &ste[1..]);
            publish(hw, commands.as_deref_mut(), stream_id, true)?;
        }
        self.store_words(hw, at, 0, &ste[..1]);
        publish(hw, commands, stream_id, true)
    }

    /// Makes `stream_id` abort with a single store, whatever it did; DMA that was translated already may still arrive.
    /// Where no level 2 exists nothing is to be done.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn abort(
        &self,
        hw: &mut dyn Access,
        commands: Option<&mut CommandQueue>,
        stream_id: StreamId,
    ) -> Result<(), TableError> {
        let Some(at) = self.ste_address(hw, stream_id)? else { return Ok(()) };
        self.store_words(hw, at, 0, &ABORT[..1]);
        publish(hw, commands, stream_id, true)
    }

    fn descriptor_address(&self, stream_id: StreamId) -> PhysAddr {
        self.base.plus(u64::from(stream_id.0 >> SPLIT) * 8)
    }

    /// Makes the level 2 for `stream_id`; returns the address of its STE.
    fn add_level2(
        &self,
        hw: &mut dyn Access,
        commands: Option<&mut CommandQueue>,
        frames: &mut dyn Frames,
        stream_id: StreamId,
    ) -> Result<PhysAddr, TableError> {
        let bytes = STE_BYTES << SPLIT;
        let level2 = frames.allocate(bytes, bytes).ok_or(TableError::OutOfMemory(bytes))?;
        self.fill_with_unknown(hw, level2, 1 << SPLIT);
        // The SMMU must not follow the pointer to STEs that are not there yet.
        hw.barrier(Barrier::PublishStructure);
        let descriptor = L1Std::new().with_span(SPLIT + 1).with_l2ptr(level2.0);
        hw.store(self.smmu, Structure::L1Std, self.descriptor_address(stream_id), descriptor.into());
        // 5.1.1: a descriptor without span may be cached too; Leaf=1 would leave it in the cache.
        publish(hw, commands, stream_id, false)?;
        Ok(level2.plus(u64::from(stream_id.0 & ((1 << SPLIT) - 1)) * STE_BYTES))
    }

    fn fill_with_unknown(&self, hw: &mut dyn Access, base: PhysAddr, count: u32) {
        let word = match self.unknown {
            Unknown::Aborts => ABORT[0],
            Unknown::IsRecorded => 0,
        };
        if let Some(common) = &self.common {
            return common.fill(hw, self.smmu, base, count);
        }
        // The other words are zero: `Frames` hands out zeroed memory.
        hw.fill(self.smmu, Structure::Ste, base, STE_BYTES as u32, count, word);
    }

    fn read(&self, hw: &mut dyn Access, at: PhysAddr) -> Result<Ste, Unbacked> {
        let mut ste = [0; STE_WORDS];
        for (word, offset) in ste.iter_mut().zip((0..).step_by(8)) {
            *word = hw.load(self.smmu, Structure::Ste, at.plus(offset))?;
        }
        Ok(ste)
    }

    fn store_words(&self, hw: &mut dyn Access, ste: PhysAddr, first: u64, words: &[u64]) {
        for (word, index) in words.iter().zip(first..) {
            hw.store(self.smmu, Structure::Ste, ste.plus(index * 8), *word);
        }
    }
}

/// With no more StreamIDs than one level-2 table holds a second level is of no use; Linux takes a linear table.
const fn has_two_level(idr0: Idr0, idr1: Idr1) -> bool {
    idr0.st_level() == 1 && idr1.sidsize() > SPLIT
}

/// Ends one step of a change: the SMMU sees the words, and holds no older ones.
fn publish(
    hw: &mut dyn Access,
    commands: Option<&mut CommandQueue>,
    stream_id: StreamId,
    leaf: bool,
) -> Result<(), TableError> {
    hw.barrier(Barrier::PublishStructure);
    if let Some(commands) = commands {
        commands.issue_and_sync(hw, &[cfgi_ste(stream_id, leaf)])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
