//! Random hardware, tables and damage.

use crate::common::*;
use addr::PhysAddr;
use model::{Builder, Choices, Format, Function, Hardware, Kind, Machine, Memory, Personality, Stream};
use proptest::prelude::*;
use smmu::spec::registers as reg;
use smmu::takeover::Policy;

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) hardware: Hardware,
    pub(crate) format: Format,
    pub(crate) log2size: u8,
    pub(crate) streams: Vec<Stream>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) policy: Policy,
    pub(crate) seed: u64,
}

/// What is done to the crashed machine.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    BaseBit(u8),
    ConfigBit(u8),
    Level1 {
        stream: usize,
        bit: u8,
    },
    /// The pointer of a level-1 descriptor leads to no memory.
    Level1Outside {
        stream: usize,
    },
    Ste {
        stream: usize,
        word: u8,
        bit: u8,
    },
    /// The context pointer leads to no memory.
    CdOutside {
        stream: usize,
    },
    Cd {
        stream: usize,
        word: u8,
        bit: u8,
    },
    ServiceFailure,
    Disabled,
}

fn hardware() -> impl Strategy<Value = Hardware> {
    let bits = any::<[bool; 10]>();
    (0..Personality::ALL.len(), bits, 0_u8..=32, 0_u8..=20, 0_u8..3, 0_u8..=6).prop_map(
        |(
            personality,
            [two_level, cd2l, asid16, vmid16, coherent, hyp, ats, pri, rel, s2p],
            sidsize,
            ssidsize,
            stall,
            oas,
        )| {
            // Without two levels, 2^32 STEs find no memory; a table in between would only cost time.
            let sidsize = if two_level || sidsize > 31 { sidsize } else { sidsize.min(9) };
            let hardware = Hardware::virt(Personality::ALL[personality])
                .idr0(|idr0| {
                    let idr0 =
                        idr0.with_st_level(two_level.into()).with_cd2l(cd2l).with_asid16(asid16).with_vmid16(vmid16);
                    let idr0 =
                        idr0.with_cohacc(coherent || ats).with_hyp(hyp).with_ats(ats).with_pri(pri).with_s2p(s2p);
                    idr0.with_stall_model(stall)
                })
                .idr1(|idr1| idr1.with_sidsize(sidsize).with_ssidsize(ssidsize).with_rel(rel));
            Hardware { idr5: hardware.idr5.with_oas(oas), ..hardware }
        },
    )
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        1 => Just(Kind::Invalid),
        1 => Just(Kind::Abort),
        1 => Just(Kind::Bypass),
        4 => (any::<u16>(), 0_u8..=12, 0_u8..=2).prop_map(|(asid, cd_max, cd_format)| Kind::Stage1 { asid, cd_max, cd_format }),
        3 => (1_u16..=300).prop_map(Kind::stage1),
        1 => (1_u16..=300).prop_map(|asid| Kind::El2 { asid }),
        2 => any::<u16>().prop_map(|vmid| Kind::Stage2 { vmid }),
        1 => (any::<u16>(), any::<u16>()).prop_map(|(vmid, asid)| Kind::Nested { vmid, asid }),
    ]
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        1 => (6_u8..56).prop_map(Damage::BaseBit),
        1 => (0_u8..18).prop_map(Damage::ConfigBit),
        3 => (0_usize..6, 0_u8..56).prop_map(|(stream, bit)| Damage::Level1 { stream, bit }),
        1 => (0_usize..6).prop_map(|stream| Damage::Level1Outside { stream }),
        1 => (0_usize..6, 0_u8..4, 0_u8..64).prop_map(|(stream, word, bit)| Damage::Ste { stream, word, bit }),
        1 => (0_usize..6).prop_map(|stream| Damage::CdOutside { stream }),
        1 => (0_usize..6, 0_u8..4, 0_u8..64).prop_map(|(stream, word, bit)| Damage::Cd { stream, word, bit }),
        1 => Just(Damage::ServiceFailure),
        1 => Just(Damage::Disabled),
    ]
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let format = prop_oneof![
        2 => Just(Format::Linear),
        1 => Just(Format::TwoLevel { split: 6 }),
        4 => Just(Format::TwoLevel { split: 8 }),
        1 => Just(Format::TwoLevel { split: 10 }),
    ];
    let streams = proptest::collection::vec((any::<u32>(), kind()), 1..6);
    let policy = prop_oneof![4 => Just(Policy::Adopt), 1 => Just(Policy::Reset)];
    let damage = prop_oneof![Just(Vec::new()), proptest::collection::vec(damage(), 1..4)];
    (hardware(), format, 0_u8..=14, streams, damage, policy, any::<u64>()).prop_map(
        |(hardware, format, log2size, streams, damage, policy, seed)| {
            // Mostly tables that fit, so that adoption is not the exception.
            let format = if hardware.idr0.st_level() == 0 { Format::Linear } else { format };
            let log2size = log2size.min(hardware.idr1.sidsize());
            let log2size = if format == Format::Linear { log2size.min(9) } else { log2size };
            let mut used = Vec::new();
            let streams = streams.into_iter().enumerate().filter_map(|(index, (id, kind))| {
                // The first entries of a table more often than the others.
                let id = if id % 3 == 0 { id / 3 % 8 } else { id } & ((1_u32 << log2size) - 1);
                if used.contains(&id) {
                    return None;
                }
                used.push(id);
                // Stage 2 has 39 bits of input, and a small output range cannot hold more than it holds.
                Some(Stream { id, kind, iova: IOVA, target: TARGET + 0x1000 * index as u64 })
            });
            Case { hardware, format, log2size, streams: streams.collect(), damage, policy, seed }
        },
    )
}

fn flip(memory: &mut Memory, at: PhysAddr, bit: u8) {
    let word = memory.peek(at).unwrap_or(0);
    memory.poke(at, word ^ 1 << bit);
}

pub(crate) fn build(case: &Case) -> Machine {
    let mut builder = Builder::new(case.hardware, Choices::kind(), case.format, case.log2size);
    let table = builder.table;
    let stes: Vec<_> = case.streams.iter().map(|stream| builder.stream(stream)).collect();
    let descriptors: Vec<_> = match case.format {
        Format::Linear => Vec::new(),
        Format::TwoLevel { split } => {
            case.streams.iter().map(|stream| table.plus(u64::from(stream.id >> split) * 8)).collect()
        }
    };
    let mut machine = builder.crashed();
    for stream in &case.streams {
        let Kind::Stage1 { cd_max, cd_format, .. } = stream.kind else { continue };
        // A PASID: the second CD of a linear table, the first of the third leaf of a two-level one.
        let substream = [1, 128, 2048][usize::from(cd_format)];
        if substream >> cd_max == 0 {
            machine.functions.push(Function { substream: Some(substream), ..stream.function() });
        }
    }
    let mut enabled = true;
    for damage in &case.damage {
        let memory = &mut machine.bus.memory;
        match *damage {
            Damage::BaseBit(bit) => {
                let unit = machine.unit(SMMU);
                unit.set64(reg::STRTAB_BASE, unit.get64(reg::STRTAB_BASE) ^ 1 << bit);
            }
            Damage::ConfigBit(bit) => {
                let unit = machine.unit(SMMU);
                unit.set(reg::STRTAB_BASE_CFG, unit.get(reg::STRTAB_BASE_CFG) ^ 1 << bit);
            }
            Damage::Level1 { stream, bit } => {
                if let Some(at) = descriptors.get(stream) {
                    flip(memory, *at, bit);
                }
            }
            Damage::Level1Outside { stream } => {
                if let Some(at) = descriptors.get(stream) {
                    memory.poke(*at, 0xF_0000_0000 | 9);
                }
            }
            Damage::Ste { stream, word, bit } => {
                if let Some(at) = stes.get(stream) {
                    flip(memory, at.plus(u64::from(word) * 8), bit);
                }
            }
            Damage::CdOutside { stream } => {
                if let Some(at) = stes.get(stream) {
                    memory.poke(*at, 0b1011 | 0xF_0000_0000);
                }
            }
            Damage::Cd { stream, word, bit } => {
                if let Some(at) = stes.get(stream) {
                    let cd = memory.peek(*at).unwrap_or(0) & 0xFF_FFFF_FFFF_FFC0;
                    flip(memory, PhysAddr(cd + u64::from(word) * 8), bit);
                }
            }
            Damage::ServiceFailure => machine.unit(SMMU).fail(),
            Damage::Disabled => enabled = false,
        }
    }
    let unit = machine.unit(SMMU);
    let cr0 = unit.effective();
    unit.force_enabled(cr0.with_smmuen(enabled));
    machine
}
