//! Machines on which mutants run.

use crate::common::*;
use addr::{PhysAddr, StreamId};
use model::{Caches, Choices, Hardware, Kind, Machine, Personality, Stream};
use smmu::spec::registers::{self as reg, Gerror};
use smmu::spec::ste::Ste;

/// What the crashed kernel left besides its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing.
    Plain,
    /// Other attributes, MSI addresses and a smaller table than the taker would choose.
    OtherAttributes,
    /// A page moved and an STE replaced whose invalidations were never consumed: the caches are older than the tables.
    StaleCaches,
    /// An illegal command: CMDQ_ERR is active.
    CommandError,
}

pub(crate) const LEFT: [Left; 4] = [Left::Plain, Left::OtherAttributes, Left::StaleCaches, Left::CommandError];
pub(crate) const MOVED: u64 = 0x4810_0000;
pub(crate) const RMR: StreamId = StreamId(0x18);
/// SMMUs with few StreamIDs, so that a scan is short, and slow, so that what does not wait is too early.
pub(crate) fn hardware() -> Vec<Hardware> {
    let slow = |hardware: Hardware| Hardware { slowest: 8, ..hardware };
    let small =
        |hardware: Hardware| slow(hardware.idr0(|idr0| idr0.with_st_level(0)).idr1(|idr1| idr1.with_sidsize(7)));
    let mut all: Vec<_> = [0, 2]
        .map(|minor| Personality::Architecture { minor })
        .into_iter()
        .chain([Personality::Qemu10])
        .map(|personality| small(Hardware::virt(personality)))
        .collect();
    all.push(small(Hardware::server(1)));
    all.push(small(Hardware::server(3)));
    // Two levels, of which level 1 is short too.
    all.push(slow(Hardware::virt(Personality::Architecture { minor: 1 }).idr1(|idr1| idr1.with_sidsize(9))));
    all
}

pub(crate) struct Start {
    pub(crate) machine: Machine,
    pub(crate) streams: Vec<Stream>,
    pub(crate) whole: Vec<Ste>,
}

/// Streams whose translation moved, and the one whose STE changed, while the caches still hold what was before.
pub(crate) const MOVED_STREAMS: [usize; 2] = [0, 5];
pub(crate) const CHANGED_STREAM: usize = 3;

pub(crate) const fn is_stale(function: usize, left: Left) -> bool {
    matches!(left, Left::StaleCaches) && matches!(function, 0 | 3 | 5)
}

pub(crate) fn start(hardware: Hardware, left: Left, choices: Choices) -> Start {
    let mut streams = STREAMS.to_vec();
    if hardware.idr0.hyp() {
        streams.push(Stream { id: 0x38, kind: Kind::El2 { asid: 7 }, iova: IOVA, target: TARGET + 0x3000 });
    }
    let (mut machine, stes) = crashed(hardware, Choices::kind(), &streams);
    let unit = machine.unit(SMMU);
    // Queues that were in use.
    for (register, value) in [(reg::CMDQ_PROD, 5), (reg::CMDQ_CONS, 5), (reg::EVENTQ_PROD, 3), (reg::EVENTQ_CONS, 3)] {
        unit.set(register, value);
    }
    match left {
        Left::Plain => {}
        Left::OtherAttributes => {
            for (register, value) in [(reg::CR1, 0xA28), (reg::CR2, 0), (reg::PRIQ_PROD, 2), (reg::PRIQ_CONS, 2)] {
                unit.set(register, value);
            }
            for register in [reg::GERROR_IRQ_CFG0, reg::EVENTQ_IRQ_CFG0, reg::PRIQ_IRQ_CFG0] {
                unit.set64(register, 0x0809_0040);
            }
            let config = unit.get(reg::STRTAB_BASE_CFG);
            unit.set(reg::STRTAB_BASE_CFG, config - 1);
            let cr0 = unit.effective();
            unit.force_enabled(cr0);
        }
        Left::StaleCaches => {
            let changed = stes[CHANGED_STREAM];
            machine.unit(SMMU).caches = Caches::default();
            machine.bus.memory.poke(changed, 0b1001);
            machine.dma_all();
            machine.bus.memory.poke(changed, 1);
            for moved in MOVED_STREAMS.into_iter().filter(|moved| *moved < streams.len()) {
                let leaf = leaf_of(&machine, stes[moved]);
                machine.bus.memory.poke(leaf, MOVED | 0xF43);
                machine.functions[moved].windows[0].target = Some(PhysAddr(MOVED));
            }
        }
        Left::CommandError => {
            unit.raise(Gerror::new().with_cmdq_err(true));
            unit.set(reg::CMDQ_CONS, 1 << 24 | 5);
        }
    }
    machine.record.clear();
    machine.bus.choices = choices;
    let whole = stes.iter().map(|at| ste_in_memory(&machine, *at)).collect();
    Start { machine, streams, whole }
}

/// The last-level descriptor of a stream's page, by a walk of our own.
pub(crate) fn leaf_of(machine: &Machine, ste: PhysAddr) -> PhysAddr {
    let peek = |at: u64| machine.bus.memory.peek(PhysAddr(at)).expect("a table outside memory");
    let cd = peek(ste.0) & 0xFF_FFFF_FFFF_FFC0;
    let mut table = peek(cd + 8) & 0xFFFF_FFFF_F000;
    for shift in [39, 30, 21] {
        table = peek(table + (IOVA >> shift & 511) * 8) & 0xFFFF_FFFF_F000;
    }
    PhysAddr(table + (IOVA >> 12 & 511) * 8)
}
