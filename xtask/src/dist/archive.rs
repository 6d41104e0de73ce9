//! A tar archive that depends on nothing but its files: sorted, one time, nobody's, and no rights but to read.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::Context;

/// All files below a folder by their paths in it, sorted, with their lengths.
pub fn files(folder: &Path) -> anyhow::Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    collect(folder, "", &mut found).with_context(|| format!("cannot read {}", folder.display()))?;
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, before: &str, found: &mut Vec<(String, u64)>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{before}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{name}/"), found)?;
        } else if kind.is_file() {
            found.push((name, entry.metadata()?.len()));
        }
    }
    Ok(())
}

/// Writes all files of `folder` below `name`, as of `time`.
pub fn write(path: &Path, name: &str, folder: &Path, time: u64) -> anyhow::Result<()> {
    let wrong = || format!("cannot write {}", path.display());
    let mut archive = tar::Builder::new(File::create(path).with_context(wrong)?);
    for (file, bytes) in files(folder)? {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(time);
        let content = File::open(folder.join(&file)).with_context(|| format!("cannot read {file}"))?;
        archive.append_data(&mut header, format!("{name}/{file}"), content).with_context(wrong)?;
    }
    archive.into_inner().and_then(|mut file| file.flush()).with_context(wrong)
}
