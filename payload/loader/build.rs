//! Embeds the compressed primary image that `cargo xtask build` names in `INFLIGHT_PRIMARY_IMAGE`.
//!
//! Without it (clippy, docs) nothing is embedded, and the loader says so when it is started.

use std::{env, fs, path::Path};

fn main() {
    println!("cargo:rerun-if-env-changed=INFLIGHT_PRIMARY_IMAGE");
    let packed = env::var_os("INFLIGHT_PRIMARY_IMAGE").map(|path| {
        println!("cargo:rerun-if-changed={}", Path::new(&path).display());
        fs::read(&path).unwrap_or_else(|error| panic!("INFLIGHT_PRIMARY_IMAGE={}: {error}", Path::new(&path).display()))
    });
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
    fs::write(Path::new(&out).join("primary.bin"), packed.unwrap_or_default()).expect("OUT_DIR is writable");
}
