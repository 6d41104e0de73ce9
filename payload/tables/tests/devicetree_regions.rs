//! Reserved memory, and which of it is what the IORT calls an RMR.

mod tree;

use addr::{PhysAddr, StreamId};
use tables::Devicetree;
use tables::devicetree::{Range, Reserved};
use tables::iort::RmrFlags;
use tables::platform::ReservedRange;
use tree::{Made, SMMU, bus, gic, look, pci, root, smmu};

const OTHER_SMMU: u32 = 4;
const DMA: u32 = 20;
const REGION: u32 = 30;
const ONE: u32 = 0x900_0000;
const TWO: u32 = 0xa00_0000;
const BASE: u32 = 0x8000_0000;

fn dma() -> Made {
    Made::new("dma@1000").cells("phandle", &[DMA]).cells("iommus", &[SMMU, 0x70]).cells("memory-region", &[REGION])
}

fn region() -> Made {
    Made::new("fb@80000000")
        .cells("phandle", &[REGION])
        .cells("reg", &[0, BASE, 0, 0x2_0000])
        .cells("iommu-addresses", &[DMA, 0, BASE, 0, 0x2_0000])
}

fn folder() -> Made {
    bus("reserved-memory")
}

fn machine(region: Made, device: Made) -> Made {
    let root = root().with(gic()).with(smmu(SMMU, ONE)).with(smmu(OTHER_SMMU, TWO));
    root.with(folder().with(region)).with(device)
}

/// Ranges of the platform, and the findings.
fn ranges(region: Made, device: Made) -> (Vec<ReservedRange>, Vec<&'static str>) {
    look(&machine(region, device).blob(), |_, platform, ids| (platform.rmrs.to_vec(), ids.to_vec()))
}

fn range(smmu: usize, stream: u32, flags: u32) -> ReservedRange {
    let (first, last) = (StreamId(stream), StreamId(stream));
    ReservedRange { base: PhysAddr(BASE.into()), bytes: 0x2_0000, smmu, first, last, flags: RmrFlags(flags) }
}

/// Normal non-cacheable, Normal write-back.
const PLAIN: u32 = 4 << 2;
const CACHED: u32 = 5 << 2;

#[test]
fn a_region_that_its_device_names_is_an_rmr() {
    assert_eq!(ranges(region(), dma()), (vec![range(0, 0x70, PLAIN)], vec![]));
    assert_eq!(ranges(region(), dma().flag("dma-coherent")), (vec![range(0, 0x70, CACHED)], vec![]));
    // Streams of both SMMUs, neighbours as one run, each once.
    let many = dma().cells("iommus", &[SMMU, 0x71, OTHER_SMMU, 7, SMMU, 0x70, SMMU, 0x71]);
    let both = ReservedRange { last: StreamId(0x71), ..range(0, 0x70, PLAIN) };
    assert_eq!(ranges(region(), many), (vec![both, range(1, 7, PLAIN)], vec![]));
    // Named twice is once.
    let twice = dma().cells("memory-region", &[REGION, REGION]);
    assert_eq!(ranges(region(), twice), (vec![range(0, 0x70, PLAIN)], vec![]));
}

#[test]
fn a_region_that_no_device_names_is_ignored() {
    assert_eq!(ranges(region(), dma().without("memory-region")), (vec![], vec!["W_DTB_REGION_UNREACHED"]));
    let off = dma().text("status", "disabled");
    assert_eq!(ranges(region(), off), (vec![], vec!["W_DTB_REGION_UNREACHED"]));
    // A region named by one device and meant for another.
    let other = dma().cells("phandle", &[DMA + 1]);
    let made = machine(region(), other).with(Made::new("other@2000").cells("phandle", &[DMA]));
    let found = look(&made.blob(), |_, platform, ids| (platform.rmrs.len(), ids.to_vec()));
    assert_eq!(found, (0, vec!["W_DTB_REGION_UNREACHED"]));
    // A region outside /reserved-memory is none.
    let made = root().with(smmu(SMMU, ONE)).with(region()).with(dma());
    assert_eq!(look(&made.blob(), |_, platform, _| platform.rmrs.len()), 0);
}

#[test]
fn only_equal_addresses_are_an_rmr() {
    let with = |region: Made| ranges(region, dma());
    let moved = region().cells("iommu-addresses", &[DMA, 0, 0x1000_0000, 0, 0x2_0000]);
    assert_eq!(with(moved), (vec![], vec!["W_DTB_REGION_INDIRECT"]));
    let longer = region().cells("iommu-addresses", &[DMA, 0, BASE, 0, 0x3_0000]);
    assert_eq!(with(longer), (vec![], vec!["W_DTB_REGION_INDIRECT"]));
    assert_eq!(with(region().without("reg")), (vec![], vec!["N_DTB_REGION_IOVA"]));
    let one_byte = region().cells("reg", &[0, BASE, 0, 1]).cells("iommu-addresses", &[DMA, 0, BASE, 0, 1]);
    assert_eq!(with(one_byte), (vec![], vec!["N_DTB_REGION_IOVA"]));
    let empty = [DMA, 0, BASE, 0, 0, DMA, 0, BASE, 0, 0x2_0000];
    let with_empty = region().cells("iommu-addresses", &empty);
    assert_eq!(with(with_empty), (vec![range(0, 0x70, PLAIN)], vec!["W_DTB_REGION_EMPTY"]));
    let cut = region().cells("iommu-addresses", &[DMA, 0, BASE, 0]);
    assert_eq!(with(cut), (vec![], vec!["E_DTB_REG"]));
    let nobody = region().cells("iommu-addresses", &[77, 0, BASE, 0, 0x2_0000]);
    assert_eq!(with(nobody), (vec![], vec!["E_DTB_PHANDLE"]));
    // Linux maps it in pages; the table that is made has a finding of its own, too.
    let page = region().cells("reg", &[0, BASE, 0, 0x1000]).cells("iommu-addresses", &[DMA, 0, BASE, 0, 0x1000]);
    let (found, ids) = with(page);
    assert_eq!((found[0].bytes, ids), (0x1000, vec!["W_DTB_REGION_GRANULE", "W_RMR_UNALIGNED"]));
}

#[test]
fn a_region_of_a_device_without_streams_is_named() {
    assert_eq!(ranges(region(), dma().without("iommus")), (vec![], vec!["W_DTB_REGION_NO_STREAM"]));
}

#[test]
fn regions_of_pci_functions_follow_the_map() {
    let claim = region().cells("iommu-addresses", &[DMA, 0, 0, BASE, 0, 0x2_0000]);
    let function = |high: u32| {
        let gpu = Made::new("gpu@3,1").cells("phandle", &[DMA]).cells("memory-region", &[REGION]);
        gpu.cells("reg", &[high, 0, 0, 0, 0])
    };
    let host = |high| {
        let host = pci().cells("bus-range", &[0x20, 0x2f]).cells("iommu-map", &[0x2000, SMMU, 0x5000, 0x1000]);
        host.with(function(high))
    };
    // Device 3, function 1 on the first bus.
    assert_eq!(ranges(claim.clone(), host(0x1900)), (vec![range(0, 0x5019, PLAIN)], vec![]));
    let past = host(0x1900).cells("iommu-map", &[0x2100, SMMU, 0x5000, 0x100]);
    assert_eq!(ranges(claim.clone(), past), (vec![], vec!["W_DTB_REGION_NO_STREAM"]));
}

#[test]
fn device_addresses_are_seen_through_dma_ranges() {
    let claim = region().cells("iommu-addresses", &[DMA, 0x1000, 0x2_0000]);
    let bus = |map: &[u32]| {
        let bus = Made::new("soc").cells("#address-cells", &[1]).cells("#size-cells", &[1]).flag("ranges");
        bus.cells("dma-ranges", map).with(dma())
    };
    let direct = bus(&[0, 0, BASE - 0x1000, 0x10_0000]);
    assert_eq!(ranges(claim.clone(), direct), (vec![range(0, 0x70, PLAIN)], vec![]));
    assert_eq!(ranges(claim.clone(), bus(&[])), (vec![], vec!["W_DTB_REGION_INDIRECT"]));
    let outside = bus(&[0, 0, BASE - 0x1000, 0x2_0000]);
    assert_eq!(ranges(claim, outside), (vec![], vec!["E_DTB_ADDRESS"]));
}

#[test]
fn regions_that_name_each_other_end() {
    // A region whose memory-region is itself, and two that name each other.
    let own = region().cells("memory-region", &[REGION]).cells("iommu-addresses", &[REGION, 0, BASE, 0, 0x2_0000]);
    assert_eq!(ranges(own, dma()), (vec![], vec!["W_DTB_REGION_NO_STREAM"]));
    let one = region().cells("memory-region", &[REGION + 1]);
    let two = Made::new("two@1").cells("phandle", &[REGION + 1]).cells("memory-region", &[REGION]);
    let made = root().with(smmu(SMMU, ONE)).with(folder().with(one).with(two)).with(dma());
    let found = look(&made.blob(), |_, platform, _| platform.rmrs.len());
    assert_eq!(found, 1);
    // An interrupt parent that is the node itself, and one that is below it.
    let smmu = smmu(SMMU, ONE).cells("interrupt-parent", &[SMMU]);
    assert_eq!(look(&root().with(smmu).blob(), |_, _, ids| ids.to_vec()), ["W_DTB_INTERRUPT"]);
}

#[test]
fn memory_is_what_no_map_leaves() {
    let memory = |name: &str, reg: &[u32]| Made::new(name).text("device_type", "memory").cells("reg", reg);
    let reserved = folder()
        .with(Made::new("a").cells("reg", &[0, 0x4010_0000, 0, 0x10_0000]).flag("no-map"))
        .with(Made::new("b").cells("reg", &[0, 0x5000_0000, 0, 0x1000]).flag("reusable"))
        .with(Made::new("c").cells("size", &[0, 0x1000]).flag("no-map"))
        .with(Made::new("d").cells("reg", &[0, 0x6000_0000, 0, 0x1000]).flag("no-map").text("status", "disabled"));
    let made = root()
        .with(memory("memory@40000000", &[0, 0x4000_0000, 0, 0x4000_0000, 1, 0, 0, 0x1000_0000]))
        .with(memory("memory@80000000", &[0, 0x8000_0000, 0, 0x1000]))
        .with(memory("memory@0", &[0, 0, 0, 0]))
        .with(reserved);
    let range = |base, bytes| Range { base: PhysAddr(base), bytes };
    let blob = made.blob_with(&[(0x4400_0000, 0x2000)]);
    let Ok(tree) = Devicetree::read(&blob, &mut |_| {}) else { panic!("not read") };
    let mut ids = Vec::new();
    let ram = [range(0x4000_0000, 0x10_0000), range(0x4020_0000, 0x3fe0_1000), range(0x1_0000_0000, 0x1000_0000)];
    assert_eq!(tree.memory(&mut |finding| ids.push(finding.id())), ram);
    let block = |range, is_no_map, is_reusable| Reserved { range, is_no_map, is_reusable };
    let taken = [
        block(range(0x4400_0000, 0x2000), false, false),
        block(range(0x4010_0000, 0x10_0000), true, false),
        block(range(0x5000_0000, 0x1000), false, true),
    ];
    assert_eq!(tree.reserved(&mut |finding| ids.push(finding.id())), taken);
    assert_eq!(ids, [""; 0]);
}
