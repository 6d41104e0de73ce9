//! How the crash came, and on which CPUs.

use super::{evidence::Evidence, seen::Seen};
use crate::{Crash, crash::FAULT_ADDRESS};
use alloc::format;
use handover::crash_note::{CAUSE_CALL, CAUSE_EXCEPTION, CAUSE_PANIC};
use wire::record::Verdict;

/// ESR_EL2.EC of a data abort taken from the same exception level (Arm ARM, D24.2.40).
const DATA_ABORT: u64 = 0x25;

/// The crashed image went the way that the scenario names.
pub(super) fn as_named(evidence: &Evidence<'_>) -> Seen {
    let note = evidence.crashed.before;
    let (named, class) = (evidence.scenario.crash, note.esr >> 26 & 0x3f);
    let is_as_named = match named {
        Crash::Fault => note.cause == CAUSE_EXCEPTION && class == DATA_ABORT && note.far == FAULT_ADDRESS,
        Crash::Panic => note.cause == CAUSE_PANIC,
        Crash::Jump | Crash::HungCpu | Crash::OtherCpu => note.cause == CAUSE_CALL,
    };
    let name = named.name();
    match note.cause {
        0 => Seen::not_covered("the crashed image left no note"),
        _ if is_as_named => Seen::PASS,
        CAUSE_EXCEPTION => Seen::fail(format!("{name}, but ESR {:#x} FAR {:#x}", note.esr, note.far)),
        cause => Seen::fail(format!("{name}, but the note's cause is {cause}")),
    }
}

/// The taker runs on another CPU than the one that firmware booted.
pub(super) fn other_than_boot(evidence: &Evidence<'_>) -> Seen {
    let (taker, boot) = (evidence.crashed.taker_cpu, evidence.crashed.boot_cpu);
    if evidence.scenario.crash != Crash::OtherCpu {
        return Seen::skip("the crash is on the boot CPU");
    }
    if taker == boot { Seen::fail(format!("the taker runs on CPU {taker:#x}, which booted")) } else { Seen::PASS }
}

/// Other CPUs of the crashed image went on: one spun and one rang, from before the takeover's first access to the end.
pub(super) fn others_ran(evidence: &Evidence<'_>) -> Seen {
    let (before, after) = (evidence.crashed.before, evidence.crashed.after);
    if evidence.scenario.crash != Crash::HungCpu {
        return Seen::skip("no other CPU was left running");
    }
    for (what, before, after) in [("spun", before.spins, after.spins), ("rang", before.rings, after.rings)] {
        if before == 0 {
            return Seen::not_covered(format!("no CPU {what} before the takeover"));
        }
        if after <= before {
            return Seen::fail(format!("no CPU {what} from the takeover on: {before} and {after} times"));
        }
    }
    Seen::PASS
}

pub(super) fn other_cpu(evidence: &Evidence<'_>) -> Verdict {
    passes_for(evidence, Crash::OtherCpu)
}

pub(super) fn hung_cpu(evidence: &Evidence<'_>) -> Verdict {
    passes_for(evidence, Crash::HungCpu)
}

fn passes_for(evidence: &Evidence<'_>, crash: Crash) -> Verdict {
    if evidence.scenario.crash == crash { Verdict::Pass } else { Verdict::Skip }
}
