//! What the images hold, as a CycloneDX 1.6 document: each released file with its digest, each crate in it with version, licence,
//! package URL and digest, Rust's own library, and who links whom.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context;
use serde_json::{Value, json};
use uuid::Uuid;

use super::VERSION;
use super::crates::{Id, Linked, PARTS};
use crate::build::paths;
use crate::run::utc;

/// Reference of Rust's `core` and `alloc`, which every crate links.
const RUST: &str = "rust-core-alloc";

/// The document. It depends on nothing but what is in it.
pub fn document(crates: &BTreeMap<Id, Linked>, files: &[(&str, String)], time: u64) -> anyhow::Result<Vec<u8>> {
    let release = format!("inflight-{VERSION}");
    let mut components: Vec<Value> = files.iter().map(|(name, sha256)| file(name, sha256)).collect();
    components.extend(crates.iter().map(|(id, linked)| library(id, linked)));
    components.push(rust()?);
    let mut links =
        vec![json!({ "ref": release, "dependsOn": files.iter().map(|(name, _)| name).collect::<Vec<_>>() })];
    for (name, parts) in PARTS {
        let own: Vec<_> =
            crates.keys().filter(|id| parts.iter().any(|(part, _)| *part == id.0)).map(reference).collect();
        links.push(json!({ "ref": name, "dependsOn": own }));
    }
    for (id, linked) in crates {
        let needs = linked.needs.iter().map(reference).chain([RUST.to_owned()]);
        links.push(json!({ "ref": reference(id), "dependsOn": needs.collect::<Vec<_>>() }));
    }
    links.push(json!({ "ref": RUST, "dependsOn": [] }));
    let digests: String = files.iter().map(|(_, sha256)| sha256.as_str()).collect();
    let document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        // The same images have the same number.
        "serialNumber": format!("urn:uuid:{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, digests.as_bytes())),
        "version": 1,
        "metadata": {
            "timestamp": utc(UNIX_EPOCH + Duration::from_secs(time)),
            "lifecycles": [{ "phase": "build" }],
            "tools": { "components": [{ "type": "application", "name": "inflight xtask", "version": VERSION }] },
            "component": {
                "type": "firmware",
                "bom-ref": release,
                "name": "inflight",
                "version": VERSION,
                "licenses": [{ "expression": env!("CARGO_PKG_LICENSE") }],
            },
        },
        "components": components,
        "dependencies": links,
    });
    let mut text = serde_json::to_vec_pretty(&document).context("SBOM")?;
    text.push(b'\n');
    Ok(text)
}

fn reference((name, version): &Id) -> String {
    format!("{name}@{version}")
}

fn file(name: &str, sha256: &str) -> Value {
    json!({
        "type": "firmware",
        "bom-ref": name,
        "name": name,
        "version": VERSION,
        "hashes": [{ "alg": "SHA-256", "content": sha256 }],
        "licenses": [{ "expression": env!("CARGO_PKG_LICENSE") }],
    })
}

fn library(id: &Id, linked: &Linked) -> Value {
    let (name, version) = id;
    let mut library = json!({
        "type": "library",
        "bom-ref": reference(id),
        "name": name,
        "version": version,
        "scope": "required",
        "licenses": [{ "expression": linked.licence }],
        "properties": linked.files.iter().map(|file| json!({ "name": "inflight:file", "value": file })).collect::<Vec<_>>(),
    });
    if !linked.description.is_empty() {
        library["description"] = json!(linked.description);
    }
    // Our own crates are published nowhere.
    if let Some(checksum) = &linked.checksum {
        library["purl"] = json!(format!("pkg:cargo/{name}@{version}"));
        library["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(repository) = &linked.repository {
        library["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    library
}

/// The library that comes with the compiler.
fn rust() -> anyhow::Result<Value> {
    let text = paths::rustc(&["--version", "--verbose"]).context("rustc does not tell its version")?;
    let told = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let version = told("release:").context("rustc tells no release")?;
    Ok(json!({
        "type": "library",
        "bom-ref": RUST,
        "name": "rust core and alloc",
        "version": version,
        "scope": "required",
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
        "purl": format!("pkg:generic/rust@{version}"),
        "properties": [{ "name": "inflight:commit", "value": told("commit-hash:").unwrap_or_default() }],
    }))
}
