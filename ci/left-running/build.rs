//! Embeds the payload's file that the tests name in `INFLIGHT_IMAGE`.

use std::{env, fs, path::Path};

fn main() {
    println!("cargo:rerun-if-env-changed=INFLIGHT_IMAGE");
    let image = env::var_os("INFLIGHT_IMAGE").map(|path| {
        println!("cargo:rerun-if-changed={}", Path::new(&path).display());
        fs::read(&path).unwrap_or_else(|error| panic!("INFLIGHT_IMAGE={}: {error}", Path::new(&path).display()))
    });
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
    fs::write(Path::new(&out).join("payload.efi"), image.unwrap_or_default()).expect("OUT_DIR is writable");
}
