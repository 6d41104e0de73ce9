//! The header that makes a kernel a crash kernel: `linux,elfcorehdr` leads to it, and /proc/vmcore is made of it
//! (System V ABI, chapters 4 and 5; Linux, fs/proc/vmcore.c).

use addr::PhysAddr;
use alloc::vec::Vec;
use core::ops::Range;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{Immutable, IntoBytes, Unaligned};

const ET_CORE: u16 = 4;
const EM_AARCH64: u16 = 183;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const NT_PRSTATUS: u32 = 1;
/// Ranges of old memory that are told: the kernel allocates by their number.
pub const MAX_RANGES: usize = 64;

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    ident: [u8; 16],
    kind: U16,
    machine: U16,
    version: U32,
    entry: U64,
    program_headers_at: U64,
    sections_at: U64,
    flags: U32,
    header_bytes: U16,
    program_header_bytes: U16,
    program_headers: U16,
    section_bytes: U16,
    sections: U16,
    names: U16,
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct ProgramHeader {
    kind: U32,
    flags: U32,
    /// Of a crash's core a physical address, as the next two.
    offset: U64,
    virtual_address: U64,
    address: U64,
    file_bytes: U64,
    memory_bytes: U64,
    alignment: U64,
}

/// `struct elf_prstatus` of arm64 up to its registers: signals, process, times.
const STATUS_BYTES: usize = 112;

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Note {
    name_bytes: U32,
    description_bytes: U32,
    kind: U32,
    /// "CORE", filled up to a multiple of 4.
    name: [u8; 8],
    status: [u8; STATUS_BYTES],
    /// x0 to x30, SP, PC, PSTATE.
    registers: [U64; 34],
    floating_point_valid: U64,
    /// A note without a name: the kernel looks at one more than there are.
    end: [u8; 12],
}

const HEADER: usize = size_of::<Header>();
const PROGRAM_HEADER: usize = size_of::<ProgramHeader>();
const NOTE: usize = size_of::<Note>();
const _: () = assert!(HEADER == 64 && PROGRAM_HEADER == 56 && NOTE - 32 == 392);

/// Bytes that the header of so many ranges takes.
#[must_use]
pub const fn bytes(ranges: usize) -> usize {
    HEADER + PROGRAM_HEADER * (1 + if ranges < MAX_RANGES { ranges } else { MAX_RANGES }) + NOTE
}

/// The header as it has to lie at `at`, which has to be inside the kernel's usable range: it is read through the linear map.
///
/// `old` is memory of the kernel that crashed, past [`MAX_RANGES`] ranges the rest is left out; `registers` are those of the
/// CPU that crashed: x0 to x30, SP, PC, PSTATE.
#[must_use]
pub fn write(at: PhysAddr, old: &[Range<PhysAddr>], registers: &[u64; 34]) -> Vec<u8> {
    let old = old.get(..MAX_RANGES).unwrap_or(old);
    let count = old.len() as u16 + 1;
    let header = Header {
        // 64 bits, little-endian, version 1.
        ident: *b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
        kind: ET_CORE.into(),
        machine: EM_AARCH64.into(),
        version: 1.into(),
        entry: 0.into(),
        program_headers_at: (HEADER as u64).into(),
        sections_at: 0.into(),
        flags: 0.into(),
        header_bytes: (HEADER as u16).into(),
        program_header_bytes: (PROGRAM_HEADER as u16).into(),
        program_headers: count.into(),
        section_bytes: 0.into(),
        sections: 0.into(),
        names: 0.into(),
    };
    let segment = |kind: u32, flags: u32, start: u64, bytes: u64| ProgramHeader {
        kind: kind.into(),
        flags: flags.into(),
        offset: start.into(),
        virtual_address: start.into(),
        address: start.into(),
        file_bytes: bytes.into(),
        memory_bytes: bytes.into(),
        alignment: 0.into(),
    };
    let note = Note {
        name_bytes: 5.into(),
        description_bytes: (NOTE as u32 - 32).into(),
        kind: NT_PRSTATUS.into(),
        name: *b"CORE\0\0\0\0",
        status: [0; STATUS_BYTES],
        registers: registers.map(U64::new),
        floating_point_valid: 0.into(),
        end: [0; 12],
    };
    let note_at = at.0.wrapping_add((HEADER + PROGRAM_HEADER * usize::from(count)) as u64);
    let mut bytes = Vec::with_capacity(bytes(old.len()));
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(segment(PT_NOTE, 0, note_at, NOTE as u64).as_bytes());
    for range in old {
        let length = range.end.0.saturating_sub(range.start.0);
        // Readable, writable, executable.
        bytes.extend_from_slice(segment(PT_LOAD, 7, range.start.0, length).as_bytes());
    }
    bytes.extend_from_slice(note.as_bytes());
    bytes
}

#[cfg(test)]
mod tests;
