//! What is no IORT: addresses, host bridges and their windows, CPUs, timers, console, what the loader passes on.

mod tree;

use addr::PhysAddr;
use tables::Devicetree;
use tables::devicetree::{Range, Space};
use tables::fadt::Conduit;
use tables::madt::{Gicd, Gicr};
use tables::mcfg::EcamRegion;
use tables::spcr::UartKind;
use tree::{Made, SMMU, bus, gic, look, pci, root, smmu};

fn ids_of(made: &Made) -> Vec<&'static str> {
    look(&made.blob(), |_, _, ids| ids.to_vec())
}

#[test]
fn addresses_climb_through_every_bus() {
    let at = |outer: &[u32], inner: &[u32], address: u32| {
        let bus = |name: &str| Made::new(name).cells("#address-cells", &[1]).cells("#size-cells", &[1]);
        let unit = smmu(SMMU, 1).cells("reg", &[address, 0x2_0000]).without("interrupts");
        let made = root().with(bus("a").cells("ranges", outer).with(bus("b").cells("ranges", inner).with(unit)));
        look(&made.blob(), |_, platform, ids| (platform.smmus.first().map(|smmu| smmu.base.0), ids.to_vec()))
    };
    let outer = [0x100_0000, 1, 0, 0x100_0000];
    let inner = [0, 0x100_0000, 0x10_0000, 0x10_0000, 0x180_0000, 0x10_0000];
    assert_eq!(at(&outer, &inner, 0x1000), (Some(0x1_0000_1000), vec![]));
    assert_eq!(at(&outer, &inner, 0x10_1000), (Some(0x1_0080_1000), vec![]));
    assert_eq!(at(&outer, &[], 0x100_1000), (Some(0x1_0000_1000), vec![]));
    // The end of a range that its last byte passes, and an address that no range holds.
    assert_eq!(at(&outer, &inner, 0xf_0000), (None, vec!["E_DTB_ADDRESS"]));
    assert_eq!(at(&outer, &inner, 0x20_0000), (None, vec!["E_DTB_ADDRESS"]));
    let made = root().with(bus("a").without("ranges").with(smmu(SMMU, 1).without("interrupts")));
    assert_eq!(ids_of(&made), ["E_DTB_ADDRESS"]);
    let three = smmu(SMMU, 1).without("interrupts").cells("reg", &[0, 1, 2]);
    assert_eq!(ids_of(&root().with(three)), ["E_DTB_REG"]);
    let wrapping = smmu(SMMU, 1).without("interrupts").cells("reg", &[u32::MAX, u32::MAX, 0, 0x2_0000]);
    assert_eq!(ids_of(&root().with(wrapping)), ["E_DTB_ADDRESS"]);
}

#[test]
fn configuration_space_is_where_the_first_bus_is() {
    let ecam =
        |host: Made| look(&root().with(host).blob(), |_, platform, ids| (platform.ecam.first().copied(), ids.to_vec()));
    let region = |base, first_bus, last_bus| Some(EcamRegion { base: PhysAddr(base), segment: 0, first_bus, last_bus });
    assert_eq!(ecam(pci()), (region(0x4000_0000, 0, 255), vec![]));
    assert_eq!(ecam(pci().without("bus-range")), (region(0x4000_0000, 0, 255), vec![]));
    let later = pci().cells("bus-range", &[0x10, 0x1f]);
    assert_eq!(ecam(later), (region(0x3f00_0000, 0x10, 0x1f), vec![]));
    let short = pci().cells("reg", &[0, 0x4000_0000, 0, 0x20_0000]);
    assert_eq!(ecam(short), (region(0x4000_0000, 0, 1), vec!["W_DTB_ECAM_SHORT"]));
    let none = pci().cells("reg", &[0, 0x4000_0000, 0, 0x1000]);
    assert_eq!(ecam(none), (None, vec!["W_DTB_ECAM_SHORT"]));
    let low = pci().cells("reg", &[0, 0x10_0000, 0, 0x1000_0000]).cells("bus-range", &[2, 3]);
    assert_eq!(ecam(low), (None, vec!["E_ECAM_BASE"]));
    assert_eq!(ecam(pci().cells("bus-range", &[5, 4])), (None, vec!["E_ECAM_BUSES"]));
    assert_eq!(ecam(pci().cells("bus-range", &[0, 256])), (None, vec!["E_ECAM_BUSES"]));
    assert_eq!(ecam(pci().text("compatible", "pci-host-cam-generic")), (None, vec!["W_DTB_HOST_CAM"]));
    assert_eq!(ecam(pci().text("compatible", "snps,dw-pcie-ecam")), (None, vec!["W_DTB_HOST_GHOSTS"]));
    assert_eq!(ecam(pci().text("compatible", "brcm,bcm2711-pcie")), (None, vec!["W_DTB_HOST_KIND"]));
    let both = pci().text("compatible", "vendor,pcie\0pci-host-ecam-generic");
    assert_eq!(ecam(both), (region(0x4000_0000, 0, 255), vec![]));
    assert_eq!(ecam(pci().text("status", "disabled")), (None, vec![]));
    // A bridge below the host bridge is no host bridge.
    let port = Made::new("pcie@1,0").text("device_type", "pci").cells("reg", &[0x800, 0, 0, 0, 0]);
    assert_eq!(ecam(pci().with(port)), (region(0x4000_0000, 0, 255), vec![]));
}

#[test]
fn windows_have_space_and_both_addresses() {
    let windows = |cells: &[u32]| {
        let blob = root().with(pci().cells("ranges", cells)).blob();
        let Ok(tree) = Devicetree::read(&blob, &mut |_| {}) else { panic!("not read") };
        let mut ids = Vec::new();
        let windows: Vec<_> = tree
            .windows(&mut |finding| ids.push(finding.id()))
            .iter()
            .map(|window| (window.space, window.is_prefetchable, window.pci, window.cpu.0, window.bytes))
            .collect();
        (windows, ids)
    };
    let entries = [
        [0x0100_0000, 0, 0, 0, 0x3eff_0000, 0, 0x1_0000],
        [0x0200_0000, 0, 0x1000_0000, 0, 0x5000_0000, 0, 0x1000_0000],
        [0x4300_0000, 0x80, 0, 0x90, 0, 1, 0],
        [0x0000_0000, 0, 0, 0, 0x4000_0000, 0, 0x1000],
    ];
    let expected = [
        (Space::Io, false, 0, 0x3eff_0000, 0x1_0000),
        (Space::Memory32, false, 0x1000_0000, 0x5000_0000, 0x1000_0000),
        (Space::Memory64, true, 0x80_0000_0000, 0x90_0000_0000, 0x1_0000_0000),
    ];
    assert_eq!(windows(entries.as_flattened()), (expected.to_vec(), vec![]));
    let wrapping = [0x0300_0000, u32::MAX, u32::MAX, 0, 0, 0, 2];
    assert_eq!(windows(&wrapping), (vec![], vec!["E_DTB_ADDRESS"]));
    assert_eq!(windows(&[0x0300_0000, 0, 0, 0, 0, 0, 0]), (vec![], vec!["E_DTB_ADDRESS"]));
    assert_eq!(windows(&[0x0300_0000, 0, 0, 0, 0, 0]), (vec![], vec!["E_DTB_RANGES"]));
}

#[test]
fn gic_has_its_regions() {
    let with = |gic: Made| {
        look(&root().with(gic).blob(), |_, platform, ids| {
            let gic = platform.gic.clone();
            (gic.distributor, gic.redistributors.to_vec(), gic.its.len(), ids.to_vec())
        })
    };
    let distributor = Some(Gicd { base: PhysAddr(0x800_0000), version: 3 });
    let region = Gicr { base: PhysAddr(0x80a_0000), bytes: 0xf6_0000 };
    assert_eq!(with(gic()), (distributor, vec![region], 1, vec![]));
    // Two regions, then a CPU interface.
    let reg = [0, 0x800_0000, 0, 0x1_0000, 0, 0x80a_0000, 0, 0xf6_0000, 1, 0, 0, 0x2_0000, 2, 0, 0, 0x1000];
    let second = Gicr { base: PhysAddr(1 << 32), bytes: 0x2_0000 };
    let two = gic().cells("reg", &reg).cells("#redistributor-regions", &[2]);
    assert_eq!(with(two), (distributor, vec![region, second], 1, vec![]));
    let more = gic().cells("#redistributor-regions", &[2]);
    assert_eq!(with(more), (distributor, vec![region], 1, vec!["E_DTB_REG"]));
    let none = gic().cells("reg", &[0, 0x800_0000, 0, 0x1_0000]);
    assert_eq!(with(none), (distributor, vec![], 1, vec!["W_GIC_NO_REDISTRIBUTOR"]));
    let odd = gic().cells("redistributor-stride", &[0, 0x1_0000]);
    assert_eq!(with(odd), (distributor, vec![region], 1, vec!["W_DTB_REDISTRIBUTOR_STRIDE"]));
    let second = Made::new("gic@2").text("compatible", "arm,gic-400").cells("reg", &[0, 0x700_0000, 0, 0x1000]);
    let blob = root().with(gic()).with(second).blob();
    assert_eq!(
        look(&blob, |_, platform, ids| (platform.gic.distributor, ids.to_vec())),
        (distributor, vec!["W_GIC_DISTRIBUTORS"])
    );
}

#[test]
fn cpus_are_those_that_psci_starts() {
    let cpu = |name: &str, reg: &[u32], method: &str| {
        Made::new(name).text("device_type", "cpu").cells("reg", reg).text("enable-method", method)
    };
    let folder = Made::new("cpus")
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[0])
        .with(Made::new("cpu-map").with(Made::new("core0")))
        .with(cpu("cpu@0", &[0, 0], "psci").without("enable-method"))
        .with(cpu("cpu@100", &[0, 0x100], "psci").text("status", "disabled"))
        .with(cpu("cpu@100000000", &[1, 0], "psci").text("status", "fail-sss"))
        .with(cpu("cpu@200", &[0, 0x200], "spin-table"))
        .with(cpu("cpu@300", &[0], "psci"));
    look(&root().with(folder).blob(), |_, platform, ids| {
        let cpus: Vec<_> = platform.gic.cpus.iter().map(|cpu| (cpu.mpidr, cpu.is_enabled)).collect();
        assert_eq!(cpus, [(0, true), (0x100, true), (1 << 32, false), (0x200, false)]);
        assert_eq!(ids, ["W_DTB_CPU_METHOD", "E_DTB_REG"]);
    });
}

#[test]
fn psci_has_a_method_and_standard_numbers() {
    let conduit = |compatible: &str, method: &str| {
        let psci = Made::new("psci").text("compatible", compatible).text("method", method);
        look(&root().with(psci).blob(), |_, platform, ids| (platform.psci, ids.to_vec()))
    };
    assert_eq!(conduit("arm,psci-1.0\0arm,psci-0.2\0arm,psci", "smc"), (Conduit::Smc, vec![]));
    assert_eq!(conduit("arm,psci-0.2", "hvc"), (Conduit::Hvc, vec![]));
    assert_eq!(conduit("arm,psci-1.0", "svc"), (Conduit::None, vec!["W_DTB_PSCI"]));
    assert_eq!(conduit("arm,psci", "smc"), (Conduit::None, vec!["W_DTB_PSCI"]));
}

#[test]
fn timers_come_in_order_or_by_name() {
    let timers = |timer: Made| {
        let made = root().with(gic()).with(timer);
        look(&made.blob(), |_, platform, ids| {
            let timers = platform.timers.unwrap();
            let flags = timers.el2.flags;
            let gsivs =
                [timers.secure_el1, timers.non_secure_el1, timers.virtual_el1, timers.el2].map(|timer| timer.gsiv);
            (gsivs, flags, timers.virtual_el2.map(|timer| timer.gsiv), ids.to_vec())
        })
    };
    let timer = Made::new("timer").text("compatible", "arm,armv8-timer");
    let four = timer.clone().cells("interrupts", &[1, 13, 8, 1, 14, 8, 1, 11, 8, 1, 10, 8]);
    assert_eq!(timers(four.clone()), ([29, 30, 27, 26], 2, None, vec![]));
    assert_eq!(timers(four.flag("always-on")), ([29, 30, 27, 26], 6, None, vec![]));
    let named = timer.cells("interrupts", &[1, 14, 1, 1, 10, 2, 1, 12, 4]);
    let named = named.text("interrupt-names", "phys\0hyp-phys\0hyp-virt");
    assert_eq!(timers(named), ([0, 30, 0, 26], 3, Some(28), vec![]));
}

#[test]
fn watchdog_is_control_then_refresh() {
    let dog = Made::new("watchdog@2a440000")
        .text("compatible", "arm,sbsa-gwdt")
        .cells("reg", &[0, 0x2a44_0000, 0, 0x1000, 0, 0x2a45_0000, 0, 0x1000])
        .cells("interrupts", &[0, 27, 4]);
    look(&root().with(gic()).with(dog).blob(), |_, platform, ids| {
        let [dog] = platform.watchdogs[..] else { panic!("one watchdog") };
        assert_eq!((dog.control.0, dog.refresh.0, dog.interrupt.gsiv), (0x2a44_0000, 0x2a45_0000, 59));
        assert_eq!(ids, [""; 0]);
    });
}

#[test]
fn console_is_named_by_path_or_alias() {
    let found = |stdout: &str, uart: Made| {
        let chosen = Made::new("chosen").text("stdout-path", stdout);
        let aliases = Made::new("aliases").text("serial0", "/soc/serial@1000").text("loop", "loop");
        let made = root().with(gic()).with(bus("soc").with(uart)).with(aliases).with(chosen);
        let mut all = Vec::new();
        let blob = made.blob();
        let Ok(tree) = Devicetree::read(&blob, &mut |_| {}) else { panic!("not read") };
        let platform = tables::Platform::from_devicetree(&tree, &[], &mut |finding| all.push(finding.id()));
        let of_console =
            |id: &&str| id.starts_with("W_CONSOLE") || id.starts_with("E_CONSOLE") || *id == "W_DTB_STDOUT";
        let console =
            platform.console.map(|console| (console.kind, console.base.0, console.access_bytes, console.stride));
        (console, all.into_iter().filter(of_console).collect::<Vec<_>>())
    };
    let uart = |compatible: &str| {
        Made::new("serial@1000").text("compatible", compatible).cells("reg", &[0, 0x1000, 0, 0x1000])
    };
    let pl011 = Some((UartKind::Pl011, 0x1000, 2, 0));
    for stdout in ["/soc/serial@1000", "/soc/serial", "serial0", "serial0:115200n8", "/soc/serial@1000:115200n8"] {
        assert_eq!(found(stdout, uart("arm,pl011\0arm,primecell")), (pl011, vec![]), "{stdout}");
    }
    for stdout in ["serial1", "loop", "/soc/uart", "", ":", "/aliases/serial0"] {
        assert_eq!(found(stdout, uart("arm,pl011")), (None, vec!["W_DTB_STDOUT"]), "{stdout}");
    }
    let with = |uart: Made| found("serial0", uart);
    assert_eq!(with(uart("arm,pl011").cells("reg-io-width", &[4])), (Some((UartKind::Pl011, 0x1000, 4, 0)), vec![]));
    assert_eq!(with(uart("arm,sbsa-uart")), (Some((UartKind::Sbsa, 0x1000, 4, 0)), vec![]));
    assert_eq!(with(uart("ns16550a")), (Some((UartKind::Ns16550, 0x1000, 1, 1)), vec![]));
    let wide = uart("snps,dw-apb-uart").cells("reg-shift", &[2]).cells("reg-io-width", &[4]);
    assert_eq!(with(wide), (Some((UartKind::Ns16550, 0x1000, 4, 4)), vec![]));
    let far = uart("ns16550").cells("reg-shift", &[2]).cells("reg-offset", &[0x100]);
    assert_eq!(with(far), (Some((UartKind::Ns16550, 0x1100, 1, 4)), vec![]));
    assert_eq!(with(uart("ns16550").cells("reg-shift", &[9])), (None, vec!["W_CONSOLE_STRIDE"]));
    let odd = uart("ns16550").cells("reg-io-width", &[3]);
    assert_eq!(with(odd), (Some((UartKind::Ns16550, 0x1000, 1, 1)), vec!["W_CONSOLE_ACCESS"]));
    assert_eq!(with(uart("ns16550").flag("big-endian")), (None, vec!["E_CONSOLE_ADDRESS"]));
    assert_eq!(with(uart("qcom,geni-uart")), (None, vec!["W_CONSOLE_TYPE"]));
}

#[test]
fn loader_passes_command_line_and_ram_disk() {
    let chosen = |chosen: Made| {
        let blob = root().with(chosen.text("bootargs", "scenario=adopt cycles=2")).blob();
        let Ok(tree) = Devicetree::read(&blob, &mut |_| {}) else { panic!("not read") };
        assert_eq!(tree.bootargs(), Some("scenario=adopt cycles=2"));
        let mut ids = Vec::new();
        (tree.initrd(&mut |finding| ids.push(finding.id())), ids)
    };
    let disk = Range { base: PhysAddr(0x4800_0000), bytes: 0x1000 };
    let node = Made::new("chosen");
    let short = node.clone().cells("linux,initrd-start", &[0x4800_0000]).cells("linux,initrd-end", &[0x4800_1000]);
    assert_eq!(chosen(short.clone()), (Some(disk), vec![]));
    let wide =
        short.clone().cells("linux,initrd-start", &[0, 0x4800_0000]).cells("linux,initrd-end", &[0, 0x4800_1000]);
    assert_eq!(chosen(wide), (Some(disk), vec![]));
    assert_eq!(chosen(short.clone().cells("linux,initrd-end", &[0x4800_0000])), (None, vec!["W_DTB_INITRD"]));
    assert_eq!(chosen(short.without("linux,initrd-end")), (None, vec![]));
    assert_eq!(chosen(node), (None, vec![]));
}

#[test]
fn a_finding_has_a_path() {
    let blob = root().with(bus("soc").with(smmu(SMMU, 1).cells("reg", &[0]))).blob();
    let mut findings = Vec::new();
    let Ok(tree) = Devicetree::read(&blob, &mut |_| {}) else { panic!("not read") };
    let _ = tree.to_iort(&mut |finding| findings.push(finding));
    assert_eq!(tree.path_of(&findings[0]).as_deref(), Some("/soc/iommu@1"));
}

#[test]
fn the_tree_of_sbsa_ref_says_what_its_board_file_says() {
    let blob = include_bytes!("../../../board-configs/qemu-sbsa.dtb");
    look(blob, |tree, platform, ids| {
        assert!(ids.is_empty(), "{ids:?}");
        let [watchdog] = platform.watchdogs[..] else { panic!("one watchdog") };
        assert_eq!((watchdog.refresh.0, watchdog.control.0, watchdog.is_secure()), (0x5001_0000, 0x5001_1000, false));
        assert_eq!(platform.smmus.iter().map(|smmu| smmu.base.0).collect::<Vec<_>>(), [0x6005_0000]);
        assert_eq!(platform.console.map(|console| console.base.0), Some(0x6000_0000));
        assert_eq!((platform.psci, tree.windows(&mut |_| {}).len()), (Conduit::None, 2));
    });
}
