//! Compares the IORT reader with the truth files of the shared corpus, which lies beside the checkout and not in it.

#![expect(clippy::unwrap_used, reason = "a truth file that is not as expected fails the test")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tables::iort::{Index, Interrupt, Iort, Mapping, Node, NodeKind, Reading, Resolution, Trouble};
use tables::{Finding, Severity};

/// Each entry is a truth file that this reader disagrees with, and why it is right to.
const KNOWN: [(&str, &str); 1] = [(
    "synthetic/malformed/loop-two-smmus.aml",
    "the walk S0, S1, S0 is given the SMMU met last; the file's own `why` says S0, a device's StreamID is the input of the \
     SMMU that its root complex refers to (IORT E.f), and Linux stops at the first SMMU as well",
)];

#[derive(Default)]
struct Tally {
    files: u32,
    nodes: u32,
    mappings: u32,
    walks: u32,
    linux: u32,
    rmrs: u32,
    components: u32,
    verdicts: u32,
    mutated: u32,
    mutated_alike: u32,
}

fn corpus() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    path.is_dir().then_some(path)
}

fn tables_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            tables_below(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "aml") && path.with_extension("expect.json").is_file() {
            found.push(path);
        }
    }
}

fn int(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Finding ids that the truth file demands, where it names them.
fn expected_ids(truth: &Value) -> Option<BTreeSet<String>> {
    let named = |values: &[Value], key: Option<&str>| {
        let id = |value: &Value| key.map_or(value, |key| &value[key]).as_str().unwrap().to_owned();
        values.iter().map(id).collect()
    };
    match (truth["codes"].as_array(), truth["findings"].as_array()) {
        (Some(codes), _) => Some(named(codes, None)),
        (None, Some(findings)) => Some(named(findings, Some("code"))),
        // A mutated table: the reader that made the corpus is no oracle for it, but most of the time it is right.
        (None, None) => None,
    }
}

fn compare_findings(truth: &Value, findings: &[Finding], tally: &mut Tally) -> Result<(), String> {
    // Notes are outside the corpus' vocabulary.
    let ids: BTreeSet<String> = findings
        .iter()
        .filter(|finding| finding.severity() > Severity::Note)
        .map(|finding| finding.id().to_owned())
        .collect();
    let Some(expected) = expected_ids(truth) else {
        let theirs = list(&truth["reference_reader"], "codes").iter().map(|code| code.as_str().unwrap().to_owned());
        let theirs: BTreeSet<String> = theirs.collect();
        tally.mutated += 1;
        tally.mutated_alike += u32::from(theirs == ids);
        return Ok(());
    };
    tally.verdicts += 1;
    if ids != expected {
        return Err(format!("finding ids {ids:?}, expected {expected:?}"));
    }
    let outcome = match findings.iter().map(Finding::severity).max() {
        Some(Severity::Error) => "error",
        Some(Severity::Warning) => "warn",
        Some(Severity::Note) | None => "ok",
    };
    if truth["outcome"] != outcome {
        return Err(format!("outcome {outcome}, expected {}", truth["outcome"]));
    }
    let by_id = |id: &str| findings.iter().filter(|finding| finding.id() == id).count();
    let mut counts = BTreeMap::<&str, usize>::new();
    for finding in list(truth, "findings") {
        *counts.entry(finding["code"].as_str().unwrap()).or_default() += 1;
    }
    match counts.into_iter().find(|(id, count)| by_id(id) != *count) {
        Some((id, count)) => Err(format!("{id} found {} times, expected {count}", by_id(id))),
        None => Ok(()),
    }
}

fn compare_nodes(truth: &Value, iort: &Iort<'_>, tally: &mut Tally) -> Result<(), String> {
    if let Some(count) = truth["nodes"]["count"].as_u64() {
        tally.nodes += 1;
        return if u64::from(iort.node_count()) == count {
            Ok(())
        } else {
            Err(format!("{} nodes", iort.node_count()))
        };
    }
    let Some(expected) = truth["nodes"].as_array() else { return Ok(()) };
    let nodes: Vec<Node<'_>> = iort.nodes().collect();
    if nodes.len() != expected.len() {
        return Err(format!("{} nodes, expected {}", nodes.len(), expected.len()));
    }
    for (node, expected) in nodes.iter().zip(expected) {
        let ours = [node.index, node.offset, u32::from(node.kind.raw()), node.length(), u32::from(node.revision)];
        let theirs = ["index", "offset", "type", "length", "revision"].map(|key| int(expected, key) as u32);
        if ours != theirs {
            return Err(format!("node {ours:?}, expected {theirs:?}"));
        }
        tally.nodes += 1;
        compare_mappings(node, expected, tally)?;
        compare_fields(node, expected)?;
    }
    Ok(())
}

fn compare_mappings(node: &Node<'_>, expected: &Value, tally: &mut Tally) -> Result<(), String> {
    let Some(mappings) = expected["mappings"].as_array() else { return Ok(()) };
    if node.mappings().len() != mappings.len() {
        return Err(format!("node {} has {} mappings, expected {}", node.index, node.mappings().len(), mappings.len()));
    }
    for (mapping, expected) in node.mappings().zip(mappings) {
        let keys = ["input_base", "id_count", "output_base", "output_reference", "flags"];
        let theirs = keys.map(|key| int(expected, key) as u32);
        let ours = [mapping.input_base, mapping.id_count, mapping.output_base, mapping.output_reference, mapping.flags];
        if ours != theirs {
            return Err(format!("mapping {ours:x?} of node {}, expected {theirs:x?}", node.index));
        }
        tally.mappings += 1;
    }
    Ok(())
}

fn compare_fields(node: &Node<'_>, expected: &Value) -> Result<(), String> {
    let fields = if expected["fields"].is_object() { &expected["fields"] } else { expected };
    let check = |key: &str, ours: u64| match fields[key].as_u64() {
        Some(theirs) if theirs != ours => Err(format!("{key} {ours:#x} of node {}, expected {theirs:#x}", node.index)),
        _ => Ok(()),
    };
    if let Some(smmu) = node.smmu_v3() {
        let [event, pri, gerror, sync] = smmu.gsivs.map(u64::from);
        check("base", smmu.base.0)?;
        check("flags", smmu.flags.into())?;
        check("vatos", smmu.vatos.0)?;
        check("model", smmu.model.into())?;
        check("event_gsiv", event)?;
        check("pri_gsiv", pri)?;
        check("gerr_gsiv", gerror)?;
        check("sync_gsiv", sync)?;
        if let Some(in_force) = fields["devid_index_used"].as_bool()
            && in_force != node.device_id_mapping().is_some()
        {
            return Err(format!("DeviceID mapping of node {} in force: {}", node.index, !in_force));
        }
    }
    if let Some(complex) = node.root_complex() {
        check("segment", complex.segment.into())?;
        check("cca", fields["cca"].as_u64().filter(|cca| (*cca == 1) == complex.is_coherent).unwrap_or(99))
            .or_else(|why| if fields["cca"].is_null() { Ok(()) } else { Err(why) })?;
        check("ats", complex.ats.into())?;
        check("mem_flags", complex.memory_flags.into())?;
        check("hints", complex.memory_hints.into())?;
        if let Some(limit) = complex.address_limit {
            check("addr_limit", limit.into())?;
        }
        if let (Some(bits), Some(flags)) = (complex.pasid_bits, complex.flags) {
            if fields["pasid"].as_u64().is_some_and(|raw| raw & 0x1f != u64::from(bits)) {
                return Err(format!("{bits} PASID bits of node {}, expected {}", node.index, fields["pasid"]));
            }
            check("rc_flags", flags.into())?;
        }
    }
    if let Some(smmu) = node.smmu_v1_v2() {
        check("base", smmu.base.0)?;
        check("span", smmu.span)?;
        check("model", smmu.model.into())?;
        check("flags", smmu.flags.into())?;
        compare_interrupts("global_irqs", smmu.global_interrupts(), fields)?;
        compare_interrupts("context_irqs", smmu.context_interrupts(), fields)?;
        compare_interrupts("pmu_irqs", smmu.pmu_interrupts(), fields)?;
    }
    if let Some(pmcg) = node.pmcg() {
        check("page0", pmcg.page0.0)?;
        check("overflow_gsiv", pmcg.overflow_gsiv.into())?;
        check("node_ref", pmcg.monitors.into())?;
        if let Some(page1) = pmcg.page1 {
            check("page1", page1.0)?;
        }
    }
    if let Some(component) = node.named_component() {
        check("node_flags", component.flags.into())?;
        check("mem_flags", component.memory_flags.into())?;
        check("hints", component.memory_hints.into())?;
        check("addr_limit", component.address_limit.into())?;
    }
    if let (Some(group), Some(ids)) = (node.its_group(), fields["its_ids"].as_array()) {
        let ours: Vec<u64> = group.ids().map(u64::from).collect();
        let theirs: Vec<u64> = ids.iter().map(|id| id.as_u64().unwrap()).collect();
        if ours != theirs {
            return Err(format!("ITSs {ours:?}, expected {theirs:?}"));
        }
    }
    Ok(())
}

fn compare_interrupts(key: &str, ours: impl Iterator<Item = Interrupt>, fields: &Value) -> Result<(), String> {
    let Some(theirs) = fields[key].as_array() else { return Ok(()) };
    let ours: Vec<[u64; 2]> = ours.map(|interrupt| [interrupt.gsiv, interrupt.flags].map(u64::from)).collect();
    let pair = |pair: &Value| [pair[0].as_u64().unwrap(), pair[1].as_u64().unwrap()];
    match theirs.iter().map(pair).eq(ours.iter().copied()) {
        true => Ok(()),
        false => Err(format!("{key} {ours:?}, expected {theirs:?}")),
    }
}

const TROUBLES: [&str; 4] = ["ambiguous", "bad-reference", "wrap", "loop"];

/// SMMU (node, base, StreamID), ITS group (identifiers, DeviceID), trouble.
type Answer = (Option<(u64, u64, u64)>, Option<(Vec<u64>, u64)>, Option<&'static str>);

fn describe(resolution: &Resolution<'_>) -> Answer {
    let smmu = resolution.smmu.map(|smmu| (smmu.index.into(), smmu.base.0, smmu.stream.0.into()));
    let its = resolution.its.map(|its| (its.group.ids().map(u64::from).collect(), its.device_id.into()));
    let trouble = resolution.trouble.map(|trouble| match trouble {
        Trouble::Ambiguous { .. } => "ambiguous",
        Trouble::BadReference { .. } => "bad-reference",
        Trouble::Wrap { .. } => "wrap",
        Trouble::Loop { .. } => "loop",
    });
    (smmu, its, trouble)
}

/// One reading of a walk in a truth file. Linux's has no word for trouble: what it cannot follow leads nowhere.
fn expected_answer(walk: &Value) -> Answer {
    let smmu = walk["smmu"].as_object().map(|_| &walk["smmu"]);
    let its = walk["its"].as_object().map(|_| &walk["its"]);
    let error = walk["error"].as_str().map(|error| *TROUBLES.iter().find(|known| **known == error).unwrap_or(&"?"));
    (
        smmu.map(|smmu| (int(smmu, "node"), int(smmu, "base"), int(smmu, "sid"))),
        its.map(|its| (list(its, "ids").iter().map(|id| id.as_u64().unwrap()).collect(), int(its, "devid"))),
        error,
    )
}

fn compare_walks(truth: &Value, iort: &Iort<'_>, tally: &mut Tally) -> Result<(), String> {
    let index = Index::build(*iort);
    for walk in list(truth, "resolve") {
        let (number, id) = (int(walk, "node"), int(walk, "input_id") as u32);
        let node = iort.nodes().nth(number as usize).ok_or(format!("no node {number}"))?;
        let spec = iort.resolve_from(&node, id);
        let (ours, theirs) = (describe(&spec), expected_answer(&walk["spec"]));
        if ours != theirs {
            return Err(format!("ID {id:#x} of node {number}: {ours:x?}, expected {theirs:x?}"));
        }
        let linux = iort.resolve_from_as_linux(&node, id);
        if walk["linux"].is_object() {
            let (ours, theirs) = (describe(&linux), expected_answer(&walk["linux"]));
            if ours != theirs {
                return Err(format!("ID {id:#x} of node {number}, Linux: {ours:x?}, expected {theirs:x?}"));
            }
            tally.linux += 1;
        } else if (spec.smmu, spec.its) != (linux.smmu, linux.its) {
            return Err(format!("ID {id:#x} of node {number}: Linux has {:x?}, expected as spec", describe(&linux)));
        }
        let indexed = [Reading::Spec, Reading::Linux].map(|reading| index.resolve_from(&node, id, reading));
        if indexed != [spec, linux] {
            return Err(format!("ID {id:#x} of node {number}: the index has {indexed:x?}"));
        }
        tally.walks += 1;
    }
    Ok(())
}

fn compare_rmrs(truth: &Value, iort: &Iort<'_>, tally: &mut Tally) -> Result<(), String> {
    let Some(expected) = truth["rmr"].as_array() else { return Ok(()) };
    let rmrs: Vec<_> = iort.rmrs().collect();
    if rmrs.len() != expected.len() {
        return Err(format!("{} RMR nodes, expected {}", rmrs.len(), expected.len()));
    }
    for (rmr, expected) in rmrs.iter().zip(expected) {
        let ranges: Vec<[u64; 2]> = rmr.ranges().map(|range| [range.base.0, range.bytes]).collect();
        let theirs: Vec<[u64; 2]> = list(expected, "ranges")
            .iter()
            .map(|pair| [pair[0].as_u64().unwrap(), pair[1].as_u64().unwrap()])
            .collect();
        if u64::from(rmr.node.index) != int(expected, "node") || ranges != theirs {
            return Err(format!("RMR node {} with {ranges:x?}, expected {theirs:x?}", rmr.node.index));
        }
        let mut streams = BTreeMap::<u64, BTreeSet<[u64; 2]>>::new();
        for of in rmr.streams() {
            let ends = [of.first.0.into(), of.last.0.into()];
            streams.entry(of.smmu.index.into()).or_default().insert(ends);
        }
        let mut theirs = BTreeMap::<u64, BTreeSet<[u64; 2]>>::new();
        for smmu in list(expected, "smmus") {
            let pairs = list(smmu, "sids").iter();
            theirs
                .entry(int(smmu, "node"))
                .or_default()
                .extend(pairs.map(|pair| [pair[0].as_u64().unwrap(), pair[1].as_u64().unwrap()]));
        }
        if streams != theirs {
            return Err(format!("streams {streams:x?} of RMR node {}, expected {theirs:x?}", rmr.node.index));
        }
        for (key, ours) in [
            ("remap_permitted", u64::from(rmr.flags.is_remap_permitted())),
            ("privileged", rmr.flags.is_privileged().into()),
            ("attributes", rmr.flags.attributes().into()),
            ("flags", rmr.flags.0.into()),
        ] {
            if expected[key].as_u64().is_some_and(|theirs| theirs != ours) {
                return Err(format!("{key} {ours} of RMR node {}, expected {}", rmr.node.index, expected[key]));
            }
        }
        tally.rmrs += 1;
    }
    Ok(())
}

fn compare_components(truth: &Value, iort: &Iort<'_>, tally: &mut Tally) -> Result<(), String> {
    // A single mapping has one output, even if its count says more.
    let last = |mapping: &Mapping| if mapping.is_single() { mapping.output_base } else { mapping.output_last() };
    for expected in list(truth, "nc") {
        let node = iort.nodes().nth(int(expected, "node") as usize).ok_or("no such node")?;
        let component = node.named_component().ok_or("no named component")?;
        if component.name != expected["name"].as_str().unwrap().as_bytes() {
            return Err(format!("name {}, expected {}", component.name.escape_ascii(), expected["name"]));
        }
        let outputs: BTreeSet<(u64, u64)> =
            node.mappings().map(|mapping| (mapping.output_base.into(), last(&mapping).into())).collect();
        for stream in list(expected, "streams") {
            if !outputs.contains(&(int(stream, "id_lo"), int(stream, "id_hi"))) {
                return Err(format!("{stream} is no output of node {}", node.index));
            }
        }
        tally.components += 1;
    }
    Ok(())
}

fn compare(path: &Path, tally: &mut Tally) -> Result<(), String> {
    let bytes = std::fs::read(path).unwrap();
    let truth: Value = serde_json::from_slice(&std::fs::read(path.with_extension("expect.json")).unwrap()).unwrap();
    let mut findings = Vec::new();
    let parsed = Iort::parse(&bytes, &mut |finding| findings.push(finding));
    tally.files += 1;
    let Ok(iort) = parsed else {
        if list(&truth, "nodes").is_empty() && list(&truth, "resolve").is_empty() {
            return compare_findings(&truth, &findings, tally);
        }
        return Err("not readable".into());
    };
    for node in iort.nodes().filter(|node| matches!(node.kind, NodeKind::Unknown(_))) {
        let says_so = |finding: &Finding| finding.id() == "W_NODE_TYPE" && finding.offset == Some(node.offset);
        if !findings.iter().any(says_so) {
            return Err(format!("node {} is skipped in silence", node.index));
        }
    }
    compare_nodes(&truth, &iort, tally)?;
    compare_walks(&truth, &iort, tally)?;
    compare_rmrs(&truth, &iort, tally)?;
    compare_components(&truth, &iort, tally)?;
    compare_findings(&truth, &findings, tally)
}

#[test]
fn reader_agrees_with_the_corpus() {
    let Some(corpus) = corpus() else {
        println!("no corpus beside the checkout: nothing compared");
        return;
    };
    let mut files = Vec::new();
    tables_below(&corpus, &mut files);
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    for path in &files {
        let name = path.strip_prefix(&corpus).unwrap().display().to_string();
        let known = KNOWN.iter().find(|(file, _)| *file == name);
        match (compare(path, &mut tally), known) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => wrong.push(format!("{name}: agrees now, remove it from the list")),
            (Err(why), Some((_, reason))) => println!("{name}: {why}: {reason}"),
            (Err(why), None) => wrong.push(format!("{name}: {why}")),
        }
    }
    let Tally { files, nodes, mappings, walks, linux, rmrs, components, verdicts, mutated, mutated_alike } = tally;
    println!(
        "compared {files} tables: {nodes} nodes, {mappings} mappings, {walks} walks ({linux} that Linux makes otherwise), {rmrs} RMR nodes, {components} \
         named components, {verdicts} verdicts; the findings of {mutated_alike} of {mutated} mutated tables are those of the reader that \
         made the corpus"
    );
    assert!(nodes > 0 && walks > 0 && rmrs > 0 && verdicts > 0, "the corpus is there and nothing was compared");
    assert!(wrong.is_empty(), "{} of {files} tables disagree:\n{}", wrong.len(), wrong.join("\n"));
}
