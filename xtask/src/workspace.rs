//! Where things are in the checkout.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Names another checkout than the one that this tool was built from: `dist --check` builds in a copy.
pub const CHECKOUT_VARIABLE: &str = "INFLIGHT_CHECKOUT";

/// The root of the checkout.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        std::env::var_os(CHECKOUT_VARIABLE).map_or_else(|| manifest.parent().unwrap_or(manifest).into(), PathBuf::from)
    });
    &ROOT
}

/// A path that a default option names, seen from the root; one that a user gives stays relative to the current folder.
pub fn output(path: &Path) -> PathBuf {
    if path.starts_with("target") { target().join(path.strip_prefix("target").unwrap_or(path)) } else { path.into() }
}

/// The folder for everything that is built.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
