//! Embeds the packed kdump image that `cargo xtask build` names in `INFLIGHT_KDUMP_IMAGE`.
//!
//! Without it (clippy, docs) nothing is embedded, and the image says so when it is started. The raw image is linked position
//! independent, by `linker/raw.ld`.

use std::{env, fs, path::Path};

fn main() {
    println!("cargo:rerun-if-env-changed=INFLIGHT_KDUMP_IMAGE");
    let packed = env::var_os("INFLIGHT_KDUMP_IMAGE").map(|path| {
        println!("cargo:rerun-if-changed={}", Path::new(&path).display());
        fs::read(&path).unwrap_or_else(|error| panic!("INFLIGHT_KDUMP_IMAGE={}: {error}", Path::new(&path).display()))
    });
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
    fs::write(Path::new(&out).join("kdump.bin"), packed.unwrap_or_default()).expect("OUT_DIR is writable");

    // Asked at run time: the script may have been compiled where the checkout was before.
    let package = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts");
    let script = format!("{package}/../../linker/raw.ld");
    println!("cargo:rerun-if-changed={script}");
    // As for kdump.
    for argument in [&format!("-T{script}"), "-pie", "-znotext", "--no-dynamic-linker", "-zmax-page-size=4096"] {
        println!("cargo:rustc-link-arg-bin=raw={argument}");
    }
}
