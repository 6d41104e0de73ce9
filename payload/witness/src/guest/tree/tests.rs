//! Trees read back by the reader that the images use; blobs of QEMU, and damaged ones.

extern crate std;

use super::*;
use proptest::prelude::*;
use std::string::ToString;

const SMP2: &[u8] = include_bytes!("../../../../../ci/fixtures/devicetree/smp2.dtb");
const MAX: &[u8] = include_bytes!("../../../../../ci/fixtures/devicetree/cpu-max.dtb");

fn given() -> Given<'static> {
    Given {
        arguments: "nr_cpus=1 reset_devices panic=1",
        initrd: Some(PhysAddr(0x7000_0000)..PhysAddr(0x7010_0001)),
        core_header: PhysAddr(0x7FFF_0000)..PhysAddr(0x7FFF_0250),
        usable: PhysAddr(0x6000_0000)..PhysAddr(0x8000_0000),
        is_alone: false,
    }
}

const WITNESS: Range<PhysAddr> = PhysAddr(0x5C00_0000)..PhysAddr(0x5E00_0000);

fn read(blob: &[u8]) -> Devicetree<'_> {
    match Devicetree::read(blob, &mut |_| {}) {
        Ok(tree) => tree,
        Err(_) => panic!("it was written, and cannot be read"),
    }
}

fn words(blob: &[u8], path: &str, name: &str) -> Vec<u32> {
    let fdt = Fdt::new(blob).expect("a blob");
    let node = fdt.find_node(path).expect("a node");
    let property = node.properties().find(|property| property.name() == name);
    let value = property.map(|property| property.value().to_vec()).unwrap_or_default();
    value.chunks(4).map(|word| u32::from_be_bytes(word.try_into().expect("whole cells"))).collect()
}

#[test]
fn firmwares_tree_is_kept_and_chosen_is_the_kernels() {
    for blob in [SMP2, MAX] {
        let edited = edit(blob, &given(), &WITNESS).expect("an edited tree");
        let (old, new) = (read(blob), read(&edited));
        assert_eq!(new.bootargs(), Some("nr_cpus=1 reset_devices panic=1"));
        let initrd = new.initrd(&mut |_| {}).map(|range| (range.base.0, range.bytes));
        assert_eq!(initrd, Some((0x7000_0000, 0x10_0001)));
        let is_witness = |range: &tables::devicetree::Reserved| range.range.base == WITNESS.start;
        assert!(new.reserved(&mut |_| {}).iter().any(is_witness));
        let holds = |tree: &Devicetree<'_>| {
            let memory = tree.memory(&mut |_| {});
            memory.iter().any(|range| range.base <= WITNESS.start && range.last() >= Some(WITNESS.start))
        };
        assert_eq!((holds(&old), holds(&new)), (true, false), "no-map");
        assert_eq!(words(&edited, "/chosen", "linux,elfcorehdr"), [0, 0x7FFF_0000, 0, 0x250]);
        assert_eq!(words(&edited, "/chosen", "linux,usable-memory-range"), [0, 0x6000_0000, 0, 0x2000_0000]);
        // What describes the machine is the same.
        assert_eq!(new.to_iort(&mut |_| {}), old.to_iort(&mut |_| {}));
        assert_eq!(new.windows(&mut |_| {}).len(), old.windows(&mut |_| {}).len());
        assert_eq!(words(&edited, "/psci", "cpu_on"), words(blob, "/psci", "cpu_on"));
    }
}

#[test]
fn an_edited_tree_can_be_edited_again_and_nothing_is_left_of_the_first_time() {
    let once = edit(SMP2, &given(), &WITNESS).expect("a tree");
    let other = Given { initrd: None, arguments: "", ..given() };
    let twice = edit(&once, &other, &WITNESS).expect("a tree");
    assert_eq!(read(&twice).initrd(&mut |_| {}), None);
    assert_eq!(read(&twice).bootargs(), Some(""));
    let reserved = read(&twice).reserved(&mut |_| {}).len();
    assert_eq!(reserved, read(&once).reserved(&mut |_| {}).len());
}

#[test]
fn a_machine_without_psci_gets_the_witnesss() {
    const SBSA: &[u8] = include_bytes!("../../../../../board-configs/qemu-sbsa.dtb");
    let conduit = |blob: &[u8]| {
        let tree = read(blob);
        tables::Platform::from_devicetree(&tree, &[], &mut |_| {}).psci
    };
    let edited = |is_alone| edit(SBSA, &Given { is_alone, ..given() }, &WITNESS).expect("a tree");
    use tables::fadt::Conduit;
    assert_eq!((conduit(&edited(false)), conduit(&edited(true))), (Conduit::None, Conduit::Hvc));
}

#[test]
fn the_boot_cpu_stays() {
    let mut blob = SMP2.to_vec();
    blob[31] = 3;
    assert_eq!(edit(&blob, &given(), &WITNESS).map(|edited| edited[28..32].to_vec()), Ok(alloc::vec![0, 0, 0, 3]));
}

#[test]
fn acpi_gets_chosen_alone_with_all_six_properties() {
    let efi = Efi {
        system_table: PhysAddr(0x1_3FFE_0018),
        map: PhysAddr(0x7FFF_1000),
        map_bytes: 0x1440,
        descriptor_bytes: 48,
        descriptor_version: 1,
        is_secure: false,
    };
    let blob = for_acpi(&given(), &efi).expect("a tree");
    let fdt = Fdt::new(&blob).expect("a blob");
    let names: Vec<_> = fdt.root().children().map(|node| node.name().to_string()).collect();
    assert_eq!(names, ["chosen"]);
    for (name, expected) in [
        ("linux,uefi-system-table", &[1, 0x3FFE_0018][..]),
        ("linux,uefi-mmap-start", &[0, 0x7FFF_1000]),
        ("linux,uefi-mmap-size", &[0x1440]),
        ("linux,uefi-mmap-desc-size", &[48]),
        ("linux,uefi-mmap-desc-ver", &[1]),
        ("linux,uefi-secure-boot", &[2]),
        ("linux,initrd-start", &[0, 0x7000_0000]),
        ("linux,usable-memory-range", &[0, 0x6000_0000, 0, 0x2000_0000]),
    ] {
        assert_eq!(words(&blob, "/chosen", name), expected, "{name}");
    }
    assert_eq!(
        (words(&blob, "/", "#address-cells"), words(&blob, "/", "#size-cells")),
        (alloc::vec![2], alloc::vec![2])
    );
    let secure = for_acpi(&given(), &Efi { is_secure: true, ..efi }).expect("a tree");
    assert_eq!(words(&secure, "/chosen", "linux,uefi-secure-boot"), [3]);
}

/// A root with such cells, and perhaps a reserved-memory node with others.
fn made(address: u32, size: u32, reserved: Option<u32>) -> Vec<u8> {
    let mut tree = DeviceTree::new();
    set(&mut tree.root, "#address-cells", &address.to_be_bytes());
    set(&mut tree.root, "#size-cells", &size.to_be_bytes());
    if let Some(cells) = reserved {
        let node = child(&mut tree.root, "reserved-memory");
        set(node, "#address-cells", &cells.to_be_bytes());
        set(node, "#size-cells", &cells.to_be_bytes());
    }
    tree.to_dtb()
}

#[test]
fn cells_are_those_of_the_root() {
    let narrow = edit(&made(1, 1, None), &given(), &WITNESS).expect("a tree");
    assert_eq!(words(&narrow, "/chosen", "linux,usable-memory-range"), [0x6000_0000, 0x2000_0000]);
    assert_eq!(words(&narrow, "/reserved-memory/witness@5c000000", "reg"), [0x5C00_0000, 0x200_0000]);
    let high = Given { usable: PhysAddr(0x80_0000_0000)..PhysAddr(0x80_2000_0000), ..given() };
    assert_eq!(edit(&made(1, 1, None), &high, &WITNESS), Err(TreeError::Narrow(0x80_0000_0000)));
    let cells = TreeError::Cells { name: "#size-cells", value: 3 };
    assert_eq!(edit(&made(2, 3, None), &given(), &WITNESS), Err(cells));
    assert_eq!(edit(&made(2, 2, Some(1)), &given(), &WITNESS), Err(TreeError::ReservedCells));
}

#[test]
fn what_would_be_lost_or_cut_is_refused() {
    let zero = Given { arguments: "a\0b", ..given() };
    assert_eq!(edit(SMP2, &zero, &WITNESS), Err(TreeError::Arguments));
    // Two nodes of one name: "pl011@9000000" and "pl031@9010000" made the same length and name.
    let mut blob = SMP2.to_vec();
    let place = |blob: &[u8], name: &[u8]| blob.windows(name.len()).position(|part| part == name).expect("a node");
    let (one, other) = (place(&blob, b"pl011@9000000"), place(&blob, b"pl031@9010000"));
    blob.copy_within(one..one + 13, other);
    assert_eq!(edit(&blob, &given(), &WITNESS), Err(TreeError::Duplicate));
    let text = edit(&SMP2[..1000], &given(), &WITNESS).err().map(|error| error.to_string());
    assert!(text.is_some_and(|text| text.starts_with("the devicetree cannot be read: ")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_blobs_are_refused_or_edited_and_never_panic(
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        // Most of a blob is past its header, where a hit is likelier to be survived.
        let mut blob = SMP2.to_vec();
        for (index, byte) in hits {
            let at = index.index(0x4000.min(blob.len()));
            blob[at] = byte;
        }
        if is_cut {
            blob.truncate(cut.index(blob.len()));
        }
        if let Ok(edited) = edit(&blob, &given(), &WITNESS) {
            prop_assert_eq!(read(&edited).bootargs(), Some("nr_cpus=1 reset_devices panic=1"));
        }
    }
}
