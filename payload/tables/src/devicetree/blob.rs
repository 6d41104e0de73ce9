//! The flattened form: header, blocks, and a first walk that bounds everything that is read later.
//!
//! The crate that reads nodes and properties ends its walks silently where bytes are missing, stops below 16 levels, and
//! adds header fields before it checks them. After this walk none of that can happen.

use super::finding;
use crate::finding::{Finding, Sink, Unreadable, refuse};
use crate::{read, rule};
use addr::PhysAddr;
use fdt::Fdt;
use fdt::parsing::{NoPanic, unaligned::UnalignedParser};
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Largest blob that is read; Linux takes none that is larger (`MAX_FDT_SIZE`).
pub const MAX_BYTES: usize = 2 << 20;
/// Most nodes. Trees of large servers have a few thousand.
pub const MAX_NODES: u32 = 1 << 14;
/// Levels below the root; the reader of nodes knows no more.
pub const MAX_DEPTH: u32 = 15;
/// Longest name of a node or property, in bytes. The specification allows 31, which trees exceed.
const MAX_NAME: usize = 255;
/// Most entries of the memory reservation block.
const MAX_RESERVATIONS: usize = 256;
const MAGIC: u32 = 0xd00d_feed;
/// Version of the format that has the length of the structure block; all writers since 2007.
const VERSION: u32 = 17;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: U32,
    total: U32,
    structure_at: U32,
    strings_at: U32,
    reservations_at: U32,
    version: U32,
    last_compatible: U32,
    boot_cpu: U32,
    strings_bytes: U32,
    structure_bytes: U32,
}
const HEADER_BYTES: usize = size_of::<Header>();
const _: () = assert!(HEADER_BYTES == 40);

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Reservation {
    base: U64,
    bytes: U64,
}

/// The reader of nodes, in the form that answers with errors.
pub(super) type Reader<'a> = (UnalignedParser<'a>, NoPanic);

/// A blob whose blocks lie inside it and whose structure block is one whole tree within the bounds.
#[derive(Clone, Copy)]
pub(super) struct Blob<'a> {
    pub(super) bytes: &'a [u8],
    header: Header,
    structure: &'a [u8],
    strings: &'a [u8],
    /// Number of nodes.
    pub(super) nodes: u32,
}

impl<'a> Blob<'a> {
    /// Verifies the header and walks the structure block once.
    pub(super) fn read(bytes: &'a [u8], sink: &mut Sink<'_>) -> Result<Self, Unreadable> {
        let mut blob = match Self::open(bytes) {
            Ok(blob) => blob,
            Err(wrong) => return Err(refuse(wrong, sink)),
        };
        blob.nodes = blob.walk().map_err(|wrong| refuse(wrong, sink))?;
        Ok(blob)
    }

    fn open(bytes: &'a [u8]) -> Result<Self, Finding> {
        let header: Header = read::record(bytes, 0).ok_or_else(|| short(bytes, HEADER_BYTES))?;
        if header.magic.get() != MAGIC {
            return Err(finding(&rule::E_DTB_MAGIC).at(0).found(header.magic.get()).against(MAGIC));
        }
        let total = header.total.get() as usize;
        if total < HEADER_BYTES {
            return Err(finding(&rule::E_LEN_LT_HDR).at(4).found(total as u64).against(HEADER_BYTES as u64));
        }
        if total > MAX_BYTES {
            return Err(finding(&rule::E_DTB_BOUND).at(4).found(total as u64).against(MAX_BYTES as u64));
        }
        let cut = finding(&rule::E_LEN_GT_FILE).at(4).found(total as u64).against(bytes.len() as u64);
        let bytes = bytes.get(..total).ok_or(cut)?;
        let (version, last) = (header.version.get(), header.last_compatible.get());
        if version < VERSION || last > VERSION {
            return Err(finding(&rule::E_DTB_VERSION).at(20).found(version).against(last));
        }
        let block = |field: usize, at: U32, length: U32| {
            let (at, length) = (at.get() as usize, length.get() as usize);
            let outside = finding(&rule::E_DTB_BLOCK).at(field).found(at as u64).against(length as u64);
            at.checked_add(length).and_then(|end| bytes.get(at..end)).ok_or(outside)
        };
        let structure = block(8, header.structure_at, header.structure_bytes)?;
        let strings = block(12, header.strings_at, header.strings_bytes)?;
        Ok(Self { bytes, header, structure, strings, nodes: 0 })
    }

    /// Counts the nodes of a structure block that is one tree, with `END` as its last word.
    fn walk(&self) -> Result<u32, Finding> {
        let (mut at, mut depth, mut nodes, mut may_have_properties) = (0, 0, 0, false);
        loop {
            let here = at;
            let token = self.word(at)?;
            at += 4;
            match token {
                BEGIN_NODE => {
                    if depth == 0 && nodes > 0 {
                        return Err(self.wrong(&rule::E_DTB_STRUCTURE, here).found(token));
                    }
                    (depth, nodes, may_have_properties) = (depth + 1, nodes + 1, true);
                    if nodes > MAX_NODES {
                        return Err(self.wrong(&rule::E_DTB_BOUND, here).against(MAX_NODES));
                    }
                    // The root is level 0.
                    if depth > MAX_DEPTH + 1 {
                        return Err(self.wrong(&rule::E_DTB_BOUND, here).found(depth).against(MAX_DEPTH));
                    }
                    let name = name(self.structure, at).ok_or_else(|| self.wrong(&rule::E_DTB_NAME, at))?;
                    at += (name + 1).next_multiple_of(4);
                }
                PROPERTY if may_have_properties => {
                    let (length, name_at) = (self.word(at)? as usize, self.word(at + 4)? as usize);
                    if name(self.strings, name_at).is_none() {
                        return Err(self.wrong(&rule::E_DTB_NAME, at + 4).found(name_at as u64));
                    }
                    at += 8;
                    if length > self.structure.len().saturating_sub(at) {
                        return Err(self.wrong(&rule::E_DTB_PROPERTY, here).found(length as u64));
                    }
                    at += length.next_multiple_of(4);
                }
                END_NODE if depth > 0 => (depth, may_have_properties) = (depth - 1, false),
                NOP => {}
                END if depth == 0 && nodes > 0 && at == self.structure.len() => return Ok(nodes),
                _ => return Err(self.wrong(&rule::E_DTB_STRUCTURE, here).found(token)),
            }
        }
    }

    fn word(&self, at: usize) -> Result<u32, Finding> {
        let word: Option<U32> = read::record(self.structure, at);
        word.map(U32::get).ok_or_else(|| self.wrong(&rule::E_DTB_CUT, at))
    }

    fn wrong(&self, rule: &'static rule::Rule, at: usize) -> Finding {
        finding(rule).at(self.structure_at().saturating_add(at))
    }

    /// The same bytes for the reader of nodes.
    pub(super) fn open_reader(&self) -> Option<Fdt<'a, Reader<'a>>> {
        Fdt::new_unaligned_fallible(self.bytes).ok()
    }

    /// Offset of the structure block.
    pub(super) const fn structure_at(&self) -> usize {
        self.header.structure_at.get() as usize
    }

    /// Offset of something that was borrowed from the blob; the root's name is none of its bytes.
    pub(super) fn offset_of(&self, part: &[u8]) -> usize {
        let offset = part.as_ptr().addr().checked_sub(self.bytes.as_ptr().addr());
        offset.filter(|offset| *offset < self.bytes.len()).unwrap_or(self.structure_at())
    }

    /// Physical ID of the CPU that booted, as its node's `reg` has it.
    pub(super) const fn boot_cpu(&self) -> u32 {
        self.header.boot_cpu.get()
    }

    /// Entries of the memory reservation block: base and length.
    pub(super) fn reservations(&self, sink: &mut Sink<'_>) -> impl Iterator<Item = (PhysAddr, u64)> + use<'a> {
        let (bytes, start) = (self.bytes, self.header.reservations_at.get() as usize);
        let entry = move |index: usize| {
            let at = start.checked_add(index * size_of::<Reservation>())?;
            let entry: Reservation = read::record(bytes, at)?;
            Some((PhysAddr(entry.base.get()), entry.bytes.get()))
        };
        let is_last = |entry: &(PhysAddr, u64)| *entry == (PhysAddr(0), 0);
        let is_ended = (0..=MAX_RESERVATIONS).map_while(entry).any(|entry| is_last(&entry));
        if !is_ended {
            sink(finding(&rule::W_DTB_RESERVATIONS).at(16).found(start as u64));
        }
        (0..MAX_RESERVATIONS).map_while(entry).take_while(move |entry| !is_last(entry))
    }
}

fn short(bytes: &[u8], needed: usize) -> Finding {
    finding(&rule::E_SHORT).found(bytes.len() as u64).against(needed as u64)
}

/// Length of the name at `at`, without its NUL; `None` where it has no end, is too long or no text.
fn name(block: &[u8], at: usize) -> Option<usize> {
    let rest = block.get(at..)?;
    let room = rest.get(..MAX_NAME + 1).unwrap_or(rest);
    let length = room.iter().position(|byte| *byte == 0)?;
    core::str::from_utf8(room.get(..length)?).ok().map(str::len)
}

/// Length in the header whose first words `start` is.
pub(super) fn length(start: [u8; 8]) -> Option<usize> {
    let [magic, total]: [U32; 2] = zerocopy::transmute!(start);
    let total = total.get() as usize;
    (magic.get() == MAGIC && (HEADER_BYTES..=MAX_BYTES).contains(&total)).then_some(total)
}
