//! The volume on a disc, for BMCs that show an image to the system as nothing else: ISO 9660 (ECMA-119) with the volume as what
//! El Torito 1.0 calls a boot image without emulation, for UEFI (UEFI 2.11, 13.3.2.1). The disc itself has no files.

/// Sector of a disc.
const SECTOR: usize = 2048;
/// Places, in sectors. The first sixteen are the system's (ECMA-119, 6.2.1).
const PRIMARY: usize = 16;
const BOOT_RECORD: usize = 17;
const TERMINATOR: usize = 18;
const CATALOG: usize = 19;
const PATHS_LITTLE: usize = 20;
const PATHS_BIG: usize = 21;
const ROOT: usize = 22;
const VOLUME: usize = 32;
/// A path table with the root alone.
const PATHS_BYTES: u32 = 10;
/// UEFI (UEFI 2.11, 13.3.2.1).
const PLATFORM: u8 = 0xef;

/// A disc with this volume.
pub fn with_volume(volume: &[u8]) -> Vec<u8> {
    let mut disc = vec![0; VOLUME * SECTOR];
    disc.extend(volume);
    disc.resize(disc.len().next_multiple_of(SECTOR), 0);
    let sectors = (disc.len() / SECTOR) as u32;
    let mut put = |sector: usize, bytes: &[u8]| disc[sector * SECTOR..][..bytes.len()].copy_from_slice(bytes);
    put(PRIMARY, &primary(sectors));
    let mut boot = descriptor(0);
    boot[7..39].copy_from_slice(&padded(b"EL TORITO SPECIFICATION", 0));
    boot[71..75].copy_from_slice(&(CATALOG as u32).to_le_bytes());
    put(BOOT_RECORD, &boot);
    put(TERMINATOR, &descriptor(255));
    put(CATALOG, &catalog());
    // Length of the name, extended attributes, place, parent, name (ECMA-119, 9.4).
    let root = ROOT as u32;
    put(PATHS_LITTLE, &[&[1, 0][..], &root.to_le_bytes(), &1_u16.to_le_bytes(), &[0, 0]].concat());
    put(PATHS_BIG, &[&[1, 0][..], &root.to_be_bytes(), &1_u16.to_be_bytes(), &[0, 0]].concat());
    // The root and its parent, which is itself.
    put(ROOT, &[folder(0), folder(1)].concat());
    disc
}

/// Type, identifier, version (ECMA-119, 8.1).
fn descriptor(kind: u8) -> Vec<u8> {
    let mut bytes = vec![0; SECTOR];
    bytes[..7].copy_from_slice(&[kind, b'C', b'D', b'0', b'0', b'1', 1]);
    bytes
}

/// ECMA-119, 8.4.
fn primary(sectors: u32) -> Vec<u8> {
    let mut bytes = descriptor(1);
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(8, &padded(b"", b' '));
    put(40, &padded(b"INFLIGHT", b' '));
    put(80, &both_32(sectors));
    put(120, &both_16(1));
    put(124, &both_16(1));
    put(128, &both_16(SECTOR as u16));
    put(132, &both_32(PATHS_BYTES));
    put(140, &(PATHS_LITTLE as u32).to_le_bytes());
    put(148, &(PATHS_BIG as u32).to_be_bytes());
    put(156, &folder(0));
    // Names of set, publisher, preparer, application and three files: none.
    put(190, &[b' '; 623]);
    // Four dates that are not given (ECMA-119, 8.4.26.1).
    for date in 0..4 {
        put(813 + 17 * date, b"0000000000000000");
    }
    put(881, &[1]);
    bytes
}

/// A record of the root, by the name 0, or as its own parent by the name 1 (ECMA-119, 9.1).
fn folder(name: u8) -> Vec<u8> {
    // 1 January 1980, that of FAT: when it was built is no part of what is built. Then: a folder, of the first volume.
    let date = [80, 1, 1, 0, 0, 0, 0];
    let place = [both_32(ROOT as u32), both_32(SECTOR as u32)].concat();
    [&[34, 0][..], &place, &date, &[2, 0, 0], &both_16(1), &[1, name]].concat()
}

/// El Torito 1.0, 2.1 and 2.2: a validation entry, whose words sum up to 0, and the one image.
fn catalog() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    (bytes[0], bytes[1], bytes[30], bytes[31]) = (1, PLATFORM, 0x55, 0xaa);
    let words = bytes[..32].chunks_exact(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
    let sum = words.fold(0_u16, u16::wrapping_add).wrapping_neg();
    bytes[28..30].copy_from_slice(&sum.to_le_bytes());
    bytes[32] = 0x88;
    // Its count of sectors has 16 bits; 1 stands for all up to the end of the disc (UEFI 2.11, 13.3.2.1).
    bytes[38] = 1;
    bytes[40..44].copy_from_slice(&(VOLUME as u32).to_le_bytes());
    bytes
}

/// Both orders, one after the other (ECMA-119, 7.3.3).
fn both_32(value: u32) -> Vec<u8> {
    [value.to_le_bytes(), value.to_be_bytes()].concat()
}

/// The same for 16 bits (ECMA-119, 7.2.3).
fn both_16(value: u16) -> Vec<u8> {
    [value.to_le_bytes(), value.to_be_bytes()].concat()
}

fn padded(text: &[u8], with: u8) -> [u8; 32] {
    let mut bytes = [with; 32];
    bytes[..text.len()].copy_from_slice(text);
    bytes
}
