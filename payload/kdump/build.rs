//! Links the image position independent, by `linker/kdump.ld`.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../linker/kdump.ld");
    println!("cargo:rerun-if-changed={script}");
    // `core` is built non-PIC: its absolute words in read-only data become relocations, hence notext.
    for argument in [&format!("-T{script}"), "-pie", "-znotext", "--no-dynamic-linker", "-zmax-page-size=4096"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
