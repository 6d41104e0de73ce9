//! Words for nodes that text and drawings share.

use tables::iort::{Iort, Mapping, Node, NodeKind};

/// Type name, as the test corpus has it.
pub fn type_name(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::ItsGroup => "ITS_GROUP",
        NodeKind::NamedComponent => "NAMED_COMPONENT",
        NodeKind::RootComplex => "ROOT_COMPLEX",
        NodeKind::SmmuV1V2 => "SMMU_V1V2",
        NodeKind::SmmuV3 => "SMMU_V3",
        NodeKind::Pmcg => "PMCG",
        NodeKind::Rmr => "RMR",
        NodeKind::Iwb => "IWB",
        NodeKind::Unknown(_) => "UNKNOWN",
    }
}

/// Firmware's text with everything but printable ASCII escaped.
pub fn text_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if *byte == b'\\' { "\\".to_owned() } else { byte.escape_ascii().to_string() }).collect()
}

/// What a node is, in a few words.
pub fn title(iort: Iort<'_>, node: &Node<'_>) -> String {
    if !node.is_whole() {
        return format!("{} (too short to be read)", type_name(node.kind));
    }
    if let Some(group) = node.its_group() {
        let ids: Vec<String> = group.ids().take(8).map(|id| id.to_string()).collect();
        let more = group.ids().len().saturating_sub(8);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return format!("ITS group: ITS {}{more}", if ids.is_empty() { "none".into() } else { ids.join(", ") });
    }
    if let Some(complex) = node.root_complex() {
        let ats = if complex.has_ats() { ", ATS" } else { "" };
        let coherent = if complex.is_coherent { "" } else { ", not coherent" };
        return format!("root complex, segment {:#x}{ats}{coherent}", complex.segment);
    }
    if let Some(component) = node.named_component() {
        return format!("named component {}", text_of(component.name));
    }
    if let Some(smmu) = node.smmu_v3() {
        let model = match smmu.model {
            0 => "",
            1 => ", HiSilicon Hi161x",
            2 => ", Cavium CN99xx",
            _ => ", unknown model",
        };
        return format!("SMMUv3 at {}{model}", smmu.base);
    }
    if let Some(smmu) = node.smmu_v1_v2() {
        let models = ["SMMUv1", "SMMUv2", "MMU-400", "MMU-500", "MMU-401", "Cavium ThunderX"];
        let model = models.get(smmu.model as usize).unwrap_or(&"SMMUv1/v2 of unknown model");
        return format!("{model} at {}, {} contexts", smmu.base, smmu.context_interrupts().len());
    }
    if let Some(pmcg) = node.pmcg() {
        let monitors = iort.node_at(pmcg.monitors);
        let monitors = monitors.map_or("no node".to_owned(), |node| format!("node {}", node.index));
        return format!("PMCG at {}, of {monitors}", pmcg.page0);
    }
    if let Some(bridge) = node.iwb() {
        return format!("interrupt wire bridge {} at {} {}", bridge.index, bridge.base, text_of(bridge.name));
    }
    if let Some(rmr) = iort.rmr(node) {
        let remap = if rmr.flags.is_remap_permitted() { "may be remapped" } else { "fixed" };
        return format!("reserved memory: {} range(s), {remap}", rmr.ranges().len());
    }
    format!("unknown type {}", node.kind.raw())
}

/// Name of a node's output IDs at a target, and of its own input IDs.
pub fn id_names(node: &Node<'_>, target: Option<NodeKind>) -> (&'static str, &'static str) {
    let input = match node.kind {
        NodeKind::RootComplex => "RID",
        NodeKind::SmmuV1V2 | NodeKind::SmmuV3 => "StreamID",
        _ => "ID",
    };
    let output = match target {
        Some(kind) if kind.is_smmu() => "StreamID",
        Some(NodeKind::ItsGroup) => "DeviceID",
        _ => "ID",
    };
    (input, output)
}

/// A mapping without its target: what becomes of which IDs.
pub fn ids(node: &Node<'_>, mapping: &Mapping, target: Option<NodeKind>, is_own: bool) -> String {
    let (input, output) = id_names(node, target);
    let outputs = span(mapping.output_base, mapping.output_last());
    if node.kind == NodeKind::Rmr {
        return format!("{output} {outputs}");
    }
    if is_own {
        return format!("itself → {output} {:#x}", mapping.output_base);
    }
    if mapping.is_single() {
        return format!("{output} {:#x}", mapping.output_base);
    }
    format!("{input} {} → {output} {outputs}", span(mapping.input_base, mapping.input_last()))
}

fn span(first: u32, last: u32) -> String {
    if first == last { format!("{first:#x}") } else { format!("{first:#x}–{last:#x}") }
}
