//! Links it as the raw image is linked: position independent, at 0.

fn main() {
    // Asked at run time: the script may have been compiled where the checkout was before.
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts");
    let script = format!("{package}/../../linker/raw.ld");
    println!("cargo:rerun-if-changed={script}");
    for argument in [&format!("-T{script}"), "-pie", "-znotext", "--no-dynamic-linker", "-zmax-page-size=4096"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
