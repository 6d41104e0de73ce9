//! Where an access goes, in pieces that a table takes: none crosses a 64-bit word, or goes where the kernel may not.

use super::{Kernel, Stopped};
use crate::watch::{WatchError, Witness};
use addr::PhysAddr;
use alloc::vec::Vec;
use smmu::access::{Access, Barrier};

/// The smallest page of any kernel's.
pub(super) const PAGE: u64 = 4096;
/// What an entry of the log is about.
const WORD: u64 = 8;

/// An access of up to 16 bytes, by physical address.
pub(super) struct Span {
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy)]
struct Piece {
    at: PhysAddr,
    bytes: u8,
    /// Bits of the value below it.
    shift: u32,
}

impl Span {
    /// Its first byte.
    pub(super) fn first(&self) -> PhysAddr {
        self.pieces.first().map_or(PhysAddr(0), |piece| piece.at)
    }

    /// Whether these are the same bytes.
    pub(super) fn is(&self, other: &Self) -> bool {
        let places = |span: &Self| span.pieces.iter().map(|piece| (piece.at, piece.bytes)).collect::<Vec<_>>();
        places(self) == places(other)
    }
}

/// Memory, tables and registers as one instruction reaches them.
pub(super) struct Memory<'a> {
    pub(super) pc: u64,
    pub(super) kernel: &'a mut dyn Kernel,
    pub(super) witness: &'a mut Witness,
    pub(super) hw: &'a mut dyn Access,
}

impl Memory<'_> {
    /// The word of the instruction.
    pub(super) fn instruction(&mut self) -> Result<u32, Stopped> {
        self.kernel.instruction(self.pc).ok_or(Stopped::NoInstruction(self.pc))
    }

    /// An access by virtual address. An SMMU's registers are no words of memory: whole or not at all (IHI 0070, 6.2).
    pub(super) fn span(&mut self, address: u64, bytes: u8) -> Result<Span, Stopped> {
        let first = PhysAddr(self.kernel.translate(address).ok_or(Stopped::Nowhere(address))?);
        if address % PAGE + u64::from(bytes) <= PAGE {
            return self.span_at(first, bytes);
        }
        let here = (PAGE - address % PAGE) as u8;
        let there = address.wrapping_add(here.into());
        let next = PhysAddr(self.kernel.translate(there).ok_or(Stopped::Nowhere(there))?);
        let (mut span, rest) = (self.span_at(first, here)?, self.span_at(next, bytes - here)?);
        let above = |piece: Piece| Piece { shift: piece.shift + 8 * u32::from(here), ..piece };
        span.pieces.extend(rest.pieces.into_iter().map(above));
        Ok(span)
    }

    /// An access that lies in one page.
    pub(super) fn span_at(&self, at: PhysAddr, bytes: u8) -> Result<Span, Stopped> {
        if self.kernel.is_hidden(at) {
            return Err(Stopped::Hidden(at));
        }
        if self.witness.has_register_at(at) {
            return Ok(Span { pieces: [Piece { at, bytes, shift: 0 }].into() });
        }
        let mut pieces = Vec::new();
        let mut done = 0;
        while done < bytes {
            let at = at.plus(done.into());
            let left = (WORD - at.0 % WORD).min(u64::from(bytes - done)) as u8;
            pieces.push(Piece { at, bytes: left, shift: 8 * u32::from(done) });
            done += left;
        }
        Ok(Span { pieces })
    }

    /// Whether it is a register of an SMMU's.
    pub(super) fn is_register(&self, span: &Span) -> bool {
        span.pieces.iter().any(|piece| self.witness.has_register_at(piece.at))
    }

    /// A barrier where the instruction is one.
    pub(super) fn order(&mut self, is_ordered: bool) {
        if is_ordered {
            self.hw.barrier(Barrier::PublishStructure);
        }
    }

    /// Loads, and has it logged.
    pub(super) fn load(&mut self, span: &Span) -> Result<u128, Stopped> {
        self.join(span, |this, piece| this.witness.load(this.hw, this.pc, piece.at, piece.bytes))
    }

    /// Loads for an instruction that stores, too: logged where loads are watched, and elsewhere none that did not trap would be.
    pub(super) fn load_watched(&mut self, span: &Span) -> Result<u128, Stopped> {
        if self.kernel.is_watching_loads() {
            return self.load(span);
        }
        self.peek(span)
    }

    /// Looks at what is there.
    pub(super) fn peek(&mut self, span: &Span) -> Result<u128, Stopped> {
        self.join(span, |this, piece| this.witness.peek(this.hw, piece.at, piece.bytes))
    }

    fn join(
        &mut self,
        span: &Span,
        mut load: impl FnMut(&mut Self, &Piece) -> Result<u64, WatchError>,
    ) -> Result<u128, Stopped> {
        let mut value = 0;
        for piece in &span.pieces {
            let part = match load(self, piece) {
                Err(WatchError::Unwatched(_)) => {
                    self.kernel.load(piece.at, piece.bytes).ok_or(Stopped::Unmapped(piece.at))?
                }
                answer => answer?,
            };
            value |= u128::from(part) << piece.shift;
        }
        Ok(value)
    }

    /// Stores, and has it logged.
    pub(super) fn store(&mut self, span: &Span, value: u128) -> Result<(), Stopped> {
        for piece in &span.pieces {
            let value = piece.of(value);
            match self.witness.store(self.hw, self.pc, piece.at, piece.bytes, value) {
                Err(WatchError::Unwatched(_)) if self.kernel.store(piece.at, piece.bytes, value) => {}
                Err(WatchError::Unwatched(_)) => return Err(Stopped::Unmapped(piece.at)),
                done => done?,
            }
        }
        Ok(())
    }

    /// Stores where `old` was just loaded: whether it is still there. Two words are two stores.
    pub(super) fn replace(&mut self, span: &Span, old: u128, new: u128) -> Result<bool, Stopped> {
        if let [piece] = span.pieces[..]
            && matches!(self.witness.peek(self.hw, piece.at, piece.bytes), Err(WatchError::Unwatched(_)))
        {
            return Ok(self.kernel.replace(piece.at, piece.bytes, piece.of(old), piece.of(new)));
        }
        self.store(span, new)?;
        Ok(true)
    }
}

impl Piece {
    const fn of(&self, value: u128) -> u64 {
        let unused = 64 - 8 * self.bytes as u32;
        ((value >> self.shift) as u64) << unused >> unused
    }
}
