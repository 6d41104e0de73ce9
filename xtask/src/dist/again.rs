//! The images once more: from a copy of the checkout in another folder, with other names of home and cargo's own folder, and from
//! nothing. What differs is a name or a time that got into an image.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use super::read;
use crate::build::{Images, paths};
use crate::exit::{host_lacks, say, unexpected};
use crate::workspace;

/// Builds them and compares.
///
/// # Errors
/// Names the first byte that differs.
pub fn compare(images: &Images) -> anyhow::Result<()> {
    let work = tempfile::tempdir().context("cannot create a temporary folder")?;
    // Other lengths, and a blank.
    let [checkout, home] = ["a copy of it", "home"].map(|name| work.path().join(name));
    copy(&checkout)?;
    let cargo = home.join("of cargo");
    share(&cargo)?;
    let target = checkout.join("target");
    say!("building the images again in {}", checkout.display());
    let environment = [
        (workspace::CHECKOUT_VARIABLE, checkout.clone().into_os_string()),
        ("CARGO_TARGET_DIR", target.clone().into_os_string()),
        ("HOME", home.clone().into_os_string()),
        ("CARGO_HOME", cargo.into_os_string()),
        ("RUSTUP_HOME", rustup_home()),
    ];
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command.arg("build").stdin(Stdio::null()).stdout(Stdio::null()).envs(environment);
    let status = command.status().context("cannot start this program again")?;
    anyhow::ensure!(status.success(), "the images do not build in {} ({status})", checkout.display());
    for one in [&images.kdump, &images.primary, &images.file, &images.raw].into_iter().chain(&images.elf) {
        let inside = one.strip_prefix(workspace::target()).context("an image outside of the target folder")?;
        if let Some(at) = difference(&read(one)?, &read(&target.join(inside))?) {
            return Err(unexpected(format!("{} is not reproducible: byte {at:#x} differs", one.display())));
        }
    }
    say!("the second build is equal, byte for byte");
    Ok(())
}

/// The files that git tracks or would add, and where `core` is.
fn copy(to: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("git");
    command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(workspace::root());
    let output = command.output().ok().filter(|output| output.status.success());
    let output = output.ok_or_else(|| host_lacks("--check takes git and a checkout of it"))?;
    let text = String::from_utf8(output.stdout).context("a file's name is no text")?;
    let names = text.split('\0').filter(|name| !name.is_empty()).chain([".cargo/local.toml"]);
    for name in names {
        let (from, to) = (workspace::root().join(name), to.join(name));
        // Deleted, and not yet committed; or not needed here.
        if !from.is_file() {
            continue;
        }
        let made = to.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::copy(&from, &to)).with_context(|| format!("cannot copy {name}"))?;
    }
    Ok(())
}

/// A folder of cargo by another name, with all that is in the user's: nothing is downloaded again. Only the sources that the
/// images take are unpacked once more: behind a link the compiler would see where they are.
fn share(folder: &Path) -> anyhow::Result<()> {
    let own = paths::cargo_home();
    link_all(&own, folder, "registry")?;
    link_all(&own.join("registry"), &folder.join("registry"), "src")?;
    // The build's flags name these folders before anything is in them.
    for registry in std::fs::read_dir(own.join("registry/src")).into_iter().flatten().flatten() {
        let to = folder.join("registry/src").join(registry.file_name());
        std::fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
    }
    Ok(())
}

/// Links to everything in `from`, but for one name.
fn link_all(from: &Path, to: &Path, but: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let entries = std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries.flatten().filter(|entry| entry.file_name() != but) {
        let link = std::os::unix::fs::symlink(entry.path(), to.join(entry.file_name()));
        link.with_context(|| format!("cannot link to {}", entry.path().display()))?;
    }
    Ok(())
}

fn rustup_home() -> OsString {
    let home = || std::env::home_dir().map(|home: PathBuf| home.join(".rustup").into_os_string());
    std::env::var_os("RUSTUP_HOME").or_else(home).unwrap_or_default()
}

/// The first byte in which two files differ, or at which one of them ends.
pub fn difference(one: &[u8], other: &[u8]) -> Option<usize> {
    let first = one.iter().zip(other).position(|(one, other)| one != other);
    first.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))
}
