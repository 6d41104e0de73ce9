//! What differs between the two machines, their firmware and the images.

use std::collections::BTreeMap;

use super::Change;
use crate::report::model::{Artifact, Provenance, Report};

/// Instead of a thing that is not there.
const NONE: &str = "none";

/// All of it.
pub fn of(before: &Report, after: &Report) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend(Change::of("board", &*before.board, &*after.board));
    let told = |report: &Report| report.provenance.clone().unwrap_or_default();
    // A log that does not tell is no change.
    if before.provenance.is_some() && after.provenance.is_some() {
        provenance(&told(before), &told(after), &mut changes);
    }
    listed(&mut changes, "firmware's own word", before, after, |report| {
        let firmware = report.platform.firmware.iter();
        firmware.map(|it| ("".into(), format!("{}, revision {:#x}", it.vendor, it.revision.0))).collect()
    });
    listed(&mut changes, "IORT", before, after, |report| {
        let iort = report.platform.iort.iter();
        iort.map(|iort| ("".into(), format!("{}, SHA-256 {}", iort.origin, iort.sha256))).collect()
    });
    listed(&mut changes, "SMMU", before, after, |report| report.platform.smmus.iter().map(smmu).collect());
    listed(&mut changes, "function", before, after, |report| {
        let endpoints = report.platform.endpoints.iter();
        endpoints
            .map(|it| {
                let stream = it.stream_id.map_or_else(|| NONE.into(), |id| format!("{id:#x}"));
                let driver = it.driver.as_deref().unwrap_or("no driver");
                let text = format!("{:04x}:{:04x}, {driver}, StreamID {stream}", it.vendor.0, it.device.0);
                (format!(" {}", it.bdf), text)
            })
            .collect()
    });
    listed(&mut changes, "reserved range", before, after, |report| {
        let rmrs = report.platform.rmrs.iter();
        rmrs.map(|rmr| {
            (format!(" of StreamID {:#x}", rmr.stream_id), format!("{:#x}, {} bytes", rmr.base.0, rmr.bytes))
        })
        .collect()
    });
    listed(&mut changes, "finding", before, after, |report| {
        let findings = report.platform.findings.iter();
        findings.map(|it| (format!(" {} {}", it.table, it.id), it.text.clone())).collect()
    });
    listed(&mut changes, "image", before, after, |report| {
        report
            .images
            .iter()
            .map(|it| (format!(" {}", it.image), format!("version {} at EL{}", it.version, it.el)))
            .collect()
    });
    changes
}

fn smmu(smmu: &crate::report::model::Smmu) -> (String, String) {
    let product = smmu.product.as_deref().unwrap_or("not told by IIDR");
    let [idr0, idr1, idr3, idr5, gbpa] = [smmu.idr0, smmu.idr1, smmu.idr3, smmu.idr5, smmu.gbpa].map(|word| word.0);
    let words = format!("IDR0 {idr0:#x}, IDR1 {idr1:#x}, IDR3 {idr3:#x}, IDR5 {idr5:#x}, GBPA {gbpa:#x}");
    (format!(" {}", smmu.index), format!("{} ({product}) at {:#x}, {words}", smmu.architecture, smmu.base.0))
}

fn provenance(before: &Provenance, after: &Provenance, changes: &mut Vec<Change>) {
    let word = |side: &Option<String>| side.clone().unwrap_or_else(|| NONE.into());
    changes.extend(Change::of("commit", word(&before.revision), word(&after.revision)));
    changes.extend(Change::of("emulator", word(&before.emulator), word(&after.emulator)));
    let file = |file: &Artifact| format!("{} bytes, SHA-256 {}", file.bytes, file.sha256);
    let firmware = |side: &Provenance| {
        side.firmware.as_ref().map_or_else(|| NONE.into(), |it| format!("{}, {}", it.name, file(it)))
    };
    changes.extend(Change::of("firmware", firmware(before), firmware(after)));
    let images = |side: &Provenance| side.images.iter().map(|it| (format!(" {}", it.name), file(it))).collect();
    both(changes, "image", images(before), images(after));
}

/// Things by their name, in both.
fn listed(
    changes: &mut Vec<Change>,
    what: &str,
    before: &Report,
    after: &Report,
    of: impl Fn(&Report) -> Vec<(String, String)>,
) {
    both(changes, what, of(before), of(after));
}

fn both(changes: &mut Vec<Change>, what: &str, before: Vec<(String, String)>, after: Vec<(String, String)>) {
    let mut sides = BTreeMap::<String, [Vec<String>; 2]>::new();
    for (side, all) in [before, after].into_iter().enumerate() {
        for (name, text) in all {
            sides.entry(name).or_default()[side].push(text);
        }
    }
    for (name, [before, after]) in sides {
        let words = |all: Vec<String>| if all.is_empty() { NONE.to_owned() } else { all.join("; ") };
        changes.extend(Change::of(format!("{what}{name}"), words(before), words(after)));
    }
}
