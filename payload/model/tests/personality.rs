//! What differs between QEMU 10 and the architecture, and why (facts/qemu.md 5, smmu-kdump.md 3.7). For each row the same
//! script runs on both, over all choices: the results must be these and no others.

#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot go on must stop it")]

mod common;

use addr::{Iova, PhysAddr, StreamId};
use common::*;
use model::{
    Builder, Choices, Format, Freedoms, Function, Hardware, Kind, Machine, Outcome, Path, Personality, Stop, Stream,
    Window, exhaust,
};
use smmu::access::Access;
use smmu::spec::event::id;
use smmu::spec::registers as reg;
use std::collections::BTreeSet;

const V3_1: Personality = Personality::Architecture { minor: 1 };
const V3_2: Personality = Personality::Architecture { minor: 2 };
const GBPA_ABORT: u32 = 1 << 20;
const UPDATE: u32 = 1 << 31;

struct Row {
    what: &'static str,
    why: &'static str,
    run: fn(&mut Machine) -> String,
    qemu: &'static [&'static str],
    v3_1: &'static [&'static str],
    v3_2: &'static [&'static str],
}

/// All results that the choices of `personality` can lead to.
fn results(personality: Personality, run: fn(&mut Machine) -> String) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    exhaust(Freedoms::ALL, 2, |choices| {
        // An SMMU with everything, so that nothing is refused for want of a feature.
        let hardware = Hardware { personality, slowest: 2, ..Hardware::server(1) };
        let hardware = hardware.idr0(|idr0| idr0.with_hyp(false).with_stall_model(1));
        let mut machine = machine(hardware, choices);
        all.insert(run(&mut machine));
        machine.bus.choices
    });
    all
}

fn machine(hardware: Hardware, choices: Choices) -> Machine {
    let mut builder = Builder::new(hardware, choices, Format::TwoLevel { split: 8 }, 10);
    for stream in &STREAMS {
        builder.stream(stream);
    }
    builder.crashed()
}

fn word(outcome: Outcome) -> String {
    match outcome {
        Outcome::Delivered(..) => "delivered".into(),
        Outcome::MisSteered(_, path) => format!("elsewhere ({path:?})"),
        Outcome::Blocked(Stop::Fault(id::C_BAD_STREAMID)) => "C_BAD_STREAMID".into(),
        Outcome::Blocked(Stop::Fault(id::C_BAD_STE)) => "C_BAD_STE".into(),
        Outcome::Blocked(stop) => format!("{stop:?}"),
    }
}

fn probe(machine: &mut Machine, stream: u32, iova: u64, target: u64) -> String {
    machine.functions.push(Function::new(StreamId(stream), &[Window::new(Iova(iova), PhysAddr(target))]));
    word(machine.dma(machine.functions.len() - 1, 0))
}

fn let_pass(machine: &mut Machine) {
    for _ in 0..8 {
        machine.pause();
    }
}

const ROWS: [Row; 15] = [
    Row {
        what: "events of one faulting DMA of 64 bytes",
        why: "QEMU translates each 4 bytes by itself",
        run: |machine| {
            probe(machine, 0x30, 0, 0);
            let_pass(machine);
            machine.read32(SMMU, reg::EVENTQ_PROD).to_string()
        },
        qemu: &["16"],
        v3_1: &["1"],
        v3_2: &["1"],
    },
    Row {
        what: "full event queue",
        why: "QEMU takes a full queue for an abort of the write; 7.4 wants OVFLG",
        run: |machine| {
            machine.unit(SMMU).set(reg::EVENTQ_PROD, 1 << 8);
            probe(machine, 0x30, 0, 0);
            let_pass(machine);
            let overflow = machine.read32(SMMU, reg::EVENTQ_PROD) >> 31;
            let error = machine.units[0].active_errors().eventq_abt_err();
            format!("OVFLG {overflow}, EVENTQ_ABT_ERR {}", u8::from(error))
        },
        qemu: &["OVFLG 0, EVENTQ_ABT_ERR 1"],
        v3_1: &["OVFLG 1, EVENTQ_ABT_ERR 0"],
        v3_2: &["OVFLG 1, EVENTQ_ABT_ERR 0"],
    },
    Row {
        what: "FMT=0 after FMT=1, linear table of bypass STEs, stream 0x101",
        why: "QEMU remembers a feature bit and never clears it",
        run: |machine| {
            machine.write32(SMMU, reg::CR0, 0);
            let_pass(machine);
            let table = PhysAddr(0x5000_0000);
            machine.bus.memory.poke(table.plus(0x101 * 64), 0b1001);
            machine.write64(SMMU, reg::STRTAB_BASE, table.0);
            machine.write32(SMMU, reg::STRTAB_BASE_CFG, 10);
            machine.write32(SMMU, reg::CR0, 1);
            let_pass(machine);
            probe(machine, 0x101, 0x4000_0000, 0x4000_0000)
        },
        qemu: &["C_BAD_STREAMID"],
        v3_1: &["delivered"],
        v3_2: &["delivered"],
    },
    Row {
        what: "SMMUEN 1, 0, 1 with another STRTAB_BASE and no invalidation",
        why: "QEMU evicts nothing; the architecture promises neither to keep nor to drop (3.3)",
        run: |machine| {
            machine.dma(0, 0);
            machine.write32(SMMU, reg::CR0, 0);
            let_pass(machine);
            machine.write64(SMMU, reg::STRTAB_BASE, 0x6000_0000);
            machine.write32(SMMU, reg::CR0, 1);
            let_pass(machine);
            word(machine.dma(0, 0))
        },
        qemu: &["delivered"],
        v3_1: &["C_BAD_STREAMID", "delivered"],
        v3_2: &["C_BAD_STREAMID", "delivered"],
    },
    Row {
        what: "64-bit read of IDR0 and IDR1",
        why: "QEMU knows 64-bit reads of 64-bit registers only",
        run: |machine| u8::from(machine.read64(SMMU, reg::IDR0) != 0).to_string(),
        qemu: &["0"],
        v3_1: &["1"],
        v3_2: &["1"],
    },
    Row {
        what: "CR0ACK right after a CR0 write",
        why: "6.3.9: acknowledged when it is complete",
        run: |machine| {
            machine.write32(SMMU, reg::CR0, 1);
            format!("{:#x}", machine.units[0].get(reg::CR0ACK))
        },
        qemu: &["0x1"],
        v3_1: &["0x1", "0x11", "0x15", "0x19", "0x5", "0x9", "0xd"],
        v3_2: &["0x1", "0x11", "0x15", "0x19", "0x5", "0x9", "0xd"],
    },
    Row {
        what: "STRTAB_BASE written while enabled",
        why: "QEMU guards nothing; ignored from SMMUv3.2 on, unpredictable before (6.3.24)",
        run: |machine| {
            machine.write64(SMMU, reg::STRTAB_BASE, 0x6000_0000);
            match machine.read64(SMMU, reg::STRTAB_BASE) {
                0x6000_0000 => "taken".into(),
                value if value & 0xFFFF_FFFF == 0x0010_0000 | 0x4000_0000 => "ignored".into(),
                _ => "any value".into(),
            }
        },
        qemu: &["taken"],
        v3_1: &["any value", "ignored", "taken"],
        v3_2: &["ignored"],
    },
    Row {
        what: "Config 0b000",
        why: "no difference: 5.2 wants no event",
        run: |machine| {
            let outcome = probe(machine, 0x28, 0, 0);
            let_pass(machine);
            format!("{outcome}, {} events", machine.units[0].events_written)
        },
        qemu: &["SteAbort, 0 events"],
        v3_1: &["SteAbort, 0 events"],
        v3_2: &["SteAbort, 0 events"],
    },
    Row {
        what: "GBPA written without Update",
        why: "6.3.14: ignored from SMMUv3.2 on, unpredictable before; QEMU ignores it though it says SMMUv3.1",
        run: |machine| {
            machine.write32(SMMU, reg::GBPA, GBPA_ABORT);
            if machine.read32(SMMU, reg::GBPA) & GBPA_ABORT == 0 { "ignored" } else { "taken" }.into()
        },
        qemu: &["ignored"],
        v3_1: &["ignored", "taken"],
        v3_2: &["ignored"],
    },
    Row {
        what: "GBPA.Update right after a write with Update",
        why: "6.3.14: 0 when it is complete",
        run: |machine| {
            machine.write32(SMMU, reg::GBPA, GBPA_ABORT | UPDATE);
            (machine.read32(SMMU, reg::GBPA) >> 31).to_string()
        },
        qemu: &["0"],
        v3_1: &["0", "1"],
        v3_2: &["0", "1"],
    },
    Row {
        what: "L2 of span 5 (16 STEs): stream 0x1F",
        why: "QEMU allows 2^span entries (facts 3.7)",
        run: |machine| {
            let l1 = machine.units[0].live().base & 0xFFFF_FFFF_FFC0;
            let level2 = PhysAddr(0x5100_0000);
            machine.bus.memory.poke(PhysAddr(l1), level2.0 | 5);
            machine.bus.memory.poke(level2.plus(0x1F * 64), 0b1001);
            probe(machine, 0x1F, 0x4000_0000, 0x4000_0000)
        },
        qemu: &["delivered"],
        v3_1: &["C_BAD_STREAMID"],
        v3_2: &["C_BAD_STREAMID"],
    },
    Row {
        what: "S1CDMax 1",
        why: "QEMU has no substreams, whatever IDR1 is made to say",
        run: |machine| {
            let mut builder = Builder::new(machine.units[0].hardware, Choices::kind(), Format::Linear, 8);
            let kind = Kind::Stage1 { asid: 9, cd_max: 1, cd_format: 0 };
            builder.stream(&Stream { id: 0x10, kind, iova: IOVA, target: TARGET });
            word(builder.crashed().dma(0, 0))
        },
        qemu: &["C_BAD_STE"],
        v3_1: &["delivered"],
        v3_2: &["delivered"],
    },
    Row {
        what: "EVENTQ_PROD at its offset in page 0",
        why: "QEMU's two pages are one",
        run: |machine| {
            machine.unit(SMMU).set(reg::EVENTQ_PROD, 5);
            machine.read32(SMMU, 0xA8).to_string()
        },
        qemu: &["5"],
        v3_1: &["0"],
        v3_2: &["0"],
    },
    Row {
        what: "CMD_TLBI_EL2_ALL without IDR0.Hyp",
        why: "QEMU takes it silently; 4.4.3 wants CERROR_ILL",
        run: |machine| {
            let base = PhysAddr(machine.units[0].get64(reg::CMDQ_BASE) & 0xFFFF_FFFF_FFE0);
            machine.bus.memory.poke(base, 0x20);
            machine.write32(SMMU, reg::CMDQ_PROD, 1);
            let_pass(machine);
            format!("CMDQ_CONS {:#x}", machine.read32(SMMU, reg::CMDQ_CONS))
        },
        qemu: &["CMDQ_CONS 0x1"],
        v3_1: &["CMDQ_CONS 0x1000000"],
        v3_2: &["CMDQ_CONS 0x1000000"],
    },
    Row {
        what: "FetchAddr of F_STE_FETCH",
        why: "QEMU leaves it 0",
        run: |machine| {
            let l1 = machine.units[0].live().base & 0xFFFF_FFFF_FFC0;
            machine.bus.memory.poke(PhysAddr(l1 + 8), 0x1_0000_0000 | 9);
            let outcome = probe(machine, 0x101, 0, 0);
            let_pass(machine);
            let base = PhysAddr(machine.units[0].get64(reg::EVENTQ_BASE) & 0xFFFF_FFFF_FFE0);
            format!("{outcome}, {:#x}", machine.bus.memory.peek(base.plus(24)).unwrap())
        },
        qemu: &["Fault(3), 0x0"],
        v3_1: &["Fault(3), 0x100000040"],
        v3_2: &["Fault(3), 0x100000040"],
    },
];

#[test]
fn personalities_differ_in_these_points_and_no_others() {
    for row in ROWS {
        let [qemu, v3_1, v3_2] = [Personality::Qemu10, V3_1, V3_2].map(|personality| results(personality, row.run));
        println!("{}: QEMU {qemu:?}, v3.1 {v3_1:?}, v3.2 {v3_2:?}. {}", row.what, row.why);
        let expected = |results: &[&str]| results.iter().map(|result| (*result).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(qemu, expected(row.qemu), "{}: QEMU", row.what);
        assert_eq!(v3_1, expected(row.v3_1), "{}: v3.1", row.what);
        assert_eq!(v3_2, expected(row.v3_2), "{}: v3.2", row.what);
    }
}

#[test]
fn qemu_makes_no_choices() {
    for row in ROWS {
        assert_eq!(results(Personality::Qemu10, row.run).len(), 1, "{}", row.what);
    }
}

#[test]
fn an_identity_is_told_from_a_translation() {
    let mut machine = machine(Hardware::virt(V3_1), Choices::kind());
    assert_eq!(machine.dma(2, 0), Outcome::Delivered(PhysAddr(TARGET + 0x2000), Path::Bypass));
    assert_eq!(machine.dma(0, 0), Outcome::Delivered(PhysAddr(TARGET), Path::Walk));
    assert_eq!(machine.dma(0, 0), Outcome::Delivered(PhysAddr(TARGET), Path::Tlb));
}
