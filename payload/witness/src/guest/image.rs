//! The file that a kernel comes in (Linux, Documentation/arch/arm64/booting.rst; zboot-header.S for compressed EFI images).

mod others;

use core::fmt;
use thiserror::Error;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// "ARM\x64".
const MAGIC: u32 = 0x644D_5241;
/// A kernel is placed at a multiple of this, plus its own offset.
pub const ALIGNMENT: u64 = 2 << 20;

/// The header, in front of an Image with or without an EFI stub.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    code: [U32; 2],
    text_offset: U64,
    image_size: U64,
    flags: U64,
    reserved: [U64; 3],
    magic: U32,
    pe_at: U32,
}
const _: () = assert!(size_of::<Raw>() == 64);

/// Size of the kernel's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// The header does not say.
    Unknown,
    /// 4 KiB.
    Of4K,
    /// 16 KiB.
    Of16K,
    /// 64 KiB.
    Of64K,
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "pages of unknown size",
            Self::Of4K => "4 KiB pages",
            Self::Of16K => "16 KiB pages",
            Self::Of64K => "64 KiB pages",
        })
    }
}

/// A kernel that can be started as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Distance from a 2 MiB boundary, in bytes.
    pub text_offset: u64,
    /// Bytes of memory from there on, with what is not in the file (BSS).
    pub memory_bytes: u64,
    /// Size of its pages.
    pub pages: Pages,
    /// It may lie anywhere; older ones want to lie near the beginning of memory.
    pub is_anywhere: bool,
    /// It is an EFI application as well; the witness enters it as a plain Image all the same.
    pub has_efi_stub: bool,
}

/// Something that holds a kernel, and has to be unpacked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed<'a> {
    /// What the file is.
    pub container: &'static str,
    /// How its payload is compressed, as the kernel's build or the format calls it.
    pub compression: &'a str,
    /// The payload.
    pub payload: &'a [u8],
}

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A kernel.
    Image(Image),
    /// A kernel in something else.
    Packed(Packed<'a>),
}

/// Why a file cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// It is something else.
    #[error(
        "the kernel's file is {0}; wanted is an arm64 Linux Image, plain, gzip-compressed or as an EFI zboot image"
    )]
    Other(&'static str),
    /// The file ends in the middle.
    #[error("the kernel is cut off: {found} bytes, and {what} needs {needed}")]
    Short {
        /// What is not whole.
        what: &'static str,
        /// Bytes that are there.
        found: u64,
        /// Bytes that it takes.
        needed: u64,
    },
    /// Bit 0 of the flags.
    #[error("the kernel is big-endian: the witness reads its tables and queues as little-endian")]
    BigEndian,
    /// A field says nothing that can be.
    #[error("the header of the kernel has {field} {value:#x}: {wanted}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it has.
        value: u64,
        /// What it may have.
        wanted: &'static str,
    },
    /// ID_AA64MMFR0_EL1.TGran*.
    #[error("the kernel has {0}, and this CPU has none (ID_AA64MMFR0_EL1 is {1:#x})")]
    Pages(Pages, u64),
}

/// Tells what a file is, by its first bytes.
///
/// # Errors
/// [`Unfit`]: nothing that the witness can start.
pub fn recognise(file: &[u8]) -> Result<Kind<'_>, Unfit> {
    if let Some(packed) = others::packed(file)? {
        return Ok(Kind::Packed(packed));
    }
    let Ok((header, _)) = Raw::read_from_prefix(file) else {
        return Err(others::name(file).map_or_else(|| short("an arm64 Image", file, size_of::<Raw>()), Unfit::Other));
    };
    if header.magic.get() != MAGIC {
        return Err(Unfit::Other(others::name(file).unwrap_or("no arm64 Image (no magic at 0x38)")));
    }
    Image::new(&header, file).map(Kind::Image)
}

const fn short(what: &'static str, file: &[u8], needed: usize) -> Unfit {
    Unfit::Short { what, found: file.len() as u64, needed: needed as u64 }
}

impl Image {
    fn new(header: &Raw, file: &[u8]) -> Result<Self, Unfit> {
        let (offset, size, flags) = (header.text_offset.get(), header.image_size.get(), header.flags.get());
        let wrong = |field, value, wanted| Err(Unfit::Field { field, value, wanted });
        if flags & 1 != 0 {
            return Err(Unfit::BigEndian);
        }
        // Before 3.17 nobody wrote it, and text_offset could have either byte order.
        if size == 0 {
            return wrong("image_size", 0, "kernels before 3.17 are not supported");
        }
        if size >= 1 << 40 {
            return wrong("image_size", size, "less than 1 TiB");
        }
        if offset >= ALIGNMENT || !offset.is_multiple_of(0x1000) {
            return wrong("text_offset", offset, "whole pages, less than 2 MiB");
        }
        let pages = match flags >> 1 & 3 {
            0 => Pages::Unknown,
            1 => Pages::Of4K,
            2 => Pages::Of16K,
            _ => Pages::Of64K,
        };
        let is_pe = file.get(header.pe_at.get() as usize..).is_some_and(|rest| rest.starts_with(b"PE\0\0"));
        Ok(Self {
            text_offset: offset,
            // A signature may be behind what the header counts.
            memory_bytes: size.max(file.len() as u64),
            pages,
            is_anywhere: flags & 8 != 0,
            has_efi_stub: is_pe && file.starts_with(b"MZ"),
        })
    }

    /// Whether a CPU has the pages that it was built for: DDI 0487, D24.2.88. Where the header does not say, nobody knows.
    ///
    /// # Errors
    /// [`Unfit::Pages`].
    pub fn fits(&self, mmfr0: u64) -> Result<(), Unfit> {
        let field = |lowest: u32| mmfr0 >> lowest & 0xF;
        let has = match self.pages {
            Pages::Unknown => true,
            // 0b1111 is none.
            Pages::Of4K => field(28) != 0xF,
            Pages::Of64K => field(24) != 0xF,
            // And here it is 0b0000.
            Pages::Of16K => field(20) != 0,
        };
        if has { Ok(()) } else { Err(Unfit::Pages(self.pages, mmfr0)) }
    }
}

#[cfg(test)]
mod tests;
