//! The raw image: a flat file that begins with the arm64 `Image` header (Linux, Documentation/arch/arm64/booting.rst).

use anyhow::{Context, ensure};

use super::container::Flat;

/// Where the header has its magic number, and where the bytes that the image takes in memory.
const MAGIC_AT: usize = 56;
const SIZE_AT: usize = 16;
const MAGIC: &[u8] = b"ARM\x64";

/// The file: it relocates itself, and is told how much memory the boot loader must leave to it.
pub fn image(flat: &Flat) -> anyhow::Result<Vec<u8>> {
    let mut image = flat.image.clone();
    let magic = image.get(MAGIC_AT..MAGIC_AT + MAGIC.len()).context("too short for a header")?;
    ensure!(magic == MAGIC, "no arm64 Image header at its beginning");
    ensure!(flat.entry == 0, "entry {:#x}, where the header is the entry", flat.entry);
    let size = image.get_mut(SIZE_AT..SIZE_AT + 8).context("too short for a header")?;
    size.copy_from_slice(&u64::from(flat.memory_bytes).to_le_bytes());
    Ok(image)
}

/// Where the second of two images begins in one file.
const SECOND_AT: usize = 2 << 20;
/// A word of the header that is reserved, for the first image's own use.
const MODE_AT: usize = 32;

/// One file of two images: the first is entered, and enters the second.
pub fn behind(first: &[u8], mode: u64, second: &[u8]) -> anyhow::Result<Vec<u8>> {
    ensure!(first.len() < SECOND_AT / 2, "the first image has {} bytes", first.len());
    let takes = second.get(SIZE_AT..SIZE_AT + 8).and_then(|size| size.first_chunk()).context("too short")?;
    let takes = u64::from_le_bytes(*takes) + SECOND_AT as u64;
    let mut both = first.to_vec();
    both[SIZE_AT..SIZE_AT + 8].copy_from_slice(&takes.to_le_bytes());
    both[MODE_AT..MODE_AT + 8].copy_from_slice(&mode.to_le_bytes());
    both.resize(SECOND_AT, 0);
    both.extend(second);
    Ok(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat() -> Flat {
        let mut image = vec![0; 0x1000];
        image[MAGIC_AT..MAGIC_AT + 4].copy_from_slice(MAGIC);
        Flat { content: image.len(), image, memory_bytes: 0x123_4000, entry: 0, relocations: Vec::new() }
    }

    #[test]
    fn the_header_says_how_much_memory_is_taken() {
        let image = image(&flat()).unwrap();
        assert_eq!(image.len(), 0x1000);
        assert_eq!(image[16..24], 0x123_4000_u64.to_le_bytes());
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let without = Flat { image: vec![0; 0x1000], ..flat() };
        assert!(image(&without).unwrap_err().to_string().contains("header"));
        assert!(image(&Flat { image: vec![0; 16], ..flat() }).is_err());
        assert!(image(&Flat { entry: 64, ..flat() }).is_err());
    }
}
