//! Links the image position independent, by `linker/kdump.ld`.

fn main() {
    // Asked at run time: the script may have been compiled where the checkout was before.
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts");
    let script = format!("{package}/../../linker/kdump.ld");
    println!("cargo:rerun-if-changed={script}");
    // `core` is built non-PIC: its absolute words in read-only data become relocations, hence notext.
    for argument in [&format!("-T{script}"), "-pie", "-znotext", "--no-dynamic-linker", "-zmax-page-size=4096"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
