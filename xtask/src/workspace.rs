//! Where things are in the checkout.

use std::path::{Path, PathBuf};

/// The root of the checkout that this tool was built from.
pub fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// A path that a default option names, seen from the root; one that a user gives stays relative to the current folder.
pub fn output(path: &Path) -> PathBuf {
    if path.starts_with("target") { target().join(path.strip_prefix("target").unwrap_or(path)) } else { path.into() }
}

/// The folder for everything that is built.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
