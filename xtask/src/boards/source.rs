//! Where a fact comes from, so that one machine's tables can be told from another's.

use sha2::{Digest, Sha256};
use tables::sdt::{Maker, Sdt};

use crate::iort::describe::text_of;
use crate::iort::dump::Table;

/// The vendor's words for a machine, without their padding.
pub fn machine(bytes: &[u8]) -> String {
    let Some(maker) = Maker::of(bytes) else { return String::new() };
    let word = |bytes: &[u8]| text_of(bytes).replace("\\x00", "").trim().to_owned();
    format!("{} {}", word(&maker.id), word(&maker.table_id))
}

/// Which table it is, so that another one of the same machine can be told from it.
pub fn source(signature: [u8; 4], bytes: &[u8], name: &str) -> String {
    let sdt = Sdt::parse(bytes, signature, 0, &mut |_| {}).ok();
    let (bytes, revision) = sdt.map_or((bytes, 0), |sdt| (sdt.bytes, sdt.revision));
    let vendor = Maker::of(bytes).map_or(0, |maker| maker.revision);
    format!(
        "{} of {} (OEM revision {vendor:#x}, table revision {revision}, {} bytes, SHA-256 {}) in {name}",
        signature.escape_ascii(),
        machine(bytes),
        bytes.len(),
        digest(bytes)
    )
}

/// All tables that were read.
pub fn source_of_all(tables: &[Table], name: &str) -> String {
    let names: Vec<String> = tables.iter().map(|table| table.signature.escape_ascii().to_string()).collect();
    format!("{} in {name}", names.join(", "))
}

/// SHA-256, as the report and `sha256sum` have it.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
