//! Edge cases of who sits behind which SMMU and ITS, each in a tree of its own.

mod tree;

use addr::{Bdf, PhysAddr, StreamId};
use tables::Platform;
use tables::iort::NodeKind;
use tables::iort::amend::{RmrWish, amend, amended_len};
use tree::{ITS, Made, SMMU, bus, gic, look, pci, root, smmu};

/// Base of the SMMU and StreamID, DeviceID.
type Resolved = (Option<(u64, u32)>, Option<u32>);

fn resolved(platform: &Platform<'_>, rid: u16) -> Resolved {
    let resolution = platform.resolve(Bdf { segment: 0, rid });
    assert_eq!(resolution.trouble, None);
    let smmu = resolution.smmu.map(|stream| (stream.base.0, stream.stream.0));
    (smmu, resolution.its.map(|its| its.device_id))
}

const OTHER_SMMU: u32 = 4;
const ONE: u64 = 0x900_0000;
const TWO: u64 = 0xa00_0000;

/// A machine with two SMMUs and a host bridge that was changed.
fn machine(host: Made) -> Made {
    root().with(gic()).with(smmu(SMMU, ONE as u32)).with(smmu(OTHER_SMMU, TWO as u32)).with(host)
}

/// What each of some requester IDs comes to, and the findings.
fn routes(host: Made, rids: &[u16]) -> (Vec<Resolved>, Vec<&'static str>) {
    look(&machine(host).blob(), |_, platform, ids| {
        (rids.iter().map(|rid| resolved(platform, *rid)).collect(), ids.to_vec())
    })
}

#[test]
fn map_entries_are_taken_in_order() {
    let map = [[0x000, SMMU, 0x1000, 0x100], [0x200, OTHER_SMMU, 0x20, 0x10], [0x0f0, OTHER_SMMU, 0x5000, 0x20]];
    let host = pci().cells("iommu-map", map.as_flattened());
    let (found, ids) = routes(host, &[0, 0xff, 0x100, 0x10f, 0x110, 0x200, 0x20f, 0x210, 0xffff]);
    let expected = [
        (Some((ONE, 0x1000)), None),
        (Some((ONE, 0x10ff)), None),
        (Some((TWO, 0x5010)), None),
        (Some((TWO, 0x501f)), None),
        (None, None),
        (Some((TWO, 0x20)), None),
        (Some((TWO, 0x2f)), None),
        (None, None),
        (None, None),
    ];
    assert_eq!(found, expected);
    assert_eq!(ids, ["W_DTB_MAP_OVERLAP"]);
}

#[test]
fn mask_is_laid_on_the_id_first() {
    // Function numbers do not count.
    let host = pci().cells("iommu-map", &[0, SMMU, 0x40, 0x10000]).cells("iommu-map-mask", &[0xfff8]);
    let (found, ids) = routes(host, &[0, 7, 8, 0x17, 0xffff]);
    let stream = |id| (Some((ONE, id)), None);
    assert_eq!(found, [stream(0x40), stream(0x40), stream(0x48), stream(0x50), stream(0x1_0038)]);
    assert_eq!(ids, [""; 0]);
    // All functions are one stream, at two SMMUs by bus parity.
    let map = [[0, SMMU, 7, 1], [0x100, OTHER_SMMU, 9, 1]];
    let host = pci().cells("iommu-map", map.as_flattened()).cells("iommu-map-mask", &[0x100]);
    let (found, ids) = routes(host, &[0, 0xff, 0x100, 0x2ff, 0xffff]);
    let (even, odd) = ((Some((ONE, 7)), None), (Some((TWO, 9)), None));
    assert_eq!((found, ids), (vec![even, even, odd, even, odd], vec![]));
}

#[test]
fn base_outside_the_mask_ends_the_map() {
    let map = [[0, SMMU, 0, 0x10], [0x11, SMMU, 0x11, 1], [0x20, SMMU, 0x20, 0x10]];
    let host = pci().cells("iommu-map", map.as_flattened()).cells("iommu-map-mask", &[0xfff0]);
    let (found, ids) = routes(host, &[0, 0xf, 0x11, 0x20]);
    assert_eq!(found, [(Some((ONE, 0)), None), (Some((ONE, 0)), None), (None, None), (None, None)]);
    assert_eq!(ids, ["E_DTB_MAP_MASK"]);
}

#[test]
fn broken_map_entries_are_named_and_left_out() {
    let one = |map: &[u32]| routes(pci().cells("iommu-map", map), &[0]);
    let (none, some) = (vec![(None, None)], vec![(Some((ONE, 5)), None)]);
    assert_eq!(one(&[0, SMMU, 5, 0, 0, SMMU, 5, 1]), (some.clone(), vec!["W_DTB_MAP_EMPTY"]));
    // Input IDs are 16 bits, whatever the length says; but Linux's sum of base and length must not wrap.
    assert_eq!(one(&[0, SMMU, 5, u32::MAX]), (some.clone(), vec![]));
    assert_eq!(one(&[1, SMMU, 5, u32::MAX, 0, SMMU, 5, 1]), (some.clone(), vec!["E_DTB_MAP_WRAP"]));
    assert_eq!(one(&[0, SMMU, 0xffff_fff0, 0x11, 0, SMMU, 5, 1]), (some, vec!["E_DTB_MAP_WRAP"]));
    assert_eq!(one(&[0, SMMU, 5, 1, 0]), (none.clone(), vec!["E_DTB_MAP_LENGTH"]));
    assert_eq!(one(&[]), (none.clone(), vec!["E_DTB_MAP_LENGTH"]));
    // An entry that leads nowhere keeps its IDs from later ones.
    assert_eq!(one(&[0, 99, 5, 1, 0, SMMU, 5, 1]), (none.clone(), vec!["E_DTB_PHANDLE", "W_DTB_MAP_OVERLAP"]));
    assert_eq!(one(&[0, ITS, 5, 1]), (none, vec!["W_DTB_IOMMU_KIND"]));
}

#[test]
fn smmus_that_are_off_or_odd_translate_nothing() {
    let host = pci().cells("iommu-map", &[0, SMMU, 0, 0x10000]);
    let with = |smmu: Made| {
        look(&root().with(gic()).with(smmu).with(host.clone()).blob(), |_, platform, ids| {
            (platform.smmus.len(), resolved(platform, 8), ids.to_vec())
        })
    };
    let plain = smmu(SMMU, ONE as u32);
    assert_eq!(with(plain.clone()), (1, (Some((ONE, 8)), None), vec![]));
    let none = (None, None);
    assert_eq!(with(plain.clone().text("status", "disabled")), (0, none, vec!["N_DTB_IOMMU_OFF"]));
    assert_eq!(with(plain.clone().text("compatible", "arm,mmu-500")), (0, none, vec!["W_DTB_IOMMU_KIND"]));
    let two_cells = plain.cells("#iommu-cells", &[2]);
    assert_eq!(with(two_cells), (1, none, vec!["E_DTB_IOMMU_CELLS", "E_DTB_IOMMU_CELLS"]));
}

#[test]
fn smmu_properties_become_fields_of_its_node() {
    let with = |smmu: Made| {
        look(&root().with(gic()).with(smmu).blob(), |_, platform, ids| {
            let found = platform.smmus[0];
            (found.coherent_override, found.model, found.gsivs, ids.to_vec())
        })
    };
    let plain = smmu(SMMU, ONE as u32);
    let gsivs = [42, 43, 45, 44];
    assert_eq!(with(plain.clone()), (None, 0, gsivs, vec![]));
    assert_eq!(with(plain.clone().flag("dma-coherent")), (Some(true), 0, gsivs, vec![]));
    let hisilicon = plain.clone().flag("hisilicon,broken-prefetch-cmd");
    assert_eq!(with(hisilicon), (None, 1, gsivs, vec![]));
    let cavium = plain
        .clone()
        .flag("cavium,cn9900-broken-page1-regspace")
        .cells("reg", &[0, ONE as u32, 0, 0x1_0000])
        .cells("interrupts", &[0, 10, 4])
        .text("interrupt-names", "combined");
    assert_eq!(with(cavium), (None, 2, [42; 4], vec![]));
    let short = plain.clone().cells("reg", &[0, ONE as u32, 0, 0x1000]);
    assert_eq!(with(short), (None, 0, gsivs, vec!["W_DTB_SMMU_SHORT"]));
    // Extended SPI and PPI, a kind that is none, a number that its kind has not.
    let kinds = plain.clone().cells("interrupts", &[2, 3, 1, 3, 4, 1, 7, 0, 1, 1, 16, 1]);
    assert_eq!(with(kinds), (None, 0, [4099, 1060, 0, 0], vec!["W_DTB_INTERRUPT"]));
    let extended = plain.clone().without("interrupts").cells("interrupts-extended", &[tree::GIC, 0, 20, 1, SMMU, 1]);
    assert_eq!(with(extended), (None, 0, [52, 0, 0, 0], vec![]));
    // Without names nothing says which is which.
    assert_eq!(with(plain.without("interrupt-names")), (None, 0, [0; 4], vec![]));
}

#[test]
fn message_ids_follow_the_stream_or_go_past_it() {
    let host = pci()
        .cells("iommu-map", &[0x100, SMMU, 0x3000, 0x100])
        .cells("msi-map", &[0, ITS, 0x8000, 0x180, 0x400, ITS, 0, 1]);
    let (found, ids) = routes(host, &[0, 0xff, 0x100, 0x17f, 0x180, 0x1ff, 0x200, 0x400]);
    let expected = [
        (None, Some(0x8000)),
        (None, Some(0x80ff)),
        (Some((ONE, 0x3000)), Some(0x8100)),
        (Some((ONE, 0x307f)), Some(0x817f)),
        (Some((ONE, 0x3080)), None),
        (Some((ONE, 0x30ff)), None),
        (None, None),
        (None, Some(0)),
    ];
    assert_eq!((found, ids), (expected.to_vec(), vec![]));
}

#[test]
fn one_stream_with_two_device_ids_is_named() {
    let host = pci()
        .cells("iommu-map", &[0, SMMU, 0, 0x10000])
        .cells("iommu-map-mask", &[0xfff8])
        .cells("msi-map", &[0, ITS, 0, 0x10000])
        .cells("bus-range", &[0, 0]);
    let (found, ids) = routes(host, &[0, 1, 8, 9]);
    let at = |id| (Some((ONE, id)), Some(id));
    assert_eq!((found, ids), (vec![at(0), at(0), at(8), at(8)], vec!["W_DTB_DEVICE_IDS"]));
}

#[test]
fn msi_parent_of_a_host_bridge_is_an_identity() {
    let host = pci().cells("msi-parent", &[ITS]).cells("bus-range", &[0, 1]);
    let (found, ids) = routes(host.clone(), &[0, 0x123, 0x200]);
    assert_eq!((found, ids), (vec![(None, Some(0)), (None, Some(0x123)), (None, None)], vec![]));
    let (found, ids) = routes(host.cells("msi-map", &[0, SMMU, 0, 1]), &[0]);
    assert_eq!((found, ids), (vec![(None, None)], vec!["W_DTB_MSI_KIND"]));
}

#[test]
fn an_smmu_that_sends_messages_has_a_device_id_of_its_own() {
    let own = smmu(SMMU, ONE as u32).cells("msi-parent", &[ITS, 0xabc]).without("interrupts");
    let host = pci().cells("iommu-map", &[0, SMMU, 0, 0x10000]).cells("msi-map", &[0, ITS, 0, 0x10000]);
    look(&root().with(gic()).with(own).with(host).blob(), |_, platform, ids| {
        assert_eq!(ids, [""; 0]);
        let node = platform.iort.unwrap().smmus().next().unwrap().node;
        let own = node.device_id_mapping().and_then(|index| node.mappings().nth(index as usize)).unwrap();
        assert_eq!((own.output_base, own.is_single()), (0xabc, true));
        assert_eq!(resolved(platform, 0), (Some((ONE, 0)), Some(0)));
    });
}

#[test]
fn devices_with_streams_are_named_components() {
    let dma = Made::new("dma@1000")
        .cells("reg", &[0, 0x1000, 0, 0x1000])
        .cells("iommus", &[SMMU, 0x70, OTHER_SMMU, 0x71])
        .cells("msi-parent", &[ITS, 0x99])
        .flag("dma-coherent");
    let off = Made::new("off@2000").cells("iommus", &[SMMU, 0x72]).text("status", "disabled");
    let bad = Made::new("bad@3000").cells("iommus", &[SMMU, 0x73, 77, 0x74]);
    let blob = machine(bus("soc").with(dma).with(off).with(bad)).blob();
    look(&blob, |_, platform, ids| {
        assert_eq!(ids, ["E_DTB_PHANDLE"]);
        let iort = platform.iort.unwrap();
        let components: Vec<_> = iort.named_components().collect();
        let names: Vec<_> = components.iter().map(|component| core::str::from_utf8(component.name).unwrap()).collect();
        assert_eq!(names, ["/soc/dma@1000", "/soc/bad@3000"]);
        assert_eq!((components[0].is_coherent, components[1].is_coherent), (true, false));
        let streams: Vec<_> = components[0]
            .node
            .mappings()
            .map(|mapping| (iort.node_at(mapping.output_reference).unwrap().kind, mapping.output_base))
            .collect();
        assert_eq!(streams, [(NodeKind::SmmuV3, 0x70), (NodeKind::SmmuV3, 0x71)]);
        let resolution = iort.resolve_from(&components[0].node, 0);
        assert_eq!(resolution.smmu.map(|stream| (stream.base, stream.stream)), Some((PhysAddr(ONE), StreamId(0x70))));
        assert_eq!(resolution.its.map(|its| its.device_id), Some(0x99));
    });
}

#[test]
fn segments_are_numbered_past_those_that_are_given() {
    let host = |at: u32, segment: Option<u32>| {
        let host = pci().without("phandle").cells("reg", &[0, at << 28, 0, 0x1000_0000]);
        let host = host.cells("iommu-map", &[0, SMMU, at << 16, 0x10000]);
        segment.map_or(host.clone(), |segment| host.cells("linux,pci-domain", &[segment]))
    };
    let bus = |index: u32, host: Made| bus(&format!("bus@{index}")).with(host);
    let hosts = [(5, None), (6, Some(1)), (7, None), (8, Some(1)), (9, Some(0x10000))];
    let made = root().with(smmu(SMMU, ONE as u32));
    let made = hosts.iter().fold(made, |made, (at, segment)| made.with(bus(*at, host(*at, *segment))));
    look(&made.blob(), |_, platform, ids| {
        assert_eq!(ids, ["W_DTB_INTERRUPT", "E_DTB_DOMAIN", "E_DTB_DOMAIN"]);
        let regions: Vec<_> = platform.ecam.iter().map(|region| (region.segment, region.base.0 >> 28)).collect();
        assert_eq!(regions, [(0, 5), (1, 6), (2, 7)]);
        let stream = |segment| platform.resolve(Bdf { segment, rid: 8 }).smmu.map(|stream| stream.stream.0);
        assert_eq!([0, 1, 2, 3].map(stream), [Some(0x5_0008), Some(0x6_0008), Some(0x7_0008), None]);
    });
}

#[test]
fn a_map_of_single_ids_fills_several_root_complexes() {
    // One StreamID for each bus: no two neighbours go on where the other ends.
    let host = pci().cells("iommu-map", &[0, SMMU, 0, 0x10000]).cells("iommu-map-mask", &[0xff00]);
    look(&machine(host).blob(), |_, platform, ids| {
        assert_eq!(ids, [""; 0]);
        let complexes = platform.iort.unwrap().root_complexes().count();
        assert!(complexes > 16, "{complexes}");
        for rid in [0, 0xff, 0x100, 0x7ffe, 0xffff] {
            assert_eq!(resolved(platform, rid), (Some((ONE, u32::from(rid & 0xff00))), None));
        }
    });
}

#[test]
fn phandle_of_two_nodes_is_the_first_ones() {
    let host = pci().cells("iommu-map", &[0, SMMU, 0, 0x10000]);
    let made = root().with(smmu(SMMU, ONE as u32)).with(smmu(SMMU, TWO as u32)).with(host);
    look(&made.blob(), |_, platform, ids| {
        assert!(ids.contains(&"W_DTB_PHANDLE_TWICE"), "{ids:?}");
        assert_eq!(resolved(platform, 1), (Some((ONE, 1)), None));
    });
}

/// IORT E.f, 3.1.1.2: the field stands in place of IDR0.HTTU, with a range of a board's added as without.
#[test]
fn a_tree_takes_no_hardware_updates_of_tables_away() {
    look(&root().with(gic()).with(smmu(SMMU, ONE as u32)).blob(), |tree, platform, _| {
        assert_eq!(platform.smmus[0].httu_override, 2);
        let iort = tree.to_iort(&mut |_| {});
        let wish =
            RmrWish { stream: StreamId(8), smmu: platform.smmus[0].node, base: PhysAddr(0x1_0000), bytes: 0x1_0000 };
        let mut amended = vec![0; amended_len(&iort)];
        let length = amend(&iort, &wish, &mut amended).unwrap();
        let platform = Platform::from_devicetree(tree, &amended[..length], &mut |_| {});
        assert_eq!((platform.rmrs.len(), platform.smmus[0].httu_override), (1, 2));
    });
}
