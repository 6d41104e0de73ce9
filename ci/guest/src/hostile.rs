//! Entered at EL2 the image tries the witness's plan of EL2's registers: it arms every trap there is, carries the plan out without
//! one register, or one row, and starts itself once more, from the initrd, at EL1. What that notices is on the console, round by round;
//! the first round leaves nothing out.

use crate::{board::Board, console::say, registers};
use addr::PhysAddr;
use alloc::format;
use arch::{
    cache, cpu,
    el1::{self, Cause, Vcpu},
    exceptions, mmio,
};
use witness::{
    psci::{Call, Ended, decide},
    trap::{
        feature::IdRegisters,
        plan::{Row, Write, plan, rows, writes},
        register::{self as reg, Register},
    },
};

/// Where the second image runs is a multiple of this, and it has as much to itself.
const ROOM: u64 = 64 << 20;
/// HCR_EL2.VM: no stage 2 is made here.
const VM: u64 = 1;
/// HCR_EL2: TID0 to TID3, TIDCP, TACR, TSW, TPCP, TPU, TTLB, TVM, TDZ, TRVM, TERR, TLOR, as firmware may leave it.
const HCR_TRAPS: u64 =
    0xF << 15 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26 | 1 << 28 | 1 << 30 | 3 << 35;
/// Without these no kernel begins at all, and nobody is left to say so.
const MMU_OF_EL1: [Register; 2] = [reg::SCTLR_EL1, reg::SCTLR_EL12];
const NEEDED: [&str; 2] = ["RW", "E2H"];
/// The name of the first round.
const NOTHING: &str = "nothing";
/// A counter that is off by so much is noticed in the upper half.
const OFFSET: u64 = 0x1234 << 32;

/// Tries them all, and powers off.
pub(crate) fn rounds(board: &Board, devicetree: PhysAddr) -> ! {
    exceptions::install(|taken| panic!("{taken:x?}"));
    el1::install();
    let (ids, e2h) = (registers::ids(), cpu::is_e2h());
    registers::leave_context_numbers(&ids, e2h);
    let image = board.initrd().unwrap_or_else(|| panic!("the image for EL1 is to come as initrd"));
    let room = PhysAddr((board.last_ram() - ROOM + 1) & !(ROOM - 1));
    let round = |name: &str, is_left_out: &dyn Fn(usize, &Row) -> bool, extra: u64| {
        let left = || rows().enumerate().filter(|(index, row)| !is_left_out(*index, row)).map(|(_, row)| row);
        let values = |write: Write| (write.register, write.value);
        // A row of something that this CPU has not changes nothing.
        if extra == 0 && name != NOTHING && writes(left(), ids, e2h).map(values).eq(plan(&ids, e2h).map(values)) {
            return;
        }
        say!("round {name}");
        carry_out(writes(left(), ids, e2h), arm_all(&ids, e2h), extra);
        place(image, room);
        run(room, devicetree);
    };
    round(NOTHING, &|_, _| false, 0);
    round("HCR_EL2 with what firmware left", &|_, _| false, HCR_TRAPS);
    for register in reg::ALL.iter().filter(|register| **register != reg::HCR_EL2 && !MMU_OF_EL1.contains(register)) {
        round(register.name, &|_, row| row.register == *register, 0);
    }
    let may_be_left = |row: &Row| !MMU_OF_EL1.contains(&row.register) && !NEEDED.contains(&reason_word(row));
    // Without TSC the kernel's end is the machine's.
    for is_last in [false, true] {
        for (index, row) in rows().enumerate().filter(|(_, row)| (reason_word(row) == "TSC:") == is_last) {
            let is_one_of_many = rows().filter(|other| other.register == row.register).count() > 1;
            if may_be_left(row) && is_one_of_many {
                round(&format!("{} {}", row.register.name, row.reason), &|other, _| other == index, 0);
            }
        }
    }
    arch::power::off(board.conduit)
}

fn reason_word(row: &Row) -> &str {
    row.reason.split(' ').next().unwrap_or_default()
}

/// Writes what is left of the plan, and `cptr` where CPTR_EL2 is not in it.
fn carry_out(writes: impl Iterator<Item = Write>, mut cptr: u64, extra: u64) {
    for Write { register, value, .. } in writes {
        let value = match register {
            reg::HCR_EL2 => value & !VM | extra,
            reg::CPTR_EL2 => {
                cptr = value;
                continue;
            }
            _ => value,
        };
        // SAFETY: the plan is for this CPU; EL2's own MMU, vectors and routing are none of it.
        unsafe { registers::put(register, value) }
        cpu::isb();
    }
    // It traps EL2's own accesses to ZCR_EL2 and SMCR_EL2, too: last.
    // SAFETY: as above; nothing is done at EL2 that it traps there.
    unsafe { registers::put(reg::CPTR_EL2, cptr) }
    cpu::isb();
}

/// Every register of the plan with the opposite of what it ought to have, but for CPTR_EL2, of which this is returned.
fn arm_all(ids: &IdRegisters, e2h: bool) -> u64 {
    let mut cptr = 0;
    for Write { register, value, .. } in plan(ids, e2h) {
        let value = match register {
            reg::HCR_EL2 | reg::SCTLR_EL1 | reg::SCTLR_EL12 => continue,
            reg::CNTVOFF_EL2 | reg::CNTPOFF_EL2 => OFFSET,
            reg::CPTR_EL2 => {
                cptr = !value;
                value
            }
            _ => !value,
        };
        // SAFETY: as in `rounds`; interrupts are masked, and nothing here uses what is trapped at EL2 itself.
        unsafe { registers::put(register, value) }
        cpu::isb();
    }
    cptr
}

/// A fresh copy of the image, clean to PoC: it starts with its MMU off.
fn place((from, bytes): (PhysAddr, u64), to: PhysAddr) {
    for offset in (0..bytes).step_by(8) {
        // SAFETY: the initrd, which is mapped and nobody's but ours, in whole pages.
        let word = unsafe { mmio::read64(from.0 + offset) };
        // SAFETY: RAM that nobody else uses, behind everything that was loaded.
        unsafe { mmio::write64(to.0 + offset, word) }
    }
    cache::clean_invalidate(to, bytes);
    cache::invalidate_instructions();
}

/// Lets the kernel run until it ends, or something traps that nobody asked for.
fn run(entry: PhysAddr, devicetree: PhysAddr) {
    const SMC: u64 = 0x17;
    let mut kernel = Vcpu::starting(entry.0, devicetree.0);
    loop {
        // SAFETY: 1. The registers were written by the plan, or are what is tried. 2. The image uses its own room, the
        // devicetree that is only read, and the UART between our lines.
        let cause = unsafe { kernel.run() };
        if cause != Cause::Synchronous || kernel.esr >> 26 != SMC {
            return say!("round ends: {cause:?}, ESR {:#x} at {:#x}", kernel.esr, kernel.pc - entry.0);
        }
        match decide(kernel.esr as u16, [kernel.x[0], kernel.x[1], kernel.x[2], kernel.x[3]], false) {
            Call::End(Ended::Off) => return say!("round ends: off"),
            Call::End(Ended::Reset) => return say!("round ends: reset"),
            _ => kernel.x[0] = u64::MAX,
        }
        kernel.pc += 4;
    }
}
