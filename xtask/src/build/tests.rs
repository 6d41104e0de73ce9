use super::container::{Flat, MAGIC, Relocation, compress, pack};
use super::{elf, executable_in};

/// A minimal position-independent ELF: one PT_LOAD of everything, one PT_DYNAMIC, one relocation.
fn elf_with(kind: u16, relocation: (u64, u64, u64)) -> Vec<u8> {
    const HEADERS: usize = 64 + 2 * 56;
    let (dynamic, rela, code) = (HEADERS, HEADERS + 48, HEADERS + 48 + 24);
    let total = code + 16;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(kind.to_le_bytes());
    file.extend(183u16.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    for word in [code as u64, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 2, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // PT_LOAD with 5000 more bytes of bss, PT_DYNAMIC.
    for (p_type, offset, size, memory) in [(1u32, 0, total, total + 5000), (2, dynamic, 48, 48)] {
        file.extend(p_type.to_le_bytes());
        file.extend(7u32.to_le_bytes());
        for word in [offset, offset, offset, size, memory, 8] {
            file.extend((word as u64).to_le_bytes());
        }
    }
    for word in [7u64, rela as u64, 8, 24, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for word in [relocation.0, relocation.1, relocation.2] {
        file.extend(word.to_le_bytes());
    }
    file.resize(total, 0);
    file
}

const RELATIVE: u64 = 1027;
const CODE: u64 = 64 + 2 * 56 + 48 + 24;

#[test]
fn a_pie_becomes_a_flat_image_with_its_relocations() {
    let flat = elf::flatten(&elf_with(3, (CODE, RELATIVE, 0x40))).unwrap();
    assert_eq!(flat.image.len(), 264);
    assert_eq!(flat.memory_bytes, 8192);
    assert_eq!(flat.entry, u32::try_from(CODE).unwrap());
    assert_eq!(flat.relocations, [Relocation { offset: u32::try_from(CODE).unwrap(), addend: 0x40 }]);
}

#[test]
fn an_executable_linked_at_a_fixed_address_is_refused() {
    let error = elf::flatten(&elf_with(2, (CODE, RELATIVE, 0))).unwrap_err().to_string();
    assert!(error.contains("-pie"), "{error}");
}

#[test]
fn any_other_relocation_is_named() {
    // R_AARCH64_ABS64 against symbol 1.
    let error = elf::flatten(&elf_with(3, (CODE, 1 << 32 | 257, 0))).unwrap_err().to_string();
    assert!(error.contains("257") || error.contains("ABS64"), "{error}");
    assert!(error.contains("symbol"), "{error}");
}

#[test]
fn a_relocation_outside_the_image_is_refused() {
    for (offset, addend) in [(8190, 0), (u64::MAX - 3, 0), (CODE, 0x10_0000), (CODE + 1, 0)] {
        assert!(elf::flatten(&elf_with(3, (offset, RELATIVE, addend))).is_err(), "{offset:#x} {addend:#x}");
    }
}

#[test]
fn damaged_files_are_refused_and_never_panic() {
    let good = elf_with(3, (CODE, RELATIVE, 0x40));
    for length in 0..good.len() {
        assert!(elf::flatten(&good[..length]).is_err(), "cut at {length}");
    }
    for at in 0..good.len() {
        for value in [0, 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            let _ = elf::flatten(&bad);
        }
    }
}

#[test]
fn the_container_has_the_agreed_bytes() {
    let flat = Flat {
        image: vec![0xaa; 35],
        content: 33,
        memory_bytes: 0x1000,
        entry: 1,
        relocations: vec![Relocation { offset: 8, addend: 0x1122 }, Relocation { offset: 24, addend: 0x33 }],
    };
    let bytes = pack(&flat).unwrap();
    let mut header = MAGIC.to_vec();
    header.extend([33, 0, 0, 0, 0, 0x10, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]);
    let mut body = vec![0xaa; 8];
    body.extend([0x22, 0x11, 0, 0, 0, 0, 0, 0]);
    body.extend([0xaa; 8]);
    body.extend([0x33, 0, 0, 0, 0, 0, 0, 0, 0xaa]);
    body.extend([8, 0, 0, 0, 16, 0, 0, 0]);
    assert_eq!(bytes[..header.len()], header);
    let (plain, crc) = bytes[header.len()..].split_last_chunk::<8>().unwrap();
    assert_eq!(plain, body);
    // Bit by bit, reflected, as CRC-64/XZ is defined: not by the code under test.
    let expected = !header.iter().chain(&body).fold(u64::MAX, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| (crc >> 1) ^ (0xc96c_5795_d787_0f42 * (crc & 1)))
    });
    assert_eq!(*crc, expected.to_le_bytes());
}

#[test]
fn the_loader_gets_a_length_and_a_stream_with_a_checksum() {
    // Some of these numbers are calls.
    let image: Vec<u8> = (0..100_000_u32).flat_map(|word| (word % 2 * 0x9400_0000 + word / 7).to_le_bytes()).collect();
    let packed = compress(&image).unwrap();
    assert!(packed.len() < image.len() / 2, "{} bytes", packed.len());
    let (length, rest) = packed.split_first_chunk().unwrap();
    assert_eq!(u32::from_le_bytes(*length) as usize, image.len());
    let (sum, stream) = rest.split_first_chunk().unwrap();
    assert_eq!(u32::from_le_bytes(*sum), crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(stream));
    let mut unpacked = vec![0; image.len()];
    unpack::decode(stream, &mut unpacked).unwrap();
    unpack::restore(&mut unpacked, unpack::START);
    assert!(unpacked == image);
}

#[test]
fn a_relocation_in_zero_initialised_memory_is_refused() {
    let relocations = vec![Relocation { offset: 16, addend: 0 }];
    let flat = Flat { image: vec![0; 20], content: 20, memory_bytes: 0x1000, entry: 0, relocations };
    let error = pack(&flat).unwrap_err().to_string();
    assert!(error.contains("0x10"), "{error}");
}

#[test]
fn relocations_out_of_order_are_refused() {
    let relocations = [8, 0].map(|offset| Relocation { offset, addend: 0 }).to_vec();
    let flat = Flat { image: vec![0; 16], content: 16, memory_bytes: 0x1000, entry: 0, relocations };
    let error = pack(&flat).unwrap_err().to_string();
    assert!(error.contains("0x8"), "{error}");
}

#[test]
fn cargo_names_the_executable() {
    let line = r#"{"reason":"compiler-artifact","target":{"name":"kdump"},"executable":"/t/kdump"}"#;
    assert_eq!(executable_in(line, "kdump"), Some("/t/kdump".into()));
    assert_eq!(executable_in(line, "primary"), None);
    assert_eq!(executable_in("warning: noise", "kdump"), None);
}
