//! QEMU's machine from both of its descriptions: what one says, the other must say.

use addr::{Bdf, PhysAddr};
use tables::devicetree::{Range, Space};
use tables::fadt::Conduit;
use tables::gtdt::Timer;
use tables::madt::{Gicd, Gicr, Its};
use tables::mcfg::EcamRegion;
use tables::spcr::UartKind;
use tables::{Devicetree, Finding, Platform, Severity, Tables};

macro_rules! blob {
    ($name:literal) => {
        include_bytes!(concat!("../../../ci/fixtures/devicetree/", $name, ".dtb"))
    };
}
macro_rules! table {
    ($name:literal) => {
        include_bytes!(concat!("../../../ci/fixtures/tables/qemu-virt/", $name, ".aml"))
    };
}

const BLOBS: [(&str, &[u8]); 6] = [
    ("smp1", blob!("smp1")),
    ("smp2", blob!("smp2")),
    ("cpu-max", blob!("cpu-max")),
    ("no-iommu", blob!("no-iommu")),
    ("highmem-off", blob!("highmem-off")),
    ("gic2", blob!("gic2")),
];

/// The machine of a blob, its IORT and what was found wrong with either.
fn with<T>(bytes: &[u8], look: impl FnOnce(&Devicetree<'_>, &Platform<'_>, &[Finding]) -> T) -> T {
    let mut findings = Vec::new();
    let Ok(tree) = Devicetree::read(bytes, &mut |finding| findings.push(finding)) else { panic!("not read") };
    let iort = tree.to_iort(&mut |finding| findings.push(finding));
    let platform = Platform::from_devicetree(&tree, &iort, &mut |finding| findings.push(finding));
    look(&tree, &platform, &findings)
}

fn ids(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(Finding::id).collect()
}

fn from_acpi() -> Platform<'static> {
    let tables = Tables {
        iort: Some(table!("IORT")),
        mcfg: Some(table!("MCFG")),
        spcr: Some(table!("SPCR")),
        gtdt: Some(table!("GTDT")),
        madt: Some(table!("APIC")),
        ..Tables::default()
    };
    Platform::from_tables(&tables, &mut |_| {})
}

/// Base of the SMMU and StreamID; identifiers of the ITSs and DeviceID; whether the walk broke off.
type Resolved = (Option<(PhysAddr, u32)>, Option<(Vec<u32>, u32)>, bool);

/// What a function's resolution comes to, without the places of nodes in their table.
fn resolved(platform: &Platform<'_>, function: Bdf) -> Resolved {
    let resolution = platform.resolve(function);
    let smmu = resolution.smmu.map(|stream| (stream.base, stream.stream.0));
    let its = resolution.its.map(|its| (its.group.ids().collect(), its.device_id));
    (smmu, its, resolution.trouble.is_some())
}

#[test]
fn both_descriptions_of_qemu_virt_resolve_equally() {
    let acpi = from_acpi();
    for name in ["smp1", "smp2", "cpu-max"] {
        let (_, bytes) = BLOBS.into_iter().find(|(other, _)| *other == name).unwrap();
        with(bytes, |_, tree, findings| {
            assert_eq!(ids(findings), [""; 0], "{name}");
            // The IORT was made for a machine whose only bus is bus 0.
            for rid in 0..=0xff {
                let function = Bdf { segment: 0, rid };
                assert_eq!(resolved(&acpi, function), resolved(tree, function), "{name}: {function:?}");
            }
            let other_buses = (1..=255).map(|bus| Bdf::new(0, bus, 0, 0));
            let differ = other_buses.filter(|function| resolved(&acpi, *function) != resolved(tree, *function)).count();
            // QEMU's IORT sends absent buses past the SMMU, its devicetree through it.
            println!("{name}: 256 functions resolve equally; of 255 buses that are not there {differ} do not");
            assert_eq!(differ, 255);
            assert_eq!(resolved(tree, Bdf { segment: 1, rid: 0 }), (None, None, false));
        });
    }
}

#[test]
fn both_descriptions_of_qemu_virt_are_one_machine() {
    let acpi = from_acpi();
    with(blob!("cpu-max"), |_, tree, _| {
        let [one, other] = [&acpi, tree].map(|platform| {
            let smmu = platform.smmus[0];
            assert_eq!(platform.smmus.len(), 1);
            (smmu.base, smmu.coherent_override, smmu.model, smmu.gsivs)
        });
        assert_eq!(one, other);
        assert_eq!(acpi.ecam, tree.ecam);
        assert_eq!(acpi.gic.distributor, tree.gic.distributor);
        assert_eq!(acpi.gic.redistributors, tree.gic.redistributors);
        assert_eq!(acpi.gic.its, tree.gic.its);
        let (one, other) = (acpi.console.unwrap(), tree.console.unwrap());
        assert_eq!((one.kind, one.base, one.gsiv), (other.kind, other.base, other.gsiv));
        // A PL011 without `reg-io-width` takes 16 bits; the SPCR says 32.
        assert_eq!((one.access_bytes, other.access_bytes), (4, 2));
        let (one, other) = (acpi.timers.unwrap(), tree.timers.unwrap());
        let gsivs = |timers: tables::gtdt::Timers| {
            [timers.secure_el1, timers.non_secure_el1, timers.virtual_el1, timers.el2].map(|timer: Timer| timer.gsiv)
        };
        assert_eq!(gsivs(one), gsivs(other));
        let complexes = [&acpi, tree].map(|platform| {
            let complex = platform.iort.unwrap().root_complexes().next().unwrap();
            (complex.segment, complex.is_coherent, complex.memory_flags)
        });
        assert_eq!(complexes[0], complexes[1]);
        assert_eq!(tree.psci, Conduit::Smc);
    });
}

#[test]
fn qemu_variants_are_read() {
    let cpus = |name: &str| {
        let (_, bytes) = BLOBS.into_iter().find(|(other, _)| *other == name).unwrap();
        with(bytes, |_, platform, _| {
            platform.gic.cpus.iter().map(|cpu| (cpu.mpidr, cpu.is_enabled)).collect::<Vec<_>>()
        })
    };
    assert_eq!(cpus("smp1"), [(0, true)]);
    assert_eq!(cpus("smp2"), [(0, true), (1, true)]);
    with(blob!("no-iommu"), |_, platform, findings| {
        assert_eq!(ids(findings), [""; 0]);
        assert!(platform.smmus.is_empty());
        let expected = (None, Some((vec![0], 0x1234)), false);
        assert_eq!(resolved(platform, Bdf { segment: 0, rid: 0x1234 }), expected);
    });
    with(blob!("highmem-off"), |_, platform, findings| {
        assert_eq!(ids(findings), [""; 0]);
        let region = EcamRegion { base: PhysAddr(0x3f00_0000), segment: 0, first_bus: 0, last_bus: 15 };
        assert_eq!(platform.ecam.as_slice(), [region]);
        assert_eq!(resolved(platform, Bdf::new(0, 15, 31, 7)).0, Some((PhysAddr(0x0905_0000), 0xfff)));
        assert_eq!(resolved(platform, Bdf::new(0, 16, 0, 0)), (None, None, false));
    });
    with(blob!("gic2"), |_, platform, findings| {
        assert_eq!(ids(findings), ["W_DTB_MSI_KIND"]);
        assert_eq!(platform.gic.distributor, Some(Gicd { base: PhysAddr(0x0800_0000), version: 2 }));
        assert!(platform.gic.redistributors.is_empty() && platform.gic.its.is_empty());
        assert_eq!(resolved(platform, Bdf::new(0, 0, 2, 0)), (Some((PhysAddr(0x0905_0000), 0x10)), None, false));
    });
    with(blob!("smp2"), |tree, platform, _| {
        let redistributors = Gicr { base: PhysAddr(0x080a_0000), bytes: 0xf6_0000 };
        assert_eq!(platform.gic.redistributors.as_slice(), [redistributors]);
        assert_eq!(platform.gic.its.as_slice(), [Its { id: 0, base: PhysAddr(0x0808_0000) }]);
        let console = platform.console.unwrap();
        assert_eq!((console.kind, console.base, console.gsiv), (UartKind::Pl011, PhysAddr(0x0900_0000), Some(33)));
        let ram = Range { base: PhysAddr(0x4000_0000), bytes: 1 << 30 };
        assert_eq!((tree.memory(&mut |_| {}), tree.reserved(&mut |_| {})), (vec![ram], vec![]));
        let windows: Vec<_> = tree
            .windows(&mut |_| {})
            .iter()
            .map(|window| (window.space, window.pci, window.cpu.0, window.bytes))
            .collect();
        let expected = [
            (Space::Io, 0, 0x3eff_0000, 0x1_0000),
            (Space::Memory32, 0x1000_0000, 0x1000_0000, 0x2eff_0000),
            (Space::Memory64, 0x80_0000_0000, 0x80_0000_0000, 0x80_0000_0000),
        ];
        assert_eq!(windows, expected);
        assert_eq!((tree.bootargs(), tree.initrd(&mut |_| {})), (None, None));
    });
}

/// The translated table is one that a strict reader has nothing to say about, whoever amends it later.
#[test]
fn translated_tables_have_no_findings() {
    for (name, bytes) in BLOBS {
        with(bytes, |_, platform, findings| {
            let iort = platform.iort.unwrap();
            assert_eq!(iort.revision(), 6);
            assert!(findings.iter().all(|finding| finding.severity() < Severity::Error), "{name}");
            assert!(findings.iter().all(|finding| finding.table != *b"IORT"), "{name}");
        });
    }
}
