//! From a StreamID to its STE (IHI 0070, 3.3.2, 5.1, 5.2, 6.3.24).

use super::Fault;
use crate::bus::Bus;
use crate::choice::Freedom;
use crate::unit::{Unit, cache_put};
use addr::PhysAddr;
use smmu::spec::event::id;
use smmu::spec::registers::{self as reg, StrtabBase};
use smmu::spec::ste::{Config, L1Std, STE_BYTES, Ste, Ste0, Ste1, Ste2};

/// Spans above are reserved (5.1).
const LARGEST_SPAN: u8 = 11;

const fn fault(id: u8, address: u64) -> Fault {
    Fault { id, stage2: false, class: 0, address }
}

/// Where and how large the stream table is.
struct Shape {
    base: u64,
    sid_bits: u8,
    split: Option<u8>,
}

impl Shape {
    fn of(unit: &Unit) -> Self {
        let live = unit.live();
        let log2size = live.config.log2size();
        let has_two_level = unit.hardware.idr0.st_level() == 1;
        let two_level = has_two_level && (live.config.fmt() == 1 || unit.format_is_sticky());
        let split = two_level.then(|| if matches!(live.config.split(), 8 | 10) { live.config.split() } else { 6 });
        // The base is aligned to the size of the table, or of its level 1, and at least to 64 bytes.
        let bits = match split {
            None => u32::from(log2size) + 6,
            Some(split) => (u32::from(log2size) + 3).saturating_sub(split.into()).max(6),
        };
        // QEMU clears one bit fewer (facts 3.7).
        let bits = bits - u32::from(unit.hardware.personality.is_qemu());
        let mask = 1_u64.checked_shl(bits).map_or(0, |size| !(size - 1));
        let base = unit.base_address(reg::STRTAB_BASE, StrtabBase::from(live.base).addr() & mask);
        Self { base, sid_bits: log2size.min(unit.hardware.idr1.sidsize()).min(32), split }
    }
}

/// The STE of `sid`: cached, or fetched anew, or a mixture of both where its words changed in between.
pub(super) fn ste(unit: &mut Unit, bus: &mut Bus, sid: u32) -> Result<Ste, Fault> {
    let cached = unit.caches.ste.iter().find(|(known, _)| *known == sid).map(|(_, ste)| *ste);
    let qemu = unit.hardware.personality.is_qemu();
    if let Some((_, ste)) = cached
        && (qemu || bus.choices.pick(Freedom::ConfigEviction, 2) == 0)
    {
        return Ok(ste);
    }
    let at = locate(unit, bus, sid)?;
    let fetched = fetch(bus, at).ok_or(fault(id::F_STE_FETCH, at.0))?;
    let ste = mixed(bus, fetched, cached.filter(|(known, _)| *known == at));
    // QEMU keeps what it could decode.
    if !qemu || check(unit, &ste).is_ok() {
        cache_put(&mut unit.caches.ste, sid, (at, ste));
    }
    Ok(ste)
}

/// Eight words of a structure; `None` where no memory answers.
pub(super) fn fetch(bus: &mut Bus, at: PhysAddr) -> Option<[u64; 8]> {
    let mut words = [0; 8];
    for (word, offset) in words.iter_mut().zip((0..).step_by(8)) {
        *word = bus.fetch(at.plus(offset))?;
    }
    Some(words)
}

/// A fetch that began when `cached` was in memory at the same place and ends now may have any of its words from then
/// (3.21.3). An invalidation waits for it, so that afterwards nothing is left of `cached`.
pub(super) fn mixed(bus: &mut Bus, mut fetched: [u64; 8], cached: Option<(PhysAddr, [u64; 8])>) -> [u64; 8] {
    let Some((_, cached)) = cached else { return fetched };
    for (word, old) in fetched.iter_mut().zip(cached) {
        if *word != old && bus.choices.pick(Freedom::Torn, 2) == 1 {
            *word = old;
        }
    }
    fetched
}

fn locate(unit: &mut Unit, bus: &mut Bus, sid: u32) -> Result<PhysAddr, Fault> {
    let shape = Shape::of(unit);
    let bad = fault(id::C_BAD_STREAMID, 0);
    if u64::from(sid) >> shape.sid_bits != 0 {
        return Err(bad);
    }
    let Some(split) = shape.split else {
        return Ok(PhysAddr(shape.base.wrapping_add(u64::from(sid) * STE_BYTES)));
    };
    let index = sid >> split;
    let descriptor = L1Std::from(level1(unit, bus, shape.base, index)?);
    let span = descriptor.span();
    if span == 0 || span > LARGEST_SPAN || span > split + 1 {
        return Err(bad);
    }
    let entry = u64::from(sid & ((1 << split) - 1));
    // QEMU: the bound is 2^span - 1, and the fault C_BAD_STE (facts 3.7).
    if unit.hardware.personality.is_qemu() {
        if entry > (1 << span) - 1 {
            return Err(fault(id::C_BAD_STE, 0));
        }
    } else if entry >= 1 << (span - 1) {
        return Err(bad);
    }
    let entries = 1_u64 << (span - 1);
    let level2 = descriptor.l2ptr() & !(entries * STE_BYTES - 1);
    Ok(PhysAddr(level2.wrapping_add(entry * STE_BYTES)))
}

fn level1(unit: &mut Unit, bus: &mut Bus, base: u64, index: u32) -> Result<u64, Fault> {
    let qemu = unit.hardware.personality.is_qemu();
    let cached = unit.caches.l1std.iter().find(|(known, _)| *known == index).map(|(_, word)| *word);
    if let Some(word) = cached
        && bus.choices.pick(Freedom::ConfigEviction, 2) == 0
    {
        return Ok(word);
    }
    let at = PhysAddr(base.wrapping_add(u64::from(index) * 8));
    let word = bus.fetch(at).ok_or(fault(id::F_STE_FETCH, at.0))?;
    if !qemu {
        cache_put(&mut unit.caches.l1std, index, word);
    }
    Ok(word)
}

/// Stage-2 tables of a shape that the SMMU has (5.2, S2T0SZ, S2SL0, S2TG; DDI 0487, D8.2: a first level of at most 16
/// tables, and the highest only with an output range that needs it).
fn has_legal_stage2(unit: &Unit, ste: Ste2) -> bool {
    let (idr0, idr5) = (unit.hardware.idr0, unit.hardware.idr5);
    let output_bits = [32, 36, 40, 42, 44, 48, 52, 56][usize::from(idr5.oas() & 7)];
    let (has_granule, granule, deepest, highest_needs) = match ste.s2tg() {
        0 => (idr5.gran4k(), 12, 2, 44),
        1 => (idr5.gran64k(), 16, 3, 44),
        2 => (idr5.gran16k(), 14, 3, 42),
        _ => return false,
    };
    let input_bits = 64 - u32::from(ste.s2t0sz());
    let has_start = ste.s2sl0() < 2 || ste.s2sl0() == 2 && output_bits >= highest_needs;
    // What the first level resolves: more than nothing, and no more than 16 tables of it.
    let level = deepest - u32::from(ste.s2sl0()).min(2);
    let first_bits = input_bits.saturating_sub(granule + (granule - 3) * (3 - level));
    ste.s2aa64()
        && has_granule
        && has_start
        && (1..=granule - 3 + 4).contains(&first_bits)
        // Without AArch32 tables (TTF) the input range is no larger than the output range (3.4, IAS).
        && input_bits <= if idr0.ttf() & 1 != 0 { output_bits.max(40) } else { output_bits }
        && !ste.s2ha()
        && !ste.s2hd()
        && (!ste.s2s() || unit.hardware.stalls())
}

/// Is the STE one that this SMMU can use (5.2)? Config 0b0xx is: it aborts.
pub(super) fn check(unit: &Unit, ste: &Ste) -> Result<(), Fault> {
    let (idr0, idr1) = (unit.hardware.idr0, unit.hardware.idr1);
    let (ste0, ste1) = (Ste0::from(ste[0]), Ste1::from(ste[1]));
    let config = Config(ste0.config());
    let bad = Err(fault(id::C_BAD_STE, 0));
    if !ste0.v() {
        return bad;
    }
    if config.is_abort() {
        return Ok(());
    }
    if config.has_s1() {
        let two_level = ste0.s1cdmax() > 0 && matches!(ste0.s1fmt(), 1 | 2);
        let qemu = unit.hardware.personality.is_qemu();
        let wrong = !idr0.s1p()
            || ste0.s1cdmax() > idr1.ssidsize()
            || two_level && !idr0.cd2l()
            || ste1.s1stalld() && idr0.stall_model() != 0
            || ste1.strw() == 2 && !idr0.hyp()
            || qemu && (ste0.s1cdmax() != 0 || ste1.s1stalld());
        if wrong {
            return bad;
        }
    }
    if config.has_s2() && (!idr0.s2p() || !has_legal_stage2(unit, Ste2::from(ste[2]))) { bad } else { Ok(()) }
}
