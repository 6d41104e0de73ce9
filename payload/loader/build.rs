//! Embeds the compressed primary image that `cargo xtask build` names in `INFLIGHT_PRIMARY_IMAGE`, and with the feature `told`
//! what `INFLIGHT_TOLD_OPTIONS` and `INFLIGHT_TOLD_IORT` name: a file of text, and a table or an empty file.
//!
//! Without it (clippy, docs) nothing is embedded, and the loader says so when it is started.

use std::{env, fs, path::Path};

fn main() {
    put("primary.bin", &embedded("INFLIGHT_PRIMARY_IMAGE"));
    if env::var_os("CARGO_FEATURE_TOLD").is_some() {
        let options = embedded("INFLIGHT_TOLD_OPTIONS");
        let options = String::from_utf8(options).expect("INFLIGHT_TOLD_OPTIONS: not text");
        // Load options are UCS-2 with a terminator.
        let units = options.encode_utf16().chain([0]);
        put("options.bin", &units.flat_map(u16::to_le_bytes).collect::<Vec<_>>());
        put("iort.bin", &embedded("INFLIGHT_TOLD_IORT"));
    }
}

/// The file that a variable names; nothing where there is no such variable.
fn embedded(variable: &str) -> Vec<u8> {
    println!("cargo:rerun-if-env-changed={variable}");
    let read = |path: &Path| {
        println!("cargo:rerun-if-changed={}", path.display());
        fs::read(path).unwrap_or_else(|error| panic!("{variable}={}: {error}", path.display()))
    };
    env::var_os(variable).map(|path| read(Path::new(&path))).unwrap_or_default()
}

fn put(name: &str, bytes: &[u8]) {
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
    fs::write(Path::new(&out).join(name), bytes).expect("OUT_DIR is writable");
}
