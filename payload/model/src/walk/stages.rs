//! Translation tables, VMSAv8-64 (DDI 0487, D8.3). Written for the model alone: it shares no walk with the code under test.

use super::flags::{self, Flags};
use super::{Fault, Request};
use crate::bus::Bus;
use crate::unit::Unit;
use addr::PhysAddr;
use smmu::spec::cd::{Cd, Cd0, Cd1, Cd2};
use smmu::spec::event::id;
use smmu::spec::registers::Idr5;
use smmu::spec::ste::{Ste, Ste2, Ste3};

const CLASS_DESCRIPTOR: u8 = 1;
const CLASS_INPUT: u8 = 2;

/// A translation that a walk found.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) bytes: u64,
    pub(super) writable: bool,
    /// Writable once it is marked dirty.
    pub(super) clean: bool,
    pub(super) global: bool,
}

/// One stage's tables.
#[derive(Clone, Copy)]
struct Shape {
    root: u64,
    /// log2 of the granule.
    granule: u32,
    input_bits: u32,
    output_bits: u32,
    start_level: u32,
    big_endian: bool,
}

const fn address_bits(encoded: u8) -> u32 {
    [32, 36, 40, 42, 44, 48, 52, 56][(encoded & 7) as usize]
}

impl Shape {
    const fn shift(&self, level: u32) -> u32 {
        self.granule + (self.granule - 3) * (3 - level)
    }

    /// Leaf descriptor and level for `input`, reading descriptors through `read`.
    fn leaf(
        &self,
        bus: &mut Bus,
        input: u64,
        read: &mut dyn FnMut(&mut Bus, u64) -> Result<u64, Fault>,
        stage2: bool,
        faults_without_access: bool,
    ) -> Result<(u64, u64, u64), Fault> {
        let fail = |id| Fault { id, stage2, class: CLASS_INPUT, address: if stage2 { input } else { 0 } };
        if self.root >> self.output_bits != 0 {
            return Err(fail(id::F_ADDR_SIZE));
        }
        let mut table = self.root;
        for level in self.start_level..=3 {
            let shift = self.shift(level);
            // The first table may be larger than the others: stage 2 concatenates.
            let bits = if level == self.start_level { self.input_bits.saturating_sub(shift) } else { self.granule - 3 };
            let index = input >> shift & ((1_u64 << bits) - 1);
            let raw = read(bus, table.wrapping_add(index * 8))?;
            let raw = if self.big_endian { raw.swap_bytes() } else { raw };
            let block = match self.granule {
                12 => level == 1 || level == 2,
                14 => level == 2,
                _ => level == 2 || level == 1 && self.output_bits > 48,
            };
            let low = match (raw & 3, level) {
                (3, 3) => self.granule,
                (3, _) => {
                    table = self.output(raw, self.granule);
                    if table >> self.output_bits != 0 {
                        return Err(fail(id::F_ADDR_SIZE));
                    }
                    continue;
                }
                (1, _) if block => shift,
                _ => return Err(fail(id::F_TRANSLATION)),
            };
            let output = self.output(raw, low);
            if output >> self.output_bits != 0 {
                return Err(fail(id::F_ADDR_SIZE));
            }
            if faults_without_access && raw & flags::ACCESSED == 0 {
                return Err(fail(id::F_ACCESS));
            }
            return Ok((raw, output, 1 << low));
        }
        Err(fail(id::F_TRANSLATION))
    }

    fn output(&self, raw: u64, low: u32) -> u64 {
        let address = raw & 0xFFFF_FFFF_FFFF & !((1 << low) - 1);
        if self.granule == 16 && self.output_bits > 48 { address | (raw >> 12 & 0xF) << 48 } else { address }
    }
}

/// A stream's stage 2.
pub(super) struct Stage2 {
    shape: Shape,
}

impl Stage2 {
    pub(super) fn new(unit: &Unit, ste: &Ste) -> Self {
        let ste2 = Ste2::from(ste[2]);
        let granule = match ste2.s2tg() {
            1 => 16,
            2 => 14,
            _ => 12,
        };
        let first = if granule == 12 { 2 } else { 3 };
        let oas = address_bits(unit.hardware.idr5.oas()).min(52);
        let shape = Shape {
            root: Ste3::from(ste[3]).s2ttb_55_4() << 4,
            granule,
            input_bits: 64 - u32::from(ste2.s2t0sz()),
            output_bits: address_bits(ste2.s2ps()).min(oas),
            start_level: first - u32::from(ste2.s2sl0()).min(first),
            big_endian: ste2.s2endi(),
        };
        Self { shape }
    }

    /// Translates an intermediate address of a transaction.
    pub(super) fn translate(&self, bus: &mut Bus, input: u64, write: bool) -> Result<Found, Fault> {
        let fail = |id| Fault { id, stage2: true, class: CLASS_INPUT, address: input };
        if self.shape.input_bits < 64 && input >> self.shape.input_bits != 0 {
            return Err(fail(id::F_TRANSLATION));
        }
        let mut read = |bus: &mut Bus, at: u64| {
            let fault = Fault { id: id::F_WALK_EABT, stage2: true, class: CLASS_DESCRIPTOR, address: at };
            bus.fetch(PhysAddr(at)).ok_or(fault)
        };
        let (raw, output, bytes) = self.shape.leaf(bus, input, &mut read, true, true)?;
        // S2AP: bit 6 reads, bit 7 writes.
        let (readable, writable) = (raw >> 6 & 1 == 1, raw >> 7 & 1 == 1);
        if !write && !readable {
            return Err(fail(id::F_PERMISSION));
        }
        Ok(Found { input: input & !(bytes - 1), output, bytes, writable, clean: false, global: false })
    }

    /// Where a pointer of stage 1 lies: a table or a CD at an intermediate address.
    pub(super) fn pointer(&self, bus: &mut Bus, address: u64, class: u8) -> Result<PhysAddr, Fault> {
        let found = self.translate(bus, address, false).map_err(|fault| Fault { class, ..fault })?;
        Ok(PhysAddr(found.output + (address - found.input)))
    }
}

/// Translates an input address by a CD, and through stage 2 where there is one.
pub(super) fn stage1(
    bus: &mut Bus,
    cd: &Cd,
    idr5: Idr5,
    stage2: Option<&Stage2>,
    request: &Request,
) -> Result<Found, Fault> {
    let address = request.address;
    let fail = |id| Fault { id, stage2: false, class: CLASS_INPUT, address: 0 };
    let shape = select(cd, idr5, address).ok_or(fail(id::F_TRANSLATION))?;
    let flags = Flags::of(cd);
    let mut last = PhysAddr(0);
    let mut read = |bus: &mut Bus, at: u64| {
        let at = match stage2 {
            None => PhysAddr(at),
            Some(stage2) => stage2.pointer(bus, at, CLASS_DESCRIPTOR)?,
        };
        last = at;
        bus.fetch(at).ok_or(Fault { id: id::F_WALK_EABT, stage2: false, class: CLASS_DESCRIPTOR, address: at.0 })
    };
    let (raw, output, bytes) = shape.leaf(bus, address, &mut read, false, flags.fault())?;
    // AP[1]: unprivileged; AP[2]: read-only.
    if raw >> 6 & 1 == 0 {
        return Err(fail(id::F_PERMISSION));
    }
    let eabt = Fault { id: id::F_WALK_EABT, stage2: false, class: CLASS_DESCRIPTOR, address: last.0 };
    if is_normal(cd, raw) {
        bus.normal(output..output + bytes);
    }
    let raw = flags.update(bus, last, raw, request.write).ok_or(eabt)?;
    let (writable, global) = (raw >> 7 & 1 == 0, raw >> 11 & 1 == 0);
    let clean = flags.is_clean(raw);
    let input = address & !(bytes - 1);
    let Some(stage2) = stage2 else { return Ok(Found { input, output, bytes, writable, clean, global }) };
    let second = stage2.translate(bus, output + (address - input), false)?;
    // What both stages cover alike.
    let bytes = bytes.min(second.bytes);
    let within = address & (bytes - 1);
    let target = second.output + (output + (address - input) - second.input);
    let writable = writable && second.writable;
    Ok(Found { input: address - within, output: target - within, bytes, writable, clean, global })
}

/// The type that AttrIndx chooses from MAIR is one of Normal memory (DDI 0487, MAIR_EL1: not 0b0000xxxx).
const fn is_normal(cd: &Cd, leaf: u64) -> bool {
    cd[3] >> (8 * (leaf >> 2 & 7)) & 0xF0 != 0
}

/// TTB0 or TTB1 for `address`; `None` between them, and where the walk is disabled.
fn select(cd: &Cd, idr5: Idr5, address: u64) -> Option<Shape> {
    let cd0 = Cd0::from(cd[0]);
    let lower_bits = 64 - u32::from(cd0.t0sz());
    let upper_bits = 64 - u32::from(cd0.t1sz());
    let output_bits = address_bits(cd0.ips()).min(address_bits(idr5.oas())).min(52);
    let (root, granule, input_bits) = if !cd0.epd0() && address >> lower_bits == 0 {
        (Cd1::from(cd[1]).ttb0(), [12, 16, 14, 12][usize::from(cd0.tg0())], lower_bits)
    } else if !cd0.epd1() && upper_bits < 64 && (!address) >> upper_bits == 0 {
        (Cd2::from(cd[2]).ttb1(), [12, 14, 12, 16][usize::from(cd0.tg1())], upper_bits)
    } else {
        return None;
    };
    let start_level = 4 - (input_bits - granule).div_ceil(granule - 3);
    let top = granule + (granule - 3) * (3 - start_level);
    let bytes = (8_u64 << (input_bits - top)).max(64);
    Some(Shape { root: root & !(bytes - 1), granule, input_bits, output_bits, start_level, big_endian: cd0.endi() })
}
