//! The IORT in force, and the machine that the tables describe.

use crate::{
    firmware::{Description, Firmware, Found, Given, Purpose, Reserved},
    notes::Notes,
    rmr_checks,
};
use addr::PhysAddr;
use alloc::{boxed::Box, format, string::String, vec, vec::Vec};
use scenario::options::RunOptions;
use sha2::{Digest, Sha256};
use tables::{
    Platform, Tables,
    devicetree::{Devicetree, Window},
    iort::{
        Iort,
        amend::{RmrWish, amend, amended_len},
    },
};
use wire::record::{IortOrigin, Severity};

/// Devices with 32 address bits must reach their windows.
const BELOW_4G: u64 = 0xffff_ffff;

/// Memory that devices with 32 address bits reach, or any where the machine has none of it: then those devices stay out.
pub(crate) fn reserve_low(
    firmware: &mut dyn Firmware,
    what: &str,
    bytes: u64,
    purpose: Purpose,
    notes: &mut Notes,
) -> Result<Reserved, String> {
    firmware.reserve(what, bytes, 0x1_0000, BELOW_4G, purpose).or_else(|why| {
        let range = firmware.reserve(what, bytes, 0x1_0000, u64::MAX, purpose).map_err(|_| why)?;
        let text = format!("{what} lie at {}: no device with 32 address bits reaches them", range.start);
        notes.add(Severity::Note, "platform", "no-memory-below-4g", text);
        Ok(range)
    })
}

/// The IORT that this boot works with.
pub(crate) struct IortInForce {
    pub(crate) origin: IortOrigin,
    pub(crate) firmware_sha256: Option<[u8; 32]>,
    pub(crate) bytes: &'static [u8],
}

impl IortInForce {
    /// SHA-256 of the table in force.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.bytes).into()
    }
}

/// The machine, and the ranges that were reserved for its RMRs.
pub(crate) struct Described {
    pub(crate) platform: Platform<'static>,
    pub(crate) iort: Option<IortInForce>,
    /// The firmware's devicetree, where it describes the machine by one.
    pub(crate) devicetree: &'static [u8],
    /// RMR ranges that are ours to be written by DMA.
    pub(crate) rmr_ranges: Vec<Reserved>,
    /// What host bridges pass to their buses; none where firmware has given all addresses.
    pub(crate) windows: Vec<Window>,
}

/// Reads the tables; adds the board's RMR wishes to a copy of the IORT.
///
/// # Errors
/// One line where memory for an RMR is lacking. Bad tables are findings.
pub(crate) fn describe(
    firmware: &mut dyn Firmware,
    given: Given,
    options: &RunOptions,
    notes: &mut Notes,
) -> Result<Described, String> {
    let file = given.iort_file;
    let mut described = match given.description {
        Description::Acpi(found) => by_acpi(firmware, found, file, options, notes)?,
        Description::Devicetree(blob) => by_devicetree(firmware, blob.leak(), file, options, notes)?,
    };
    rmr_checks::memory(firmware, &described.platform, notes);
    claim_firmware_ranges(firmware, &described.platform, &mut described.rmr_ranges, notes);
    Ok(described)
}

fn by_acpi(
    firmware: &mut dyn Firmware,
    found: Result<Vec<Found>, String>,
    iort_file: Option<Box<[u8]>>,
    options: &RunOptions,
    notes: &mut Notes,
) -> Result<Described, String> {
    let found: &'static [Found] = match found {
        Ok(found) => found.leak(),
        Err(reason) => {
            notes.add(Severity::Error, "RSDP", "no-acpi-tables", reason);
            &[]
        }
    };
    let table = |signature: &[u8; 4]| {
        found.iter().find(|table| table.signature == *signature).map(|table| table.bytes.as_slice())
    };
    let own = table(b"IORT");
    let sha256 = own.map(|bytes| Sha256::digest(bytes).into());
    let own = own.map(|bytes| IortInForce { origin: IortOrigin::Firmware, firmware_sha256: sha256, bytes });
    let mut rmr_ranges = Vec::new();
    let iort = in_force(firmware, own, iort_file, options, &mut rmr_ranges, notes)?;
    let tables = Tables {
        iort: iort.as_ref().map(|iort| iort.bytes),
        mcfg: table(b"MCFG"),
        spcr: table(b"SPCR"),
        dbg2: table(b"DBG2"),
        gtdt: table(b"GTDT"),
        madt: table(b"APIC"),
        fadt: table(b"FACP"),
    };
    let platform = Platform::from_tables(&tables, &mut |finding| notes.table(finding));
    Ok(Described { platform, iort, devicetree: &[], rmr_ranges, windows: Vec::new() })
}

/// The same from a devicetree: what it says of SMMUs and host bridges becomes an IORT, which is then the one in force.
fn by_devicetree(
    firmware: &mut dyn Firmware,
    blob: &'static [u8],
    iort_file: Option<Box<[u8]>>,
    options: &RunOptions,
    notes: &mut Notes,
) -> Result<Described, String> {
    let tree = Devicetree::read(blob, &mut |finding| notes.table(finding));
    let tree = tree.map_err(|_| "the devicetree cannot be read")?;
    let bytes = tree.to_iort(&mut |finding| notes.table(finding)).leak();
    let own = Some(IortInForce { origin: IortOrigin::Devicetree, firmware_sha256: None, bytes });
    let mut rmr_ranges = Vec::new();
    let iort = in_force(firmware, own, iort_file, options, &mut rmr_ranges, notes)?;
    let bytes = iort.as_ref().map_or(&[][..], |iort| iort.bytes);
    let platform = Platform::from_devicetree(&tree, bytes, &mut |finding| notes.table(finding));
    let windows = tree.windows(&mut |finding| notes.table(finding));
    Ok(Described { platform, iort, devicetree: blob, rmr_ranges, windows })
}

/// The IORT of the user's, or else the machine's with the board's wishes.
fn in_force(
    firmware: &mut dyn Firmware,
    own: Option<IortInForce>,
    file: Option<Box<[u8]>>,
    options: &RunOptions,
    rmr_ranges: &mut Vec<Reserved>,
    notes: &mut Notes,
) -> Result<Option<IortInForce>, String> {
    // A boot loader may name an initrd that nobody asked for.
    let is_table = |file: &[u8]| file.starts_with(b"IORT");
    if file.as_ref().is_some_and(|file| !is_table(file)) {
        notes.add(
            Severity::Note,
            "IORT",
            "file-is-no-iort",
            "the file where an IORT would be is none, and was ignored",
        );
    }
    if let Some(file) = file.filter(|file| is_table(file)) {
        let firmware_sha256 = own.and_then(|own| own.firmware_sha256);
        return Ok(Some(IortInForce { origin: IortOrigin::File, firmware_sha256, bytes: Vec::from(file).leak() }));
    }
    own.map(|own| with_wishes(firmware, own, options, rmr_ranges, notes)).transpose()
}

/// Appends one RMR node for each wish whose stream no node of the firmware names.
fn with_wishes(
    firmware: &mut dyn Firmware,
    mut in_force: IortInForce,
    options: &RunOptions,
    rmr_ranges: &mut Vec<Reserved>,
    notes: &mut Notes,
) -> Result<IortInForce, String> {
    for wish in &options.rmrs {
        let Ok(iort) = Iort::parse(in_force.bytes, &mut |_| {}) else { return Ok(in_force) };
        let Some(smmu) = iort.resolve(wish.bdf).smmu else {
            let text = format!("rmr={}: the IORT leads this function to no SMMU, so no RMR node was added", wish.bdf);
            notes.add(Severity::Error, "IORT", "rmr-wish-without-smmu", text);
            continue;
        };
        let is_named = iort
            .rmrs()
            .flat_map(|rmr| rmr.streams())
            .any(|streams| streams.smmu.offset == smmu.offset && (streams.first..=streams.last).contains(&smmu.stream));
        if is_named {
            continue;
        }
        let range = reserve_low(firmware, "RMR ranges", wish.bytes, Purpose::Kept, notes)?;
        let node = RmrWish { stream: smmu.stream, smmu: smmu.offset, base: range.start, bytes: range.bytes };
        let mut amended = vec![0; amended_len(in_force.bytes)];
        match amend(in_force.bytes, &node, &mut amended) {
            Ok(length) => {
                amended.truncate(length);
                in_force.bytes = amended.leak();
                in_force.origin = IortOrigin::Amended;
                rmr_ranges.push(range);
            }
            Err(error) => {
                notes.add(Severity::Error, "IORT", "rmr-not-added", format!("rmr={}: {error}", wish.bdf));
            }
        }
    }
    Ok(in_force)
}

/// Takes the RMR ranges that the tables name and that are free memory. The others are findings, and no DMA of ours goes
/// there: something else may live in them.
fn claim_firmware_ranges(
    firmware: &mut dyn Firmware,
    platform: &Platform<'_>,
    ours: &mut Vec<Reserved>,
    notes: &mut Notes,
) {
    for range in &platform.rmrs {
        if ours.iter().any(|have| have.start == range.base && have.bytes == range.bytes) {
            continue;
        }
        match firmware.reserve_at(range.base, range.bytes) {
            Ok(reserved) => ours.push(reserved),
            Err(why) => {
                let (base, bytes) = (range.base, range.bytes);
                let text = format!(
                    "the RMR range of {bytes:#x} bytes at {base} is not free memory ({why}); no DMA is aimed at it"
                );
                notes.add(Severity::Warning, "IORT", "rmr-not-free", text);
            }
        }
    }
}

/// Whether `address` is the first of a usable RMR range of at least `bytes`.
pub(crate) fn is_usable(ranges: &[Reserved], address: PhysAddr, bytes: u64) -> bool {
    ranges.iter().any(|range| range.start == address && range.bytes >= bytes)
}
