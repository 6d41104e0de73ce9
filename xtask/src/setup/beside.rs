//! A QEMU newer than the system's, beside it: the package of a later Debian release and the libraries that it needs, unpacked in
//! the cache folder. The system stays as it is, and root is not needed.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::apt::{self, Apt};
use super::plan::Facts;
use super::sources;
use super::system::Manager;
use super::targets::cache;
use super::{install, qemu_version, version::Version};
use crate::exit;

/// The release with the newest QEMU, and the suites that its packages come from.
const RELEASE: &str = "trixie";
const SUITES: &str = "trixie trixie-backports";
/// What is started. It starts QEMU by the loader that came with it, wherever the folder is.
const PROGRAM: &str = "qemu-system-aarch64";

/// The program, where it is there and new enough.
pub fn found(oldest: Version) -> Option<PathBuf> {
    let program = folder()?.join(PROGRAM);
    qemu_version(&program).filter(|version| *version >= oldest).map(|_| program)
}

/// Finds it, or gets it.
///
/// # Errors
/// Names what stands against it: another system than Debian, an archive that does not answer, a QEMU that is still too old.
pub fn get(oldest: Version) -> anyhow::Result<PathBuf> {
    if let Some(program) = found(oldest) {
        return Ok(program);
    }
    let list = sources(&install::facts(oldest)).map_err(exit::host_lacks)?;
    let folder = folder().context("neither XDG_CACHE_HOME nor HOME is set")?;
    crate::exit::tell!("QEMU {oldest}: unpacking one of Debian's {RELEASE} in {} (once)", folder.display());
    let above = folder.parent().context("the cache folder has no parent")?;
    std::fs::create_dir_all(above).with_context(|| format!("cannot create {}", above.display()))?;
    let work = tempfile::tempdir_in(above).with_context(|| format!("cannot write in {}", above.display()))?;
    let root = work.path().join("inflight-qemu");
    download(work.path(), &list, &root)?;
    let program = write_launcher(&root)?;
    match qemu_version(&program) {
        Some(version) if version >= oldest => {}
        Some(version) => {
            return Err(exit::host_lacks(format!("QEMU of {SUITES} is {version}, and {oldest} is needed")));
        }
        None => return Err(exit::host_lacks(format!("QEMU of {SUITES} does not start here"))),
    }
    // What was there is too old, or was put there by another run in the meantime.
    let _ = std::fs::rename(&folder, work.path().join("old"));
    std::fs::rename(&root, &folder).with_context(|| format!("cannot move QEMU to {}", folder.display()))?;
    Ok(folder.join(PROGRAM))
}

fn folder() -> Option<PathBuf> {
    cache().map(|cache| cache.join("inflight-qemu"))
}

/// A source file for the later release, from the archive that serves this one.
pub fn sources(facts: &Facts) -> Result<String, String> {
    let (release, oldest) = (&facts.release, facts.oldest);
    let is_known = facts.manager == Some(Manager::Apt) && release.id == "debian";
    if !is_known || !["bookworm", RELEASE].contains(&release.codename.as_str()) {
        return Err(format!("QEMU {oldest} can be unpacked on Debian 12 and 13 only; install it from another source"));
    }
    let archive = sources::main_archive(&facts.archives, &release.codename);
    let archive = archive.ok_or_else(|| format!("apt's sources name no archive for {}", release.codename))?;
    Ok(sources::source_file(archive, SUITES))
}

/// Has apt find out and fetch what the package needs on a system that has nothing, and unpacks it.
fn download(work: &Path, list: &str, root: &Path) -> anyhow::Result<()> {
    let apt = Apt::new(work, list, None)?;
    apt.get(&["update"])?;
    let backports = format!("{RELEASE}-backports");
    apt.get(&["install", "--yes", "--download-only", "-t", &backports, Manager::Apt.qemu()])?;
    apt::packages(&apt.archives())?.iter().try_for_each(|package| apt::unpack(package, root))
}

/// The script that stands for the program.
fn write_launcher(root: &Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let loader = match std::env::consts::ARCH {
        "aarch64" => "usr/lib/ld-linux-aarch64.so.1",
        _ => "usr/lib64/ld-linux-x86-64.so.2",
    };
    let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let text = format!(
        "#!/bin/sh\nroot=$(dirname \"$(readlink -f \"$0\")\")\n\
         export QEMU_MODULE_DIR=\"$root/{libraries}/qemu\"\n\
         exec \"$root/{loader}\" --argv0 {PROGRAM} --library-path \"$root/{libraries}\" \"$root/usr/bin/{PROGRAM}\" \\\n    \
         -L \"$root/usr/share/qemu\" -L \"$root/usr/share/seabios\" -L \"$root/usr/lib/ipxe/qemu\" \"$@\"\n"
    );
    let program = root.join(PROGRAM);
    std::fs::write(&program, text)
        .and_then(|()| std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {}", program.display()))?;
    Ok(program)
}
