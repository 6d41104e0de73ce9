//! Crates whose code is in the images: what cargo links for each image's own target and features. No dependency of a build
//! script, of a procedural macro or of a test is among them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context;
use serde::Deserialize;

use super::{LOADER, PLAIN, RAW, read};
use crate::build::{self, BARE_TARGET, UEFI_TARGET};
use crate::exit::usage;
use crate::workspace;

/// Name and version.
pub type Id = (String, String);

/// What each released file is linked of: packages, and for which target. The kdump image is inside of all.
pub const PARTS: [(&str, &[(&str, &str)]); 3] = [
    (LOADER, &[("loader", UEFI_TARGET), ("primary", UEFI_TARGET), ("kdump", BARE_TARGET)]),
    (PLAIN, &[("primary", UEFI_TARGET), ("kdump", BARE_TARGET)]),
    (RAW, &[("primary", BARE_TARGET), ("kdump", BARE_TARGET)]),
];

/// A crate in at least one of them.
#[derive(Clone, Debug)]
pub struct Linked {
    /// As SPDX has it.
    pub licence: String,
    pub description: String,
    pub repository: Option<String>,
    /// SHA-256 of the package; none of our own crates.
    pub checksum: Option<String>,
    /// Where its source is.
    pub folder: PathBuf,
    /// The released files that it is in.
    pub files: BTreeSet<&'static str>,
    /// The crates that it links.
    pub needs: BTreeSet<Id>,
}

/// All of them.
pub fn linked() -> anyhow::Result<BTreeMap<Id, Linked>> {
    let (packages, checksums) = (packages()?, checksums()?);
    let mut linked: BTreeMap<Id, Linked> = BTreeMap::new();
    let mut trees = BTreeMap::new();
    for (file, parts) in PARTS {
        for &(package, target) in parts {
            let tree = match trees.entry((package, target)) {
                Entry::Vacant(place) => place.insert(tree(package, target)?),
                Entry::Occupied(known) => known.into_mut(),
            };
            for (id, needs) in &*tree {
                if !linked.contains_key(id) {
                    let package = packages.iter().find(|package| (&package.name, &package.version) == (&id.0, &id.1));
                    let package = package.with_context(|| format!("cargo metadata does not know {} {}", id.0, id.1))?;
                    linked.insert(id.clone(), package.linked(checksums.get(id).cloned())?);
                }
                if let Some(linked) = linked.get_mut(id) {
                    linked.files.insert(file);
                    linked.needs.extend(needs.iter().cloned());
                }
            }
        }
    }
    Ok(linked)
}

/// What one package links for a target, with what each of that links.
fn tree(package: &str, target: &str) -> anyhow::Result<BTreeMap<Id, BTreeSet<Id>>> {
    let format = ["--prefix", "depth", "--format", "{p}", "--edges", "normal,no-proc-macro"];
    let text = cargo(&[&["tree", "--locked", "--package", package, "--target", target], &format[..]].concat())?;
    parse(&text).with_context(|| format!("cargo tree of {package}"))
}

/// Reads lines of depth, name, `v` and version, in the order of a walk.
pub fn parse(text: &str) -> anyhow::Result<BTreeMap<Id, BTreeSet<Id>>> {
    let mut tree: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
    let mut path: Vec<Id> = Vec::new();
    for line in text.lines() {
        let name = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let depth: usize = line[..line.len() - name.len()].parse().with_context(|| format!("no depth in `{line}`"))?;
        let mut words = name.split(' ');
        let id = words.next().zip(words.next().and_then(|word| word.strip_prefix('v')));
        let (name, version) = id.with_context(|| format!("no crate in `{line}`"))?;
        let id = (name.to_owned(), version.to_owned());
        path.truncate(depth);
        if let Some(above) = path.last() {
            tree.entry(above.clone()).or_default().insert(id.clone());
        }
        tree.entry(id.clone()).or_default();
        path.push(id);
    }
    anyhow::ensure!(!tree.is_empty(), "it names nothing");
    Ok(tree)
}

/// What `cargo metadata` says of a package.
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    description: Option<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
}

impl Package {
    fn linked(&self, checksum: Option<String>) -> anyhow::Result<Linked> {
        let name = &self.name;
        // Older manifests have `/` for OR, as cargo's reference says.
        let licence = self.license.as_deref().with_context(|| format!("{name} names no licence"))?.replace('/', " OR ");
        Ok(Linked {
            licence,
            description: self.description.as_deref().unwrap_or_default().trim().replace('\n', " "),
            repository: self.repository.clone(),
            checksum,
            folder: self.manifest_path.parent().map(PathBuf::from).unwrap_or_default(),
            files: BTreeSet::new(),
            needs: BTreeSet::new(),
        })
    }
}

fn packages() -> anyhow::Result<Vec<Package>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let text = cargo(&["metadata", "--locked", "--format-version", "1"])?;
    Ok(serde_json::from_str::<Metadata>(&text).context("cargo metadata")?.packages)
}

/// The lock file's digests.
fn checksums() -> anyhow::Result<BTreeMap<Id, String>> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        name: String,
        version: String,
        checksum: Option<String>,
    }
    let text = String::from_utf8(read(&workspace::root().join("Cargo.lock"))?).context("Cargo.lock")?;
    let lock: Lock = toml::from_str(&text).context("Cargo.lock")?;
    Ok(lock.package.into_iter().filter_map(|entry| Some(((entry.name, entry.version), entry.checksum?))).collect())
}

fn cargo(arguments: &[&str]) -> anyhow::Result<String> {
    let output = build::cargo().args(arguments).output().context("cannot start cargo")?;
    if output.status.success() {
        return String::from_utf8(output.stdout).context("cargo prints no text");
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().find(|line| line.starts_with("error")).unwrap_or_default().to_owned();
    Err(usage(format!("cargo {} failed: {said}", arguments.first().copied().unwrap_or_default())))
}
