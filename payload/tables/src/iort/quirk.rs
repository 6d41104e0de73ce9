//! Where Linux reads another thing than what the table says, because firmware is known to be wrong.
//!
//! Source of each: Linux 7.3, `drivers/acpi/arm64/iort.c` unless said otherwise; functions are named.

use super::layout::RMR_GRANULE;
use super::{Iort, Node, NodeKind, linux};

/// Which way a table is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// What the table says, by its specification.
    Spec,
    /// What Linux makes of it.
    Linux,
}

/// One thing that Linux does about firmware that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Quirk {
    /// Stable name.
    pub name: &'static str,
    /// What firmware does, and what Linux makes of it.
    pub reason: &'static str,
    /// Where it does so.
    pub source: &'static str,
}

macro_rules! quirks {
    ($($id:ident $name:literal, $reason:literal, $source:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`.")]
            pub static $id: Quirk = Quirk { name: $name, reason: $reason, source: $source };
        )*

        /// All quirks, in the order of the walk.
        pub static ALL: &[&Quirk] = &[$(&$id),*];
    };
}

quirks! {
    ONE_ROOT_COMPLEX "one-root-complex",
        "a segment has one root complex: further ones of the same segment are never looked at",
        "iort_match_node_callback";
    COUNT_ONE_TOO_LARGE "count-one-too-large",
        "ID count written as N, not N-1: the last ID of a range goes to a later mapping that begins with it",
        "iort_id_map, iort_node_map_id";
    FIRST_MATCH_STAYS "first-match-stays",
        "two mappings hold an ID: the first in the table has it",
        "iort_id_map";
    SINGLE_ON_WRONG_TYPE "single-on-wrong-type",
        "single-mapping flag on a node that is no named component, root complex or IWB: the mapping is skipped",
        "iort_id_map";
    NULL_FIRST_REFERENCE "null-first-reference",
        "the first mapping refers to nothing: no mapping of the node is used",
        "iort_node_map_id";
    SUMS_WRAP "sums-wrap",
        "base + count passes 32 bits: the sum wraps, so an input range holds nothing and an output starts again at 0",
        "iort_id_map";
    COMPONENT_NEEDS_SINGLE "component-needs-single",
        "streams of a named component come from single mappings alone, and end before the first that is none",
        "iort_node_get_id, iort_iommu_configure_id";
    DEVICE_ID_INDEX_IGNORED "device-id-index-ignored",
        "DeviceID mapping index not below the number of mappings: the SMMU has no DeviceID of its own",
        "iort_get_id_mapping_index";
    RMR_TABLE_REVISION "rmr-table-revision",
        "RMR nodes in a table below revision 5 are not used",
        "iort_find_rmrs";
    RMR_WITHOUT_MAPPING "rmr-without-mapping",
        "an RMR node without a mapping is skipped",
        "iort_node_get_rmr_info";
    RMR_ROUNDED "rmr-rounded",
        "a memory range that is not made of 64 KiB granules is rounded outwards to the kernel's pages",
        "iort_rmr_alloc";
    RMR_KEPT "rmr-kept",
        "empty and overlapping memory ranges are told and kept",
        "iort_rmr_desc_check_overlap";
    ADDRESS_LIMIT_ZERO "address-limit-zero",
        "memory address limit 0: there is no limit",
        "rc_dma_get_range, nc_dma_get_range";
    EDGE_INTERRUPTS "edge-interrupts",
        "wired interrupts of an SMMUv3 are edge triggered, whatever anything says",
        "arm_smmu_v3_init_resources";
    HI161X_DOORBELL "hi161x-doorbell",
        "model 1 (HiSilicon Hi161x): MSIs bypass the SMMU, so the ITS doorbell is kept out of every domain",
        "iort_iommu_msi_get_resv_regions";
    CN99XX_ONE_PAGE "cn99xx-one-page",
        "model 2 (Cavium CN99xx): there is no register page 1, and equal GSIVs are one shared interrupt",
        "arm_smmu_v3_resource_size, arm_smmu_v3_is_combined_irq";
    PMCG_ONE_PAGE "pmcg-one-page",
        "PMCG node of revision 0: there is no register page 1",
        "arm_smmu_v3_pmcg_init_resources";
}

/// The quirks that one node brings into force by itself, told to `visit`.
///
/// Which IDs `count-one-too-large` and `first-match-stays` concern is a question of an index.
pub fn of_node(iort: Iort<'_>, node: &Node<'_>, visit: &mut dyn FnMut(&'static Quirk)) {
    let mut when = |quirk: &'static Quirk, is_so: bool| {
        if is_so {
            visit(quirk);
        }
    };
    let has = |test: fn(&super::Mapping) -> bool| node.mappings().any(|mapping| test(&mapping));
    let is_rmr = node.kind == NodeKind::Rmr;
    let walks = !is_rmr && node.kind != NodeKind::ItsGroup;
    let takes_single = node.has_single_mappings() || is_rmr || linux::own_mapping(node).is_some();
    when(&SINGLE_ON_WRONG_TYPE, walks && !takes_single && has(super::Mapping::is_single));
    when(&NULL_FIRST_REFERENCE, walks && linux::gives_up(node));
    when(
        &SUMS_WRAP,
        has(|mapping| {
            let wraps = |base: u32| base.checked_add(mapping.id_count).is_none();
            wraps(mapping.input_base) || wraps(mapping.output_base)
        }),
    );
    let is_component = node.kind == NodeKind::NamedComponent;
    when(&COMPONENT_NEEDS_SINGLE, is_component && has(|mapping| !mapping.is_single()));
    let own = node.device_id_mapping();
    when(&DEVICE_ID_INDEX_IGNORED, own.is_some_and(|index| index >= node.mapping_count && node.mapping_count > 0));
    when(&RMR_TABLE_REVISION, is_rmr && !iort.has_rmrs_for_linux());
    when(&RMR_WITHOUT_MAPPING, is_rmr && node.mapping_count == 0);
    let mut ranges = iort.rmr(node).into_iter().flat_map(|rmr| rmr.ranges());
    when(&RMR_ROUNDED, ranges.clone().any(|range| (range.base.0 | range.bytes) % RMR_GRANULE != 0));
    when(&RMR_KEPT, ranges.any(|range| range.bytes == 0));
    let complex_limit = node.root_complex().and_then(|complex| complex.address_limit);
    let limit = complex_limit.or(node.named_component().map(|component| component.address_limit));
    when(&ADDRESS_LIMIT_ZERO, limit == Some(0));
    if let Some(smmu) = node.smmu_v3() {
        when(&EDGE_INTERRUPTS, smmu.gsivs.iter().any(|gsiv| *gsiv != 0));
        when(&HI161X_DOORBELL, smmu.model == 1);
        when(&CN99XX_ONE_PAGE, smmu.model == 2);
    }
    when(&PMCG_ONE_PAGE, node.kind == NodeKind::Pmcg && node.revision == 0);
}
