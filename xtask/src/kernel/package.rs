//! A kernel inside a package: Debian's `.deb` and Fedora's `.rpm`.

use std::io::Read;
use std::path::Path;

use super::packed::Format;

/// The kernel of a package and its name there; `None` where the file is no package.
pub(super) fn kernel_in(bytes: &[u8]) -> Option<Result<(Vec<u8>, String), String>> {
    if bytes.starts_with(b"!<arch>\n") {
        return Some(in_deb(bytes));
    }
    bytes.starts_with(b"\xed\xab\xee\xdb").then(|| in_rpm(bytes))
}

/// Where packages keep it: `boot/vmlinuz-VERSION`, `lib/modules/VERSION/vmlinuz`, or the latter below `usr`.
fn is_kernel(name: &str) -> bool {
    let path = Path::new(name.trim_start_matches("./").trim_start_matches('/'));
    let parent = path.parent().map(|parent| parent.to_string_lossy().into_owned()).unwrap_or_default();
    let file = path.file_name().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
    let in_modules = parent.strip_prefix("usr/").unwrap_or(&parent).starts_with("lib/modules/");
    (parent == "boot" && file.starts_with("vmlinu")) || (in_modules && file.starts_with("vmlinu"))
}

const NONE: &str = "no kernel in this package: neither boot/vmlinuz-* nor lib/modules/*/vmlinuz";

/// deb(5): an `ar` archive whose member `data.tar` has the files.
fn in_deb(bytes: &[u8]) -> Result<(Vec<u8>, String), String> {
    let damaged = |error: std::io::Error| format!("damaged (deb): {error}");
    let mut archive = ar::Archive::new(bytes);
    while let Some(entry) = archive.next_entry() {
        let mut entry = entry.map_err(damaged)?;
        if !entry.header().identifier().starts_with(b"data.tar") {
            continue;
        }
        let mut data = Vec::new();
        entry.read_to_end(&mut data).map_err(damaged)?;
        let files = Format::of(&data).map_or(Ok(data.clone()), |format| format.unpack(&data))?;
        for file in tar::Archive::new(files.as_slice()).entries().map_err(damaged)? {
            let mut file = file.map_err(damaged)?;
            let name = file.path().map_err(damaged)?.to_string_lossy().into_owned();
            if file.header().entry_type().is_file() && is_kernel(&name) {
                let mut kernel = Vec::new();
                file.read_to_end(&mut kernel).map_err(damaged)?;
                return Ok((kernel, name.trim_start_matches("./").into()));
            }
        }
        return Err(NONE.into());
    }
    Err("damaged (deb): no data.tar in it".into())
}

/// A lead of 96 bytes, two headers (the first padded to 8 bytes), then a compressed cpio archive (RPM file format, v3 and v4).
fn in_rpm(bytes: &[u8]) -> Result<(Vec<u8>, String), String> {
    const LEAD: usize = 96;
    let damaged = |what: &str| format!("damaged (rpm): {what}");
    let signature = header_bytes(bytes, LEAD).ok_or_else(|| damaged("no signature header"))?;
    let header = (LEAD + signature).next_multiple_of(8);
    let payload = header + header_bytes(bytes, header).ok_or_else(|| damaged("no header"))?;
    let payload = bytes.get(payload..).unwrap_or_default();
    let format = Format::of(payload).ok_or_else(|| damaged("its payload is packed neither by gzip, xz nor zstd"))?;
    let files = format.unpack(payload)?;
    let mut rest = files.as_slice();
    loop {
        let mut file = cpio::newc::Reader::new(rest).map_err(|error| damaged(&error.to_string()))?;
        if file.entry().is_trailer() {
            return Err(NONE.into());
        }
        // A symbolic link has a path for contents.
        let is_file = file.entry().mode() & 0o170_000 == 0o100_000;
        let name = file.entry().name().to_owned();
        if is_file && is_kernel(&name) {
            let mut kernel = Vec::new();
            file.read_to_end(&mut kernel).map_err(|error| damaged(&error.to_string()))?;
            return Ok((kernel, name.trim_start_matches("./").trim_start_matches('/').into()));
        }
        rest = file.finish().map_err(|error| damaged(&error.to_string()))?;
    }
}

/// Length of a header structure: magic and version, four reserved bytes, number of 16-byte entries, bytes of data.
fn header_bytes(bytes: &[u8], at: usize) -> Option<usize> {
    let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    bytes.get(at..)?.starts_with(b"\x8e\xad\xe8").then_some(())?;
    16_usize.checked_add(word(at + 8)?.checked_mul(16)?)?.checked_add(word(at + 12)?)
}
