//! The file that carries both images, with what the payload is told inside, too: where it comes over a network, no volume is beside it.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{FILE, PRIMARY_VARIABLE, UEFI_TARGET, build_command, finish, folder, images, write_if_changed};

/// Tells the loader's build which options it carries.
const OPTIONS_VARIABLE: &str = "INFLIGHT_TOLD_OPTIONS";
/// Tells it which table; of an empty file none.
const IORT_VARIABLE: &str = "INFLIGHT_TOLD_IORT";

/// Builds the images, and the file for one board.
///
/// # Errors
/// They do not build.
pub fn image(board: &str, options: &str, iort: Option<&[u8]>) -> anyhow::Result<PathBuf> {
    let images = images()?;
    // Of its own for each board: two of them may be built at once.
    let folder = folder().join("told").join(board);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let [text, table, file] = ["options.txt", "iort.aml", FILE].map(|name| folder.join(name));
    write_if_changed(&text, options.as_bytes())?;
    write_if_changed(&table, iort.unwrap_or_default())?;
    let mut command = build_command("loader", UEFI_TARGET);
    command.args(["--quiet", "--package", "loader", "--features", "told"]);
    let variables: [(&str, &Path); 3] =
        [(PRIMARY_VARIABLE, &images.packed), (OPTIONS_VARIABLE, &text), (IORT_VARIABLE, &table)];
    let loader = finish(command.envs(variables), "loader", UEFI_TARGET)?;
    let bytes = std::fs::read(&loader).with_context(|| format!("cannot read {}", loader.display()))?;
    // Another build may have replaced it since.
    let units: Vec<u8> = options.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for part in [units.as_slice(), iort.unwrap_or_default()].into_iter().filter(|part| !part.is_empty()) {
        let is_there = bytes.windows(part.len()).any(|window| window == part);
        anyhow::ensure!(is_there, "{}: it does not hold what it was built with; build again", loader.display());
    }
    write_if_changed(&file, &bytes)?;
    Ok(file)
}
