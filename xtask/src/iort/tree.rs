//! A table as text for a person: nodes, findings, answers.

use std::collections::BTreeMap;
use std::fmt::Write;

use tables::iort::{Index, Iort, Node, Resolution};
use tables::{Finding, Severity, Words};

use super::answer::{Answer, Asked, Told};
use super::describe::{ids, title, type_name};
use super::json::word_of;

/// Lines of one kind that are shown before the rest is counted: mappings of a node, nodes of a type, findings of a rule.
const SHOWN: usize = 40;

/// The text. Writing to a `String` never fails.
pub fn text(answer: &Answer<'_>) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", answer.name.escape_debug());
    if let Some(index) = &answer.index {
        let iort = index.iort();
        let nodes = iort.node_count();
        let _ = writeln!(out, "IORT revision {}, {} bytes, {nodes} nodes", iort.revision(), iort.bytes().len());
        if !answer.beside.is_empty() {
            let _ = writeln!(out, "compared with {}", answer.beside.join(", "));
        }
        write_nodes(&mut out, index);
    }
    write_quirks(&mut out, answer);
    write_asked(&mut out, answer);
    write_findings(&mut out, &answer.told);
    out
}

fn write_nodes(out: &mut String, index: &Index<'_>) {
    let mut of_type = BTreeMap::<&str, usize>::new();
    for node in index.nodes() {
        let shown = of_type.entry(type_name(node.kind)).or_default();
        *shown += 1;
        if *shown > SHOWN {
            continue;
        }
        let Node { index: number, offset, revision, .. } = node;
        let _ = writeln!(out, "  node {number} at {offset:#x}, revision {revision}: {}", title(index.iort(), node));
        write_ranges(out, index.iort(), node);
        write_mappings(out, index, node);
    }
    for (name, count) in of_type.iter().filter(|(_, count)| **count > SHOWN) {
        let _ = writeln!(out, "  … {} more nodes of type {name}", count - SHOWN);
    }
}

fn write_ranges(out: &mut String, iort: Iort<'_>, node: &Node<'_>) {
    let Some(rmr) = iort.rmr(node) else { return };
    for range in rmr.ranges().take(SHOWN) {
        let _ = match range.last() {
            Some(last) => writeln!(out, "      {} to {last}, {:#x} bytes", range.base, range.bytes),
            None => writeln!(out, "      {} with {:#x} bytes", range.base, range.bytes),
        };
    }
    let more = rmr.ranges().len().saturating_sub(SHOWN);
    if more > 0 {
        let _ = writeln!(out, "      … {more} more ranges");
    }
}

fn write_mappings(out: &mut String, index: &Index<'_>, node: &Node<'_>) {
    let own = node.device_id_mapping().map(|own| own as usize);
    for (number, mapping) in node.mappings().enumerate().take(SHOWN) {
        let target = index.node_at(mapping.output_reference);
        let ids = ids(node, &mapping, target.map(|target| target.kind), own == Some(number));
        let _ = match target {
            Some(target) => writeln!(out, "      {ids} at node {} ({})", target.index, title(index.iort(), &target)),
            None => writeln!(out, "      {ids} at {:#x}, which is no node", mapping.output_reference),
        };
    }
    let more = node.mappings().len().saturating_sub(SHOWN);
    if more > 0 {
        let _ = writeln!(out, "      … {more} more mappings");
    }
}

fn write_quirks(out: &mut String, answer: &Answer<'_>) {
    let quirks = answer.quirks();
    if quirks.is_empty() {
        return;
    }
    let _ = writeln!(out, "what Linux does about it:");
    for (quirk, nodes) in quirks {
        let some: Vec<String> = nodes.iter().take(8).map(u32::to_string).collect();
        let more = nodes.len().saturating_sub(some.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let nodes = some.join(", ");
        let _ = writeln!(out, "  {}: {} (node {nodes}{more}; {})", quirk.name, quirk.reason, quirk.source);
    }
}

fn write_asked(out: &mut String, answer: &Answer<'_>) {
    for asked in &answer.asked {
        let who = match (asked.function, asked.node) {
            (Some(function), Some(node)) => format!("{function} (ID {:#x} of node {})", asked.id, node.index),
            (Some(function), None) => format!("{function} (no root complex has its segment)"),
            (None, Some(node)) => format!("ID {:#x} of node {}", asked.id, node.index),
            (None, None) => format!("ID {:#x} of no node", asked.id),
        };
        let _ = writeln!(out, "{who}: {}", way(asked, &asked.spec));
        if (asked.spec.smmu, asked.spec.its) != (asked.linux.smmu, asked.linux.its) {
            let _ = writeln!(out, "  but Linux: {}", way(asked, &asked.linux));
        }
    }
}

fn way(asked: &Asked<'_>, resolution: &Resolution<'_>) -> String {
    let smmu = match resolution.smmu {
        Some(smmu) => format!("StreamID {} at the SMMU at {} (node {})", smmu.stream, smmu.base, smmu.index),
        None => "no SMMU".to_owned(),
    };
    let its = match resolution.its {
        Some(its) => {
            let ids: Vec<String> = its.group.ids().take(8).map(|id| id.to_string()).collect();
            format!("DeviceID {:#x} at ITS {} (node {})", its.device_id, ids.join(", "), its.group.node.index)
        }
        None => "no ITS".to_owned(),
    };
    let trouble = match resolution.trouble {
        Some(trouble) => format!("; {}: {trouble}", word_of(trouble)),
        None if asked.node.is_none() => "; nothing maps it".to_owned(),
        None => String::new(),
    };
    format!("{smmu}, {its}{trouble}")
}

fn write_findings(out: &mut String, told: &[Told]) {
    let mut of_rule = BTreeMap::<&str, usize>::new();
    let mut count = [0_usize; 3];
    for told in told {
        let finding = match told {
            Told::Finding(finding) => finding,
            Told::Unreadable(why) => {
                count[2] += 1;
                let _ = writeln!(out, "error E_INPUT: {}", why.escape_debug());
                continue;
            }
        };
        count[match finding.severity() {
            Severity::Note => 0,
            Severity::Warning => 1,
            Severity::Error => 2,
        }] += 1;
        let shown = of_rule.entry(finding.id()).or_default();
        *shown += 1;
        if *shown <= SHOWN {
            let _ = writeln!(out, "{}", finding_line(finding));
        }
    }
    for (id, found) in of_rule.iter().filter(|(_, found)| **found > SHOWN) {
        let _ = writeln!(out, "… {} more of {id}", found - SHOWN);
    }
    let [notes, warnings, errors] = count;
    let _ = writeln!(out, "errors: {errors}, warnings: {warnings}, notes: {notes}");
}

fn finding_line(finding: &Finding) -> String {
    let place = finding.offset.map_or(String::new(), |offset| format!(" at {offset:#x}"));
    let (severity, id, clause) = (finding.severity(), finding.id(), finding.rule.clause());
    format!("{severity} {id}{place}: {} [{clause}]", Words(finding))
}
