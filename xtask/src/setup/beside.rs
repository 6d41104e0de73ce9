//! A QEMU newer than the system's, beside it: the package of a later Debian release and the libraries that it needs, unpacked in
//! the cache folder. The system stays as it is, and root is not needed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use super::plan::Facts;
use super::sources;
use super::system::Manager;
use super::targets::cache;
use super::{install, qemu_version, version::Version};
use crate::exit;

/// The release with the newest QEMU, and the suites that its packages come from.
const RELEASE: &str = "trixie";
const SUITES: &str = "trixie trixie-backports";
/// Seconds for each command: a slow line brings the 40 MB in time, one that hangs does not stop everything.
const DEADLINE: &str = "600";
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
    download(work.path(), &list)?;
    unpack(&work.path().join("archives"), &root)?;
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

/// Has apt find out and fetch what the package needs on a system that has nothing.
fn download(work: &Path, list: &str) -> anyhow::Result<()> {
    let at = |name: &str| work.join(name).display().to_string();
    let partial = |name: &str| std::fs::create_dir_all(work.join(name).join("partial"));
    let written = partial("archives")
        .and_then(|()| partial("lists"))
        .and_then(|()| std::fs::write(work.join("status"), ""))
        .and_then(|()| std::fs::write(work.join("list.sources"), list))
        .and_then(|()| std::fs::write(work.join("apt.conf"), configuration(&at)));
    written.with_context(|| format!("cannot write in {}", work.display()))?;
    let apt = |words: &[&str]| {
        run(Command::new("timeout").args([DEADLINE, "apt-get", "-qq", "-c", &at("apt.conf")]).args(words))
    };
    apt(&["update"])?;
    let backports = format!("{RELEASE}-backports");
    apt(&["install", "--yes", "--download-only", "-t", &backports, Manager::Apt.qemu()])
}

/// Read after the system's own, so that its proxies stay.
fn configuration(at: &dyn Fn(&str) -> String) -> String {
    let mut text = String::new();
    for (key, value) in [
        ("Dir::Etc::SourceList", at("list.sources")),
        ("Dir::Etc::SourceParts", "/dev/null".into()),
        ("Dir::Etc::Preferences", "/dev/null".into()),
        ("Dir::Etc::PreferencesParts", "/dev/null".into()),
        ("Dir::State::Lists", at("lists")),
        ("Dir::State::Status", at("status")),
        ("Dir::State::Extended_States", at("extended")),
        ("Dir::Cache::Archives", at("archives")),
        ("Dir::Cache::PkgCache", String::new()),
        ("Dir::Cache::SrcPkgCache", String::new()),
        ("APT::Install-Recommends", "false".into()),
        ("APT::Sandbox::User", String::new()),
        ("APT::Update::Error-Mode", "any".into()),
        ("Acquire::Retries", "2".into()),
    ] {
        text.push_str(&format!("{key} \"{value}\";\n"));
    }
    text
}

fn unpack(archives: &Path, root: &Path) -> anyhow::Result<()> {
    let files = std::fs::read_dir(archives).with_context(|| format!("cannot read {}", archives.display()))?;
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    for file in files.flatten().map(|entry| entry.path()).filter(is_package) {
        run(Command::new("timeout").args([DEADLINE, "dpkg-deb", "--extract"]).args([&file, &root.to_path_buf()]))?;
    }
    Ok(())
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

fn run(command: &mut Command) -> anyhow::Result<()> {
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
    let output = command.stderr(Stdio::piped()).output().context("cannot start `timeout`")?;
    if output.status.success() {
        return Ok(());
    }
    let words: Vec<_> = command.get_args().skip(1).map(|word| word.to_string_lossy()).collect();
    let text = String::from_utf8_lossy(&output.stderr);
    // apt's first complaint is the cause; 124 is the word of `timeout`.
    let said = text.lines().find(|line| line.starts_with("E:")).or(text.lines().next()).unwrap_or("it said nothing");
    let after = if output.status.code() == Some(124) { format!("no end after {DEADLINE} s") } else { said.to_owned() };
    Err(exit::host_lacks(format!("`{}` failed: {after}", words.join(" "))))
}
