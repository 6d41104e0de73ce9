//! An image packed as a whole: gzip, xz, zstd, and the kernel's own EFI zboot, which is one of them behind a PE header.

use std::io::Read;

use witness::guest::image::Packed;

use super::LARGEST;

/// A stream's format, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Gzip,
    Xz,
    Zstd,
}

impl Format {
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let known: [(&[u8], Self); 3] =
            [(b"\x1f\x8b\x08", Self::Gzip), (b"\xfd7zXZ\0", Self::Xz), (b"\x28\xb5\x2f\xfd", Self::Zstd)];
        known.into_iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, format)| format)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// The whole stream; what follows it is not looked at.
    pub(super) fn unpack(self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let refuse = |what: &dyn std::fmt::Display| format!("damaged ({}): {what}", self.name());
        let reader: Box<dyn Read + '_> = match self {
            Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(bytes)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new(bytes, true)),
            Self::Zstd => Box::new(ruzstd::decoding::StreamingDecoder::new(bytes).map_err(|error| refuse(&error))?),
        };
        let mut inner = Vec::new();
        reader.take(LARGEST + 1).read_to_end(&mut inner).map_err(|error| refuse(&error))?;
        if inner.len() as u64 > LARGEST {
            return Err(refuse(&format!("more than {LARGEST} bytes")));
        }
        Ok(inner)
    }
}

/// What is in an EFI zboot image, and what that was.
pub(super) fn payload(packed: &Packed<'_>) -> Result<(Vec<u8>, String), String> {
    let format = Format::of(packed.payload).ok_or_else(|| {
        format!("EFI zboot packed by `{}`: only gzip, xz and zstd are unpacked here", packed.compression)
    })?;
    Ok((format.unpack(packed.payload)?, format!("EFI zboot ({})", format.name())))
}
