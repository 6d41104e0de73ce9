//! Whatever the bytes are: no panic, no endless or deep walk, no error in the table that is made, and bounded time.

#[path = "../../../ci/fuzz/src/devicetree.rs"]
mod reader;
mod tree;

use proptest::prelude::*;
use reader::read_all;
use std::time::{Duration, Instant};
use tables::devicetree::{MAX_BYTES, MAX_DEPTH, MAX_NODES};
use tables::{Finding, Severity};
use tree::{Made, SMMU, bus, gic, pci, root, smmu};

const QEMU: &[u8] = include_bytes!("../../../ci/fixtures/devicetree/smp2.dtb");
/// Time for the worst blob of the largest size, unoptimized and beside other tests. The slowest takes some seconds.
const LIMIT: Duration = Duration::from_secs(60);

fn ids(bytes: &[u8]) -> Vec<&'static str> {
    read_all(bytes).iter().map(Finding::id).collect()
}

/// A tree that has something of everything.
fn rich() -> Vec<u8> {
    let base = 0x8000_0000;
    let region = Made::new("fb")
        .cells("phandle", &[30])
        .cells("reg", &[0, base, 0, 0x2_0000])
        .cells("iommu-addresses", &[20, 0, base, 0, 0x2_0000])
        .flag("no-map");
    let dma = Made::new("dma@1000")
        .cells("phandle", &[20])
        .cells("iommus", &[SMMU, 0x70])
        .cells("msi-parent", &[2, 7])
        .cells("memory-region", &[30]);
    let host = pci()
        .cells("iommu-map", &[0, SMMU, 0, 0x100])
        .cells("iommu-map-mask", &[0xfff8])
        .cells("msi-map", &[0, 2, 0, 0x10000])
        .cells("bus-range", &[0, 1])
        .cells("ranges", &[0x0300_0000, 0, 0x1000, 0, 0x1000, 0, 0x1000]);
    let uart = Made::new("serial@0").text("compatible", "ns16550").cells("reg", &[0, 0x3000, 0, 8]);
    let cpu = Made::new("cpu@0").text("device_type", "cpu").cells("reg", &[0]).text("enable-method", "psci");
    root()
        .with(gic())
        .with(smmu(SMMU, 0x900_0000))
        .with(bus("reserved-memory").with(region))
        .with(bus("soc").with(dma).with(uart).with(host))
        .with(Made::new("cpus").cells("#address-cells", &[1]).cells("#size-cells", &[0]).with(cpu))
        .with(Made::new("psci").text("compatible", "arm,psci-1.0").text("method", "smc"))
        .with(Made::new("memory@0").text("device_type", "memory").cells("reg", &[0, base, 0, base]))
        .with(Made::new("timer").text("compatible", "arm,armv8-timer").cells("interrupts", &[1, 13, 8, 1, 10, 8]))
        .with(Made::new("chosen").text("stdout-path", "/soc/serial:9600").cells("linux,initrd-end", &[9]))
        .blob_with(&[(0x1000, 0x1000)])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn set_word(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
}

/// A blob of this structure block, with names `a`, `reg` and so on.
fn blob(structure: &[u8], strings: &[u8]) -> Vec<u8> {
    let (structure_at, strings_at) = (56, 56 + structure.len());
    let total = strings_at + strings.len();
    let header = [0xd00d_feed, total, structure_at, strings_at, 40, 17, 16, 0, strings.len(), structure.len()]
        .map(|word| word as u32);
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend([0; 16]);
    bytes.extend_from_slice(structure);
    bytes.extend_from_slice(strings);
    bytes
}

fn tokens(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Node `a`, and ends.
const BEGIN: [u32; 2] = [1, u32::from_be_bytes(*b"a\0\0\0")];
const ROOT: [u32; 2] = [1, 0];
const END_NODE: u32 = 2;
const END: u32 = 9;

#[test]
fn every_length_is_refused_or_read() {
    for whole in [QEMU, &rich()] {
        assert!(read_all(whole).iter().all(|finding| finding.severity() < Severity::Error));
        for length in 0..whole.len() {
            let found = ids(&whole[..length]);
            assert_eq!(found, [if length < 40 { "E_SHORT" } else { "E_LEN_GT_FILE" }]);
            // A header that knows of the cut: a block is then outside. QEMU's blob is padded behind the last one.
            let mut known = whole[..length].to_vec();
            if length >= 40 && length < (word(whole, 12) + word(whole, 32)) as usize {
                set_word(&mut known, 4, length as u32);
                let found = ids(&known);
                assert!(found.iter().any(|id| id.starts_with("E_DTB")), "{length}: {found:?}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_ends() {
    let whole = rich();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let _ = read_all(&bytes);
    }
}

#[test]
fn header_fields_of_all_sizes_end() {
    let whole = rich();
    for field in (0..40).step_by(4) {
        for value in [0, 1, 39, 40, 41, whole.len() as u32, 0x7fff_ffff, 0x8000_0000, u32::MAX - 40, u32::MAX] {
            let mut bytes = whole.clone();
            set_word(&mut bytes, field, value);
            let _ = read_all(&bytes);
        }
        // Sums of offset and size that pass 32 bits.
        let mut bytes = whole.clone();
        for (at, value) in [(8, u32::MAX - 8), (36, 64), (12, u32::MAX - 8), (32, 64)] {
            set_word(&mut bytes, at, value);
        }
        assert_eq!(ids(&bytes), ["E_DTB_BLOCK"]);
    }
}

#[test]
fn broken_structure_blocks_are_named() {
    let found = |words: &[u32]| {
        let found = ids(&blob(&tokens(words), b"reg\0"));
        found.into_iter().find(|id| id.starts_with("E_DTB")).unwrap_or("")
    };
    assert_eq!(found(&[&ROOT[..], &[END_NODE, END]].concat()), "");
    assert_eq!(found(&[&ROOT[..], &BEGIN, &[4, END_NODE, 4, 4, END_NODE, 4, END]].concat()), "");
    assert_eq!(found(&[]), "E_DTB_CUT");
    assert_eq!(found(&[END]), "E_DTB_STRUCTURE");
    assert_eq!(found(&ROOT), "E_DTB_CUT");
    assert_eq!(found(&[&ROOT[..], &[END_NODE]].concat()), "E_DTB_CUT");
    assert_eq!(found(&[&ROOT[..], &[END]].concat()), "E_DTB_STRUCTURE");
    assert_eq!(found(&[&ROOT[..], &[END_NODE, END_NODE, END]].concat()), "E_DTB_STRUCTURE");
    assert_eq!(found(&[&ROOT[..], &[END_NODE], &ROOT, &[END_NODE, END]].concat()), "E_DTB_STRUCTURE");
    assert_eq!(found(&[&ROOT[..], &[END_NODE, END, END]].concat()), "E_DTB_STRUCTURE");
    assert_eq!(found(&[&ROOT[..], &[7, END_NODE, END]].concat()), "E_DTB_STRUCTURE");
    assert_eq!(found(&[&ROOT[..], &[3, 0, 0, END_NODE, END]].concat()), "");
    assert_eq!(found(&[&ROOT[..], &[3, 64, 0, END_NODE, END]].concat()), "E_DTB_PROPERTY");
    assert_eq!(found(&[&ROOT[..], &[3, u32::MAX, 0, END_NODE, END]].concat()), "E_DTB_PROPERTY");
    assert_eq!(found(&[&ROOT[..], &[3, 0, 4, END_NODE, END]].concat()), "E_DTB_NAME");
    assert_eq!(found(&[&ROOT[..], &[3, 0, u32::MAX, END_NODE, END]].concat()), "E_DTB_NAME");
    // A property behind a node, and a name that is no text.
    assert_eq!(found(&[&ROOT[..], &BEGIN, &[END_NODE, 3, 0, 0, END_NODE, END]].concat()), "E_DTB_STRUCTURE");
    assert_eq!(found(&[&ROOT[..], &[1, 0xffff_0000, END_NODE, END_NODE, END]].concat()), "E_DTB_NAME");
    assert_eq!(found(&[&ROOT[..], &[1], &[0x6161_6161; 64], &[0, END_NODE, END_NODE, END]].concat()), "E_DTB_NAME");
}

#[test]
fn depth_and_number_of_nodes_are_bounded() {
    let deep = |levels: usize| {
        let mut words = ROOT.to_vec();
        words.extend(BEGIN.repeat(levels));
        words.extend(vec![END_NODE; levels + 1]);
        words.push(END);
        ids(&blob(&tokens(&words), b"reg\0"))
    };
    assert!(!deep(MAX_DEPTH as usize).contains(&"E_DTB_BOUND"));
    assert_eq!(deep(MAX_DEPTH as usize + 1), ["E_DTB_BOUND"]);
    assert_eq!(deep(100_000), ["E_DTB_BOUND"]);
    let wide = |nodes: usize| {
        let mut words = ROOT.to_vec();
        for _ in 1..nodes {
            words.extend([BEGIN[0], BEGIN[1], END_NODE]);
        }
        words.extend([END_NODE, END]);
        ids(&blob(&tokens(&words), b"reg\0"))
    };
    assert!(!wide(MAX_NODES as usize).contains(&"E_DTB_BOUND"));
    assert_eq!(wide(MAX_NODES as usize + 1), ["E_DTB_BOUND"]);
    let mut large = rich();
    large.resize(MAX_BYTES + 1, 0);
    set_word(&mut large, 4, MAX_BYTES as u32 + 1);
    assert_eq!(ids(&large), ["E_DTB_BOUND"]);
    assert_eq!(word(&large, 4), MAX_BYTES as u32 + 1);
}

/// Blobs of nearly the largest size, each made to cost as much as it can in one place.
#[test]
fn the_worst_blobs_are_read_in_bounded_time() {
    let many = |cells: &[u32], times: usize| cells.repeat(times);
    let heavy = |made: Made| (0..40_000).fold(made, |made, index| made.flag(&format!("p{index}")));
    let host = |index: u32| {
        let made = pci().cells("linux,pci-domain", &[index]).cells("phandle", &[100 + index]);
        let made = made.cells("iommu-map", &many(&[0, SMMU, 0, 0x10000], 500)).cells("iommu-map-mask", &[0xff00]);
        bus(&format!("b{index}")).with(made)
    };
    let hosts = (0..60).fold(root().with(gic()).with(smmu(SMMU, 1)), |made, index| made.with(host(index)));
    let split = many(&[0, SMMU, 0, 1, 0xffff, 2, 7, 1], 16_000);
    let split = root().with(gic()).with(smmu(SMMU, 1)).with(pci().cells("iommu-map", &split).cells("msi-map", &split));
    let device = |index: u32| {
        let made = Made::new(&format!("d{index}")).cells("phandle", &[100 + index]).cells("memory-region", &[30]);
        made.cells("iommus", &many(&[SMMU, index], 16))
    };
    let claims: Vec<u32> = (0..6000).flat_map(|index| [100 + index, 0, 0x10_0000, 0, 0x1_0000]).collect();
    let region = Made::new("r").cells("phandle", &[30]).cells("reg", &[0, 0x10_0000, 0, 0x1_0000]);
    let regions =
        root().with(smmu(SMMU, 1)).with(bus("reserved-memory").with(region.cells("iommu-addresses", &claims)));
    let regions = (0..6000).fold(regions, |made, index| made.with(device(index)));
    let smmus = (0..6000).fold(root().with(heavy(gic())), |made, index| made.with(smmu(100 + index, index)));
    let ranges = (0..14).fold(smmu(SMMU, 1).cells("reg", &many(&[0, 1, 0, 1], 1000)), |made, level| {
        bus(&format!("b{level}")).cells("ranges", &many(&[9, 9, 0, 0, 0, 1], 1000)).with(made)
    });
    let memory = Made::new("memory").text("device_type", "memory").cells("reg", &many(&[0, 1, 0, 1], 100_000));
    let interrupts = smmu(SMMU, 1).cells("interrupts", &many(&[0, 1, 1], 150_000));
    let path = Made::new("chosen").text("stdout-path", &"/a".repeat(500_000));
    let names =
        smmu(SMMU, 1).text("interrupt-names", &"a\0".repeat(500_000)).text("compatible", &"a\0".repeat(400_000));
    let cases = [
        ("masked maps of 60 host bridges", hosts),
        ("a map of 32000 pieces", split),
        ("6000 devices of one region", regions),
        ("6000 SMMUs and a heavy GIC", smmus),
        ("14 buses of 1000 ranges", root().with(ranges)),
        ("100000 ranges of memory", root().with(memory)),
        ("150000 interrupts", root().with(gic()).with(interrupts)),
        (
            "a path of 500000 names",
            root().with((0..6000).fold(path, |made, index| made.with(Made::new(&format!("a@{index}"))))),
        ),
        ("500000 names", root().with(gic()).with(names)),
    ];
    for (name, made) in cases {
        let bytes = made.blob();
        assert!(bytes.len() <= MAX_BYTES, "{name}: {} bytes", bytes.len());
        let begin = Instant::now();
        let found = read_all(&bytes).len();
        println!("{name}: {} bytes, {found} findings, {:?}", bytes.len(), begin.elapsed());
        assert!(begin.elapsed() < LIMIT, "{name}: {:?}", begin.elapsed());
    }
}

/// A property with a name that means something and a value that may.
fn property() -> impl Strategy<Value = Vec<u32>> {
    (0..NAMES.len(), prop_oneof![prop::collection::vec(cell(), 0..12), Just(vec![])]).prop_map(|(name, value)| {
        let offset: usize = NAMES.iter().take(name).map(|name| name.len() + 1).sum();
        [&[3, 4 * value.len() as u32, offset as u32], &value[..]].concat()
    })
}

/// A cell that is likely to be a phandle, a count of cells, a text or a bound.
fn cell() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0_u32..8,
        1 => prop::sample::select(vec![0xff, 0x1_0000, 0x2_0000, 0x8000_0000, u32::MAX, 0x0300_0000]),
        1 => any::<u32>(),
    ]
}

const NAMES: [&str; 30] = [
    "compatible",
    "reg",
    "phandle",
    "ranges",
    "#address-cells",
    "#size-cells",
    "iommus",
    "iommu-map",
    "iommu-map-mask",
    "msi-map",
    "msi-parent",
    "#iommu-cells",
    "#msi-cells",
    "interrupts",
    "interrupt-parent",
    "#interrupt-cells",
    "bus-range",
    "memory-region",
    "iommu-addresses",
    "dma-coherent",
    "status",
    "device_type",
    "method",
    "stdout-path",
    "no-map",
    "linux,pci-domain",
    "interrupts-extended",
    "interrupt-names",
    "dma-ranges",
    "#redistributor-regions",
];
const COMPATIBLE: [&str; 10] = [
    "arm,smmu-v3",
    "pci-host-ecam-generic",
    "arm,gic-v3",
    "arm,gic-v3-its",
    "arm,armv8-timer",
    "arm,psci-1.0",
    "ns16550",
    "arm,sbsa-gwdt",
    "arm,pl011",
    "arm,gic-400",
];

/// A node of a known kind with properties that may be anything.
fn node() -> impl Strategy<Value = Vec<u32>> {
    let names = prop::sample::select(vec![*b"a\0\0\0", *b"cpus", *b"chos", *b"rese"]);
    (names, 0..COMPATIBLE.len() + 2, prop::collection::vec(property(), 0..8)).prop_map(|(name, kind, properties)| {
        let mut words = vec![1];
        words.extend(match &name {
            b"cpus" => text("cpus"),
            b"chos" => text("chosen"),
            b"rese" => text("reserved-memory"),
            _ => text("a"),
        });
        if let Some(kind) = COMPATIBLE.get(kind) {
            let value = text(kind);
            words.extend([3, kind.len() as u32 + 1, 0]);
            words.extend(value);
        }
        words.extend(properties.concat());
        words
    })
}

/// A NUL-terminated text in words.
fn text(text: &str) -> Vec<u32> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.chunks(4).map(|chunk| word(chunk, 0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_all(&bytes);
        let _ = read_all(&blob(&bytes, b"reg\0compatible\0"));
    }

    #[test]
    fn any_tokens_end(words in prop::collection::vec(prop_oneof![3 => 0_u32..10, 1 => any::<u32>()], 0..60)) {
        let _ = read_all(&blob(&tokens(&words), b"reg\0compatible\0"));
        let inside = [&ROOT[..], &words, &[END_NODE, END]].concat();
        let _ = read_all(&blob(&tokens(&inside), b"reg\0compatible\0"));
    }

    /// Trees that are whole, of nodes that mean something: values, phandles and nesting are what is random.
    #[test]
    fn any_tree_ends(nodes in prop::collection::vec((node(), 0_usize..3), 0..12)) {
        let mut words = [&ROOT[..], &[3, 4, 31, 2, 3, 4, 46, 2]].concat();
        let mut open = 1;
        for (node, close) in &nodes {
            words.extend(node);
            open += 1;
            let ends = (*close).min(open - 1);
            words.extend(vec![END_NODE; ends]);
            open -= ends;
        }
        words.extend(vec![END_NODE; open]);
        words.push(END);
        let strings: Vec<u8> = NAMES.iter().flat_map(|name| [name.as_bytes(), &[0]].concat()).collect();
        let found = read_all(&blob(&tokens(&words), &strings));
        // None of them is refused: what random values break is what is behind the structure.
        prop_assert!(!found.iter().any(|finding| finding.id() == "E_DTB_STRUCTURE"));
    }

    #[test]
    fn any_damage_ends(
        at in prop::collection::vec((0..QEMU.len(), any::<u8>()), 1..20),
        words in prop::collection::vec((0..QEMU.len() / 4 - 1, cell()), 0..6),
    ) {
        let mut bytes = QEMU.to_vec();
        for (at, value) in at {
            bytes[at] = value;
        }
        for (at, value) in words {
            set_word(&mut bytes, at * 4, value);
        }
        let _ = read_all(&bytes);
    }
}
