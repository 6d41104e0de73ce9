//! `cargo xtask dist`: a release, as a folder and as an archive. The same checkout gives the same bytes everywhere.

mod again;
mod archive;
mod crates;
mod licences;
mod sbom;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::build::{self, Images};
use crate::cli::DistArgs;
use crate::exit::{Exit, say};
use crate::run::sha256;
use crate::{boards, workspace};

/// Version of all that is released together.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Its files: those that are started, and those that name what is in them.
const LOADER: &str = "inflight.efi";
const PLAIN: &str = "inflight-plain.efi";
const RAW: &str = "inflight.img";
const SBOM: &str = "inflight.cdx.json";
const SUMS: &str = "SHA256SUMS";

/// Runs the command.
pub fn run(args: &DistArgs) -> anyhow::Result<Exit> {
    let images = build::images()?;
    if args.check {
        again::compare(&images)?;
    }
    let out = workspace::output(&args.out);
    std::fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let work = tempfile::tempdir_in(&out).with_context(|| format!("cannot write in {}", out.display()))?;
    let name = format!("inflight-{VERSION}");
    let folder = work.path().join(&name);
    let time = source_date();
    fill(&folder, &images, time)?;
    let tar = work.path().join(format!("{name}.tar"));
    archive::write(&tar, &name, &folder, time)?;
    let [folder, tar] = [folder, tar].map(|from| replace(&from, &out, work.path()));
    let (folder, tar) = (folder?, tar?);
    say!("{}", folder.display());
    let files = archive::files(&folder)?;
    let is_shown = |path: &str| !["board-configs/", "licences/"].iter().any(|below| path.starts_with(below));
    files.iter().filter(|(path, _)| is_shown(path)).for_each(|(path, bytes)| say!("{bytes:>9} bytes  {path}"));
    say!("{}", tar.display());
    say!("{}  {}", sha256(&read(&tar)?), file_name(&tar));
    Ok(Exit::Pass)
}

/// Everything in its place, with the checksums last.
fn fill(folder: &Path, images: &Images, time: u64) -> anyhow::Result<()> {
    let crates = crates::linked()?;
    let [kdump, raw] = &images.elf;
    let files = [(&images.file, LOADER), (&images.primary, PLAIN), (&images.raw, RAW)];
    let mut digests = Vec::new();
    for (from, name) in files {
        let bytes = read(from)?;
        digests.push((name, sha256(&bytes)));
        put(folder, name, &bytes)?;
    }
    put(folder, "symbols/kdump.elf", &read(kdump)?)?;
    put(folder, "symbols/inflight.img.elf", &read(raw)?)?;
    for name in ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"] {
        put(folder, name, &read(&workspace::root().join(name))?)?;
    }
    for (name, bytes) in board_files()? {
        put(folder, &format!("board-configs/{name}"), &bytes)?;
    }
    licences::put_all(folder, &crates)?;
    put(folder, SBOM, &sbom::document(&crates, &digests, time)?)?;
    let mut sums = String::new();
    for (path, _) in archive::files(folder)? {
        sums += &format!("{}  {path}\n", sha256(&read(&folder.join(&path))?));
    }
    put(folder, SUMS, sums.as_bytes())
}

/// The boards and what their files hold, without the library that reads them.
fn board_files() -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let folder = boards::folder();
    let is_wanted = |name: &str| name == "README.md" || (name.ends_with(".toml") && !name.starts_with("board/"));
    let files = archive::files(&folder)?.into_iter().map(|(name, _)| name).filter(|name| is_wanted(name));
    files.map(|name| Ok((name.clone(), read(&folder.join(&name))?))).collect()
}

/// Seconds of all that carries a time: SOURCE_DATE_EPOCH as reproducible-builds.org defines it, or the commit's, or none.
fn source_date() -> u64 {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    let commit = || {
        let mut command = Command::new("git");
        command.args(["log", "-1", "--format=%ct"]).current_dir(workspace::root());
        let output = command.output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    given.or_else(commit).unwrap_or(0)
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(name);
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(&path, bytes)).with_context(|| format!("cannot write {}", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Moves what is whole to its place; what was there goes with the temporary folder.
fn replace(from: &Path, out: &Path, work: &Path) -> anyhow::Result<PathBuf> {
    let to = out.join(file_name(from));
    if to.exists() {
        let old = work.join(format!("old-{}", file_name(from)));
        std::fs::rename(&to, &old).with_context(|| format!("cannot replace {}", to.display()))?;
    }
    std::fs::rename(from, &to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(to)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
