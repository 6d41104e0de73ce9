//! The whole of a machine from real tables, and from tables that are missing or broken.

use addr::{Bdf, PhysAddr, StreamId};
use tables::fadt::Conduit;
use tables::iort::amend::{RmrWish, amend, amended_len};
use tables::madt::{Gicd, Gicr, Its};
use tables::mcfg::EcamRegion;
use tables::spcr::{Console, UartKind};
use tables::{Finding, Platform, Severity, Tables};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../ci/fixtures/tables/qemu-virt/", $name, ".aml"))
    };
}

/// A FADT of ACPI 6.3 with these ARM boot flags.
fn fadt(minor: u8, arm_boot_arch: u8) -> Vec<u8> {
    let mut bytes = vec![0; 276];
    bytes[..4].copy_from_slice(b"FACP");
    bytes[4..6].copy_from_slice(&276_u16.to_le_bytes());
    bytes[8] = if minor == 0 { 4 } else { 6 };
    bytes[129] = arm_boot_arch;
    bytes[131] = minor;
    with_checksum(bytes)
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[9] = 0;
    bytes[9] = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg();
    bytes
}

fn patched(bytes: &[u8], at: usize, patch: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + patch.len()].copy_from_slice(patch);
    with_checksum(bytes)
}

fn virt(fadt: &[u8]) -> Tables<'_> {
    Tables {
        iort: Some(fixture!("IORT")),
        mcfg: Some(fixture!("MCFG")),
        spcr: Some(fixture!("SPCR")),
        dbg2: Some(fixture!("DBG2")),
        gtdt: Some(fixture!("GTDT")),
        madt: Some(fixture!("APIC")),
        fadt: Some(fadt),
    }
}

fn read<'a>(tables: &Tables<'a>) -> (Platform<'a>, Vec<Finding>) {
    let mut findings = Vec::new();
    let platform = Platform::from_tables(tables, &mut |finding| findings.push(finding));
    (platform, findings)
}

fn ids(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(Finding::id).collect()
}

#[test]
fn qemu_virt_is_read_as_a_whole() {
    let fadt = fadt(3, 3);
    let (platform, findings) = read(&virt(&fadt));
    assert_eq!(ids(&findings), [""; 0]);
    let smmu = platform.smmus[0];
    assert_eq!((platform.smmus.len(), smmu.base, smmu.coherent_override), (1, PhysAddr(0x0905_0000), Some(true)));
    let region = EcamRegion { base: PhysAddr(0x40_1000_0000), segment: 0, first_bus: 0, last_bus: 255 };
    assert_eq!(platform.ecam.as_slice(), [region]);
    assert_eq!(platform.config_space(Bdf::new(0, 1, 2, 3)), Some(PhysAddr(0x40_1011_3000)));
    assert_eq!(platform.config_space(Bdf::new(1, 1, 2, 3)), None);
    let console =
        Console { kind: UartKind::Pl011, base: PhysAddr(0x0900_0000), access_bytes: 4, stride: 0, gsiv: Some(33) };
    assert_eq!(platform.console, Some(console));
    assert_eq!(platform.gic.distributor, Some(Gicd { base: PhysAddr(0x0800_0000), version: 3 }));
    let redistributors = Gicr { base: PhysAddr(0x080a_0000), bytes: 0xf6_0000 };
    assert_eq!(platform.gic.redistributors.as_slice(), [redistributors]);
    assert_eq!(platform.gic.its.as_slice(), [Its { id: 0, base: PhysAddr(0x0808_0000) }]);
    assert_eq!(platform.gic.cpus.iter().map(|cpu| (cpu.mpidr, cpu.is_enabled)).collect::<Vec<_>>().len(), 4);
    assert_eq!(platform.psci, Conduit::Hvc);
    let timers = platform.timers.unwrap();
    let gsivs = [timers.secure_el1, timers.non_secure_el1, timers.virtual_el1, timers.el2].map(|timer| timer.gsiv);
    assert_eq!((gsivs, timers.virtual_el2), ([29, 30, 27, 26], None));
    let stream = platform.resolve(Bdf::new(0, 0, 2, 0)).smmu.unwrap();
    assert_eq!((stream.stream, platform.smmu_of(&stream)), (StreamId(0x10), Some(0)));
}

#[test]
fn amended_range_belongs_to_its_stream_alone() {
    let firmware = fixture!("IORT");
    let wish = RmrWish { stream: StreamId(0x18), smmu: 72, base: PhysAddr(0x5000_0000), bytes: 0x2_0000 };
    let mut out = vec![0; amended_len(firmware)];
    let length = amend(firmware, &wish, &mut out).unwrap();
    let fadt = fadt(3, 1);
    let (platform, findings) = read(&Tables { iort: Some(&out[..length]), ..virt(&fadt) });
    assert_eq!(ids(&findings), [""; 0]);
    let [range] = platform.rmrs[..] else { panic!("one range") };
    assert_eq!((range.base, range.bytes, range.smmu), (wish.base, wish.bytes, 0));
    assert!(range.covers(0, StreamId(0x18)) && !range.covers(0, StreamId(0x19)) && !range.covers(1, StreamId(0x18)));
    assert_eq!(platform.psci, Conduit::Smc);
}

#[test]
fn missing_tables_are_findings_and_the_rest_goes_on() {
    let (platform, findings) = read(&Tables { mcfg: Some(fixture!("MCFG")), ..Tables::default() });
    assert_eq!(platform.ecam.len(), 1);
    assert!(platform.smmus.is_empty() && platform.console.is_none() && platform.timers.is_none());
    let missing: Vec<_> = findings.iter().map(|finding| (finding.id(), finding.table)).collect();
    let expected = [*b"IORT", *b"SPCR", *b"GTDT", *b"APIC", *b"FACP"].map(|table| ("W_TABLE_MISSING", table));
    assert_eq!(missing, expected);
}

#[test]
fn debug_port_stands_in_for_a_missing_console() {
    let fadt = fadt(3, 3);
    let (platform, findings) = read(&Tables { spcr: None, ..virt(&fadt) });
    assert_eq!(ids(&findings), ["W_TABLE_MISSING"]);
    let console =
        Console { kind: UartKind::Pl011, base: PhysAddr(0x0900_0000), access_bytes: 4, stride: 0, gsiv: None };
    assert_eq!(platform.console, Some(console));
}

#[test]
fn console_types_and_access_sizes() {
    let spcr = |at: usize, patch: &[u8]| {
        let bytes = patched(fixture!("SPCR"), at, patch);
        let (platform, findings) = read(&Tables { spcr: Some(&bytes), ..Tables::default() });
        let of_spcr: Vec<_> = findings.into_iter().filter(|finding| &finding.table == b"SPCR").collect();
        (platform.console.map(|console| (console.kind, console.access_bytes)), ids(&of_spcr))
    };
    assert_eq!(spcr(36, &[0x0e]), (Some((UartKind::Sbsa, 4)), vec![]));
    assert_eq!(spcr(36, &[0x0d]), (Some((UartKind::Sbsa, 4)), vec![]));
    assert_eq!(spcr(36, &[0x02]), (None, vec!["W_CONSOLE_TYPE"]));
    assert_eq!(spcr(43, &[2]), (Some((UartKind::Pl011, 2)), vec![]));
    assert_eq!(spcr(43, &[9]), (Some((UartKind::Pl011, 4)), vec!["W_CONSOLE_ACCESS"]));
    assert_eq!(spcr(44, &[0; 8]), (None, vec!["E_CONSOLE_ADDRESS"]));
    assert_eq!(spcr(40, &[1]), (None, vec!["E_CONSOLE_ADDRESS"]));
}

/// Address structure: register width, then offset, then access size.
#[test]
fn registers_of_a_16550_have_a_width_and_a_distance() {
    let spcr = |interface: u8, width: u8, access: u8| {
        let bytes = patched(&patched(fixture!("SPCR"), 36, &[interface]), 41, &[width, 0, access]);
        let (platform, findings) = read(&Tables { spcr: Some(&bytes), ..Tables::default() });
        let of_spcr: Vec<_> = findings.into_iter().filter(|finding| &finding.table == b"SPCR").collect();
        let console = platform.console.unwrap();
        assert_eq!(console.kind, UartKind::Ns16550);
        ((console.access_bytes, console.stride), ids(&of_spcr))
    };
    for interface in [0x00, 0x01, 0x12] {
        assert_eq!(spcr(interface, 8, 1), ((1, 1), vec![]));
        assert_eq!(spcr(interface, 32, 3), ((4, 4), vec![]));
        assert_eq!(spcr(interface, 32, 1), ((1, 4), vec![]));
        assert_eq!(spcr(interface, 64, 3), ((4, 8), vec![]));
        assert_eq!(spcr(interface, 0, 0), ((1, 1), vec![]));
        assert_eq!(spcr(interface, 16, 0), ((2, 2), vec![]));
        assert_eq!(spcr(interface, 8, 3), ((4, 4), vec!["W_CONSOLE_STRIDE"]));
        assert_eq!(spcr(interface, 24, 1), ((1, 1), vec!["W_CONSOLE_STRIDE"]));
        assert_eq!(spcr(interface, 64, 4), ((1, 8), vec!["W_CONSOLE_ACCESS"]));
    }
    // The debug port's subtype is the same number, and its address structure is at 66.
    let dbg2 = patched(&patched(fixture!("DBG2"), 44 + 14, &[0x12, 0]), 44 + 22 + 1, &[32, 0, 3]);
    let (platform, _) = read(&Tables { dbg2: Some(&dbg2), ..Tables::default() });
    let console = platform.console.map(|console| (console.kind, console.access_bytes, console.stride));
    assert_eq!(console, Some((UartKind::Ns16550, 4, 4)));
}

#[test]
fn zero_length_records_end_the_walk() {
    // The second GICC of the MADT is at 44 + 24 + 80; its length is its second byte.
    let madt = patched(fixture!("APIC"), 149, &[0]);
    let (platform, findings) = read(&Tables { madt: Some(&madt), ..Tables::default() });
    assert!(ids(&findings).contains(&"E_RECORD_LEN_ZERO"));
    assert_eq!((platform.gic.cpus.len(), platform.gic.distributor.is_some()), (1, true));
    // The device record of the DBG2 is at 44.
    let dbg2 = patched(fixture!("DBG2"), 45, &[0, 0]);
    let (platform, findings) = read(&Tables { dbg2: Some(&dbg2), ..Tables::default() });
    assert!(ids(&findings).contains(&"E_RECORD_LEN_ZERO") && platform.console.is_none());
    // A GTDT that claims four billion platform timers where its own fields are.
    let gtdt = patched(fixture!("GTDT"), 88, &[0xff, 0xff, 0xff, 0xff, 96, 0, 0, 0]);
    let (platform, findings) = read(&Tables { gtdt: Some(&gtdt), ..Tables::default() });
    assert!(ids(&findings).contains(&"E_RECORD_LEN_ZERO") && platform.timers.is_some());
}

#[test]
fn watchdogs_are_read() {
    let mut gtdt = fixture!("GTDT").to_vec();
    gtdt[4] += 28;
    gtdt[88] = 1;
    gtdt[92] = 104;
    let mut watchdog = [0; 28];
    watchdog[..2].copy_from_slice(&[1, 28]);
    watchdog[4..6].copy_from_slice(&[0, 0x50]);
    watchdog[12..14].copy_from_slice(&[0, 0x60]);
    watchdog[20] = 48;
    gtdt.extend(watchdog);
    let gtdt = with_checksum(gtdt);
    let (platform, _) = read(&Tables { gtdt: Some(&gtdt), ..Tables::default() });
    let [watchdog] = platform.watchdogs[..] else { panic!("one watchdog") };
    assert_eq!((watchdog.refresh.0, watchdog.control.0, watchdog.interrupt.gsiv), (0x5000, 0x6000, 48));
    assert!(!watchdog.is_secure());
    let mut secure = watchdog;
    secure.interrupt.flags = 0b100;
    assert!(secure.is_secure());
}

#[test]
fn redistributors_come_from_the_cpus_where_no_range_is_named() {
    // The GICR record at 0x184 becomes a structure of another kind; the first CPU has an address of its own.
    let madt = patched(fixture!("APIC"), 0x184, &[0x0d]);
    let (platform, findings) = read(&Tables { madt: Some(&madt), ..Tables::default() });
    assert!(ids(&findings).contains(&"W_GIC_NO_REDISTRIBUTOR") && platform.gic.redistributors.is_empty());
    let madt = patched(&madt, 68 + 60, &[0, 0, 0x0a, 0x08]);
    let (platform, findings) = read(&Tables { madt: Some(&madt), ..Tables::default() });
    assert!(!ids(&findings).contains(&"W_GIC_NO_REDISTRIBUTOR"));
    let range = Gicr { base: PhysAddr(0x080a_0000), bytes: 0x2_0000 };
    assert_eq!(platform.gic.redistributors.as_slice(), [range]);
}

#[test]
fn psci_needs_its_flag_and_a_new_enough_table() {
    let conduit = |minor, flags| {
        let fadt = fadt(minor, flags);
        let (platform, findings) = read(&Tables { fadt: Some(&fadt), ..Tables::default() });
        let of_fadt: Vec<_> = findings.into_iter().filter(|finding| &finding.table == b"FACP").collect();
        (platform.psci, ids(&of_fadt))
    };
    assert_eq!(conduit(3, 1), (Conduit::Smc, vec![]));
    assert_eq!(conduit(3, 3), (Conduit::Hvc, vec![]));
    assert_eq!(conduit(3, 2), (Conduit::None, vec!["W_PSCI_NONE"]));
    assert_eq!(conduit(0, 1), (Conduit::Smc, vec!["W_FADT_REVISION"]));
}

#[test]
fn ecam_oddities_are_named() {
    let mcfg = |at: usize, patch: &[u8]| {
        let bytes = patched(fixture!("MCFG"), at, patch);
        let (platform, findings) = read(&Tables { mcfg: Some(&bytes), ..Tables::default() });
        let of_mcfg: Vec<_> = findings.into_iter().filter(|finding| &finding.table == b"MCFG").collect();
        (platform.ecam.len(), ids(&of_mcfg))
    };
    assert_eq!(mcfg(54, &[3, 2]), (0, vec!["E_ECAM_BUSES", "W_ECAM_NONE"]));
    assert_eq!(mcfg(44, &[0; 8]), (0, vec!["E_ECAM_BASE", "W_ECAM_NONE"]));
    assert_eq!(mcfg(44, &[0xff; 8]), (0, vec!["E_ECAM_BASE", "W_ECAM_UNALIGNED", "W_ECAM_NONE"]));
    let mut twice = fixture!("MCFG").to_vec();
    twice.extend_from_within(44..);
    twice[4] += 16;
    let twice = with_checksum(twice);
    let (_, findings) = read(&Tables { mcfg: Some(&twice), ..Tables::default() });
    assert!(ids(&findings).contains(&"W_ECAM_OVERLAP"));
}

/// Real tables other than IORTs have no truth files; what can be told is that each is read, and what is wrong with it.
#[test]
fn other_tables_of_the_corpus_are_read() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if !corpus.is_dir() {
        println!("no corpus beside the checkout: nothing read");
        return;
    }
    let (mut read_tables, mut usable) = (0, 0);
    let mut folders = vec![corpus];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let bytes = std::fs::read(&path).unwrap();
            let mut tables = Tables::default();
            let slot = match name {
                "APIC.aml" => &mut tables.madt,
                "GTDT.aml" => &mut tables.gtdt,
                "MCFG.aml" => &mut tables.mcfg,
                "SPCR.aml" => &mut tables.spcr,
                "DBG2.aml" => &mut tables.dbg2,
                "FACP.aml" => &mut tables.fadt,
                _ => continue,
            };
            *slot = Some(&bytes);
            let (platform, findings) = read(&tables);
            read_tables += 1;
            let is_qemu = path.components().any(|part| part.as_os_str() == "qemu-virt");
            for finding in findings.iter().filter(|finding| finding.id() != "W_TABLE_MISSING") {
                println!("{}: {finding}", path.display());
                assert!(!is_qemu || finding.severity() < Severity::Error, "{}: {finding}", path.display());
            }
            usable += u32::from(
                !platform.ecam.is_empty()
                    || platform.console.is_some()
                    || platform.timers.is_some()
                    || platform.gic.distributor.is_some(),
            );
        }
    }
    println!("read {read_tables} tables, {usable} of them name something that can be used");
    assert!(read_tables > 0 && usable > 0, "the corpus is there and nothing was read");
}
