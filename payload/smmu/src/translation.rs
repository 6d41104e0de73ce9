//! Translation tables in the VMSAv8-64 format (Arm DDI 0487, D8.3), of stage 1 and of stage 2: built here, walked here, read
//! from a dead image.

mod geometry;
mod identifier;
mod identity;
mod walk;

use crate::access::{Access, Barrier, SmmuIndex, Structure, Unbacked};
use crate::frames::Frames;
use addr::{Iova, PhysAddr};
pub use geometry::{Decoded, Geometry, Granule, Stage, address_bits};
pub use identifier::Identifier;
pub use identity::{Httu, Identity, Marked, SharedTables, Touched};
pub use walk::{Budget, Leaf, OverBudget, Tables, WalkError};

/// CD.MAIR0 that the attribute indices of [`Memory`] refer to: index 0 Normal write-back, 1 Normal non-cacheable,
/// 2 Device-nGnRE (DDI 0487, MAIR_EL1).
pub const MAIR0: u32 = 0x04_44_FF;

/// AttrIndx of a stage-1 leaf descriptor (DDI 0487, D8.3), into [`MAIR0`]; stage 2 has the types themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// Normal, inner and outer write-back: DMA of an IO-coherent device.
    #[default]
    WriteBack = 0,
    /// Normal non-cacheable: DMA of a device that does not snoop.
    NonCacheable = 1,
    /// Device-nGnRE: a doorbell.
    Device = 2,
}

/// What a mapping allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Memory type.
    pub memory: Memory,
    /// Writes fault.
    pub read_only: bool,
}

/// Why a range cannot be mapped or unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// An address or the length is no multiple of the granule.
    #[error("{what} {value:#x} is not a multiple of the granule, {granule:#x}")]
    Misaligned {
        /// Which argument.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The granule in bytes.
        granule: u64,
    },
    /// Nothing to map.
    #[error("a range of 0 bytes at {0}")]
    Empty(Iova),
    /// Past the input range that T0SZ or S2T0SZ leaves.
    #[error("{bytes:#x} bytes at {iova} end past the {bits}-bit input range")]
    InputRange {
        /// First address.
        iova: Iova,
        /// Length.
        bytes: u64,
        /// Bits of the input range.
        bits: u8,
    },
    /// Past the output range of IDR5.OAS.
    #[error("{bytes:#x} bytes at {pa} end past the {bits}-bit output range")]
    OutputRange {
        /// First address.
        pa: PhysAddr,
        /// Length.
        bytes: u64,
        /// Bits of the output range.
        bits: u8,
    },
    /// Part of the range is mapped already.
    #[error("{iova} is mapped to {pa} already")]
    Overlap {
        /// First address that is mapped.
        iova: Iova,
        /// Where to.
        pa: PhysAddr,
    },
    /// Part of the range is not mapped.
    #[error("{0} is not mapped")]
    NotMapped(Iova),
    /// Part of the range is mapped by a block.
    #[error("{iova} lies in a block of {bytes:#x} bytes, which is not split")]
    Block {
        /// First address of the block.
        iova: Iova,
        /// Its length.
        bytes: u64,
    },
    /// No memory for a table.
    #[error("no memory for a translation table of {0:#x} bytes")]
    OutOfMemory(u64),
    /// The tables cannot be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
}

impl From<Unbacked> for MapError {
    fn from(unbacked: Unbacked) -> Self {
        Self::Walk(unbacked.into())
    }
}

/// A translation that this image owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    tables: Tables,
}

impl Translation {
    /// An empty translation.
    ///
    /// # Errors
    /// [`MapError::OutOfMemory`].
    pub fn new(smmu: SmmuIndex, geometry: Geometry, frames: &mut dyn Frames) -> Result<Self, MapError> {
        let bytes = geometry.root_bytes();
        let root = frames.allocate(bytes, bytes).ok_or(MapError::OutOfMemory(bytes))?;
        Ok(Self { tables: Tables { smmu, root, geometry, base: Iova(0) } })
    }

    /// The tables, for walks.
    #[must_use]
    pub const fn tables(&self) -> &Tables {
        &self.tables
    }

    /// CD.TTB0 or STE.S2TTB.
    #[must_use]
    pub const fn root(&self) -> PhysAddr {
        self.tables.root
    }

    /// Their shape.
    #[must_use]
    pub const fn geometry(&self) -> Geometry {
        self.tables.geometry
    }

    /// The leaf that translates `iova`, if any.
    ///
    /// # Errors
    /// [`Unbacked`] where a table lies outside memory.
    pub fn walk(&self, hw: &mut dyn Access, iova: Iova) -> Result<Option<Leaf>, Unbacked> {
        self.tables.lookup(hw, iova)
    }

    /// Maps `bytes` from `iova` on to `pa`, page by page. Nothing is written unless the whole range is free.
    ///
    /// An invalid descriptor is never cached (DDI 0487, D8, TLBs), so no invalidation has to follow.
    ///
    /// # Errors
    /// [`MapError`]; when memory for tables runs out, the pages before stay mapped.
    pub fn map(
        &self,
        hw: &mut dyn Access,
        frames: &mut dyn Frames,
        iova: Iova,
        pa: PhysAddr,
        bytes: u64,
        attributes: Attributes,
    ) -> Result<(), MapError> {
        let last = self.check_input(iova, bytes)?;
        let mut budget = Budget::new(u64::MAX);
        let found = self.tables.find_leaf(hw, iova, last, &mut budget, &mut |_| true)?;
        if let Some(leaf) = found {
            return Err(MapError::Overlap { iova: leaf.iova.max(iova), pa: leaf.pa });
        }
        self.map_over(hw, frames, iova, pa, bytes, attributes)
    }

    /// The same without a look at what is there: for tables that are not live yet.
    ///
    /// # Errors
    /// [`MapError`], but not [`MapError::Overlap`].
    pub(crate) fn map_over(
        &self,
        hw: &mut dyn Access,
        frames: &mut dyn Frames,
        iova: Iova,
        pa: PhysAddr,
        bytes: u64,
        attributes: Attributes,
    ) -> Result<(), MapError> {
        self.check_input(iova, bytes)?;
        self.check_output(pa, bytes)?;
        let geometry = self.geometry();
        let granule = geometry.granule().bytes();
        let mut table = None;
        for offset in (0..bytes).step_by(granule as usize) {
            let at = iova.plus(offset);
            let index = geometry.index(3, at);
            let leaf_table = match table {
                Some(known) if index != 0 => known,
                _ => self.leaf_table(hw, frames, at)?,
            };
            table = Some(leaf_table);
            let descriptor = geometry.leaf_descriptor(3, pa.plus(offset), attributes);
            hw.store(self.tables.smmu, Structure::Pte, leaf_table.plus(index * 8), descriptor);
        }
        hw.barrier(Barrier::PublishStructure);
        Ok(())
    }

    /// Unmaps whole pages. TLB entries stay: invalidate by ASID or VMID, then SYNC, before the memory is used for anything else.
    ///
    /// # Errors
    /// [`MapError`]; nothing is written unless the whole range is mapped by pages.
    pub fn unmap(&self, hw: &mut dyn Access, iova: Iova, bytes: u64) -> Result<(), MapError> {
        self.check_input(iova, bytes)?;
        let granule = self.geometry().granule().bytes();
        for offset in (0..bytes).step_by(granule as usize) {
            let at = iova.plus(offset);
            let leaf = self.walk(hw, at)?.ok_or(MapError::NotMapped(at))?;
            if leaf.bytes != granule {
                return Err(MapError::Block { iova: leaf.iova, bytes: leaf.bytes });
            }
        }
        for offset in (0..bytes).step_by(granule as usize) {
            if let Some(leaf) = self.walk(hw, iova.plus(offset))? {
                hw.store(self.tables.smmu, Structure::Pte, leaf.descriptor_at, 0);
            }
        }
        hw.barrier(Barrier::PublishStructure);
        Ok(())
    }

    /// The last-level table for `iova`; missing tables are made on the way.
    fn leaf_table(&self, hw: &mut dyn Access, frames: &mut dyn Frames, iova: Iova) -> Result<PhysAddr, MapError> {
        let (smmu, geometry) = (self.tables.smmu, self.geometry());
        let mut table = self.tables.root;
        for level in geometry.start_level()..3 {
            let at = table.plus(geometry.index(level, iova) * 8);
            table = match geometry.decode(level, hw.load(smmu, Structure::Pte, at)?) {
                Decoded::Table(next) => next,
                Decoded::Leaf(pa) => return Err(MapError::Overlap { iova, pa }),
                Decoded::Invalid => {
                    let bytes = geometry.granule().bytes();
                    let fresh = frames.allocate(bytes, bytes).ok_or(MapError::OutOfMemory(bytes))?;
                    // The walker must not see the pointer before the zeroes behind it.
                    hw.barrier(Barrier::PublishStructure);
                    hw.store(smmu, Structure::Pte, at, geometry::table_descriptor(fresh));
                    fresh
                }
            };
        }
        Ok(table)
    }

    /// Checks the input range; returns its last address.
    fn check_input(&self, iova: Iova, bytes: u64) -> Result<Iova, MapError> {
        self.check_aligned("IOVA", iova.0)?;
        self.check_aligned("length", bytes)?;
        let bits = self.geometry().input_bits();
        let last = bytes.checked_sub(1).ok_or(MapError::Empty(iova))?;
        iova.checked_add(last).filter(|last| last.0 >> bits == 0).ok_or(MapError::InputRange { iova, bytes, bits })
    }

    fn check_output(&self, pa: PhysAddr, bytes: u64) -> Result<(), MapError> {
        self.check_aligned("physical address", pa.0)?;
        let bits = self.geometry().output_bits();
        match pa.checked_add(bytes.saturating_sub(1)) {
            Some(last) if last.0 >> bits == 0 => Ok(()),
            _ => Err(MapError::OutputRange { pa, bytes, bits }),
        }
    }

    fn check_aligned(&self, what: &'static str, value: u64) -> Result<(), MapError> {
        let granule = self.geometry().granule().bytes();
        if value.is_multiple_of(granule) { Ok(()) } else { Err(MapError::Misaligned { what, value, granule }) }
    }
}

#[cfg(test)]
mod tests;
