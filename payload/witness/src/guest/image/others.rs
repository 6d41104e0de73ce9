//! Files that are no arm64 Image: those that hold one, and those that are mistaken for one.

use super::{Packed, Unfit};

/// "zimg" behind "MZ" and two zeros.
const ZBOOT: &[u8] = b"MZ\0\0zimg";
/// Bytes of a zboot header up to the end of the compression's name.
const ZBOOT_BYTES: usize = 0x38;

/// A kernel in something else, if this is that.
pub(super) fn packed(file: &[u8]) -> Result<Option<Packed<'_>>, Unfit> {
    if file.starts_with(ZBOOT) {
        return zboot(file).map(Some);
    }
    // CM 8 is the only method of RFC 1952.
    let is_gzip = file.starts_with(&[0x1F, 0x8B, 8]);
    Ok(is_gzip.then_some(Packed { container: "a gzip file", compression: "gzip", payload: file }))
}

/// An EFI application that unpacks a kernel.
fn zboot(file: &[u8]) -> Result<Packed<'_>, Unfit> {
    let header =
        file.get(..ZBOOT_BYTES).ok_or_else(|| super::short("the header of an EFI zboot image", file, ZBOOT_BYTES))?;
    if let Some(machine) = machine(file).filter(|machine| *machine != ARM64) {
        return Err(Unfit::Other(machine_name(machine)));
    }
    let (at, bytes) = (word(header, 8), word(header, 12));
    let end = at.checked_add(bytes).filter(|_| at as usize >= ZBOOT_BYTES);
    let needed = end.ok_or(Unfit::Field { field: "payload offset", value: at.into(), wanted: "behind the header" })?;
    let payload = file.get(at as usize..needed as usize);
    let payload = payload.ok_or_else(|| super::short("the payload of an EFI zboot image", file, needed as usize))?;
    let name = header.get(24..).unwrap_or_default();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_alphanumeric);
    let compression = core::str::from_utf8(name).ok().filter(|_| is_name);
    let compression = compression.ok_or(Unfit::Other("an EFI zboot image whose compression has no name"))?;
    Ok(Packed { container: "an EFI zboot image", compression, payload })
}

const ARM64: u16 = 0xAA64;

/// Machine of a PE file.
fn machine(file: &[u8]) -> Option<u16> {
    let at = word(file.get(..0x40)?, 0x3C) as usize;
    let header = file.get(at..)?.strip_prefix(b"PE\0\0")?;
    Some(u16::from_le_bytes([*header.first()?, *header.get(1)?]))
}

const fn machine_name(machine: u16) -> &'static str {
    match machine {
        ARM64 => "an arm64 EFI application, and no kernel",
        0x8664 => "made for x86-64",
        0x014C => "made for 32-bit x86",
        0x01C0..=0x01C4 => "made for 32-bit Arm",
        0x5032 | 0x5064 => "made for RISC-V",
        0x6232 | 0x6264 => "made for LoongArch",
        _ => "an EFI application for another architecture",
    }
}

/// What a file is that is neither; `None` if nobody knows.
pub(super) fn name(file: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| file.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let known: [(usize, &[u8], &str); 13] = [
        (0, b"\x7FELF", "an ELF file (a vmlinux, perhaps)"),
        (0x202, b"HdrS", "an x86 bzImage"),
        (0x24, &[0x18, 0x28, 0x6F, 0x01], "a zImage for 32-bit Arm"),
        (0x38, b"RSC\x05", "made for RISC-V"),
        (0, &[0x27, 0x05, 0x19, 0x56], "a U-Boot uImage"),
        (0, &[0xD0, 0x0D, 0xFE, 0xED], "a FIT image or a devicetree"),
        (0, b"!<arch>\ndebian-binary", "a Debian package: unpack it and give the file /boot/vmlinuz-* in it"),
        (0, &[0xED, 0xAB, 0xEE, 0xDB], "an RPM package: unpack it and give the file vmlinuz in it"),
        (0, &[0xFD, b'7', b'z', b'X', b'Z', 0], "an xz file"),
        (0, &[0x28, 0xB5, 0x2F, 0xFD], "a zstd file"),
        (0, &[0x02, 0x21, 0x4C, 0x18], "an lz4 file"),
        (0, &[0x04, 0x22, 0x4D, 0x18], "an lz4 file"),
        (0, b"BZh", "a bzip2 file"),
    ];
    if file.is_empty() {
        return Some("an empty file");
    }
    let found = known.iter().find(|(offset, magic, _)| at(*offset, magic)).map(|(.., what)| *what);
    found.or_else(|| machine(file).map(machine_name))
}

/// A little-endian word; 0 past the end.
fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.copied().map_or(0, u32::from_le_bytes)
}
