//! Damage to queues and errors.

use super::{
    Queue,
    apply::{NotDone, set_cr0},
};
use addr::PhysAddr;
use smmu::{
    access::{Access, Barrier, Structure},
    observe::Registers,
    spec::{
        command::{CFGI_ALL, COMMAND_BYTES, Command},
        event::{EVENT_BYTES, id},
        registers::{CMDQ_PROD, EVENTQ_CONS, EVENTQ_PROD, GERRORN, Gerror, QueueBase},
    },
};

/// An opcode that no version has (4.1.3).
const ILLEGAL: Command = [0xFF, 0];
/// CMDQ_CONS.ERR, CERROR_ILL (7.1).
const CERROR_ILL: u32 = 1;
/// The second word of a command that was not written yet.
const TORN: u64 = u64::MAX;
/// Commands that wait.
const WAITING: u32 = 4;

pub(super) fn apply(queue: Queue, hw: &mut dyn Access, registers: &Registers) -> Result<(), NotDone> {
    let smmu = registers.smmu;
    let prod = registers.cmdq_prod;
    match queue {
        Queue::CommandError => {
            store(hw, registers, prod, ILLEGAL);
            ring(hw, registers, 1);
        }
        // The only way without DMA that faults. A toggle of what is not active activates it here; the architecture leaves
        // open what it does (6.3.20), and the observer says whether it did.
        Queue::EventAbort => {
            hw.write32(
                smmu,
                GERRORN,
                u32::from(registers.gerrorn) ^ u32::from(Gerror::new().with_eventq_abt_err(true)),
            );
        }
        Queue::Unconsumed => {
            set_cr0(hw, registers, registers.cr0.with_cmdqen(false))?;
            (0..WAITING).for_each(|index| store(hw, registers, prod + index, CFGI_ALL));
            ring(hw, registers, WAITING);
        }
        Queue::Torn => store(hw, registers, prod, [CFGI_ALL[0], TORN]),
        Queue::EventsFull => {
            // 6.3.29, 6.3.30: PROD belongs to software while the queue is off.
            set_cr0(hw, registers, registers.cr0.with_eventqen(false))?;
            let size = 1_u32 << registers.eventq_base.log2size();
            let of_nobody = u64::from(id::C_BAD_STREAMID) | u64::from(u32::MAX) << 32;
            let base = PhysAddr(registers.eventq_base.addr());
            hw.fill(smmu, Structure::Event, base, EVENT_BYTES as u32, size, of_nobody);
            hw.barrier(Barrier::PublishStructure);
            hw.write32(smmu, EVENTQ_CONS, 0);
            hw.write32(smmu, EVENTQ_PROD, size);
            let off = Registers { cr0: registers.cr0.with_eventqen(false), ..*registers };
            set_cr0(hw, &off, registers.cr0)?;
        }
    }
    Ok(())
}

pub(super) fn is_found(queue: Queue, hw: &mut dyn Access, registers: &Registers) -> bool {
    let (prod, cons) = (registers.cmdq_prod, registers.cmdq_cons);
    let errors = registers.active_errors();
    let waiting = prod.wrapping_sub(cons) & mask(registers.cmdq_base);
    match queue {
        Queue::CommandError => errors.cmdq_err() && cons >> 24 & 0x7F == CERROR_ILL,
        Queue::EventAbort => errors.eventq_abt_err(),
        Queue::Unconsumed => !registers.cr0.cmdqen() && waiting == WAITING,
        Queue::Torn => {
            let mut is = |at, value| hw.load(registers.smmu, Structure::Command, at) == Ok(value);
            let at = entry(registers, prod);
            waiting == 0 && is(at, CFGI_ALL[0]) && is(at.plus(8), TORN)
        }
        Queue::EventsFull => {
            let used = registers.eventq_prod.wrapping_sub(registers.eventq_cons) & mask(registers.eventq_base);
            used == 1 << registers.eventq_base.log2size()
        }
    }
}

/// Index bits of a queue and the wrap bit.
const fn mask(base: QueueBase) -> u32 {
    (2 << base.log2size()) - 1
}

fn entry(registers: &Registers, index: u32) -> PhysAddr {
    let place = u64::from(index) & u64::from(mask(registers.cmdq_base) >> 1);
    PhysAddr(registers.cmdq_base.addr()).plus(place * COMMAND_BYTES)
}

fn store(hw: &mut dyn Access, registers: &Registers, index: u32, command: Command) {
    let at = entry(registers, index);
    hw.store(registers.smmu, Structure::Command, at, command[0]);
    hw.store(registers.smmu, Structure::Command, at.plus(8), command[1]);
    hw.barrier(Barrier::BeforeDoorbell);
}

fn ring(hw: &mut dyn Access, registers: &Registers, count: u32) {
    let prod = registers.cmdq_prod.wrapping_add(count) & mask(registers.cmdq_base);
    hw.write32(registers.smmu, CMDQ_PROD, prod);
}
