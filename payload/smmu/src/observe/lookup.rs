//! From a StreamID to its STE, its CDs and its translation tables, as the SMMU finds them (IHI 0070, 3.3, 5.1 to 5.4).

use super::{Budget, ObserveError, Registers};
use crate::access::{Access, Structure, Unbacked};
use crate::log::structure_name;
use crate::spec::cd::{CD_BYTES, Cd, Cd0, Cd1, Cd2, L1Cd, LEAF_4K_CDS, LEAF_64K_CDS};
use crate::spec::ste::{Config, L1Std, STE_BYTES, Ste, Ste0, Ste2, Ste3};
use crate::translation::{Geometry, Granule, Stage, Tables, address_bits};
use addr::{Iova, PhysAddr, StreamId};

/// Spans above are reserved and read as 0 (5.1).
const LARGEST_SPAN: u8 = 11;

/// Sees each part of a table in turn, may read on, and ends the visit with an error.
pub type Visitor<'a, T, E> = dyn FnMut(&mut dyn Access, &mut Budget, T) -> Result<(), E> + 'a;

/// Where the stream table is and how large, after all that the hardware ignores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamTableShape {
    /// First byte of the table, or of its level 1.
    pub base: PhysAddr,
    /// StreamIDs have so many bits: MIN(LOG2SIZE, SIDSIZE).
    pub sid_bits: u8,
    /// Bits that level 2 resolves; `None` for a linear table.
    pub split: Option<u8>,
}

impl Registers {
    /// The stream table that STRTAB_BASE and STRTAB_BASE_CFG describe (6.3.24, 6.3.25).
    #[must_use]
    pub fn stream_table(&self) -> StreamTableShape {
        let cfg = self.strtab_base_cfg;
        let log2size = cfg.log2size();
        let two_level = cfg.fmt() == 1 && self.idr0.st_level() == 1;
        // Reserved values of SPLIT behave as 6.
        let split = two_level.then(|| if matches!(cfg.split(), 8 | 10) { cfg.split() } else { 6 });
        let ignored_bits = match split {
            None => u32::from(log2size) + 6,
            Some(split) => u32::from(log2size.saturating_sub(split)) + 3,
        };
        let ignored = 1_u64.checked_shl(ignored_bits.max(6)).map_or(u64::MAX, |size| size - 1);
        StreamTableShape {
            base: PhysAddr(self.strtab_base.addr() & !ignored),
            sid_bits: log2size.min(self.idr1.sidsize()).min(32),
            split,
        }
    }
}

impl StreamTableShape {
    /// Level-1 descriptors; 0 for a linear table.
    #[must_use]
    pub const fn level1_entries(&self) -> u64 {
        match self.split {
            Some(split) => 1 << self.sid_bits.saturating_sub(split),
            None => 0,
        }
    }

    /// The level-2 table behind `descriptor`: its first byte and number of STEs. `None` where a look-up would be
    /// C_BAD_STREAMID: no span, a reserved one, or one that is larger than SPLIT allows.
    #[must_use]
    pub const fn level2(&self, descriptor: L1Std) -> Option<(PhysAddr, u64)> {
        let Some(split) = self.split else { return None };
        let span = descriptor.span();
        if span == 0 || span > LARGEST_SPAN || span > split + 1 {
            return None;
        }
        let entries = 1 << (span - 1);
        Some((PhysAddr(descriptor.l2ptr() & !(entries * STE_BYTES - 1)), entries))
    }
}

/// The STE of `stream_id`, and where it is; `None` where the look-up ends in C_BAD_STREAMID.
///
/// # Errors
/// [`Unbacked`] where a table lies outside memory.
pub fn ste(
    hw: &mut dyn Access,
    registers: &Registers,
    stream_id: StreamId,
) -> Result<Option<(PhysAddr, Ste)>, Unbacked> {
    let shape = registers.stream_table();
    let sid = u64::from(stream_id.0);
    if sid >> shape.sid_bits != 0 {
        return Ok(None);
    }
    let at = match shape.split {
        None => shape.base.plus(sid * STE_BYTES),
        Some(split) => {
            let descriptor = hw.load(registers.smmu, Structure::L1Std, shape.base.plus((sid >> split) * 8))?;
            let index = sid & ((1 << split) - 1);
            match shape.level2(L1Std::from(descriptor)) {
                Some((level2, entries)) if index < entries => level2.plus(index * STE_BYTES),
                _ => return Ok(None),
            }
        }
    };
    Ok(Some((at, words(hw, registers, Structure::Ste, at)?)))
}

/// One word or entry of a stream table, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A level-1 descriptor.
    Level1(L1Std),
    /// An STE, valid or not.
    Ste {
        /// Whose.
        stream_id: StreamId,
        /// Where.
        at: PhysAddr,
        /// Its words.
        ste: Ste,
    },
}

/// Visits the whole stream table: a linear one entry by entry, else each level-1 descriptor and the STEs behind it.
///
/// # Errors
/// The visitor's, or [`ObserveError`] where a table lies outside memory or is larger than the budget.
pub fn for_each_ste<E: From<ObserveError>>(
    hw: &mut dyn Access,
    registers: &Registers,
    budget: &mut Budget,
    visit: &mut Visitor<'_, Entry, E>,
) -> Result<(), E> {
    let shape = registers.stream_table();
    let Some(split) = shape.split else {
        return run(hw, registers, budget, shape.base, 0, 1 << shape.sid_bits, visit);
    };
    for index in 0..shape.level1_entries() {
        budget.take(8).map_err(ObserveError::from)?;
        let at = shape.base.plus(index * 8);
        let descriptor = hw
            .load(registers.smmu, Structure::L1Std, at)
            .map_err(|unbacked| ObserveError::Unbacked { what: Structure::L1Std, unbacked })?;
        let descriptor = L1Std::from(descriptor);
        visit(hw, budget, Entry::Level1(descriptor))?;
        if let Some((level2, entries)) = shape.level2(descriptor) {
            run(hw, registers, budget, level2, index << split, entries, visit)?;
        }
    }
    Ok(())
}

/// `count` STEs from `base` on, the first of which belongs to `first`.
fn run<E: From<ObserveError>>(
    hw: &mut dyn Access,
    registers: &Registers,
    budget: &mut Budget,
    base: PhysAddr,
    first: u64,
    count: u64,
    visit: &mut Visitor<'_, Entry, E>,
) -> Result<(), E> {
    for index in 0..count {
        let at = base.plus(index * STE_BYTES);
        let ste = entry(hw, registers, budget, Structure::Ste, at)?;
        // StreamIDs have at most 32 bits: `sid_bits`.
        visit(hw, budget, Entry::Ste { stream_id: StreamId((first + index) as u32), at, ste })?;
    }
    Ok(())
}

/// One word or entry of a CD table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CdTable {
    /// A level-1 descriptor.
    Level1(L1Cd),
    /// A CD, valid or not.
    Cd {
        /// SubstreamID.
        substream: u32,
        /// Where.
        at: PhysAddr,
        /// Its words.
        cd: Cd,
    },
}

/// Visits the CDs of a stage-1 STE. Nothing to visit: not valid, another configuration (the CD pointer of a nested STE is an
/// intermediate address), or more substreams than the SMMU has, which is C_BAD_STE (5.2).
///
/// # Errors
/// The visitor's, or [`ObserveError`] where a table lies outside memory or is larger than the budget.
pub fn cds<E: From<ObserveError>>(
    hw: &mut dyn Access,
    registers: &Registers,
    ste: &Ste,
    budget: &mut Budget,
    visit: &mut Visitor<'_, CdTable, E>,
) -> Result<(), E> {
    let ste0 = Ste0::from(ste[0]);
    let max = ste0.s1cdmax();
    if !ste0.v() || Config(ste0.config()) != Config::S1 || max > registers.idr1.ssidsize() {
        return Ok(());
    }
    let count = 1_u64 << max;
    // S1Fmt is ignored with a single CD; 3 behaves as 0.
    let leaf = match ste0.s1fmt() {
        1 if max > 0 => LEAF_4K_CDS,
        2 if max > 0 => LEAF_64K_CDS,
        _ => {
            let base = PhysAddr(ste0.s1contextptr() & !(count * CD_BYTES - 1));
            return leaf_cds(hw, registers, budget, base, 0, count, visit);
        }
    };
    let level1_entries = count.div_ceil(leaf);
    let base = ste0.s1contextptr() & !((level1_entries * 8).max(64) - 1);
    for index in 0..level1_entries {
        budget.take(8).map_err(ObserveError::from)?;
        let descriptor = hw
            .load(registers.smmu, Structure::L1Cd, PhysAddr(base).plus(index * 8))
            .map_err(|unbacked| ObserveError::Unbacked { what: Structure::L1Cd, unbacked })?;
        let descriptor = L1Cd::from(descriptor);
        visit(hw, budget, CdTable::Level1(descriptor))?;
        if descriptor.v() {
            let base = PhysAddr(descriptor.l2ptr() & !(leaf * CD_BYTES - 1));
            leaf_cds(hw, registers, budget, base, index * leaf, leaf.min(count), visit)?;
        }
    }
    Ok(())
}

fn leaf_cds<E: From<ObserveError>>(
    hw: &mut dyn Access,
    registers: &Registers,
    budget: &mut Budget,
    base: PhysAddr,
    first: u64,
    count: u64,
    visit: &mut Visitor<'_, CdTable, E>,
) -> Result<(), E> {
    for index in 0..count {
        let at = base.plus(index * CD_BYTES);
        let cd = entry(hw, registers, budget, Structure::Cd, at)?;
        // SubstreamIDs have at most 20 bits: S1CDMax has been compared with IDR1.SSIDSIZE, of five bits.
        visit(hw, budget, CdTable::Cd { substream: (first + index) as u32, at, cd })?;
    }
    Ok(())
}

fn entry(
    hw: &mut dyn Access,
    registers: &Registers,
    budget: &mut Budget,
    what: Structure,
    at: PhysAddr,
) -> Result<[u64; 8], ObserveError> {
    budget.take(64)?;
    words(hw, registers, what, at).map_err(|unbacked| ObserveError::Unbacked { what, unbacked })
}

fn words(hw: &mut dyn Access, registers: &Registers, what: Structure, at: PhysAddr) -> Result<[u64; 8], Unbacked> {
    let mut words = [0; 8];
    hw.load_words(registers.smmu, what, at, &mut words)?;
    Ok(words)
}

/// The tables of a CD, or of stage 2, have a form that is not walked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {} has no VMSAv8-64 tables of a known form: {:#018x} {:#018x}",
    structure_name(*.structure), .words[0], .words[1]
)]
pub struct Unwalkable {
    /// CD or STE.
    pub structure: Structure,
    /// Words 0 and 1 of a CD, 2 and 3 of an STE.
    pub words: [u64; 2],
}

/// The translation tables of a CD: those of TTB0 and of TTB1, as far as they are enabled. None where the CD is not valid.
///
/// # Errors
/// [`Unwalkable`].
pub fn tables(registers: &Registers, cd: &Cd) -> Result<[Option<Tables>; 2], Unwalkable> {
    let (cd0, cd1) = (Cd0::from(cd[0]), Cd1::from(cd[1]));
    if !cd0.v() {
        return Ok([None, None]);
    }
    let unwalkable = Unwalkable { structure: Structure::Cd, words: [cd[0], cd[1]] };
    if !cd0.aa64() {
        return Err(unwalkable);
    }
    let output_bits = address_bits(cd0.ips()).min(address_bits(registers.idr5.oas())).min(52);
    let make = |granule: Option<Granule>, size: u8, ttb: u64, upper: bool| {
        let input_bits = 64_u8.saturating_sub(size);
        let geometry = granule.and_then(|granule| Geometry::new(Stage::One, granule, input_bits, output_bits));
        let geometry = geometry.ok_or(unwalkable)?.with_big_endian(cd0.endi());
        let base = if upper { 0_u64.wrapping_sub(1 << geometry.input_bits()) } else { 0 };
        // TTB bits below the table's alignment are ignored.
        let root = PhysAddr(ttb & !(geometry.root_bytes() - 1));
        Ok(Some(Tables { smmu: registers.smmu, root, geometry, base: Iova(base) }))
    };
    let lower = if cd0.epd0() { None } else { make(Granule::from_tg0(cd0.tg0()), cd0.t0sz(), cd1.ttb0(), false)? };
    let upper =
        if cd0.epd1() { None } else { make(Granule::from_tg1(cd0.tg1()), cd0.t1sz(), Cd2::from(cd[2]).ttb1(), true)? };
    Ok([lower, upper])
}

/// The stage-2 tables of an STE; under nesting their input is what stage 1 gives out. None where there is no stage 2.
///
/// # Errors
/// [`Unwalkable`].
pub fn stage2_tables(registers: &Registers, ste: &Ste) -> Result<Option<Tables>, Unwalkable> {
    let (ste0, ste2) = (Ste0::from(ste[0]), Ste2::from(ste[2]));
    if !ste0.v() || !Config(ste0.config()).has_s2() {
        return Ok(None);
    }
    let output_bits = address_bits(ste2.s2ps()).min(address_bits(registers.idr5.oas())).min(52);
    let geometry = Granule::from_tg0(ste2.s2tg()).filter(|_| ste2.s2aa64()).and_then(|granule| {
        let start_level = granule.deepest_stage2_start().checked_sub(ste2.s2sl0())?;
        let input_bits = 64_u8.saturating_sub(ste2.s2t0sz());
        Geometry::new(Stage::Two, granule, input_bits, output_bits)?.with_start_level(start_level)
    });
    let geometry = geometry.ok_or(Unwalkable { structure: Structure::Ste, words: [ste[2], ste[3]] })?;
    // S2TTB bits below the alignment of all first tables together are ignored.
    let root = PhysAddr(Ste3::from(ste[3]).s2ttb_55_4() << 4 & !(geometry.root_bytes() - 1));
    Ok(Some(Tables { smmu: registers.smmu, root, geometry: geometry.with_big_endian(ste2.s2endi()), base: Iova(0) }))
}
