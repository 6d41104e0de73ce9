//! Which memory belongs to which table, as far as the log has shown it.

use super::found::Ids;
use crate::access::Structure;
use crate::spec::cd::{CD_BYTES, L1Cd};
use crate::spec::registers::{Idr1, StrtabBase, StrtabBaseCfg};
use crate::spec::ste::{Config, L1Std, STE_BYTES, Ste0};
use alloc::collections::BTreeMap;

/// The stream table that is in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    /// SMMUEN is or may be 1.
    is_live: bool,
    pub(super) base: u64,
    pub(super) log2size: u32,
    pub(super) split: u32,
    pub(super) is_two_level: bool,
}

impl Geometry {
    pub(super) fn new(is_live: bool, base: u64, config: u32, ids: &Ids) -> Self {
        let is_live = is_live && StrtabBaseCfg::from(config).fmt() <= 1;
        Self { is_live, ..Self::of(base, config, ids.idr1) }
    }

    fn of(base: u64, config: u32, idr1: Idr1) -> Self {
        let config = StrtabBaseCfg::from(config);
        Self {
            is_live: true,
            base: StrtabBase::from(base).addr(),
            log2size: u32::from(config.log2size().min(idr1.sidsize()).min(32)),
            split: u32::from(config.split()).min(31),
            is_two_level: config.fmt() == 1,
        }
    }

    /// Entries of the array at `base`: level-1 descriptors or STEs.
    pub(super) const fn entries(&self) -> u64 {
        1 << if self.is_two_level { self.log2size.saturating_sub(self.split) } else { self.log2size }
    }

    const fn bytes(&self) -> u64 {
        self.entries() * if self.is_two_level { 8 } else { STE_BYTES }
    }

    /// Index of what lies at `at` in the array at `base`.
    pub(super) const fn index(&self, at: u64) -> Option<u64> {
        match at.checked_sub(self.base) {
            Some(distance) if distance < self.bytes() => Some(distance / if self.is_two_level { 8 } else { STE_BYTES }),
            _ => None,
        }
    }
}

/// What a word in memory is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) structure: Structure,
    /// First StreamID that it concerns, where it is known.
    pub(super) stream: Option<u32>,
    /// It concerns so many StreamIDs more, as a power of two.
    pub(super) stream_bits: u32,
    /// Of a CD its place in the table, of a level-1 descriptor of CDs the first behind it, where it is known.
    pub(super) substream: Option<u32>,
    /// It concerns so many CDs more, as a power of two.
    pub(super) substream_bits: u32,
    /// Address of the whole STE, CD or descriptor.
    pub(super) at: u64,
}

/// A table that something points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub start: u64,
    /// Its length.
    pub bytes: u64,
    /// What it is an array of.
    pub structure: Structure,
    /// Of level-1 descriptors of CDs: CDs behind each, as a power of two.
    leaf_bits: u32,
}

impl Target {
    /// What SMMU_STRTAB_BASE and SMMU_STRTAB_BASE_CFG point to; `None` for a reserved format.
    #[must_use]
    pub fn of_registers(base: u64, config: u32, idr1: u32) -> Option<Self> {
        if StrtabBaseCfg::from(config).fmt() > 1 {
            return None;
        }
        let geometry = Geometry::of(base, config, Idr1::from(idr1));
        let structure = if geometry.is_two_level { Structure::L1Std } else { Structure::Ste };
        Some(Self { start: geometry.base, bytes: geometry.bytes(), structure, leaf_bits: 0 })
    }

    /// What a descriptor, or word 0 of an STE, points to.
    #[must_use]
    pub fn of(structure: Structure, word: u64) -> Option<Self> {
        match structure {
            Structure::L1Std => {
                let descriptor = L1Std::from(word);
                let bytes = STE_BYTES << descriptor.span().checked_sub(1)?;
                (descriptor.span() <= 11).then_some(Self {
                    start: descriptor.l2ptr(),
                    bytes,
                    structure: Structure::Ste,
                    leaf_bits: 0,
                })
            }
            Structure::Ste => {
                let ste = Ste0::from(word);
                // Under nesting the pointer is an IPA.
                let is_ours = ste.v() && Config(ste.config()) == Config::S1;
                let cds = CD_BYTES << ste.s1cdmax();
                let (bytes, structure) = match ste.s1fmt() {
                    1 if ste.s1cdmax() > 6 => (8 << (ste.s1cdmax() - 6), Structure::L1Cd),
                    2 if ste.s1cdmax() > 10 => (8 << (ste.s1cdmax() - 10), Structure::L1Cd),
                    1 | 2 if ste.s1cdmax() > 0 => (8, Structure::L1Cd),
                    _ => (cds, Structure::Cd),
                };
                let leaf_bits = match (structure, ste.s1fmt()) {
                    (Structure::L1Cd, 1) => 6,
                    (Structure::L1Cd, _) => 10,
                    _ => 0,
                };
                is_ours.then_some(Self { start: ste.s1contextptr(), bytes, structure, leaf_bits })
            }
            Structure::L1Cd => {
                let descriptor = L1Cd::from(word);
                // A leaf of 64 KiB holds one of 4 KiB.
                let (start, bytes) = (descriptor.l2ptr(), CD_BYTES << 10);
                let target = Self { start, bytes, structure: Structure::Cd, leaf_bits: 0 };
                descriptor.v().then_some(target)
            }
            _ => None,
        }
    }

    /// What `word`, one of this table's, points to: unlike [`Target::of`] it knows how long a leaf of CDs is.
    #[must_use]
    pub fn behind(&self, word: u64) -> Option<Self> {
        let target = Self::of(self.structure, word)?;
        let is_leaf = self.structure == Structure::L1Cd;
        Some(if is_leaf { Self { bytes: CD_BYTES << self.leaf_bits, ..target } } else { target })
    }

    /// Whether `at` is a byte of it.
    #[must_use]
    pub const fn contains(&self, at: u64) -> bool {
        matches!(at.checked_sub(self.start), Some(distance) if distance < self.bytes)
    }
}

/// Tables by their address and by who points to them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    targets: BTreeMap<(u64, u64), Target>,
}

impl Tables {
    /// The pointer at `owner` was `old` and is `new`.
    pub(super) fn replace(&mut self, owner: u64, old: Option<Target>, new: Option<Target>) {
        if let Some(old) = old {
            self.targets.remove(&(old.start, owner));
        }
        if let Some(new) = new {
            self.targets.insert((new.start, owner), new);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    /// The table that holds `at`, and the one that points to it.
    fn holding(&self, at: u64) -> Option<(u64, Target)> {
        let (key, target) = self.targets.range(..=(at, u64::MAX)).next_back()?;
        target.contains(at).then_some((key.1, *target))
    }

    /// Several structures point to the table at `start`.
    fn is_shared(&self, start: u64) -> bool {
        self.targets.range((start, 0)..=(start, u64::MAX)).nth(1).is_some()
    }

    /// What lies at `at` in the tables that are in force.
    pub(super) fn place(&self, geometry: &Geometry, at: u64) -> Option<Place> {
        // Level 1, STE, level-1 CD and CD: more links there are not, and damaged tables may point in a circle.
        self.place_within(geometry, at, 3)
    }

    fn place_within(&self, geometry: &Geometry, at: u64, links: u32) -> Option<Place> {
        if !geometry.is_live {
            return None;
        }
        let place = |structure, stream, stream_bits, at| {
            Some(Place { structure, stream, stream_bits, substream: None, substream_bits: 0, at })
        };
        if let Some(index) = geometry.index(at) {
            if geometry.is_two_level {
                return place(Structure::L1Std, u32::try_from(index << geometry.split).ok(), geometry.split, at & !7);
            }
            return place(Structure::Ste, u32::try_from(index).ok(), 0, at & !(STE_BYTES - 1));
        }
        let (owner, target) = self.holding(at)?;
        // Only what hangs, link by link, from the table in force.
        let above = self.place_within(geometry, owner, links.checked_sub(1)?)?;
        let stream = match target.structure {
            Structure::Ste => {
                let index = (at - target.start) / STE_BYTES;
                above.stream.and_then(|first| first.checked_add(u32::try_from(index).ok()?))
            }
            _ if self.is_shared(target.start) => None,
            _ => above.stream,
        };
        let bytes = if target.structure == Structure::L1Cd { 8 } else { STE_BYTES };
        let index = u32::try_from((at - target.start) / bytes).ok();
        let substream = match (target.structure, above.structure) {
            (Structure::Cd, Structure::Ste) => index,
            // Past a leaf of 4 KiB there may be anything.
            (Structure::Cd, _) => {
                let index = index.filter(|index| index.checked_shr(above.substream_bits) == Some(0));
                above.substream.zip(index).and_then(|(first, index)| first.checked_add(index))
            }
            (Structure::L1Cd, _) => index.and_then(|index| index.checked_mul(1 << target.leaf_bits)),
            _ => None,
        };
        let place = place(target.structure, stream, 0, at & !(bytes - 1));
        place.map(|place| Place { substream, substream_bits: target.leaf_bits, ..place })
    }
}
