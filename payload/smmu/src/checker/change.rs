//! One live structure that was changed and is not invalidated yet.

use super::command::{is_cfgi_all, opcode_of};
use super::geometry::Place;
use super::rules;
use super::unit::Context;
use crate::access::Structure;
use crate::spec::cd::{Cd0, L1Cd};
use crate::spec::command::{Command, opcode};
use crate::spec::ste::{Config, L1Std, Ste0};
use alloc::format;

/// IDR3.MPAM: words 4 and 5 of an STE are used.
const IDR3_MPAM: u32 = 1 << 7;

/// What changed since the last complete invalidation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) place: Place,
    /// Words that changed, one bit each.
    dirty: u8,
    /// Of those, the ones that the SMMU used when they changed.
    dirty_used: u8,
    /// V went to 0 in this entry.
    cleared: Option<u64>,
    /// It led somewhere before: STEs below it may be cached.
    was_linked: bool,
    /// Last store.
    pub(super) last: u64,
    /// A CFGI_STE for it that leaves level-1 descriptors.
    pub(super) leaf: Option<u64>,
}

impl Change {
    pub(super) const fn new(place: Place) -> Self {
        Self { place, dirty: 0, dirty_used: 0, cleared: None, was_linked: false, last: 0, leaf: None }
    }

    /// The command would be for this descriptor, but for Leaf.
    pub(super) fn is_with_leaf_only(&self, command: Command) -> bool {
        let is_leaf = opcode_of(command) == opcode::CFGI_STE && command[1] & 1 != 0;
        is_leaf && self.place.structure == Structure::L1Std && within(command, &self.place, self.place.stream_bits)
    }
}

/// V of a structure, or a span.
pub(super) fn is_valid(structure: Structure, word: u64) -> bool {
    match structure {
        Structure::L1Std => L1Std::from(word).span() != 0,
        Structure::Ste => Ste0::from(word).v(),
        Structure::L1Cd => L1Cd::from(word).v(),
        _ => Cd0::from(word).v(),
    }
}

/// Words that the SMMU uses of a valid structure, one bit each.
fn used(structure: Structure, first: u64, idr3: u32) -> u8 {
    if structure != Structure::Ste {
        return 0xFF;
    }
    let more = if idr3 & IDR3_MPAM != 0 { 0x30 } else { 0 };
    match Config(Ste0::from(first).config()) {
        config if config.is_abort() => 1,
        Config::BYPASS => 0b11 | more,
        // The VMID tags stage 1 too.
        Config::S1 => 0b111 | more,
        _ => 0b1111 | more,
    }
}

/// Judges the change of one word; `first` is the structure's word 0 before it, where that is known.
pub(super) fn judge_change(cx: &mut Context<'_>, change: &mut Change, first: Option<u64>, at: u64, value: u64) {
    let structure = change.place.structure;
    let bit = 1_u8 << (((at - change.place.at) / 8) & 7);
    let was_valid = first.map(|word| is_valid(structure, word));
    let name = crate::log::structure_name(structure);
    let last = Some(change.last);
    let base = change.place.at;
    let is_single = matches!(structure, Structure::L1Std | Structure::L1Cd);
    let is_used = first.is_some_and(|word| used(structure, word, cx.ids.idr3) & bit != 0);
    match (bit, was_valid) {
        _ if is_single => change.was_linked |= was_valid == Some(true),
        (1, Some(false)) if is_valid(structure, value) => {
            if change.cleared.is_some() {
                let text = format!("V of the {name} at {base:#x} is set again without CFGI and SYNC");
                cx.add(&rules::STRUCTURE_INVALID_SYNC, &[change.cleared], text);
            } else if change.dirty & !1 != 0 {
                let is_published = cx.barriers.publish.is_some_and(|barrier| barrier > change.last);
                let (rule, what) = if is_published || !cx.coverage.barriers {
                    (&rules::STRUCTURE_STALE_INVALID, "invalidated")
                } else {
                    (&rules::STRUCTURE_WORDS, "published")
                };
                cx.add(
                    rule,
                    &[last],
                    format!("V of the {name} at {base:#x} is set, and its other words are not {what}"),
                );
            }
        }
        (1, Some(true)) if !is_valid(structure, value) => change.cleared = Some(cx.index),
        (1, Some(true)) if change.dirty & !1 != 0 => {
            let text =
                format!("word 0 of the valid {name} at {base:#x} changes, and another did without CFGI and SYNC");
            cx.add(&rules::STRUCTURE_IN_PLACE, &[last], text);
        }
        (_, Some(true)) if change.dirty_used & !bit != 0 => {
            let text = format!("a second word of the valid {name} at {base:#x} changes without CFGI and SYNC between");
            cx.add(&rules::STRUCTURE_IN_PLACE, &[last], text);
        }
        (_, Some(false)) if change.cleared.is_some() => {
            let text = format!("a word of the {name} at {base:#x} changes after V=0, without CFGI and SYNC between");
            cx.add(&rules::STRUCTURE_INVALID_SYNC, &[change.cleared], text);
        }
        _ => {}
    }
    change.dirty |= bit;
    if is_used && was_valid == Some(true) {
        change.dirty_used |= bit;
    }
    (change.last, change.leaf) = (cx.index, None);
}

/// The command's StreamID is among those of a place, or the place has none that is known.
fn within(command: Command, place: &Place, bits: u32) -> bool {
    let stream = (command[0] >> 32) as u32;
    place.stream.is_none_or(|first| (stream ^ first).checked_shr(bits).unwrap_or(0) == 0)
}

/// The command's SubstreamID is the place of the CD in its table, or one behind the level-1 descriptor (4.3.3).
fn within_substreams(command: Command, place: &Place) -> bool {
    let substream = (command[0] >> 12) as u32 & 0xF_FFFF;
    place.substream.is_none_or(|first| (substream ^ first).checked_shr(place.substream_bits).unwrap_or(0) == 0)
}

/// The command invalidates all that may be cached of the change.
pub(super) fn covers(command: Command, change: &Change) -> bool {
    let place = &change.place;
    let is_leaf = command[1] & 1 != 0;
    match opcode_of(command) {
        _ if is_cfgi_all(command) => true,
        opcode::CFGI_ALL => {
            let bits = (command[1] & 0x1F) as u32 + 1;
            place.stream_bits <= bits && within(command, place, bits)
        }
        opcode::CFGI_STE => match place.structure {
            // Of a span that goes away all STEs may be cached (5.1.1).
            Structure::L1Std => !is_leaf && !change.was_linked && within(command, place, place.stream_bits),
            // Cached CDs of the stream go with its STE.
            _ => within(command, place, 0),
        },
        opcode::CFGI_CD => match place.structure {
            Structure::Cd => within(command, place, 0) && within_substreams(command, place),
            // Of a leaf that goes away all CDs may be cached, and this is about one.
            Structure::L1Cd => {
                !is_leaf && !change.was_linked && within(command, place, 0) && within_substreams(command, place)
            }
            _ => false,
        },
        // Every CD and every level-1 descriptor of the stream (4.3.4).
        opcode::CFGI_CD_ALL => matches!(place.structure, Structure::Cd | Structure::L1Cd) && within(command, place, 0),
        _ => false,
    }
}
