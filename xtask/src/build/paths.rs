//! Names of source files in the images. Panics and line tables name them: neither the image nor its reader has use for where this
//! user keeps checkout and dependencies, and the same source shall give the same bytes everywhere.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::workspace;

/// Compiler flags: dependencies by their own folder's name, the checkout as `/inflight`, the standard library as rustc itself
/// names it.
pub fn remapped() -> Vec<String> {
    let sources = std::fs::read_dir(cargo_home().join("registry/src")).into_iter().flatten().flatten();
    let registries = sources.map(|folder| format!("{}/=", folder.path().display()));
    // What build scripts have written lies in the folder for what is built, which may be anywhere.
    let own = [(workspace::root().to_path_buf(), "/inflight"), (workspace::target(), "/inflight/target")];
    let own = own.iter().map(|(folder, name)| format!("{}={name}", folder.display()));
    // The last prefix that fits holds: the folder of dependencies may lie in the checkout.
    let all = own.chain(registries).chain(standard_library());
    all.map(|both| format!("--remap-path-prefix={both}")).collect()
}

/// The user's folder of cargo, with the sources of dependencies.
pub fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME")
        .map_or_else(|| std::env::home_dir().unwrap_or_default().join(".cargo"), PathBuf::from)
}

/// Where the toolchain has its source (component rust-src), the compiler names files there, and else by its own commit.
fn standard_library() -> Option<String> {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let source = Path::new(rustc(&["--print", "sysroot"])?.trim()).join("lib/rustlib/src/rust");
            source.is_dir().then_some(())?;
            let version = rustc(&["--version", "--verbose"])?;
            let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "))?;
            Some(format!("{}=/rustc/{commit}", source.display()))
        })
        .clone()
}

/// What the compiler of this checkout prints.
pub fn rustc(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("rustc");
    command.args(arguments).current_dir(workspace::root()).stdin(Stdio::null()).stderr(Stdio::null());
    String::from_utf8(command.output().ok()?.stdout).ok()
}
