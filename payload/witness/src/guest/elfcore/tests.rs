//! Read again as vmcore.c reads it, field by field at its offset.

extern crate std;

use super::*;
use std::vec::Vec;

const AT: u64 = 0x7F00_0000;

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from(short(bytes, at)) | u32::from(short(bytes, at + 2)) << 16
}
fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

fn header(old: &[Range<PhysAddr>]) -> Vec<u8> {
    let mut registers = [0; 34];
    (registers[0], registers[32]) = (7, 0xFFFF_8000_8001_2345);
    write(PhysAddr(AT), old, &registers)
}

#[test]
fn vmcore_takes_it() {
    let old = [PhysAddr(0x4000_0000)..PhysAddr(0x5E00_0000), PhysAddr(0x8000_0000)..PhysAddr(0xA000_0000)];
    let bytes = header(&old);
    assert_eq!(bytes.len(), super::bytes(2));
    // parse_crash_elf64_headers(): magic, ET_CORE, machine, class, version, sizes, at least one program header.
    assert_eq!(&bytes[..7], b"\x7FELF\x02\x01\x01");
    assert_eq!((short(&bytes, 16), short(&bytes, 18), word(&bytes, 20)), (4, 183, 1));
    assert_eq!((long(&bytes, 32), short(&bytes, 52), short(&bytes, 54), short(&bytes, 56)), (64, 64, 56, 3));
    // PT_NOTE: where the note lies, as a physical address.
    let notes = (long(&bytes, 64 + 8), long(&bytes, 64 + 32), long(&bytes, 64 + 40));
    assert_eq!((word(&bytes, 64), notes), (4, (AT + 64 + 3 * 56, NOTE as u64, NOTE as u64)));
    for (index, range) in old.iter().enumerate() {
        let at = 64 + 56 * (index + 1);
        let (offset, address, length) = (long(&bytes, at + 8), long(&bytes, at + 24), long(&bytes, at + 40));
        assert_eq!((word(&bytes, at), offset, address), (1, range.start.0, range.start.0));
        assert_eq!(length, range.end.0 - range.start.0);
    }
}

/// update_note_header_size_elf64() walks notes until one has no name, and must find that inside the segment.
#[test]
fn the_notes_end_inside_their_segment() {
    let bytes = header(&[PhysAddr(0x4000_0000)..PhysAddr(0x5000_0000)]);
    let notes = &bytes[64 + 2 * 56..];
    let mut at = 0;
    let mut walked = 0;
    while word(notes, at) != 0 {
        let padded = |bytes: u32| bytes.next_multiple_of(4) as usize;
        at += 12 + padded(word(notes, at)) + padded(word(notes, at + 4));
        walked += 1;
    }
    assert_eq!((walked, at + 12), (1, notes.len()));
    assert_eq!((word(notes, 0), word(notes, 4), word(notes, 8), &notes[12..17]), (5, 392, 1, b"CORE\0".as_slice()));
    let registers = 20 + 112;
    assert_eq!((long(notes, registers), long(notes, registers + 32 * 8)), (7, 0xFFFF_8000_8001_2345));
}

#[test]
fn more_ranges_than_there_is_room_for_are_left_out() {
    let old: Vec<_> = (0..100).map(|index| PhysAddr(index << 30)..PhysAddr((index << 30) + 4096)).collect();
    let bytes = header(&old);
    assert_eq!((short(&bytes, 56), bytes.len()), (65, super::bytes(100)));
}
