//! What ran, on what, and how to run it again.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use board::{Date, Image};
use sha2::{Digest, Sha256};

use super::boot::Job;
use super::command::quoted;
use crate::report::model::{Artifact, Provenance};
use crate::{build, workspace};

/// Of a boot that is about to start with `command`.
pub fn of(job: &Job, command: &[OsString]) -> Provenance {
    let images = build::places();
    let has_loader = job.board.qemu.as_ref().is_some_and(|machine| machine.image == Image::Uefi);
    let primary = has_loader.then(|| artifact("primary", &images.primary));
    let started = job.image.as_ref().map(|image| artifact(&file_name(image), image));
    let witness = job.options.guest.is_some().then(|| artifact("witness", &images.witness));
    let parts = [started, primary, Some(artifact("kdump", &images.kdump)), witness];
    let firmware = job.host.firmware.as_deref();
    Provenance {
        emulator: job.host.version.clone(),
        emulator_command: Some(quoted(command)),
        firmware: firmware.and_then(|path| artifact(&path.display().to_string(), path)),
        images: parts.into_iter().flatten().flatten().collect(),
        ..of_command()
    }
}

/// Of a board that starts what was brought to it before: what that was, its own records say.
pub fn of_command() -> Provenance {
    Provenance {
        started: utc(SystemTime::now()),
        command: repeat(std::env::args_os().skip(1).collect()),
        revision: revision(),
        emulator: None,
        emulator_command: None,
        firmware: None,
        images: Vec::new(),
    }
}

/// As it was typed, but for the folder of the report.
fn repeat(arguments: Vec<OsString>) -> String {
    let words = ["cargo", "xtask"].map(OsString::from);
    quoted(&words.into_iter().chain(arguments).collect::<Vec<_>>())
}

/// A time as RFC 3339 has it, in UTC.
pub fn utc(time: SystemTime) -> String {
    let (day, seconds) = Date::of(time);
    format!("{day}T{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The commit, with a `+` where files differ from it.
fn revision() -> Option<String> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(workspace::root()).args(arguments);
        command
    };
    let commit = said(&mut git(&["rev-parse", "HEAD"]))?;
    let is_changed = said(&mut git(&["status", "--porcelain", "--untracked-files=no"])).is_some();
    Some(if is_changed { format!("{commit}+") } else { commit })
}

/// The first line that a program prints, where it does so and ends well.
fn said(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty() && output.status.success())?;
    Some(line.to_owned())
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// A file's length and digest. One that cannot be read is for whoever starts it to complain of.
fn artifact(name: &str, path: &Path) -> Option<Artifact> {
    std::fs::read(path).ok().map(|bytes| artifact_of(name, &bytes))
}

/// The same of bytes.
pub fn artifact_of(name: &str, bytes: &[u8]) -> Artifact {
    Artifact { name: name.to_owned(), bytes: bytes.len() as u64, sha256: sha256(bytes) }
}

/// A digest as `sha256sum` prints it.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_digest_is_that_of_the_bytes_and_a_time_is_utc() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"abc").unwrap();
        let told = artifact("abc", file.path()).unwrap();
        // FIPS 180-4, the example of one block.
        assert_eq!(told.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((told.bytes, utc(UNIX_EPOCH + Duration::from_secs(86_399))), (3, "1970-01-01T23:59:59Z".into()));
        assert!(artifact("none", Path::new("/no/such/file")).is_none());
    }

    #[test]
    fn the_command_can_be_pasted() {
        let words = ["run", "--option", "a=b c", "it's"].map(OsString::from).to_vec();
        assert_eq!(repeat(words), r"cargo xtask run --option 'a=b c' 'it'\''s'");
    }
}
