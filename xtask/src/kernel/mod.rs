//! A kernel as people have it: a plain arm64 `Image`, packed by one thing or another, or inside a distribution's package.
//! Unpacked here, on the host: the payload takes an `Image` only.

mod guest;
mod package;
mod packed;
mod whole;

use std::path::Path;

use witness::guest::image::{Image, Kind, Unfit, recognise};

pub use self::guest::Guest;

use self::packed::Format;
use crate::exit::usage;

/// Larger than any kernel package, and than what one unpacks to.
const LARGEST: u64 = 1 << 30;
/// A package in which a packed image holds another.
const LAYERS: usize = 4;
/// How Linux begins what it says first (init/version.c).
const BANNER: &[u8] = b"Linux version ";
/// More than any banner has.
const BANNER_MOST: usize = 400;

/// An arm64 `Image`, and how it was found.
#[derive(Clone, PartialEq, Eq)]
struct Kernel {
    /// The image itself.
    pub image: Vec<u8>,
    /// What its header says.
    pub header: Image,
    /// What was unpacked on the way, for the report: `boot/vmlinuz-6.12, gzip`; empty for a plain image.
    pub way: String,
}

impl Kernel {
    /// Its banner, as it would say it; `None` where there is none: it may be another system.
    fn version(&self) -> Option<String> {
        // The same words with a placeholder stand elsewhere, and no version begins with one.
        let mut found = each(&self.image, BANNER);
        let text = found.find(|text| text.get(BANNER.len()).is_some_and(u8::is_ascii_digit))?;
        let text = text.iter().take(BANNER_MOST).take_while(|byte| matches!(byte, b' '..=b'~'));
        Some(text.map(|byte| char::from(*byte)).collect())
    }
}

/// What follows each place where `wanted` stands, with it.
fn each<'a>(bytes: &'a [u8], wanted: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    let first = wanted.first().copied();
    let starts = bytes.iter().enumerate().filter(move |(_, byte)| Some(**byte) == first).map(|(at, _)| &bytes[at..]);
    starts.filter(move |rest| rest.starts_with(wanted))
}

/// Reads a kernel.
///
/// # Errors
/// One line: what the file is instead, or what is wrong with it.
fn open(path: &Path) -> anyhow::Result<Kernel> {
    let refuse = |what: String| usage(format!("--kernel {}: {what}", path.display()));
    unpacked(read(path, LARGEST).map_err(refuse)?).map_err(refuse)
}

/// A whole file, of this many bytes at most.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    match std::fs::metadata(path) {
        Ok(file) if !file.is_file() => return Err("is no file".into()),
        Ok(file) if file.len() > most => return Err(format!("{} bytes, and {most} are the most", file.len())),
        _ => {}
    }
    std::fs::read(path).map_err(|error| error.to_string())
}

fn unpacked(mut bytes: Vec<u8>) -> Result<Kernel, String> {
    let mut way: Vec<String> = Vec::new();
    for _ in 0..LAYERS {
        let inside = |what: String| if way.is_empty() { what } else { format!("{}: {what}", way.join(", ")) };
        let (inner, what) = if let Some(found) = package::kernel_in(&bytes) {
            found.map_err(inside)?
        } else if let Some(format) = Format::of(&bytes) {
            (format.unpack(&bytes).map_err(inside)?, format.name().into())
        } else {
            match recognise(&bytes) {
                Ok(Kind::Image(header)) => {
                    whole::check(&bytes).map_err(inside)?;
                    return Ok(Kernel { image: bytes, header, way: way.join(", ") });
                }
                Ok(Kind::Packed(inner)) => packed::payload(&inner).map_err(inside)?,
                Err(Unfit::Other(what)) => {
                    return Err(inside(format!(
                        "{what}; wanted is an arm64 Linux Image, plain, packed by gzip, xz, zstd or as EFI zboot, or a .deb or .rpm \
                         package with one"
                    )));
                }
                Err(unfit) => return Err(inside(unfit.to_string())),
            }
        };
        way.push(what);
        bytes = inner;
    }
    Err(format!("packed more than {LAYERS} times: {}", way.join(", ")))
}

#[cfg(test)]
mod tests;
