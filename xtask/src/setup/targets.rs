//! The board targets' `core`. rustup brings it; where rustup cannot download, a cached or freshly built one is named to cargo.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::build::{BARE_TARGET, UEFI_TARGET};
use crate::{exit, workspace};

/// The targets of the two images.
pub const TARGETS: [&str; 2] = [UEFI_TARGET, BARE_TARGET];
/// First line of a configuration that this tool wrote and may rewrite.
const MARK: &str = "# Written by `cargo xtask`: rustup could not install the board targets here.";

/// Where the targets' `core` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// In the toolchain.
    Installed,
    /// In a folder that `.cargo/local.toml` names.
    Named(PathBuf),
    /// Nowhere yet.
    Missing,
}

/// How a missing `core` would be got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// It was built before.
    Cache(PathBuf),
    /// By this script, which prints the folder.
    Seed(PathBuf),
    /// By rustup.
    Rustup,
    /// Not from here.
    None,
}

/// Finds the targets' `core`.
pub fn state() -> State {
    if TARGETS.iter().all(|target| toolchain_folder(target).is_some_and(|folder| has_core(&folder))) {
        return State::Installed;
    }
    let text = std::fs::read_to_string(config()).unwrap_or_default();
    match named_folder(&text) {
        Some(folder) if TARGETS.iter().all(|target| has_core(&library(&folder, target))) => State::Named(folder),
        _ => State::Missing,
    }
}

/// How a missing `core` would be got here.
pub fn way() -> Way {
    let cached = seeded().filter(|folder| TARGETS.iter().all(|target| has_core(&library(folder, target))));
    if let Some(folder) = cached {
        return Way::Cache(folder);
    }
    let seed = workspace::root().join("../shared/toolchain/seed-std");
    if seed.is_file() {
        return Way::Seed(seed);
    }
    let may_download = std::env::var_os("RUSTUP_AUTO_INSTALL").is_none_or(|value| value != "0");
    if may_download && super::system::in_path("rustup") { Way::Rustup } else { Way::None }
}

/// The command that brings the targets on a machine with rustup.
pub fn rustup_command() -> String {
    format!("rustup target add {}", TARGETS.join(" "))
}

/// Makes the targets' `core` available. Nothing happens where rustup has brought it.
pub fn ensure() -> anyhow::Result<()> {
    if state() != State::Missing {
        return Ok(());
    }
    let folder = match way() {
        Way::Cache(folder) => folder,
        Way::Seed(script) => seed(&script)?,
        Way::Rustup => return run_rustup(),
        Way::None => {
            return Err(exit::host_lacks(format!(
                "`core` for {} is missing and cannot be fetched from here; run `{}`",
                TARGETS.join(" and "),
                rustup_command()
            )));
        }
    };
    let text = local_config(&folder)?;
    std::fs::write(config(), text).with_context(|| format!("cannot write {}", config().display()))?;
    if state() == State::Missing {
        return Err(exit::host_lacks(format!("{} holds no `core` for the board targets", folder.display())));
    }
    crate::exit::tell!("board targets: `core` from {}, named in .cargo/local.toml", folder.display());
    Ok(())
}

fn seed(script: &Path) -> anyhow::Result<PathBuf> {
    crate::exit::tell!("board targets: building `core` with {} (about a minute, once)", script.display());
    let output = Command::new(script)
        .current_dir(workspace::root())
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", script.display()))?;
    let folder = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().trim().to_owned();
    if !output.status.success() || folder.is_empty() {
        return Err(exit::host_lacks(format!("{} failed ({})", script.display(), output.status)));
    }
    Ok(folder.into())
}

fn run_rustup() -> anyhow::Result<()> {
    crate::exit::tell!("board targets: {}", rustup_command());
    let status = Command::new("rustup").args(["target", "add"]).args(TARGETS).current_dir(workspace::root()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(exit::host_lacks(format!("`{}` failed; run it where it can download", rustup_command()))),
    }
}

fn config() -> PathBuf {
    workspace::root().join(".cargo/local.toml")
}

/// The folder where the script leaves `core`, unless told otherwise.
fn seeded() -> Option<PathBuf> {
    cache().map(|cache| cache.join(format!("rust-{}.0-bare-metal", env!("CARGO_PKG_RUST_VERSION"))))
}

/// The user's cache folder.
pub fn cache() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
}

fn toolchain_folder(target: &str) -> Option<PathBuf> {
    let mut command = Command::new("rustc");
    command.args(["--print", "target-libdir", "--target", target]).current_dir(workspace::root());
    let output = command.stderr(Stdio::null()).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| folder.trim().into())
}

fn library(folder: &Path, target: &str) -> PathBuf {
    folder.join("lib/rustlib").join(target).join("lib")
}

fn has_core(folder: &Path) -> bool {
    let is_core = |name: &str| name.starts_with("libcore-") && name.ends_with(".rlib");
    std::fs::read_dir(folder)
        .is_ok_and(|mut files| files.any(|file| file.is_ok_and(|file| file.file_name().to_str().is_some_and(is_core))))
}

/// The folder in a configuration such as [`local_config`] writes, or a user by hand.
fn named_folder(text: &str) -> Option<PathBuf> {
    let end = format!("/lib/rustlib/{UEFI_TARGET}/lib");
    let mut quoted = text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| line.split('"'));
    quoted.find_map(|part| part.strip_suffix(&end)).map(PathBuf::from)
}

fn local_config(folder: &Path) -> anyhow::Result<String> {
    let folder = folder.to_str().filter(|text| !text.contains(['"', '\\']));
    let folder = folder.context("the cache folder's name cannot stand in a cargo configuration")?;
    let mut text = format!("{MARK}\n");
    for target in TARGETS {
        let flags = format!("[\"-L\", \"{folder}/lib/rustlib/{target}/lib\"]");
        text.push_str(&format!("[target.{target}]\nrustflags = {flags}\nrustdocflags = {flags}\n"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_the_folder_for_both_targets() {
        let text = local_config(Path::new("/c/std")).unwrap();
        for target in TARGETS {
            assert_eq!(text.matches(&format!("\"/c/std/lib/rustlib/{target}/lib\"")).count(), 2, "{text}");
        }
        assert_eq!(named_folder(&text), Some("/c/std".into()));
    }

    #[test]
    fn a_configuration_without_the_folder_names_none() {
        assert_eq!(named_folder(""), None);
        assert_eq!(named_folder("# \"/x/lib/rustlib/aarch64-unknown-uefi/lib\"\n"), None);
    }

    #[test]
    fn a_folder_that_would_break_the_configuration_is_refused() {
        assert!(local_config(Path::new("/a\"b")).is_err());
    }

    #[test]
    fn a_folder_without_core_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!has_core(folder.path()));
        std::fs::write(folder.path().join("libcore-1.rlib"), "").unwrap();
        assert!(has_core(folder.path()));
    }
}
