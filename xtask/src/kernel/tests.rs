use std::io::Write;

use super::*;

pub(super) fn image() -> Vec<u8> {
    let mut image = b"MZ\0\x14".to_vec();
    image.resize(64, 0);
    // image_size, and flags: pages of 4 KiB, anywhere.
    image[16..24].copy_from_slice(&0x20_0000_u64.to_le_bytes());
    image[24] = 0b1010;
    image[56..60].copy_from_slice(b"ARM\x64");
    image.extend(b"Linux version %s\0\0Linux version 6.12.1-x (gcc 14) #1 SMP\n\0");
    image.resize(4096, 0x5a);
    image
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default()).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn zboot(kind: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut file = b"MZ\0\0zimg".to_vec();
    file.extend(0x200_u32.to_le_bytes());
    file.extend((payload.len() as u32).to_le_bytes());
    file.resize(0x18, 0);
    file.extend(kind);
    file.resize(0x38, 0);
    file.extend(0x8182_23cd_u32.to_le_bytes());
    file.resize(0x200, 0);
    file.extend(payload);
    // What follows is the stub.
    file.resize(file.len() + 4096, 0xc3);
    file
}

fn tar(names: &[&str], contents: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for name in names {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, contents).unwrap();
    }
    builder.into_inner().unwrap()
}

fn deb(member: &str, data: &[u8]) -> Vec<u8> {
    let mut builder = ar::Builder::new(Vec::new());
    for (name, bytes) in [("debian-binary", &b"2.0\n"[..]), ("control.tar.xz", b""), (member, data)] {
        builder.append(&ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64), bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn rpm(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut bytes = b"\xed\xab\xee\xdb".to_vec();
    bytes.resize(96, 0);
    let header = |entries: u32, data: u32| {
        let mut header = b"\x8e\xad\xe8\x01\0\0\0\0".to_vec();
        header.extend(entries.to_be_bytes());
        header.extend(data.to_be_bytes());
        header.resize(header.len() + 16 * entries as usize + data as usize, 0x11);
        header
    };
    bytes.extend(header(1, 5));
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(header(2, 3));
    let inputs = files.iter().map(|(name, mode, contents)| {
        (cpio::newc::Builder::new(name).mode(*mode), std::io::Cursor::new(contents.to_vec()))
    });
    bytes.extend(zstd(&cpio::write_cpio(inputs, Vec::new()).unwrap()));
    bytes
}

fn way(bytes: Vec<u8>) -> String {
    let kernel = unpacked(bytes).unwrap();
    assert!(kernel.image == image());
    kernel.way
}

fn refused(bytes: Vec<u8>) -> String {
    unpacked(bytes).err().expect("it is refused")
}

#[test]
fn an_image_is_found_plain_packed_and_in_packages() {
    assert_eq!(way(image()), "");
    assert_eq!(way(gzip(&image())), "gzip");
    assert_eq!(way(xz(&image())), "xz");
    assert_eq!(way(zstd(&image())), "zstd");
    assert_eq!(way(zboot(b"gzip", &gzip(&image()))), "EFI zboot (gzip)");
    assert_eq!(way(zboot(b"zstd22", &zstd(&image()))), "EFI zboot (zstd)");
    let files = tar(&["./boot/config-6.12", "./boot/vmlinuz-6.12"], &image());
    assert_eq!(way(deb("data.tar", &files)), "boot/vmlinuz-6.12");
    assert_eq!(way(deb("data.tar.xz", &xz(&files))), "boot/vmlinuz-6.12");
    let files = tar(&["./usr/lib/modules/7.2/vmlinuz"], &gzip(&image()));
    assert_eq!(way(deb("data.tar.zst", &zstd(&files))), "usr/lib/modules/7.2/vmlinuz, gzip");
    let zboot = zboot(b"gzip", &gzip(&image()));
    let files: [(&str, u32, &[u8]); 2] =
        [("./boot/vmlinuz-6.17", 0o120_777, b"../lib"), ("./lib/modules/6.17/vmlinuz", 0o100_644, &zboot)];
    assert_eq!(way(rpm(&files)), "lib/modules/6.17/vmlinuz, EFI zboot (gzip)");
}

#[test]
fn a_kernel_says_its_version_and_its_pages() {
    let kernel = unpacked(gzip(&image())).unwrap();
    assert_eq!(kernel.version().as_deref(), Some("Linux version 6.12.1-x (gcc 14) #1 SMP"));
    assert_eq!(kernel.header.pages.to_string(), "4 KiB pages");
    let mut other = image();
    other.truncate(64);
    assert_eq!(unpacked(other).unwrap().version(), None);
}

#[test]
fn what_is_no_arm64_kernel_is_named() {
    let with = |at: usize, magic: &[u8]| {
        let mut bytes = vec![0; 0x400];
        bytes[at..at + magic.len()].copy_from_slice(magic);
        bytes
    };
    let mut big_endian = image();
    big_endian[24] |= 1;
    let mut old = image();
    old[16..24].fill(0);
    for (bytes, words) in [
        (with(0x202, b"HdrS"), "an x86 bzImage"),
        (gzip(&with(0x202, b"HdrS")), "gzip: an x86 bzImage"),
        (with(0x24, &0x016f_2818_u32.to_le_bytes()), "32-bit Arm"),
        (with(0x38, b"RSC\x05"), "RISC-V"),
        (with(0, b"\x7fELF"), "an ELF file"),
        (Vec::new(), "an empty file"),
        (b"hello".to_vec(), "is cut off"),
        (gzip(&[0x11; 100]), "gzip: no arm64 Image"),
        (big_endian, "big-endian"),
        (xz(&old), "xz: the header of the kernel has image_size"),
        (deb("data.tar", &tar(&["./boot/config-6.12", "./etc/vmlinuz"], b"x")), "no kernel in this package"),
        (rpm(&[("./etc/passwd", 0o100_644, b"x")]), "no kernel in this package"),
        (zboot(b"lz4", b"\x04\x22\x4d\x18"), "packed by `lz4`"),
        (gzip(&gzip(&gzip(&gzip(&gzip(&image()))))), "packed more than 4 times"),
    ] {
        let found = refused(bytes);
        assert!(found.contains(words) && !found.contains('\n'), "{found}: {words}");
    }
}

#[test]
fn what_is_cut_short_is_refused_in_one_line() {
    let whole = [
        gzip(&image()),
        xz(&image()),
        zstd(&image()),
        zboot(b"gzip", &gzip(&image())),
        deb("data.tar.xz", &xz(&tar(&["./boot/vmlinuz-6.12"], &image()))),
        rpm(&[("./lib/modules/6.17/vmlinuz", 0o100_644, &image())]),
    ];
    for bytes in whole {
        for length in (0..bytes.len().min(600)).step_by(7) {
            // The last bytes of a zboot file are its stub.
            if let Ok(kernel) = unpacked(bytes[..length].to_vec()) {
                assert!(kernel.image == image(), "{length}");
            }
        }
    }
}

/// An EFI stub says how long the file is: with a section up to 0x800, and one more of which only memory is taken.
#[test]
fn an_image_that_is_cut_off_is_told() {
    let mut image = image();
    image[60..64].copy_from_slice(&0x80_u32.to_le_bytes());
    let (sections, optional) = (2_u16, 240_u16);
    image[0x80..0x84].copy_from_slice(b"PE\0\0");
    image[0x86..0x88].copy_from_slice(&sections.to_le_bytes());
    image[0x94..0x96].copy_from_slice(&optional.to_le_bytes());
    image[0x98..0x9a].copy_from_slice(&0x20b_u16.to_le_bytes());
    // NumberOfRvaAndSizes.
    image[0x98 + 108..0x98 + 112].copy_from_slice(&16_u32.to_le_bytes());
    for (index, (size, at)) in [(0x600_u32, 0x200_u32), (0, 0)].into_iter().enumerate() {
        let section = 0x98 + usize::from(optional) + 40 * index;
        image[section + 16..section + 20].copy_from_slice(&size.to_le_bytes());
        image[section + 20..section + 24].copy_from_slice(&at.to_le_bytes());
    }
    let of = |length: usize| unpacked(image[..length].to_vec());
    assert!(of(4096).is_ok() && of(0x800).is_ok());
    assert_eq!(of(0x7ff).err().unwrap(), "cut off: 2047 bytes of 2048, by its PE header");
    assert_eq!(of(0x100).err().unwrap(), "cut off: 256 bytes of more, by its PE header");
    let packed = unpacked(gzip(&image[..0x7ff])).err().unwrap();
    assert_eq!(packed, "gzip: cut off: 2047 bytes of 2048, by its PE header");
}
