//! Names that a file gives to what a report holds: its checks and its scenarios.

use scenario::{Scenario, Work};

use crate::suggest::did_you_mean;

/// The images' own checks, which are no rules of the judge.
const OTHERS: [&str; 17] = [
    "census.quiet",
    "census.watched",
    "cpu.started",
    "cycle.completed",
    "cycle.cpus-off",
    "cycle.endpoints-stopped",
    "cycle.no-late-dma",
    "cycle.no-serror",
    "cycle.smmu-disabled",
    "firmware.adopted",
    "firmware.no-loss",
    "quiesce.works-again",
    "scenario.allowed",
    "scenario.possible",
    "witness.bundle",
    "witness.counts-whole",
    "witness.observed",
];
/// The check that the host itself makes, of the access log.
pub const PROTOCOL_CHECK: &str = "protocol.no-violation";
/// Checks of a kernel that was watched: the host makes all, of what the image tells. Some more have names of the judge's.
pub const WITNESS_CHECKS: [&str; 12] = [
    "adopt.l1-validated",
    "adopt.table-unchanged-until-attach",
    "asid.not-reused",
    "dma.no-mis-steer-when-off",
    "gerror.read-before-cmdq",
    "kdump.survived",
    "linux.l1std-leaf",
    "linux.off-behind-abort",
    "linux.rmr-bypass-in-live-table",
    "ste.hitless-order",
    "witness.profile-followed",
    "witness.saw-accesses",
];

/// Names of all checks that a report can hold.
pub fn checks() -> impl Iterator<Item = &'static str> {
    scenario::judge::ids().chain(OTHERS).chain([PROTOCOL_CHECK]).chain(WITNESS_CHECKS)
}

/// Refuses the name of a check that no report can hold.
pub(crate) fn check(name: &str) -> Result<(), String> {
    match checks().any(|known| known == name) {
        true => Ok(()),
        false => Err(format!("there is no check `{name}`{}", did_you_mean(name, checks()))),
    }
}

/// Refuses the name of a scenario that nothing can run by.
pub(crate) fn scenario(name: &str) -> Result<(), String> {
    if Work::parse(name).is_ok() {
        return Ok(());
    }
    let all: Vec<String> =
        Scenario::all().map(Work::Crash).chain([Work::Census]).map(|work| work.to_string()).collect();
    let near = did_you_mean(name, all.iter().map(String::as_str));
    Err(format!("there is no scenario `{name}`{near}; `run --list-scenarios` shows them"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// What looks like one in the images, and is the name of a file.
    const FILES: [&str; 3] = ["guest.bin", "inflight.txt", "iort.aml"];

    /// Literals such as `cycle.completed` in all sources of a folder.
    fn literals(folder: &Path, found: &mut BTreeSet<String>) {
        let is_word = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase());
        let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let is_part = |text: &str| is_word(text) && is_plain(text);
        let is_name = |text: &&str| text.split_once('.').is_some_and(|(group, rest)| is_part(group) && is_part(rest));
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                literals(&path, found);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                found.extend(text.split('"').filter(is_name).map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_check_that_the_images_tell_has_its_name_here_and_no_other_has() {
        let payload = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../payload");
        let mut told = BTreeSet::new();
        ["primary/src", "kdump/src"].iter().for_each(|folder| literals(&payload.join(folder), &mut told));
        for name in told.iter().filter(|name| !FILES.contains(&name.as_str())) {
            assert!(checks().any(|known| known == name), "{name} is told, and is no known check");
        }
        for name in OTHERS {
            assert!(told.contains(name), "{name} is told by nobody");
        }
    }
}
