//! The reference sequences, step by step.

use crate::checker::found::Found;
use crate::spec::command::opcode;
use crate::spec::registers as reg;
use alloc::vec;
use alloc::vec::Vec;

/// What may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// This.
    Is(u64),
    /// One of these two.
    Either(u64, u64),
    /// Anything: an address of the kernel's own.
    Any,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A register is written, after these were read since the last write.
    Write(u32, Value, &'static [u32]),
    /// An acknowledge is read: these bits with this value. `must`: nothing goes on without it.
    Acked { register: u32, mask: u32, value: u32, must: bool },
    /// GERROR and GERRORN are read, and what is active of the mask is acknowledged.
    Errors,
    /// The address of an interrupt's message is cleared; combined interrupts have none of these steps.
    Config(u32),
    /// One command and CMD_SYNC are handed over.
    Command(u8),
    /// The queue is polled until it is empty.
    Consumed,
}

use Step::{Acked, Command, Config, Consumed, Errors, Write};
use Value::{Any, Either, Is};

/// GERROR bits that a kernel acknowledges.
pub(super) const ACKNOWLEDGED: u32 = 0x1FD;
const GBPA_ABORT_UPDATE: u64 = 1 << 31 | 1 << 20;

fn cr0(steps: &mut Vec<Step>, value: u32, reads: &'static [u32]) {
    steps.push(Write(reg::CR0, Is(value.into()), reads));
    steps.push(Acked { register: reg::CR0ACK, mask: u32::MAX, value, must: true });
}

fn command_queue(steps: &mut Vec<Step>) {
    steps.push(Write(reg::CMDQ_BASE, Any, &[]));
    steps.push(Write(reg::CMDQ_PROD, Is(0), &[]));
    steps.push(Write(reg::CMDQ_CONS, Is(0), &[]));
}

fn invalidation(steps: &mut Vec<Step>, found: &Found) {
    let el2 = found.ids().idr0.hyp().then_some(opcode::TLBI_EL2_ALL);
    for code in [Some(opcode::CFGI_ALL), el2, Some(opcode::TLBI_NSNH_ALL)].into_iter().flatten() {
        steps.extend([Command(code), Consumed]);
    }
}

fn interrupts(steps: &mut Vec<Step>, found: &Found, enabled: u32) {
    let acked = |value| Acked { register: reg::IRQ_CTRLACK, mask: u32::MAX, value, must: false };
    steps.extend([Write(reg::IRQ_CTRL, Is(0), &[]), acked(0)]);
    steps.extend([Config(reg::GERROR_IRQ_CFG0), Config(reg::EVENTQ_IRQ_CFG0)]);
    if found.ids().idr0.pri() {
        steps.push(Config(reg::PRIQ_IRQ_CFG0));
    }
    steps.extend([Write(reg::IRQ_CTRL, Is(enabled.into()), &[]), acked(enabled)]);
}

/// facts: smmu-kdump.md 6.1; adopting-kernel.md 3.
pub(super) fn adopt(found: &Found) -> Vec<Step> {
    const LOOKED_AT: &[u32] =
        &[reg::IDR0, reg::IDR1, reg::CR0, reg::GERROR, reg::GERRORN, reg::STRTAB_BASE_CFG, reg::STRTAB_BASE];
    let mut steps = Vec::new();
    let kept = 1 | found.cr0 & 0x10;
    cr0(&mut steps, kept, LOOKED_AT);
    steps.push(Errors);
    command_queue(&mut steps);
    cr0(&mut steps, kept | 8, &[]);
    invalidation(&mut steps, found);
    interrupts(&mut steps, found, 1);
    cr0(&mut steps, kept | 8, &[]);
    steps
}

/// facts: smmu-kdump.md 1.3, 6.2; `is_fallback`: adopting-kernel.md 7.
pub(super) fn reset(found: &Found, is_fallback: bool) -> Vec<Step> {
    let idr0 = found.ids().idr0;
    let mut steps = vec![];
    if found.cr0 & 1 != 0 {
        let gbpa = u64::from(found.gbpa & !(1 << 31)) | GBPA_ABORT_UPDATE;
        steps.push(Write(reg::GBPA, Is(gbpa), &[reg::IDR0, reg::IDR1, reg::CR0, reg::GBPA]));
        steps.push(Acked { register: reg::GBPA, mask: 1 << 31, value: 0, must: false });
        cr0(&mut steps, 0, &[]);
    } else {
        cr0(&mut steps, 0, &[reg::IDR0, reg::IDR1, reg::CR0]);
    }
    steps.push(Write(reg::CR1, Is(0xD75), &[]));
    let cr2 = if idr0.hyp() { Either(6, 7) } else { Is(6) };
    steps.push(Write(reg::CR2, cr2, &[]));
    steps.push(Write(reg::STRTAB_BASE, Any, &[]));
    let sid_bits = u64::from(found.ids().idr1.sidsize().min(32));
    // Two levels with SPLIT 8 and at most 2^17 descriptors, or linear.
    let two_level = 1 << 16 | 8 << 6 | sid_bits.min(25);
    steps.push(Write(reg::STRTAB_BASE_CFG, Either(two_level, sid_bits), &[]));
    if is_fallback {
        steps.push(Errors);
    }
    command_queue(&mut steps);
    let mut enabled = 8;
    cr0(&mut steps, enabled, &[]);
    invalidation(&mut steps, found);
    let mut output = |steps: &mut Vec<Step>, base, prod, cons, enable| {
        steps.extend([Write(base, Any, &[]), Write(prod, Is(0), &[]), Write(cons, Is(0), &[])]);
        enabled |= enable;
        cr0(steps, enabled, &[]);
    };
    if !is_fallback {
        output(&mut steps, reg::EVENTQ_BASE, reg::EVENTQ_PROD, reg::EVENTQ_CONS, 4);
        if idr0.pri() {
            output(&mut steps, reg::PRIQ_BASE, reg::PRIQ_PROD, reg::PRIQ_CONS, 2);
        }
    }
    if idr0.ats() {
        enabled |= 0x10;
        cr0(&mut steps, enabled, &[]);
    }
    let sources = if is_fallback { 1 } else { 5 | if idr0.pri() { 2 } else { 0 } };
    interrupts(&mut steps, found, sources);
    // A kdump kernel takes both output queues out of the last value.
    cr0(&mut steps, enabled & !6 | 1, &[]);
    steps
}
