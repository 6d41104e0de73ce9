//! Links it as the raw image is linked: position independent, at 0.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../linker/raw.ld");
    println!("cargo:rerun-if-changed={script}");
    for argument in [&format!("-T{script}"), "-pie", "-znotext", "--no-dynamic-linker", "-zmax-page-size=4096"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
