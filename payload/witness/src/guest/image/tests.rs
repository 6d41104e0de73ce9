//! Headers as kernels have them, and files that are none.

extern crate std;

use super::*;
use proptest::prelude::*;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

/// The first 64 bytes of Debian's 7.3.4 Image, and a PE header at 0x40: text_offset 0, image_size 0x3240000, flags 0xA (4 KiB
/// pages, anywhere).
fn debian() -> Vec<u8> {
    let mut file = vec![0; 0x1000];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0x4D, 0x5A, 0x40, 0xFA]);
    put(16, &0x0324_0000_u64.to_le_bytes());
    put(24, &0xA_u64.to_le_bytes());
    put(56, b"ARM\x64");
    put(60, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0\x64\xAA");
    file
}

fn zboot(machine: u16, compression: &[u8], at: u32, bytes: u32) -> Vec<u8> {
    let mut file = vec![0x55; 0x400];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ\0\0zimg");
    put(8, &at.to_le_bytes());
    put(12, &bytes.to_le_bytes());
    put(16, &[0; 8]);
    put(24, compression);
    put(24 + compression.len(), &[0]);
    put(0x38, &0x8182_23CD_u32.to_le_bytes());
    put(0x3C, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    put(0x44, &machine.to_le_bytes());
    file
}

fn image(file: &[u8]) -> Result<Image, Unfit> {
    match recognise(file)? {
        Kind::Image(image) => Ok(image),
        Kind::Packed(packed) => panic!("{packed:?}"),
    }
}

fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = debian();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

fn text(file: &[u8]) -> std::string::String {
    recognise(file).err().map(|unfit| unfit.to_string()).unwrap_or_default()
}

#[test]
fn an_image_with_an_efi_stub_is_an_image() {
    let expected =
        Image { text_offset: 0, memory_bytes: 0x0324_0000, pages: Pages::Of4K, is_anywhere: true, has_efi_stub: true };
    assert_eq!(image(&debian()), Ok(expected));
    // Without a stub the first instruction is a branch, and nothing is at the PE offset.
    let plain = with(0, &[0, 0, 0, 0x14]);
    assert_eq!(image(&plain), Ok(Image { has_efi_stub: false, ..expected }));
    let old = [&debian()[..8], &0x8_0000_u64.to_le_bytes(), &0x10_0000_u64.to_le_bytes(), &[0; 32], b"ARM\x64\0\0\0\0"]
        .concat();
    let expected = Image {
        text_offset: 0x8_0000,
        memory_bytes: 0x10_0000,
        pages: Pages::Unknown,
        is_anywhere: false,
        has_efi_stub: false,
    };
    assert_eq!(image(&old), Ok(expected));
}

#[test]
fn a_file_that_is_longer_than_its_header_says_takes_its_length() {
    let signed = with(16, &0x800_u64.to_le_bytes());
    assert_eq!(image(&signed).map(|image| image.memory_bytes), Ok(0x1000));
}

#[test]
fn pages_that_a_cpu_lacks_are_told() {
    let of = |flags: u64| image(&with(24, &flags.to_le_bytes())).expect("an image");
    // Cortex-A72, Neoverse N1, a CPU of 64 KiB alone.
    let (a72, n1, only64) = (0x1124, 0x10_1125, 0xF000_0005);
    for (flags, pages, has) in [
        (0xA, Pages::Of4K, [true, true, false]),
        (0xC, Pages::Of16K, [false, true, false]),
        (0xE, Pages::Of64K, [true, true, true]),
        (0x8, Pages::Unknown, [true, true, true]),
    ] {
        let image = of(flags);
        assert_eq!(image.pages, pages);
        assert_eq!([a72, n1, only64].map(|mmfr0| image.fits(mmfr0).is_ok()), has, "{pages}");
    }
    let none = of(0xE).fits(0x0F00_0000).err().map(|unfit| unfit.to_string());
    let expected = "the kernel has 64 KiB pages, and this CPU has none (ID_AA64MMFR0_EL1 is 0xf000000)";
    assert_eq!(none.as_deref(), Some(expected));
}

#[test]
fn what_cannot_be_started_says_why() {
    assert_eq!(recognise(&with(24, &0xB_u64.to_le_bytes())), Err(Unfit::BigEndian));
    for (file, expected) in [
        (vec![], "an empty file"),
        (with(56, b"RSC\x05"), "for RISC-V"),
        (with(56, &0x8182_23CD_u32.to_le_bytes()), "an arm64 EFI application, and no kernel"),
        ([b"\x7FELF".as_slice(), &[0; 60]].concat(), "an ELF file"),
        ([&[0; 0x24][..], &[0x18, 0x28, 0x6F, 0x01], &[0; 64]].concat(), "32-bit Arm"),
        ([&[0; 0x202][..], b"HdrS"].concat(), "x86 bzImage"),
        ([b"!<arch>\ndebian-binary".as_slice(), &[0x20; 64]].concat(), "a Debian package"),
        (vec![0xED, 0xAB, 0xEE, 0xDB, 3, 0], "an RPM package"),
        ([b"\xFD7zXZ\0".as_slice(), &[0; 64]].concat(), "an xz file"),
        (vec![0; 4096], "no magic at 0x38"),
        (debian()[..63].to_vec(), "cut off: 63 bytes, and an arm64 Image needs 64"),
        (vec![0; 63], "cut off: 63 bytes"),
        (with(16, &[0; 8]), "image_size 0x0: kernels before 3.17"),
        (with(8, &0x20_0000_u64.to_le_bytes()), "text_offset 0x200000: whole pages, less than 2 MiB"),
        (zboot(0x8664, b"gzip", 0x100, 0x100), "for x86-64"),
        (zboot(0xAA64, b"gzip", 0x100, 0x400), "cut off: 1024 bytes, and the payload of an EFI zboot image needs 1280"),
        (zboot(0xAA64, b"gzip", 0xFFFF_FFFF, 2), "payload offset"),
        (zboot(0xAA64, b"\x01", 0x100, 2), "compression has no name"),
    ] {
        let text = text(&file);
        assert!(text.contains(expected), "{text:?} does not say {expected:?}");
        assert!(!text.contains('\n'));
    }
}

#[test]
fn packed_kernels_are_named_with_their_payload() {
    let gzip = [0x1F, 0x8B, 8, 0, 1];
    let packed = Packed { container: "a gzip file", compression: "gzip", payload: &gzip };
    assert_eq!(recognise(&gzip), Ok(Kind::Packed(packed)));
    for compression in ["gzip", "zstd22", "xzkern"] {
        let file = zboot(0xAA64, compression.as_bytes(), 0x100, 0x300);
        let packed = Packed { container: "an EFI zboot image", compression, payload: &file[0x100..] };
        assert_eq!(recognise(&file), Ok(Kind::Packed(packed)));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, kind in 0_usize..3) {
        let start: &[u8] = [b"".as_slice(), b"MZ\0\0zimg", b"MZ"][kind];
        let _ = recognise(&[start, &bytes].concat());
    }

    #[test]
    fn a_cut_image_is_no_image_or_the_same(length in 0_usize..0x1000) {
        let (file, whole) = (debian(), image(&debian()));
        let cut = recognise(&file[..length]);
        prop_assert_eq!(cut.is_ok(), length >= 64, "{:?}", cut);
        if let Ok(Kind::Image(cut)) = cut {
            prop_assert_eq!(Ok(cut.memory_bytes), whole.map(|image| image.memory_bytes));
        }
    }
}
