//! The files of a report. Each is written whole or not at all.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use tempfile::NamedTempFile;

use super::model::Report;
use super::{html, junit, ktap};

/// The console as it came.
pub const CONSOLE_LOG: &str = "console.log";
/// What is rendered from it.
const RENDERED: [&str; 4] = ["report.json", "report.html", "junit.xml", "ktap.txt"];

/// Removes what an earlier run left: a run that is cut must not stand beside the verdict of another.
pub fn clear(folder: &Path) -> anyhow::Result<()> {
    for name in RENDERED {
        let path = folder.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove the old {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Renders all files first, and only then puts them in place.
pub fn write(folder: &Path, report: &Report) -> anyhow::Result<()> {
    let mut json = serde_json::to_vec_pretty(report).context("cannot render report.json")?;
    json.push(b'\n');
    let contents = [
        json,
        html::render(report).context("cannot render report.html")?.into_bytes(),
        junit::render(report).context("cannot render junit.xml")?.into_bytes(),
        ktap::render(report).into_bytes(),
    ];
    let mut ready = Vec::new();
    for (name, bytes) in RENDERED.iter().zip(&contents) {
        ready.push((staged(folder, bytes)?, folder.join(name)));
    }
    for (file, path) in ready {
        place(file, &path)?;
    }
    Ok(())
}

/// Writes one file whole or not at all.
pub fn atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    place(staged(folder, bytes)?, path)
}

/// As [`atomically`], but never in the place of a file that is there.
pub fn anew(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let place = staged(folder, bytes)?.persist_noclobber(path);
    place.map(|_| ()).with_context(|| format!("cannot write {}", path.display()))
}

fn staged(folder: &Path, bytes: &[u8]) -> anyhow::Result<NamedTempFile> {
    // Beside its place: a rename does not cross file systems.
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any file that a program writes, to be read by a web server or a lab's collector.
        builder.permissions(std::fs::Permissions::from_mode(0o644));
    }
    let failed = || format!("cannot write into {}", folder.display());
    let mut file = builder.prefix(".report-").tempfile_in(folder).with_context(failed)?;
    file.write_all(bytes).with_context(failed)?;
    Ok(file)
}

fn place(file: NamedTempFile, path: &Path) -> anyhow::Result<()> {
    file.persist(path).map(|_| ()).with_context(|| format!("cannot write {}", path.display()))
}
