//! Sparse physical memory in pages that copies share until one of them writes.

use addr::PhysAddr;
use std::ops::Range;
use std::rc::Rc;

const WORDS: usize = 512;
const PAGE_BITS: u32 = 12;
/// 2 MiB of pages.
const CHUNK_BITS: u32 = 21;

type Page = Rc<[u64; WORDS]>;
type Chunk = Rc<[Option<Page>; WORDS]>;

#[derive(Clone, Debug)]
struct Bank {
    range: Range<u64>,
    chunks: Vec<Option<Chunk>>,
}

/// Memory that answers in some ranges and nowhere else. A clone costs as much as the ranges are long in units of 2 MiB.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    banks: Vec<Bank>,
    pages: usize,
}

impl Memory {
    /// Memory of zeroes in `range`.
    #[must_use]
    pub fn new(range: Range<u64>) -> Self {
        Self::default().and(range)
    }

    /// The same and zeroes in `range`.
    #[must_use]
    pub fn and(mut self, range: Range<u64>) -> Self {
        let chunks = (range.end - (range.start >> CHUNK_BITS << CHUNK_BITS)).div_ceil(1 << CHUNK_BITS);
        self.banks.push(Bank { range, chunks: vec![None; chunks as usize] });
        self
    }

    /// Memory answers at `at`.
    #[must_use]
    pub fn is_backed(&self, at: PhysAddr) -> bool {
        self.banks.iter().any(|bank| bank.range.contains(&at.0))
    }

    /// The word that holds `at`; `None` outside memory.
    #[must_use]
    pub fn peek(&self, at: PhysAddr) -> Option<u64> {
        let bank = self.banks.iter().find(|bank| bank.range.contains(&at.0))?;
        let (chunk, page, word) = place(bank.range.start, at.0);
        let page = bank.chunks.get(chunk)?.as_ref().and_then(|chunk| chunk[page].as_ref());
        Some(page.map_or(0, |page| page[word]))
    }

    /// Writes the word that holds `at`; tells whether memory answered.
    pub fn poke(&mut self, at: PhysAddr, value: u64) -> bool {
        let Some(bank) = self.banks.iter_mut().find(|bank| bank.range.contains(&at.0)) else { return false };
        let (chunk, page, word) = place(bank.range.start, at.0);
        let Some(slot) = bank.chunks.get_mut(chunk) else { return false };
        if value == 0 && slot.as_ref().is_none_or(|chunk| chunk[page].is_none()) {
            return true;
        }
        let chunk = slot.get_or_insert_with(|| Rc::new([const { None }; WORDS]));
        let page = &mut Rc::make_mut(chunk)[page];
        if page.is_none() {
            self.pages += 1;
        }
        let page = page.get_or_insert_with(|| Rc::new([0; WORDS]));
        Rc::make_mut(page)[word] = value;
        true
    }

    /// Pages that hold something: what the memory costs.
    #[must_use]
    pub const fn pages(&self) -> usize {
        self.pages
    }
}

/// Index of the chunk in its bank, of the page in the chunk and of the word in the page.
const fn place(start: u64, at: u64) -> (usize, usize, usize) {
    let chunk = (at >> CHUNK_BITS) - (start >> CHUNK_BITS);
    let page = at >> PAGE_BITS & (WORDS as u64 - 1);
    let word = at >> 3 & (WORDS as u64 - 1);
    (chunk as usize, page as usize, word as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_answers_in_its_ranges_only() {
        let mut memory = Memory::new(0x1000..0x3000).and(0xF_0000_0000_0000..0xF_0000_0000_2000);
        assert_eq!(memory.peek(PhysAddr(0xFF8)), None);
        assert_eq!(memory.peek(PhysAddr(0x3000)), None);
        assert!(memory.poke(PhysAddr(0x2FF8), 7) && !memory.poke(PhysAddr(0x3000), 7));
        assert!(memory.poke(PhysAddr(0xF_0000_0000_1FF8), 8));
        assert_eq!(memory.peek(PhysAddr(0x2FFF)), Some(7));
        assert_eq!(memory.peek(PhysAddr(0xF_0000_0000_1FF8)), Some(8));
        assert_eq!(memory.peek(PhysAddr(0x1000)), Some(0));
    }

    #[test]
    fn a_copy_does_not_see_later_writes() {
        let mut memory = Memory::new(0x4000_0000..0x8000_0000);
        memory.poke(PhysAddr(0x4000_0000), 1);
        let copy = memory.clone();
        memory.poke(PhysAddr(0x4000_0000), 2);
        assert_eq!((memory.peek(PhysAddr(0x4000_0000)), copy.peek(PhysAddr(0x4000_0000))), (Some(2), Some(1)));
    }

    #[test]
    fn zeroes_cost_nothing() {
        let mut memory = Memory::new(0..1 << 30);
        for page in 0..1000 {
            memory.poke(PhysAddr(page << 12), 0);
        }
        assert_eq!(memory.pages(), 0);
    }
}
