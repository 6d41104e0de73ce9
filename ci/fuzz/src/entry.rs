//! One function for each parser: it reads all that can be read of some bytes, and fails where a promise is broken. That is
//! a panic, a read outside of the bytes, a walk without an end, or two ways to one answer that differ.

#[path = "devicetree.rs"]
mod devicetree;

use addr::{Bdf, PhysAddr, StreamId};
use tables::iort::amend::{RmrWish, amend, amended_len};
use tables::iort::rmr_place::{
    MemoryRange, Occupant, Passage, Place, check_devices, check_memory, check_passage, check_places,
};
use tables::iort::{Index, Iort, Node, Reading, quirk};
use tables::{Finding, Severity, dbg2, fadt, gtdt, madt, mcfg, spcr};

/// Input IDs of one node that are asked about.
const PROBES: usize = 64;
/// Nodes that are asked about.
const ASKED_NODES: usize = 64;

/// Takes findings as a reader of the report does.
fn told(finding: &Finding) {
    let line = finding.to_string();
    assert!(!line.contains('\n') && !finding.rule.clause().is_empty(), "{line}");
}

/// The IORT: all nodes, both readings, the index, the checks, an amendment.
pub fn iort(bytes: &[u8]) {
    let mut findings = Vec::new();
    let parsed = Iort::parse(bytes, &mut |finding| findings.push(finding));
    findings.iter().for_each(told);
    let Ok(table) = parsed else {
        assert!(findings.iter().any(|finding| finding.severity() == Severity::Error));
        return;
    };
    assert_eq!(Iort::parse_again(bytes).as_ref(), Ok(&table));
    assert!(table.bytes().len() <= bytes.len());
    let index = Index::build(table);
    assert_eq!(index.nodes().len(), table.node_count() as usize);
    index.faults().iter().for_each(told);
    for node in index.nodes().iter().take(ASKED_NODES) {
        views(table, node);
        walks(table, &index, node);
    }
    places(table);
    amendment(bytes, table, &findings);
}

fn views(table: Iort<'_>, node: &Node<'_>) {
    assert_eq!(node.bytes, &table.bytes()[node.offset as usize..][..node.length() as usize]);
    quirk::of_node(table, node, &mut |quirk| assert!(!quirk.source.is_empty()));
    let _ = (
        node.root_complex(),
        node.smmu_v3(),
        node.pmcg(),
        node.iwb(),
        node.its_group().map(|group| group.ids().count()),
    );
    if let Some(smmu) = node.smmu_v1_v2() {
        let arrays = [smmu.context_interrupts().len(), smmu.pmu_interrupts().len(), smmu.global_interrupts().len()];
        assert!(arrays.iter().all(|length| length * 8 <= node.bytes.len()));
    }
    if let Some(component) = node.named_component() {
        for reading in [Reading::Spec, Reading::Linux] {
            assert!(table.component_streams(&component, reading).count() <= node.mappings().len());
        }
    }
}

fn walks(table: Iort<'_>, index: &Index<'_>, node: &Node<'_>) {
    assert_eq!(table.node_at(node.offset), Some(*node));
    let ends = node.mappings().flat_map(|mapping| [mapping.input_base, mapping.input_last()]);
    for id in ends.flat_map(|id| [id.wrapping_sub(1), id, id.wrapping_add(1)]).take(PROBES) {
        assert_eq!(index.resolve_from(node, id, Reading::Spec), table.resolve_from(node, id));
        assert_eq!(index.resolve_from(node, id, Reading::Linux), table.resolve_from_as_linux(node, id));
        let segment = node.root_complex().and_then(|complex| u16::try_from(complex.segment).ok());
        if let (Some(segment), Ok(rid)) = (segment, u16::try_from(id)) {
            let function = Bdf { segment, rid };
            assert_eq!(index.resolve(function, Reading::Spec), table.resolve(function));
            assert_eq!(index.resolve(function, Reading::Linux), table.resolve_as_linux(function));
        }
    }
}

fn places(table: Iort<'_>) {
    let memory = [
        MemoryRange { base: PhysAddr(0), bytes: 0x8000_0000, kind: 7 },
        MemoryRange { base: PhysAddr(0x8000_0000), bytes: 0x1000_0000, kind: 0 },
        MemoryRange { base: PhysAddr(u64::MAX), bytes: 2, kind: 6 },
    ];
    check_memory(table, &memory, &mut |finding| told(&finding));
    let places = [Occupant::Smmu, Occupant::Its, Occupant::Ecam, Occupant::Mmio, Occupant::Kdump]
        .map(|occupant| Place { base: PhysAddr(0x9000_0000), bytes: 0x1_0000, occupant });
    check_places(table, &places, &mut |finding| told(&finding));
    check_devices(table, &mut |_, first, last| first <= last && first.0 % 2 == 0, &mut |finding| told(&finding));
    let mut passage = |_: &Node<'_>, stream: StreamId, range: tables::iort::RmrRange| match stream.0 % 3 {
        0 => Passage::Whole,
        1 => Passage::BrokenAt(range.base),
        _ => Passage::Unknown,
    };
    check_passage(table, &mut passage, &mut |finding| told(&finding));
}

/// A table with one more node has no error that it did not have.
fn amendment(bytes: &[u8], table: Iort<'_>, findings: &[Finding]) {
    let Some(smmu) = table.smmus().next().map(|smmu| smmu.node.offset) else { return };
    let wish = RmrWish { stream: StreamId(0xffff), smmu, base: PhysAddr(1 << 40), bytes: 1 << 16 };
    let mut out = vec![0; amended_len(bytes)];
    let Ok(length) = amend(bytes, &wish, &mut out) else { return };
    let mut after = Vec::new();
    let amended = Iort::parse(&out[..length], &mut |finding| after.push(finding));
    assert_eq!(amended.map(|amended| amended.node_count()), Ok(table.node_count() + 1));
    // A reference that dangles may point at the new node by chance, and is then another error.
    let has_error = |findings: &[Finding]| findings.iter().any(|finding| finding.severity() == Severity::Error);
    assert!(has_error(findings) || !has_error(&after), "{after:?}");
}

/// A devicetree: the tree, the IORT that is made of it, and the machine.
pub fn devicetree(bytes: &[u8]) {
    devicetree::read_all(bytes).iter().take(PROBES).for_each(told);
}

/// The MADT.
pub fn madt(bytes: &[u8]) {
    if let Ok(madt) = madt::Madt::parse(bytes, &mut |finding| told(&finding)) {
        // Every record has at least two bytes.
        assert!(madt.records().count() <= bytes.len() / 2);
    }
}

/// The MCFG.
pub fn mcfg(bytes: &[u8]) {
    if let Ok(mcfg) = mcfg::Mcfg::parse(bytes, &mut |finding| told(&finding)) {
        for region in mcfg.regions() {
            let (base, length) = region.extent();
            assert!(base.checked_add(length - 1).is_some());
            let last = Bdf::new(region.segment, region.last_bus, 31, 7);
            let config = region.function(last).unwrap_or_default();
            assert!(config >= base && config.0 - base.0 < length);
        }
    }
}

/// The SPCR.
pub fn spcr(bytes: &[u8]) {
    let _ = spcr::Spcr::parse(bytes, &mut |finding| told(&finding));
}

/// The DBG2.
pub fn dbg2(bytes: &[u8]) {
    let _ = dbg2::Dbg2::parse(bytes, &mut |finding| told(&finding));
}

/// The GTDT.
pub fn gtdt(bytes: &[u8]) {
    if let Ok(gtdt) = gtdt::Gtdt::parse(bytes, &mut |finding| told(&finding)) {
        assert!(gtdt.watchdogs().count() <= bytes.len() / 28);
    }
}

/// The FADT.
pub fn fadt(bytes: &[u8]) {
    let _ = fadt::Fadt::parse(bytes, &mut |finding| told(&finding));
}
