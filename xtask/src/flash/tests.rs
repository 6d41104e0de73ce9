mod drive;
mod folder;
mod image;

use std::path::{Path, PathBuf};

use super::Piece;
use super::payload::{BOOT_FILE, IORT_FILE, OPTIONS_FILE};

/// Bytes that look like nothing else.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// What a board without a table of its own is given.
fn files() -> Vec<Piece> {
    vec![
        Piece { at: BOOT_FILE.into(), bytes: Some(noise(253_952, 1)) },
        Piece { at: OPTIONS_FILE.into(), bytes: Some(b"scenario=adopt\ncycles=1\n".to_vec()) },
        Piece { at: IORT_FILE.into(), bytes: None },
    ]
}

/// A program that checks from outside what was made here; these are not on every host.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = found.map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: no {name}");
    }
    found
}

fn output(program: &Path, arguments: &[&str]) -> (bool, String) {
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: not root");
    }
    is_root
}

/// A file system in memory of so many KiB; nothing where it cannot be mounted. Dropped, it is gone.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn new(kib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={kib}k");
        let path = folder.path().to_str().unwrap();
        let (is_there, text) = output(Path::new("mount"), &["-t", "tmpfs", "-o", &size, "tmpfs", path]);
        if !is_there {
            println!("skipped: no tmpfs: {text}");
        }
        is_there.then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // A loop device on it may be busy for a moment.
        let _ = output(Path::new("umount"), &["-l", self.0.path().to_str().unwrap()]);
    }
}
