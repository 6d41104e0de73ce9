//! One table as one JSON object on one line. The keys are those of the test corpus' truth files.

use serde::Serialize;
use serde_json::{Map, Value, json};
use tables::iort::{Iort, Mapping, Node, Resolution, Trouble};
use tables::{Severity, Words};

use super::answer::{Answer, Asked, Told};
use super::describe::{text_of, type_name};

/// The object, with its line end.
pub fn line(answer: &Answer<'_>) -> String {
    let outcome = match answer.severity() {
        Some(Severity::Error) => "error",
        Some(Severity::Warning) => "warn",
        Some(Severity::Note) | None => "ok",
    };
    let nodes: Vec<Value> = match &answer.index {
        Some(index) => index.nodes().iter().map(|of| node(index.iort(), of)).collect(),
        None => Vec::new(),
    };
    let object = Object {
        file: answer.name,
        outcome,
        findings: answer.told.iter().map(finding).collect(),
        nodes,
        resolve: answer.asked.iter().map(asked).collect(),
    };
    // Strings, numbers and lists of them: nothing that JSON has no form for.
    serde_json::to_string(&object).unwrap_or_default() + "\n"
}

/// One table. The order of the fields is that in which they are printed.
#[derive(Serialize)]
struct Object<'a> {
    file: &'a str,
    outcome: &'static str,
    findings: Vec<Line<'a>>,
    nodes: Vec<Value>,
    resolve: Vec<Value>,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    severity: String,
    offset: Option<u32>,
    clause: &'a str,
    text: String,
}

fn finding(told: &Told) -> Line<'_> {
    match told {
        Told::Finding(finding) => Line {
            id: finding.id(),
            severity: finding.severity().to_string(),
            offset: finding.offset,
            clause: finding.rule.clause(),
            text: Words(finding).to_string(),
        },
        Told::Unreadable(why) => Line {
            id: "E_INPUT",
            severity: Severity::Error.to_string(),
            offset: None,
            clause: "this command's own bound",
            text: why.clone(),
        },
    }
}

fn node(iort: Iort<'_>, node: &Node<'_>) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| _ = object.insert(key.into(), value);
    put("index", node.index.into());
    put("offset", node.offset.into());
    put("type", node.kind.raw().into());
    put("type_name", type_name(node.kind).into());
    put("length", node.length().into());
    put("revision", node.revision.into());
    put("identifier", node.identifier.into());
    put("mapping_count", node.mapping_count.into());
    put("mapping_offset", node.mapping_offset.into());
    let fields = fields(iort, node);
    for key in ["base", "segment"] {
        if let Some(value) = fields.get(key) {
            put(key, value.clone());
        }
    }
    put("fields", Value::Object(fields));
    put("mappings", node.mappings().map(|mapping| self::mapping(&mapping)).collect());
    Value::Object(object)
}

fn mapping(mapping: &Mapping) -> Value {
    let Mapping { input_base, id_count, output_base, output_reference, flags } = *mapping;
    json!({
        "input_base": input_base,
        "id_count": id_count,
        "output_base": output_base,
        "output_reference": output_reference,
        "flags": flags,
    })
}

/// Fields of a node's type.
fn fields(iort: Iort<'_>, node: &Node<'_>) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |pairs: &[(&str, Value)]| {
        fields.extend(pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    };
    if let Some(group) = node.its_group() {
        let ids: Vec<u32> = group.ids().collect();
        put(&[("its_count", group.count.into()), ("its_ids", ids.into())]);
    }
    if let Some(component) = node.named_component() {
        put(&[
            ("node_flags", component.flags.into()),
            ("cca", component.cca.into()),
            ("hints", component.memory_hints.into()),
            ("mem_flags", component.memory_flags.into()),
            ("addr_limit", component.address_limit.into()),
            ("name", text_of(component.name).into()),
        ]);
    }
    if let Some(complex) = node.root_complex() {
        put(&[
            ("cca", complex.cca.into()),
            ("hints", complex.memory_hints.into()),
            ("mem_flags", complex.memory_flags.into()),
            ("ats", complex.ats.into()),
            ("segment", complex.segment.into()),
            ("addr_limit", complex.address_limit.into()),
            ("pasid", complex.pasid_bits.into()),
            ("rc_flags", complex.flags.into()),
        ]);
    }
    if let Some(smmu) = node.smmu_v1_v2() {
        let pairs = |interrupts: &mut dyn Iterator<Item = tables::iort::Interrupt>| -> Value {
            interrupts.map(|interrupt| json!([interrupt.gsiv, interrupt.flags])).collect()
        };
        put(&[
            ("base", smmu.base.0.into()),
            ("span", smmu.span.into()),
            ("model", smmu.model.into()),
            ("flags", smmu.flags.into()),
            ("global_irqs", pairs(&mut smmu.global_interrupts())),
            ("context_irqs", pairs(&mut smmu.context_interrupts())),
            ("pmu_irqs", pairs(&mut smmu.pmu_interrupts())),
        ]);
    }
    if let Some(smmu) = node.smmu_v3() {
        let [event, pri, gerror, sync] = smmu.gsivs;
        put(&[
            ("base", smmu.base.0.into()),
            ("flags", smmu.flags.into()),
            ("vatos", smmu.vatos.0.into()),
            ("model", smmu.model.into()),
            ("event_gsiv", event.into()),
            ("pri_gsiv", pri.into()),
            ("gerr_gsiv", gerror.into()),
            ("sync_gsiv", sync.into()),
            ("pxm", smmu.proximity.into()),
            ("devid_index", smmu.device_id_index.into()),
            ("devid_index_used", node.device_id_mapping().is_some().into()),
        ]);
    }
    if let Some(pmcg) = node.pmcg() {
        put(&[
            ("page0", pmcg.page0.0.into()),
            ("overflow_gsiv", pmcg.overflow_gsiv.into()),
            ("node_ref", pmcg.monitors.into()),
            ("page1", pmcg.page1.map(|page| page.0).into()),
        ]);
    }
    if let Some(bridge) = node.iwb() {
        put(&[
            ("base", bridge.base.0.into()),
            ("iwb_index", bridge.index.into()),
            ("name", text_of(bridge.name).into()),
        ]);
    }
    if let Some(rmr) = iort.rmr(node) {
        let ranges: Value = rmr.ranges().map(|range| json!([range.base.0, range.bytes])).collect();
        let streams: Value =
            rmr.streams().map(|of| json!({"node": of.smmu.index, "sids": [[of.first.0, of.last.0]]})).collect();
        put(&[
            ("flags", rmr.flags.0.into()),
            ("desc_count", rmr.ranges().len().into()),
            ("ranges", ranges),
            ("smmus", streams),
        ]);
    }
    fields
}

fn asked(asked: &Asked<'_>) -> Value {
    let mut object = Map::new();
    if let Some(function) = asked.function {
        object.insert("function".into(), function.to_string().into());
    }
    object.insert("node".into(), asked.node.map(|node| node.index).into());
    object.insert("input_id".into(), asked.id.into());
    let spec = resolution(&asked.spec);
    let linux = resolution(&asked.linux);
    if asked.node.is_some() && spec != linux {
        object.insert("linux".into(), linux);
    }
    object.insert("spec".into(), spec);
    Value::Object(object)
}

fn resolution(of: &Resolution<'_>) -> Value {
    let smmu = of.smmu.map(|smmu| json!({"node": smmu.index, "base": smmu.base.0, "sid": smmu.stream.0}));
    let its = of.its.map(|its| json!({"ids": its.group.ids().collect::<Vec<_>>(), "devid": its.device_id}));
    let mut object = json!({"smmu": smmu, "its": its});
    if let (Some(trouble), Value::Object(object)) = (of.trouble, &mut object) {
        object.insert("error".into(), word_of(trouble).into());
    }
    object
}

/// The truth files' word for a trouble.
pub fn word_of(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Ambiguous { .. } => "ambiguous",
        Trouble::BadReference { .. } => "bad-reference",
        Trouble::Wrap { .. } => "wrap",
        Trouble::Loop { .. } => "loop",
    }
}
