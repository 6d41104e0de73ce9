//! Where damage is done, and which words it is: the same for whoever does it and for whoever looks for it.

use super::{Config, Pointer, Ste, What};
use addr::PhysAddr;
use alloc::{vec, vec::Vec};
use smmu::{
    access::{Access, Structure},
    observe::Registers,
    spec::{
        cd::{Cd0, L1Cd},
        registers::StrtabBaseCfg,
        ste::{self, L1Std, STE_BYTES, Ste0},
    },
    table::SPLIT,
    translation::address_bits,
};

/// A span that fits the split.
const SPAN: u8 = SPLIT + 1;
const L2_BYTES: u64 = STE_BYTES << SPLIT;
/// S1CDMax of a CD table with two leaves.
pub(super) const TWO_LEAVES: u8 = 11;

/// A structure word.
pub(super) type Word = (Structure, PhysAddr, u64);

/// What is in use, and what is not.
pub(super) struct Places {
    /// The level-2 table in use.
    pub(super) live_level2: PhysAddr,
    /// The last level-1 descriptor; 0 in a linear table.
    pub(super) free_descriptor: PhysAddr,
    /// The StreamID that it begins with.
    pub(super) free_stream: u32,
    /// The last STE of that table.
    pub(super) free_ste: PhysAddr,
    /// The CD of a live stream.
    pub(super) live_cd: PhysAddr,
}

impl Places {
    /// Finds them by registers that are not damaged.
    pub(super) fn find(hw: &mut dyn Access, registers: &Registers) -> Option<Self> {
        let (base, config) = (PhysAddr(registers.strtab_base.addr()), registers.strtab_base_cfg);
        let is_linear = config.fmt() == 0;
        let shift = config.log2size().checked_sub(if is_linear { 0 } else { SPLIT })?;
        let last = 1_u32.checked_shl(shift.into())?.checked_sub(1)?;
        let mut load = |what, at| hw.load(registers.smmu, what, at).ok();
        let (live_level2, stes) = if is_linear {
            (base, last + 1)
        } else {
            let mut descriptors =
                (0..u64::from(last)).filter_map(|index| load(Structure::L1Std, base.plus(index * 8)).map(L1Std::from));
            (PhysAddr(descriptors.find(|descriptor| descriptor.span() == SPAN)?.l2ptr()), 1 << SPLIT)
        };
        let is_live = |ste: &Ste0| ste.v() && ste::Config(ste.config()) == ste::Config::S1;
        let mut of_table = (0..u64::from(stes) - 1)
            .filter_map(|index| load(Structure::Ste, live_level2.plus(index * STE_BYTES)).map(Ste0::from));
        Some(Self {
            live_level2,
            free_descriptor: if is_linear { PhysAddr(0) } else { base.plus(u64::from(last) * 8) },
            free_stream: last << SPLIT,
            free_ste: live_level2.plus(u64::from(stes - 1) * STE_BYTES),
            live_cd: PhysAddr(of_table.find(is_live)?.s1contextptr()),
        })
    }
}

impl Config {
    /// The register with the damage.
    pub(super) const fn of(self, found: StrtabBaseCfg, registers: &Registers) -> StrtabBaseCfg {
        match self {
            Self::Log2size(bits) => found.with_log2size(bits),
            Self::AboveSidsize => found.with_log2size(registers.idr1.sidsize() + 1),
            Self::Split(split) => found.with_split(split),
            Self::Format(format) => found.with_fmt(format),
            Self::TwoLevel => found.with_fmt(1).with_split(SPLIT),
        }
    }
}

/// The words of a damaged structure, in the order in which they are stored. `own` is where the crash kernel's memory
/// begins, `scratch` a page that is nobody's. `None` for what is no structure, or where the tables lack the place.
pub(super) fn words(
    what: What,
    hw: &mut dyn Access,
    registers: &Registers,
    places: &Places,
    own: PhysAddr,
    scratch: PhysAddr,
) -> Option<Vec<Word>> {
    let ste = match what {
        What::Level1 { .. } if places.free_descriptor.0 == 0 => return None,
        What::Level1 { span, pointer } => {
            let at = match pointer {
                Pointer::Live => places.live_level2.0,
                Pointer::Null => 0,
                Pointer::Misaligned => places.live_level2.0 + L2_BYTES / 2,
                Pointer::Nowhere => (1 << address_bits(registers.idr5.oas())) - L2_BYTES,
                Pointer::Own => own.0.next_multiple_of(L2_BYTES),
            };
            let descriptor = L1Std::new().with_span(span).with_l2ptr(at);
            return Some(vec![(Structure::L1Std, places.free_descriptor, descriptor.into())]);
        }
        What::Ste(ste) => ste,
        _ => return None,
    };
    let at = places.free_ste;
    let stage1 = |table: PhysAddr| Ste0::new().with_v(true).with_config(ste::Config::S1.0).with_s1contextptr(table.0);
    let first = match ste {
        Ste::CdNull => stage1(PhysAddr(0)),
        Ste::CdMax => stage1(places.live_cd).with_s1cdmax(registers.idr1.ssidsize() + 1),
        Ste::CdFormat => stage1(places.live_cd).with_s1fmt(3),
        Ste::CdLeaf => stage1(scratch).with_s1fmt(2).with_s1cdmax(TWO_LEAVES),
        Ste::AsidZero | Ste::AsidShared => stage1(scratch),
        Ste::VmidZero => Ste0::new().with_v(true).with_config(ste::Config::S2.0),
        Ste::Config => Ste0::new().with_v(true).with_config(0b001),
    };
    let mut all = Vec::new();
    match ste {
        Ste::CdLeaf => {
            let leaf = L1Cd::new().with_v(true).with_l2ptr_55_12(scratch.0 >> 16 << 4 | 1);
            all.push((Structure::L1Cd, scratch, leaf.into()));
        }
        Ste::AsidZero | Ste::AsidShared => {
            // It translates nothing: both halves are off.
            let cd = Cd0::new().with_v(true).with_aa64(true).with_epd0(true).with_epd1(true).with_r(true).with_a(true);
            let live = hw.load(registers.smmu, Structure::Cd, places.live_cd).ok().map(Cd0::from)?;
            let asid = if ste == Ste::AsidShared { live.asid() } else { 0 };
            all.push((Structure::Cd, scratch, cd.with_asid(asid).into()));
        }
        Ste::VmidZero => all.push((Structure::Ste, at.plus(16), 0)),
        _ => {}
    }
    all.push((Structure::Ste, at, first.into()));
    Some(all)
}
