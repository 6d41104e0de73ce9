//! Two kernels that were watched: where they part first, and what became of each stream.
//!
//! What only an allocation decides is no difference: addresses of tables and queues, times, and how often a poll came round.

use smmu::spec::registers as reg;
use smmu::spec::ste::STE_BYTES;

use super::Change;
use crate::report::model::{Access, Run, Stream, Witness};

/// Bits of a pointer's address, in descriptors, STEs, CDs and the registers of tables and queues.
const ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFE0;
/// All of it, where both have a kernel.
pub fn of(old: &Run, new: &Run) -> Vec<Change> {
    let (Some(before), Some(after)) = (&old.witness, &new.witness) else { return Vec::new() };
    let scenario = &new.scenario;
    let mut changes = Vec::new();
    let mut put = |what: &str, word: &dyn Fn(&Witness) -> String| {
        changes.extend(Change::of(format!("{scenario} {what}"), word(before), word(after)));
    };
    let told = |text: &Option<String>| text.clone().unwrap_or_else(|| "not told".into());
    put("kernel", &|it| told(&it.kernel.version));
    put("image", &|it| told(&it.kernel.sha256));
    put("command line", &|it| told(&it.kernel.command_line));
    put("CPUs", &|it| it.cpus.to_string());
    put("profile", &|it| it.profile.to_string());
    put("end of the kernel", &|it| it.ended.to_string());
    let parting = parting(&old.access_log, &new.access_log);
    let are_several = before.cpus > 1 || after.cpus > 1;
    changes.extend(parting.map(|(before, after)| Change {
        what: format!("{scenario} first access that differs"),
        before: words(before, are_several),
        after: words(after, are_several),
    }));
    let is_another = !changes.is_empty();
    for stream in &new.streams {
        let Some(earlier) = old.streams.iter().find(|earlier| earlier.bdf == stream.bdf) else { continue };
        let what = format!("{scenario} {} {} after the takeover", stream.bdf, stream.endpoint);
        let (before, after) = (fared(earlier), fared(stream));
        if is_another || before != after {
            changes.push(Change { what, before, after });
        }
    }
    changes
}

/// What became of a stream, in words without numbers.
fn fared(stream: &Stream) -> String {
    let after = stream.phases.after;
    let ways = [
        (after.delivered > 0, "delivered"),
        (after.blocked.is_some_and(|count| count > 0), "blocked"),
        (after.mis_steered > 0, "mis-steered"),
    ];
    let seen: Vec<&str> = ways.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
    if seen.is_empty() { "silent".into() } else { seen.join(" and ") }
}

/// The first pair that differs; of a log that ends the other's next.
fn parting<'a>(old: &'a [Access], new: &'a [Access]) -> Option<(Option<&'a Access>, Option<&'a Access>)> {
    let (old, new) = (steps(old), steps(new));
    let differs = |at: &usize| old.get(*at).map(|it| key(it)) != new.get(*at).map(|it| key(it));
    let first = (0..old.len().max(new.len())).find(differs)?;
    Some((old.get(first).copied(), new.get(first).copied()))
}

/// Accesses with polls as one: of reads of the same register in a row the last. What the crashed image left is no access.
fn steps(log: &[Access]) -> Vec<&Access> {
    let is_left = |it: &&Access| it.kind == "load" && it.foreign.as_ref().is_some_and(|it| it.how == "found");
    let mut steps: Vec<&Access> = Vec::new();
    for access in log.iter().filter(|it| !is_left(it)) {
        let is_read = |it: &Access| it.kind.starts_with("read");
        match steps.last_mut() {
            Some(last)
                if is_read(last) && is_read(access) && (last.smmu, last.address) == (access.smmu, access.address) =>
            {
                *last = access;
            }
            _ => steps.push(access),
        }
    }
    steps
}

/// What an access is, whatever memory the kernel happened to be given.
fn key(access: &Access) -> (u8, &str, &str, u64, u64) {
    let (address, value) = (access.address.0, access.value.0);
    let is_register = access.kind.starts_with("read") || access.kind.starts_with("write");
    let (place, value) = match access.name.as_str() {
        _ if is_register && reg::LONG.iter().any(|register| u64::from(*register) == address) => {
            (address, value & !ADDRESS)
        }
        _ if is_register => (address, value),
        // The place in a level-2 table of 2^8 is the stream's.
        "STE" => (address % (STE_BYTES << 8), if is_pointer(address, &[0, 3]) { value & !ADDRESS } else { value }),
        "CD" => (address % STE_BYTES, if is_pointer(address, &[1, 2]) { value & !ADDRESS } else { value }),
        "CMD" => (address % 16, if address % 16 == 0 || !is_by_address(value) { value } else { 0 }),
        _ => (0, value & !ADDRESS),
    };
    (access.smmu, &access.kind, &access.name, place, value)
}

/// The word is one of these of its STE or CD.
fn is_pointer(address: u64, words: &[u64]) -> bool {
    words.contains(&(address % STE_BYTES / 8))
}

/// The second word of a command with more than a leaf or a range in it.
const fn is_by_address(word: u64) -> bool {
    word > 0xFFF
}

/// An access in words; on which CPU, where there are several.
fn words(access: Option<&Access>, are_several: bool) -> String {
    let Some(Access { index, kind, name, value, foreign, .. }) = access else { return "nothing more".into() };
    let at = foreign.as_ref().map_or_else(String::new, |foreign| {
        let place = foreign.symbol.clone().unwrap_or_else(|| format!("{:#x}", foreign.pc.0));
        let cpu = foreign.cpu.filter(|_| are_several);
        format!(" at {place}{}", cpu.map_or_else(String::new, |cpu| format!(" on CPU {:#x}", cpu.0)))
    });
    format!("entry {index}, {kind} of {name}, {:#x}{at}", value.0)
}
