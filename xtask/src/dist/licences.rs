//! The licences of what others wrote and the images hold, and the source of what is under copyleft.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::crates::{Id, Linked};
use super::{put, read};
use crate::build::paths;
use crate::exit::host_lacks;

/// How such files begin, in capitals.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// Puts them below `licences/`, with a list of all; and packages under the Mozilla Public License below `sources/`: whoever gets
/// the image can get their source by that (MPL 2.0, 3.2).
pub fn put_all(folder: &Path, crates: &BTreeMap<Id, Linked>) -> anyhow::Result<()> {
    let mut list = String::from(HEAD);
    for ((name, version), linked) in crates {
        if linked.checksum.is_none() {
            continue;
        }
        let files = texts(&linked.folder)?;
        for file in &files {
            let text = read(&linked.folder.join(file))?;
            put(folder, &format!("licences/{name}-{version}/{file}"), &text)?;
        }
        let source = if linked.licence.contains("MPL") {
            let file = format!("{name}-{version}.crate");
            put(folder, &format!("sources/{file}"), &read(&package(&file)?)?)?;
            format!("`sources/{file}`")
        } else {
            linked.repository.clone().unwrap_or_default()
        };
        let texts = if files.is_empty() { "none in its package".to_owned() } else { files.join(", ") };
        list += &format!("| {name} | {version} | {} | {texts} | {source} |\n", linked.licence);
    }
    put(folder, "licences/README.md", list.as_bytes())
}

const HEAD: &str = "\
# Licences

inflight is under MIT OR Apache-2.0 (`LICENSE-MIT`, `LICENSE-APACHE`). The images hold code of these crates, unmodified, and of Rust's
`core` and `alloc` (MIT OR Apache-2.0).

| crate | version | licence | texts, in the folder of its name | source |
|---|---|---|---|---|
";

fn texts(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let files = entries.flatten().filter(|entry| entry.path().is_file());
    let names = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_licence = |name: &String| NAMES.iter().any(|start| name.to_uppercase().starts_with(start));
    let mut texts: Vec<String> = names.filter(is_licence).collect();
    texts.sort();
    Ok(texts)
}

/// A package as cargo has downloaded it.
fn package(file: &str) -> anyhow::Result<PathBuf> {
    let caches = std::fs::read_dir(paths::cargo_home().join("registry/cache")).into_iter().flatten().flatten();
    let found = caches.map(|cache| cache.path().join(file)).find(|path| path.is_file());
    found.ok_or_else(|| host_lacks(format!("{file} is not in cargo's cache; run `cargo fetch`")))
}
