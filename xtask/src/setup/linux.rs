//! Kernels of Debian for the tests, as its users have them, and a program that lives in an initrd: packages of arm64 in the cache folder.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::apt::{self, Apt};
use super::plan::Facts;
use super::system::Manager;
use super::targets::cache;
use super::version::Version;
use super::{install, sources};
use crate::exit;

/// What stands for the newest kernel of a suite: built for machines that are emulated, and a quarter of the size.
const NEWEST: &str = "linux-image-cloud-arm64";
/// A program that is all of a system.
const BUSYBOX: &str = "busybox-static";

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linux {
    /// Package of the kernel.
    pub kernel: PathBuf,
    /// The program.
    pub busybox: PathBuf,
}

/// The newest kernel of a suite such as `trixie-backports`, as it was when it was first asked for.
///
/// # Errors
/// Another system than Debian, or an archive that does not answer or does not have it.
pub fn get(suite: &str) -> anyhow::Result<Linux> {
    let folder = cache().context("neither XDG_CACHE_HOME nor HOME is set")?.join("inflight-linux");
    let own = folder.join(suite);
    if let Some(found) = found(&own) {
        return Ok(found);
    }
    let list = sources(&install::facts(Version(0, 0)), suite).map_err(exit::host_lacks)?;
    crate::exit::tell!("Linux of Debian's {suite}: fetching its package into {} (once)", own.display());
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let work = tempfile::tempdir_in(&folder).with_context(|| format!("cannot write in {}", folder.display()))?;
    let whole = work.path().join("whole");
    download(&Apt::new(work.path(), &list, Some("arm64"))?, &whole)?;
    // Another run may have put it there meanwhile.
    let _ = std::fs::rename(&whole, &own);
    found(&own).with_context(|| format!("cannot move packages to {}", own.display()))
}

/// Why a case that takes one cannot run here, after an attempt to get it.
pub fn lacks(suite: &str) -> Option<String> {
    get(suite).err().map(|error| format!("Linux of Debian's {suite} is needed: {}", exit::one_line(&error)))
}

fn found(folder: &Path) -> Option<Linux> {
    let (kernel, busybox) = (folder.join("linux.deb"), folder.join("busybox"));
    (kernel.is_file() && busybox.is_file()).then_some(Linux { kernel, busybox })
}

/// The suite and that of its release, from the archive that serves this system.
pub fn sources(facts: &Facts, suite: &str) -> Result<String, String> {
    if facts.manager != Some(Manager::Apt) || facts.release.id != "debian" {
        return Err("its packages are fetched on Debian only".into());
    }
    let codename = &facts.release.codename;
    let archive = sources::main_archive(&facts.archives, codename);
    let archive = archive.ok_or_else(|| format!("apt's sources name no archive for {codename}"))?;
    let release = suite.split('-').next().unwrap_or(suite);
    Ok(sources::source_file(archive, &format!("{suite} {release}")))
}

fn download(apt: &Apt, whole: &Path) -> anyhow::Result<()> {
    apt.get(&["update"])?;
    let kernel = kernel_of(&mut |package| apt.cache(&["show", package]))?;
    apt.get(&["download", &kernel, BUSYBOX])?;
    let cannot = || format!("cannot write {}", whole.display());
    let unpacked = whole.join("unpacked");
    std::fs::create_dir_all(&unpacked).with_context(cannot)?;
    let name = |package: &Path| package.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    for package in apt::packages(&apt.archives())? {
        if name(&package).starts_with(BUSYBOX) {
            apt::unpack(&package, &unpacked)?;
        } else {
            std::fs::rename(&package, whole.join("linux.deb")).with_context(cannot)?;
        }
    }
    let program = ["bin/busybox", "usr/bin/busybox"].map(|place| unpacked.join(place));
    let program = program.iter().find(|place| place.is_file()).context("no busybox in its package")?;
    std::fs::rename(program, whole.join("busybox")).with_context(cannot)?;
    std::fs::remove_dir_all(&unpacked).with_context(cannot)
}

/// The package that holds the newest kernel. From 6.19 on, `linux-image-*` only names it, and `linux-binary-*` has it.
pub fn kernel_of(show: &mut dyn FnMut(&str) -> anyhow::Result<String>) -> anyhow::Result<String> {
    let image = dependency(&show(NEWEST)?, "linux-image-");
    let image = image.ok_or_else(|| exit::host_lacks(format!("{NEWEST} names no kernel")))?;
    Ok(dependency(&show(&image)?, "linux-binary-").unwrap_or(image))
}

/// The first package of this kind that the newest version, which comes first, depends on.
fn dependency(shown: &str, kind: &str) -> Option<String> {
    let newest = shown.split("\n\n").next()?;
    let depends = newest.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    let mut names = depends.split(',').filter_map(|one| one.split_whitespace().next());
    names.find(|name| name.starts_with(kind)).map(str::to_owned)
}
