//! Fuzz targets for every parser of firmware's bytes. What they call is `entry`, which the property tests of
//! `payload/tables` call as well, and `configuration`, which those of `payload/pci` call.

pub mod configuration;
pub mod entry;

#[allow(dead_code, reason = "a file of the host tool, which is no library")]
#[path = "../../../xtask/src/iort/dump.rs"]
mod dump;

/// The text of `acpidump`.
pub fn acpidump(bytes: &[u8]) {
    let _ = dump::is_dump(bytes);
    if let Ok(tables) = dump::tables(bytes) {
        // A byte takes two digits of the text.
        assert!(tables.iter().map(|table| table.bytes.len()).sum::<usize>() <= bytes.len() / 2);
    }
}
