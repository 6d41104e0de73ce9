//! A decoder for one LZMA stream without header and end marker (LZMA specification, 7-Zip's `lzma-specification.txt`).

use alloc::{vec, vec::Vec};

use crate::Damaged;

/// Bits of the byte before that a literal's probabilities depend on. These three numbers suit code of words of four bytes.
pub const LC: u32 = 2;
/// Bits of the position that a literal's probabilities depend on.
pub const LP: u32 = 2;
/// Bits of the position that all else depends on.
pub const PB: u32 = 2;

const STATES: usize = 12;
/// From this state on, a match came last.
const AFTER_MATCH: usize = 7;
const POSITIONS: usize = 1 << PB;

// Where the probabilities of each decision begin.
const IS_MATCH: usize = 0;
const IS_REP: usize = IS_MATCH + STATES * POSITIONS;
const IS_REP0: usize = IS_REP + STATES;
const IS_REP1: usize = IS_REP0 + STATES;
const IS_REP2: usize = IS_REP1 + STATES;
const IS_LONG_REP0: usize = IS_REP2 + STATES;
const SLOTS: usize = IS_LONG_REP0 + STATES * POSITIONS;
const SPECIAL: usize = SLOTS + 4 * 64;
const ALIGN: usize = SPECIAL + 115;
const LENGTH: usize = ALIGN + 16;
const REP_LENGTH: usize = LENGTH + LENGTHS;
const LITERALS: usize = REP_LENGTH + LENGTHS;
const COUNT: usize = LITERALS + (0x300 << (LC + LP));

// And in those of a length: two choices, then three trees.
const LOW: usize = 2;
const MIDDLE: usize = LOW + POSITIONS * 8;
const HIGH: usize = MIDDLE + POSITIONS * 8;
const LENGTHS: usize = HIGH + 256;
const SHORTEST: usize = 2;

/// Decodes `stream` into `out`, all of it.
pub fn decode(stream: &[u8], out: &mut [u8]) -> Result<(), Damaged> {
    let Some(([0, code @ ..], rest)) = stream.split_first_chunk::<5>() else { return Err(Damaged) };
    let code = u32::from_be_bytes(*code);
    // 26 KB: too much for the stack that a firmware leaves.
    let probabilities = vec![1024; COUNT];
    let mut coder = Coder { rest: rest.iter(), range: u32::MAX, code, short: false, probabilities };
    let mut state = 0;
    // The distances of the last four matches, less one.
    let mut reps = [0_usize; 4];
    let mut at = 0;
    while at < out.len() {
        let position = at % POSITIONS;
        if coder.bit(IS_MATCH + state * POSITIONS + position) == 0 {
            let guide = if state < AFTER_MATCH { None } else { at.checked_sub(reps[0] + 1).map(|from| out[from]) };
            let before = at.checked_sub(1).map_or(0, |before| out[before]);
            out[at] = coder.literal(at, before, guide);
            at += 1;
            state = state.saturating_sub(if state < 10 { 3 } else { 6 });
            continue;
        }
        let is_late = state >= AFTER_MATCH;
        let length = if coder.bit(IS_REP + state) == 0 {
            let length = coder.length(LENGTH, position);
            reps.rotate_right(1);
            reps[0] = coder.distance(length);
            state = if is_late { 10 } else { 7 };
            length
        } else {
            let which = coder.rep(state);
            if which == 0 && coder.bit(IS_LONG_REP0 + state * POSITIONS + position) == 0 {
                state = if is_late { 11 } else { 9 };
                1
            } else {
                reps[..=which].rotate_right(1);
                state = if is_late { 11 } else { 8 };
                coder.length(REP_LENGTH, position)
            }
        };
        if reps[0] >= at || length > out.len() - at {
            return Err(Damaged);
        }
        // Byte by byte: what is copied may reach into what it makes.
        for to in at..at + length {
            out[to] = out[to - reps[0] - 1];
        }
        at += length;
    }
    if coder.short { Err(Damaged) } else { Ok(()) }
}

/// The range decoder with the probabilities of all decisions, each of 2048 that the bit is 0.
struct Coder<'a> {
    rest: core::slice::Iter<'a, u8>,
    range: u32,
    code: u32,
    /// The stream ended before the image did.
    short: bool,
    probabilities: Vec<u16>,
}

impl Coder<'_> {
    fn fill(&mut self) {
        if self.range < 1 << 24 {
            let next = self.rest.next();
            self.short |= next.is_none();
            self.range <<= 8;
            self.code = self.code << 8 | next.map_or(0, |byte| u32::from(*byte));
        }
    }

    fn bit(&mut self, decision: usize) -> usize {
        self.fill();
        let probability = &mut self.probabilities[decision];
        let bound = (self.range >> 11) * u32::from(*probability);
        if self.code < bound {
            self.range = bound;
            *probability += (2048 - *probability) >> 5;
            0
        } else {
            self.range -= bound;
            self.code -= bound;
            *probability -= *probability >> 5;
            1
        }
    }

    /// A number of `bits` bits, highest first, each depending on those before it.
    fn tree(&mut self, base: usize, bits: u32) -> usize {
        let mut node = 1;
        while node >> bits == 0 {
            node = node << 1 | self.bit(base + node);
        }
        node - (1 << bits)
    }

    /// The same, lowest bit first.
    fn reverse_tree(&mut self, base: usize, bits: u32) -> usize {
        let mut node = 1;
        (0..bits).fold(0, |number, place| {
            let bit = self.bit(base + node);
            node = node << 1 | bit;
            number | bit << place
        })
    }

    /// Bits that are 0 or 1 with the same probability, highest first.
    fn direct(&mut self, bits: u32) -> usize {
        (0..bits).fold(0, |number, _| {
            self.fill();
            self.range >>= 1;
            let bit = self.code >= self.range;
            if bit {
                self.code -= self.range;
            }
            number << 1 | usize::from(bit)
        })
    }

    /// One byte at `at`, after the byte `before`. Behind a match it differs from what would have continued that, its `guide`.
    fn literal(&mut self, at: usize, before: u8, guide: Option<u8>) -> u8 {
        let context = (at & ((1 << LP) - 1)) << LC | usize::from(before) >> (8 - LC);
        let base = LITERALS + 0x300 * context;
        let mut symbol = 1;
        if let Some(guide) = guide {
            for place in (0..8).rev() {
                let expected = usize::from(guide) >> place & 1;
                let bit = self.bit(base + ((1 + expected) << 8) + symbol);
                symbol = symbol << 1 | bit;
                if bit != expected {
                    break;
                }
            }
        }
        while symbol < 0x100 {
            symbol = symbol << 1 | self.bit(base + symbol);
        }
        symbol as u8
    }

    /// Which of the last four distances comes again.
    fn rep(&mut self, state: usize) -> usize {
        if self.bit(IS_REP0 + state) == 0 {
            0
        } else if self.bit(IS_REP1 + state) == 0 {
            1
        } else {
            2 + self.bit(IS_REP2 + state)
        }
    }

    fn length(&mut self, base: usize, position: usize) -> usize {
        SHORTEST
            + if self.bit(base) == 0 {
                self.tree(base + LOW + position * 8, 3)
            } else if self.bit(base + 1) == 0 {
                8 + self.tree(base + MIDDLE + position * 8, 3)
            } else {
                16 + self.tree(base + HIGH, 8)
            }
    }

    /// The distance of a match of `length` bytes, less one.
    fn distance(&mut self, length: usize) -> usize {
        let slot = self.tree(SLOTS + 64 * (length - SHORTEST).min(3), 6);
        if slot < 4 {
            return slot;
        }
        let bits = (slot / 2 - 1) as u32;
        let first = (2 | slot & 1) << bits;
        if slot < 14 {
            first + self.reverse_tree(SPECIAL + first - slot, bits)
        } else {
            first + (self.direct(bits - 4) << 4) + self.reverse_tree(ALIGN, 4)
        }
    }
}
