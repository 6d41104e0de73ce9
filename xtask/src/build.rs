//! Builds the images: kdump as a flat container, the primary with that container inside, and the file that carries both, a
//! loader with the primary compressed; and the witness, a container for itself.

mod container;
mod elf;
pub mod paths;
mod raw;
pub mod told;

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use board::{Image, Qemu};

use crate::cli::BuildArgs;
use crate::exit::{self, Exit};
use crate::{setup, workspace};

/// Target of everything that firmware starts.
pub const UEFI_TARGET: &str = "aarch64-unknown-uefi";
/// Target of everything that starts without firmware: no FP register is touched before the traps on them are set up.
pub const BARE_TARGET: &str = "aarch64-unknown-none-softfloat";
/// Both images together stay below this.
pub const SIZE_GOAL: u64 = 256 * 1024;

/// Tells the primary's build which kdump image it carries.
pub const KDUMP_VARIABLE: &str = "INFLIGHT_KDUMP_IMAGE";
/// Tells the loader's build which compressed primary it carries.
pub const PRIMARY_VARIABLE: &str = "INFLIGHT_PRIMARY_IMAGE";
/// Names the file with both images for the build of `ci/left-running`.
const IMAGE_VARIABLE: &str = "INFLIGHT_IMAGE";
/// Name of the file that carries both images.
pub const FILE: &str = "inflight.efi";
/// Each of these, exported, replaces the flags of `.cargo/config.toml`, and with them the path to the targets' `core`.
const FLAG_VARIABLES: [&str; 6] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "RUSTDOCFLAGS",
    "CARGO_ENCODED_RUSTDOCFLAGS",
    "CARGO_BUILD_RUSTDOCFLAGS",
];

/// What was built. The kdump image is embedded in the primary, and the primary in the file.
#[derive(Clone, Debug)]
pub struct Images {
    /// The UEFI application that a run starts: loader and compressed primary.
    pub file: PathBuf,
    /// The primary image, a UEFI application too.
    pub primary: PathBuf,
    /// The primary as the loader carries it.
    pub packed: PathBuf,
    /// Flat kdump image.
    pub kdump: PathBuf,
    /// The image that starts and watches a kernel: a bundle brings it along.
    pub witness: PathBuf,
    /// The primary for machines without firmware: an arm64 `Image`, with the kdump image inside.
    pub raw: PathBuf,
    /// The ELF files that kdump and raw image are made of, with symbols and line tables.
    pub elf: [PathBuf; 2],
}

impl Images {
    /// The file that an emulated machine starts.
    pub fn for_machine(&self, machine: &Qemu) -> &Path {
        match machine.image {
            Image::Uefi => &self.file,
            Image::Raw => &self.raw,
        }
    }

    /// Bytes of the file that carries both images: what is copied to a board.
    pub fn bytes(&self) -> anyhow::Result<u64> {
        size(&self.file)
    }
}

/// `cargo xtask build`.
pub fn run(args: &BuildArgs) -> anyhow::Result<Exit> {
    let images = build(args.verbose)?;
    for (name, path, remark) in [
        ("kdump", &images.kdump, " (inside primary)"),
        ("primary", &images.primary, ""),
        ("packed", &images.packed, " (inside the last file)"),
        ("raw", &images.raw, " (for machines without firmware)"),
        ("witness", &images.witness, " (for bundles with a kernel)"),
    ] {
        crate::exit::say!("{name:<8}{:>8} bytes  {}{remark}", size(path)?, path.display());
    }
    let both = images.bytes()?;
    let verdict = if both < SIZE_GOAL { "met" } else { "missed" };
    crate::exit::say!("{:<8}{both:>8} bytes  {}, goal < {SIZE_GOAL}: {verdict}", "both", images.file.display());
    Ok(Exit::Pass)
}

fn size(path: &Path) -> anyhow::Result<u64> {
    std::fs::metadata(path).map(|file| file.len()).with_context(|| format!("cannot read {}", path.display()))
}

/// Where the images are, built or not.
pub fn places() -> Images {
    let path = |name: &str| folder().join(name);
    Images {
        file: path(FILE),
        primary: path("primary.efi"),
        packed: path("primary.bin"),
        kdump: path("kdump.bin"),
        witness: path("witness.bin"),
        raw: path("inflight.img"),
        elf: ["kdump", "raw"].map(|bin| workspace::target().join(BARE_TARGET).join("release").join(bin)),
    }
}

fn folder() -> PathBuf {
    workspace::target().join("inflight")
}

/// Builds both images and the file that carries them.
pub fn images() -> anyhow::Result<Images> {
    build(false)
}

fn build(verbose: bool) -> anyhow::Result<Images> {
    setup::targets::ensure()?;
    let folder = folder();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let images = places();

    for (bin, container) in [("kdump", &images.kdump), ("witness", &images.witness)] {
        let taker = build_bin("kdump", bin, BARE_TARGET, &[], verbose)?;
        let bytes = std::fs::read(&taker).with_context(|| format!("cannot read {}", taker.display()))?;
        let flat = elf::flatten(&bytes).with_context(|| format!("{} is not a kdump image", taker.display()))?;
        write_if_changed(container, &container::pack(&flat)?)?;
    }

    let primary = build_bin("primary", "uefi", UEFI_TARGET, &[(KDUMP_VARIABLE, images.kdump.as_path())], verbose)?;
    let bytes = std::fs::read(&primary).with_context(|| format!("cannot read {}", primary.display()))?;
    write_if_changed(&images.primary, &bytes)?;
    write_if_changed(&images.packed, &container::compress(&bytes)?)?;

    let raw = build_bin("primary", "raw", BARE_TARGET, &[(KDUMP_VARIABLE, images.kdump.as_path())], verbose)?;
    write_if_changed(&images.raw, &raw_image(&raw)?)?;

    let loader = build_bin("loader", "loader", UEFI_TARGET, &[(PRIMARY_VARIABLE, images.packed.as_path())], verbose)?;
    let bytes = std::fs::read(&loader).with_context(|| format!("cannot read {}", loader.display()))?;
    write_if_changed(&images.file, &bytes)?;
    Ok(images)
}

/// Builds the image that does nothing but power off: what the firmware alone costs.
pub fn empty_image() -> anyhow::Result<PathBuf> {
    beside("ci/empty-uefi", "empty", UEFI_TARGET)
}

/// Builds the image that leaves a device at work and then starts the payload.
pub fn left_running() -> anyhow::Result<PathBuf> {
    let image = places().file;
    build_bin("left-running", "left-running", UEFI_TARGET, &[(IMAGE_VARIABLE, image.as_path())], false)
}

/// Builds the kernel that does as it is told: an arm64 `Image`.
pub fn guest() -> anyhow::Result<PathBuf> {
    setup::targets::ensure()?;
    let elf = build_bin("guest", "guest", BARE_TARGET, &[], false)?;
    let image = folder().join("guest.img");
    std::fs::create_dir_all(folder()).with_context(|| format!("cannot create {}", folder().display()))?;
    write_if_changed(&image, &raw_image(&elf)?)?;
    Ok(image)
}

/// The flat file that an ELF file of `linker/raw.ld` becomes.
fn raw_image(elf: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let flat = elf::flatten(&bytes).and_then(|flat| raw::image(&flat));
    flat.with_context(|| format!("{} is no raw image", elf.display()))
}

/// An image behind another that enters it in an unusual state: `mode` as `ci/raw-entry` reads it.
pub fn raw_behind(mode: u64, image: &Path) -> anyhow::Result<Vec<u8>> {
    let entry = raw_image(&beside("ci/raw-entry", "raw-entry", BARE_TARGET)?)?;
    let image = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    raw::behind(&entry, mode, &image)
}

/// Builds a binary that is no part of the workspace.
fn beside(folder: &str, bin: &str, target: &str) -> anyhow::Result<PathBuf> {
    setup::targets::ensure()?;
    let manifest = workspace::root().join(folder).join("Cargo.toml");
    let mut command = build_command(bin, target);
    command.arg("--quiet").arg("--manifest-path").arg(manifest).arg("--target-dir").arg(workspace::target());
    finish(&mut command, bin, target)
}

/// A cargo command in the checkout whose flags come from the configuration, whatever the user has exported.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root()).stdin(Stdio::null());
    for variable in FLAG_VARIABLES {
        command.env_remove(variable);
    }
    command
}

/// Builds one binary of a firmware package and returns where it is.
fn build_bin(
    package: &str,
    bin: &str,
    target: &str,
    variables: &[(&str, &Path)],
    verbose: bool,
) -> anyhow::Result<PathBuf> {
    let mut command = build_command(bin, target);
    command.arg(if verbose { "--verbose" } else { "--quiet" });
    command.args(["--package", package]).envs(variables.iter().copied());
    finish(&mut command, bin, target)
}

fn build_command(bin: &str, target: &str) -> Command {
    let mut command = cargo();
    command.args(["build", "--release", "--message-format=json-render-diagnostics"]);
    command.args(["--bin", bin, "--target", target]);
    // Joined by cargo with those of `.cargo`.
    command.arg("--config").arg(format!("target.{target}.rustflags={}", serde_json::json!(flags(target))));
    command
}

/// Compiler flags that keep images small, and the same wherever they are built.
fn flags(target: &str) -> Vec<String> {
    let mut flags = paths::remapped();
    // Instructions in the order of the source, loops with all that is in them: slower to run, but what repeats in the
    // source repeats in the image, too, and across the two images. Compressed, they lose 16 KB.
    let off = ["enable-misched=false", "enable-post-misched=false", "disable-machine-licm"];
    flags.extend(off.map(|pass| format!("-Cllvm-args=-{pass}")));
    if target == BARE_TARGET {
        // Code repeated in place is larger than shared code, but not where it is compressed.
        flags.push("-Cllvm-args=-enable-machine-outliner=never".into());
    } else {
        // A PDB holds the linker's command line, and the image its digest; the header the time of day.
        flags.extend(["/debug:none", "/timestamp:0"].map(|argument| format!("-Clink-arg={argument}")));
    }
    flags
}

/// Runs a build and returns the executable that cargo names.
fn finish(command: &mut Command, bin: &str, target: &str) -> anyhow::Result<PathBuf> {
    command.stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start cargo")?;
    let mut executable = None;
    if let Some(stdout) = child.stdout.take() {
        for line in std::io::BufReader::new(stdout).lines() {
            executable = executable_in(&line.context("cannot read cargo's messages")?, bin).or(executable);
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        return Err(exit::usage(format!("`{bin}` does not build for {target}: see the compiler's messages above")));
    }
    executable.with_context(|| format!("cargo built `{bin}` for {target} but named no file"))
}

/// The executable of `bin`, when this line of cargo's messages announces it.
fn executable_in(line: &str, bin: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["target"]["name"] != bin {
        return None;
    }
    message["executable"].as_str().map(PathBuf::from)
}

/// Writes a file whole or not at all; one that is right already keeps its time, so that nothing is built again.
fn write_if_changed(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, bytes)
        .and_then(|()| std::fs::rename(&new, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
