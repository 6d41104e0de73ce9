//! Checks of an adoption: what must not be touched, and what must be done.

use super::{
    attach,
    evidence::{Check, Evidence, SmmuEvidence},
    seen::Seen,
    trace::Trace,
};
use alloc::{format, vec::Vec};
use smmu::{
    access::{SmmuIndex, Structure},
    observe::Registers,
    spec::registers::{self as reg, Cr0, Gerror},
};

pub(super) const NO_REGISTERS: &str = "the registers were not read after the watch";
/// CR0 bits of one concern: everything but SMMUEN, which has a check of its own.
const CR0_REST: u32 = !1;
/// GERROR bits that an adopting kernel acknowledges (Linux, GERROR_ERR_MASK).
const GERROR_MASK: u32 = 0x1FD;
/// IRQ_CTRL.GERROR_IRQEN alone.
const IRQ_GERROR: u32 = 1;

/// Judges every SMMU that is to be adopted.
fn each<'a>(evidence: &Evidence<'a>, check: Check<'_, 'a>) -> Seen {
    evidence.each_where(&|index| evidence.expectation_of(index).adopts, check)
}

fn each_logged<'a>(evidence: &Evidence<'a>, check: Check<'_, 'a>) -> Seen {
    evidence.each_logged_where(&|index| evidence.expectation_of(index).adopts, check)
}

/// No write to `registers` (offset, bytes), and the same `values` afterwards.
fn untouched(evidence: &Evidence<'_>, registers: &[(u32, u64)], values: fn(&Registers) -> [u64; 2]) -> Seen {
    each_logged(evidence, &|index, smmu| {
        let trace = Trace::new(evidence.log, index);
        for (offset, bytes) in registers {
            if let Some(write) = trace.writes(*offset, *bytes).next() {
                return Seen::fail(format!("{} was written with {:#x}", reg::name(*offset), write.value));
            }
        }
        let Some(after) = smmu.after else { return Seen::not_covered(NO_REGISTERS) };
        Seen::demand(values(smmu.before) == values(after), "it was not written, but its value changed")
    })
}

pub(super) fn adopted(evidence: &Evidence<'_>) -> Seen {
    each(evidence, &|_, smmu| match smmu.taken {
        Ok(taken) if taken.did.adopts() => Seen::PASS,
        Ok(taken) => taken.refusal.map_or_else(
            || Seen::fail("reset without a reason"),
            |refusal| Seen::fail(format!("reset instead: {refusal}")),
        ),
        Err(error) => Seen::fail(format!("{error}")),
    })
}

pub(super) fn smmuen_kept(evidence: &Evidence<'_>) -> Seen {
    each_logged(evidence, &|index, smmu| {
        if !smmu.before.cr0.smmuen() {
            return Seen::not_covered("SMMUEN was found 0");
        }
        if let Some((_, cr0)) = Trace::new(evidence.log, index).cr0_writes().find(|(_, cr0)| !cr0.smmuen()) {
            return Seen::fail(format!("CR0 was written with {:#x}", cr0.into_bits()));
        }
        let Some(after) = smmu.after else { return Seen::not_covered(NO_REGISTERS) };
        Seen::demand(after.cr0.smmuen() && after.cr0ack.smmuen(), "SMMUEN is 0 after the watch")
    })
}

pub(super) fn strtab_untouched(evidence: &Evidence<'_>) -> Seen {
    untouched(evidence, &[(reg::STRTAB_BASE, 8), (reg::STRTAB_BASE_CFG, 4)], |registers| {
        [registers.strtab_base.into_bits(), registers.strtab_base_cfg.into_bits().into()]
    })
}

pub(super) fn cr1_cr2_untouched(evidence: &Evidence<'_>) -> Seen {
    untouched(evidence, &[(reg::CR1, 4), (reg::CR2, 4)], |registers| {
        [registers.cr1.into(), registers.cr2.into_bits().into()]
    })
}

pub(super) fn gbpa_untouched(evidence: &Evidence<'_>) -> Seen {
    untouched(evidence, &[(reg::GBPA, 4)], |registers| [registers.gbpa.into_bits().into(), 0])
}

pub(super) fn tables_identical(evidence: &Evidence<'_>) -> Seen {
    each(evidence, &|index, smmu| {
        let Some(left) = evidence.left(index) else { return Seen::not_covered("no digest from before the crash") };
        let Some(digest) = smmu.digest_after else { return Seen::not_covered("the tables could not be read") };
        if left.digest_bytes == 0 {
            return Seen::not_covered("the digest from before the crash covers nothing");
        }
        Seen::demand(left.digest_bytes == digest.bytes, "the tables have another size")
            .and(|| Seen::demand(left.level1_digest == digest.level1, "the first level changed"))
            .and(|| Seen::demand(left.level2_digest == digest.level2, "a second level changed"))
            .and(|| Seen::demand(left.contexts_digest == digest.contexts, "a CD changed"))
    })
}

pub(super) fn no_table_stores(evidence: &Evidence<'_>) -> Seen {
    each_logged(evidence, &|index, _| {
        let is_table = |structure| !matches!(structure, Structure::Command | Structure::Event);
        match Trace::new(evidence.log, index).stores().find(|(_, structure, _)| is_table(*structure)) {
            None => Seen::PASS,
            Some((place, _, entry)) => {
                Seen::fail(format!("{} at {:#x} was written, log entry {place}", entry.name(), entry.address))
            }
        }
    })
}

/// CR0 goes to what is kept alone, then with CMDQEN, and stays; each change waits for CR0ACK.
pub(super) fn cr0_sequence(evidence: &Evidence<'_>) -> Seen {
    each_logged(evidence, &|index, smmu| {
        let kept = Cr0::new().with_atschk(smmu.before.cr0.atschk());
        let wanted = [kept, kept.with_cmdqen(true)];
        let trace = Trace::new(evidence.log, index);
        let mut stage = None;
        let mut last: Option<(usize, Cr0)> = None;
        for (place, cr0) in trace.cr0_writes() {
            let bits = cr0.into_bits() & CR0_REST;
            let is_same = last.is_some_and(|(_, last)| last.into_bits() & CR0_REST == bits);
            if let Some((from, last)) = last.filter(|_| !is_same)
                && !trace.acknowledged(from, place, last, CR0_REST)
            {
                return Seen::fail("CR0 was changed again before CR0ACK agreed");
            }
            last = Some((if is_same { last.map_or(place, |(from, _)| from) } else { place }, cr0));
            if is_same {
                continue;
            }
            let next = stage.map_or(0, |stage: usize| stage + 1);
            if wanted.get(next).is_none_or(|wanted| wanted.into_bits() != bits) {
                return Seen::fail(format!("CR0 was written with {:#x} out of order", cr0.into_bits()));
            }
            stage = Some(next);
        }
        let Some((from, last)) = last else { return Seen::fail("CR0 was not written") };
        Seen::demand(stage == Some(1), "CR0.CMDQEN was not set").and(|| {
            Seen::demand(trace.acknowledged(from, usize::MAX, last, CR0_REST), "CR0ACK did not agree at the end")
        })
    })
}

fn active_errors(registers: &Registers) -> u32 {
    registers.active_errors().into_bits() & GERROR_MASK
}

/// Some SMMU that is to be adopted was left with an error to acknowledge.
pub(super) fn has_errors(evidence: &Evidence<'_>) -> bool {
    let smmus = (0u8..).map(SmmuIndex).zip(evidence.smmus);
    smmus.filter(|(index, _)| evidence.expectation_of(*index).adopts).any(|(_, smmu)| active_errors(smmu.before) != 0)
}

/// What the dead kernel left active is acknowledged before the new queue starts, and nothing is active in the end.
pub(super) fn gerror_acknowledged(evidence: &Evidence<'_>) -> Seen {
    let active = active_errors;
    each_logged(evidence, &|index, smmu| {
        let trace = Trace::new(evidence.log, index);
        let enabled = trace.cr0_writes().find(|(_, cr0)| cr0.cmdqen()).map_or(usize::MAX, |(place, _)| place);
        let acknowledged = trace.writes(reg::GERRORN, 4).any(|write| {
            let left = Gerror::from(write.value as u32).into_bits() ^ smmu.before.gerror.into_bits();
            write.place < enabled && left & GERROR_MASK == 0
        });
        if active(smmu.before) != 0 && !acknowledged {
            return Seen::fail(format!("errors {:#x} were not acknowledged before CMDQEN", active(smmu.before)));
        }
        let Some(after) = smmu.after else { return Seen::not_covered(NO_REGISTERS) };
        match active(after) {
            0 if active(smmu.before) == 0 => Seen::skip("no error was active"),
            0 => Seen::PASS,
            errors => Seen::fail(format!("errors {errors:#x} are active after the watch")),
        }
    })
}

pub(super) fn invalidated(evidence: &Evidence<'_>) -> Seen {
    each_logged(evidence, &|index, smmu| invalidated_by(evidence, index, smmu, 0, usize::MAX))
}

/// Everything cached is invalidated between two places, with the EL2 regime where there is one.
pub(super) fn invalidated_by(
    evidence: &Evidence<'_>,
    index: SmmuIndex,
    smmu: &SmmuEvidence<'_>,
    from: usize,
    to: usize,
) -> Seen {
    let trace = Trace::new(evidence.log, index);
    let missing = [
        ("CFGI_ALL", trace.configuration_invalidated(from, to)),
        ("TLBI_NSNH_ALL", trace.translation_invalidated(from, to)),
        ("TLBI_EL2_ALL", !smmu.before.idr0.hyp() || trace.el2_invalidated(from, to)),
    ];
    let missing: Vec<&str> = missing.into_iter().filter(|(_, is_done)| !is_done).map(|(name, _)| name).collect();
    if missing.is_empty() { Seen::PASS } else { Seen::fail(format!("not completed: {}", missing.join(", "))) }
}

pub(super) fn evtq_off(evidence: &Evidence<'_>) -> Seen {
    const QUEUES: [(u32, u64); 6] = [
        (reg::EVENTQ_BASE, 8),
        (reg::EVENTQ_PROD, 4),
        (reg::EVENTQ_CONS, 4),
        (reg::PRIQ_BASE, 8),
        (reg::PRIQ_PROD, 4),
        (reg::PRIQ_CONS, 4),
    ];
    each_logged(evidence, &|index, smmu| {
        let trace = Trace::new(evidence.log, index);
        // The *_IRQ_CFG0 registers are cleared by a kernel that adopts; only the queues themselves stay as they are.
        if let Some((offset, _)) = QUEUES.into_iter().find(|(offset, bytes)| trace.wrote(*offset, *bytes)) {
            return Seen::fail(format!("{} was written", reg::name(offset)));
        }
        let Some(after) = smmu.after else { return Seen::not_covered(NO_REGISTERS) };
        Seen::demand(!after.cr0.eventqen() && !after.cr0.priqen(), "EVENTQEN or PRIQEN is 1 after the watch")
            .and(|| Seen::demand(after.irq_ctrl.into_bits() == IRQ_GERROR, "IRQ_CTRL enables more or less than GERROR"))
    })
}

/// There are live streams, and all are behind SMMUs that are to be reset.
pub(super) fn none_adopted(evidence: &Evidence<'_>) -> bool {
    let known = evidence.fresh_oracle().map_or(&[][..], |oracle| oracle.streams);
    !known.is_empty() && !known.iter().any(|stream| evidence.expectation_for(stream).adopts)
}

pub(super) fn identifiers_reserved(evidence: &Evidence<'_>) -> Seen {
    let Some(oracle) = evidence.fresh_oracle() else { return Seen::not_covered("no oracle of this cycle") };
    if none_adopted(evidence) {
        return Seen::skip("no live stream is behind an SMMU that is adopted");
    }
    let adopted = oracle.streams.iter().filter(|stream| evidence.expectation_for(stream).adopts);
    let judged = adopted.map(|stream| {
        let smmu = evidence.smmus.get(stream.smmu as usize);
        let taken = match smmu.map(|smmu| smmu.taken) {
            Some(Ok(taken)) if taken.did.adopts() => taken,
            Some(_) => return Seen::not_covered("it was not adopted"),
            None => return Seen::not_covered("its SMMU was not looked at"),
        };
        match attach::identifier(stream) {
            Some(id) if taken.reserved.contains(id) => Seen::PASS,
            Some(id) => Seen::fail(format!("{}: {id} is not reserved", stream.bdf)),
            // It bypasses.
            None => Seen::PASS,
        }
    });
    Seen::worst(judged, "no live stream")
}
