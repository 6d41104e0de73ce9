//! The table of damages: what was left behind, which rule noticed, what the policy did, what DMA showed.

use serde::Serialize;

use super::counts::Phase;
use super::model::{Check, Run, Verdict};
use super::words;

/// One scenario with damage.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Damaged {
    pub scenario: String,
    pub outcome: &'static str,
    /// What the crashed image left broken.
    pub left: &'static str,
    /// The rule that the taker named, with the value that it saw, in words.
    pub rule: String,
    /// The sequence that the access log follows.
    pub did: String,
    /// Live streams, and those of which something was delivered, blocked, mis-steered after the takeover.
    pub streams: usize,
    pub delivered: usize,
    pub blocked: usize,
    pub mis_steered: usize,
}

/// Of a run; `None` where nothing was damaged.
pub fn row(run: &Run) -> Option<Damaged> {
    let (_, name) = run.scenario.split_once('+')?;
    let name = name.split('@').next().unwrap_or(name);
    let of = |count: &dyn Fn(&Phase) -> bool| run.streams.iter().filter(|stream| count(&stream.phases.after)).count();
    Some(Damaged {
        scenario: run.scenario.clone(),
        outcome: run.outcome.word(),
        left: left(name).unwrap_or("not described by this version"),
        rule: rule(run),
        did: did(run),
        streams: run.streams.len(),
        delivered: of(&|after| after.delivered > 0),
        blocked: of(&|after| after.blocked.is_some_and(|blocked| blocked > 0)),
        mis_steered: of(&|after| after.mis_steered > 0),
    })
}

fn check<'a>(run: &'a Run, id: &str) -> Option<&'a Check> {
    run.checks.iter().find(|check| check.id == id)
}

fn rule(run: &Run) -> String {
    let reason = |id| check(run, id).and_then(|check| check.reason.as_deref());
    match check(run, "damage.rule-fired").map(|check| check.verdict) {
        Some(Verdict::Fail) => return format!("not as documented: {}", reason("damage.rule-fired").unwrap_or("")),
        // The pass tells what the taker said of the first SMMU that it refused.
        Some(Verdict::Pass) if let Some(refusal) = reason("damage.rule-fired") => {
            let told = words::reason(refusal).map_or_else(String::new, |words| format!(" ({words})"));
            return format!("{refusal}{told}");
        }
        // Of a kernel that does not look at what it finds it says so.
        Some(Verdict::Skip) if run.witness.is_some() => return reason("damage.rule-fired").unwrap_or("").into(),
        _ => {}
    }
    if check(run, "damage.one-refused").is_some_and(|check| check.verdict == Verdict::Pass) {
        return "none at the adoption; the changed descriptor when its device was met".into();
    }
    match super::judge::SKIPPED.iter().find_map(|id| reason(id)) {
        Some(why) => format!("did not run: {why}"),
        None => "none: it is no reason not to adopt".into(),
    }
}

fn did(run: &Run) -> String {
    let Some(protocol) = &run.protocol else { return "nothing".into() };
    let names = protocol.smmus.iter().map(|smmu| smmu.profile.as_deref().unwrap_or("no known sequence"));
    names.collect::<Vec<_>>().join(", ")
}

/// What the image that crashes does, by the damage's name.
fn left(name: &str) -> Option<&'static str> {
    Some(match name {
        "none" => "nothing",
        "strtab-log2size-below-split" => "STRTAB_BASE_CFG.LOG2SIZE 7, below SPLIT 8",
        "strtab-log2size-above-sidsize" => "STRTAB_BASE_CFG.LOG2SIZE one above IDR1.SIDSIZE",
        "strtab-log2size-huge" => "STRTAB_BASE_CFG.LOG2SIZE 63",
        "strtab-split-6" => "STRTAB_BASE_CFG.SPLIT 6",
        "strtab-split-10" => "STRTAB_BASE_CFG.SPLIT 10",
        "strtab-split-reserved" => "STRTAB_BASE_CFG.SPLIT 7, which is reserved",
        "strtab-fmt-reserved" => "STRTAB_BASE_CFG.FMT 2, which is reserved",
        "strtab-fmt-linear" => "STRTAB_BASE_CFG.FMT 0 (linear) over a two-level table",
        "strtab-fmt-two-level" => "STRTAB_BASE_CFG.FMT 1 (two-level) with SPLIT 8 over a linear table",
        "l1-beyond-2-17" => "STRTAB_BASE_CFG.LOG2SIZE 26: a level 1 of more than 2^17 descriptors",
        "l1-span-1" => "last level-1 descriptor: Span 1 of SPLIT 8",
        "l1-span-2" => "last level-1 descriptor: Span 2 of SPLIT 8",
        "l1-span-3" => "last level-1 descriptor: Span 3 of SPLIT 8",
        "l1-span-4" => "last level-1 descriptor: Span 4 of SPLIT 8",
        "l1-span-5" => "last level-1 descriptor: Span 5 of SPLIT 8",
        "l1-span-6" => "last level-1 descriptor: Span 6 of SPLIT 8",
        "l1-span-7" => "last level-1 descriptor: Span 7 of SPLIT 8",
        "l1-span-8" => "last level-1 descriptor: Span 8 of SPLIT 8",
        "l1-span-10" => "last level-1 descriptor: Span 10 of SPLIT 8",
        "l1-span-11" => "last level-1 descriptor: Span 11 of SPLIT 8",
        "l1-span-reserved" => "last level-1 descriptor: Span 12, which is reserved",
        "l2-null" => "last level-1 descriptor: a level-2 table at address 0",
        "l2-misaligned" => "last level-1 descriptor: a level-2 table that is not aligned to its size",
        "l2-outside-ram" => "last level-1 descriptor: a level-2 table where no memory is",
        "l2-in-kdump" => "last level-1 descriptor: a level-2 table in the crash kernel's own memory",
        "table-changed-after-validation" => "a level-1 descriptor's Span changed after the adoption",
        "cd-null" => "last STE: CD table at address 0",
        "s1cdmax-too-large" => "last STE: S1CDMax one above IDR1.SSIDSIZE",
        "s1fmt-reserved" => "last STE: S1Fmt 3, which is reserved",
        "l1cd-misaligned" => "last STE: a leaf of CDs that is not aligned to 64 KiB",
        "asid-0" => "last STE: a CD with ASID 0",
        "asid-shared" => "last STE: a CD with the ASID of a live stream",
        "s2vmid-0" => "last STE: stage 2 with VMID 0",
        "ste-config-unknown" => "last STE: Config 0b001",
        "stage-2-domains" => "every stream at stage 2, by STEs with VMIDs",
        "stale-cmdq-error" => "an illegal command, and CMDQ_ERR active",
        "stale-eventq-abort" => "EVENTQ_ABT_ERR active",
        "cmdq-unconsumed" => "commands handed over and never consumed",
        "cmdq-torn" => "half a command where the next one goes",
        "evtq-full" => "a full event queue",
        "smmu-disabled" => "CR0.SMMUEN 0",
        "firmware-table" => "firmware's own stream table, which the payload found in force and kept",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
