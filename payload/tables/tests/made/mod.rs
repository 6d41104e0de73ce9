//! Tables to test with: those of the fixtures, mutations of them, and made-up ones whose mappings collide.

#![allow(dead_code, reason = "each test uses some")]

use proptest::prelude::*;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../ci/fixtures/tables/", $name, ".aml")) as &[u8]
    };
}

pub(crate) const IORTS: [&[u8]; 11] = [
    fixture!("qemu-virt/IORT"),
    fixture!("qemu-virt/IORT-two-smmus"),
    fixture!("qemu-virt/IORT-revision-3"),
    fixture!("qemu-virt/IORT-off-by-one"),
    fixture!("synthetic/its-with-mapping"),
    fixture!("synthetic/loop-three-rcs"),
    fixture!("synthetic/odd-node-lengths"),
    fixture!("synthetic/qemu-accel-mixed"),
    fixture!("synthetic/rmr-rev0-draft"),
    fixture!("synthetic/smmuv3-msi-devid-index0"),
    fixture!("synthetic/two-smmus-three-streams-three-ranges"),
];
pub(crate) const OTHERS: [&[u8]; 5] = [
    fixture!("qemu-virt/APIC"),
    fixture!("qemu-virt/DBG2"),
    fixture!("qemu-virt/GTDT"),
    fixture!("qemu-virt/MCFG"),
    fixture!("qemu-virt/SPCR"),
];

/// Bytes behind a header that every parser takes: signature, and Length and checksum that are right.
pub(crate) fn with_header(mut body: Vec<u8>, signature: [u8; 4]) -> Vec<u8> {
    let length = body.len() as u32;
    body[..4].copy_from_slice(&signature);
    body[4..8].copy_from_slice(&length.to_le_bytes());
    body[9] = 0;
    body[9] = body.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg();
    body
}

pub(crate) fn mutated(seeds: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let edits =
        prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), 0..4_u8, Just(255)]), 1..12);
    (prop::sample::select(seeds), edits, any::<bool>(), prop::option::of(any::<prop::sample::Index>())).prop_map(
        |(seed, edits, keeps_header, cut)| {
            let mut bytes = seed.to_vec();
            for (at, value) in edits {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            match (keeps_header, seed.first_chunk::<4>()) {
                (true, Some(signature)) if bytes.len() >= 36 => with_header(bytes, *signature),
                _ => bytes,
            }
        },
    )
}

/// A node before it has a place: type, revision, fixed part, and mappings that name their target by number.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) kind: u8,
    pub(crate) revision: u8,
    pub(crate) body: Vec<u8>,
    /// Input base, count, output base, number of the target node, flags.
    pub(crate) mappings: Vec<[u32; 5]>,
}

/// Bytes of a node before its mappings, by type, at the revisions used here.
fn fixed(kind: u8) -> usize {
    [20, 32, 40, 76, 68, 40, 28, 28][usize::from(kind)]
}

/// Lays nodes out behind each other. A target past the last node is no node's start.
pub(crate) fn lay_out(drafts: &[Draft], revision: u8) -> Vec<u8> {
    let mut starts = Vec::new();
    let mut next = 48;
    for draft in drafts {
        starts.push(next as u32);
        next += draft.body.len() + draft.mappings.len() * 20;
    }
    let mut bytes = vec![0; 48];
    bytes[8] = revision;
    bytes[36..40].copy_from_slice(&(drafts.len() as u32).to_le_bytes());
    bytes[40] = 48;
    for draft in drafts {
        let start = bytes.len();
        bytes.extend(&draft.body);
        let length = (draft.body.len() + draft.mappings.len() * 20) as u16;
        bytes[start] = draft.kind;
        bytes[start + 1..start + 3].copy_from_slice(&length.to_le_bytes());
        bytes[start + 3] = draft.revision;
        bytes[start + 8..start + 12].copy_from_slice(&(draft.mappings.len() as u32).to_le_bytes());
        bytes[start + 12..start + 16].copy_from_slice(&(draft.body.len() as u32).to_le_bytes());
        for [input, count, output, target, flags] in &draft.mappings {
            let reference = starts.get(*target as usize).copied().unwrap_or(*target % 3);
            for word in [*input, *count, *output, reference, *flags] {
                bytes.extend(word.to_le_bytes());
            }
        }
    }
    with_header(bytes, *b"IORT")
}

/// An ID: a few that meet often, and those at the end of 32 bits.
fn id() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 0..12_u32, 1 => u32::MAX - 3..=u32::MAX, 1 => any::<u32>()]
}

fn draft() -> impl Strategy<Value = Draft> {
    let kind = prop_oneof![4 => Just(2_u8), 3 => Just(4), 1 => Just(3), 2 => Just(0), 2 => Just(1), 1 => Just(5), 2 => Just(6), 1 => Just(7)];
    let flags = prop_oneof![6 => Just(0_u32), 1 => Just(1), 1 => Just(2)];
    let mapping = (id(), id(), id(), 0..9_u32, flags);
    let mapping = mapping.prop_map(|(input, count, output, target, flags)| [input, count, output, target, flags]);
    let words = prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => 0..4_u8], 60);
    (kind, prop::sample::select(&[1_u8, 4, 5][..]), words, prop::collection::vec(mapping, 0..7)).prop_map(
        |(kind, revision, words, mappings)| {
            let mut body = vec![0; fixed(kind)];
            for (to, from) in body[16..].iter_mut().zip(words) {
                *to = from;
            }
            match kind {
                0 => body[16..20].fill(0),
                3 => body[40..60].fill(0),
                // One range behind the node's fixed part.
                6 => {
                    body[20..28].copy_from_slice(&[1, 0, 0, 0, 28, 0, 0, 0]);
                    body.extend([
                        0,
                        0,
                        u8::from(mappings.is_empty()),
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        revision,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                    ]);
                }
                _ => {}
            }
            // Root complexes and components have their last fields since revision 4.
            let revision = if matches!(kind, 2 | 6) { 4 } else { revision };
            Draft { kind, revision, body, mappings }
        },
    )
}

/// A table of some nodes whose few IDs collide and whose references go anywhere.
pub(crate) fn table() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(draft(), 1..9), prop::sample::select(&[0_u8, 3, 5, 6][..]))
        .prop_map(|(drafts, revision)| lay_out(&drafts, revision))
}

/// Root complexes that lead one to the next, and the last one, where `closes`, to the first.
pub(crate) fn chain(length: u32, closes: bool) -> Vec<u8> {
    let drafts: Vec<Draft> = (0..length)
        .map(|number| {
            let target = if closes { (number + 1) % length } else { number + 1 };
            let mappings = if target < length { vec![[0, 0, 0, target, 0]] } else { Vec::new() };
            Draft { kind: 2, revision: 4, body: vec![0; 40], mappings }
        })
        .collect();
    lay_out(&drafts, 6)
}
