//! More of EL2's map in force: registers that somebody has given another address.

use crate::{cpu, mmio};
use aarch64_cpu::registers::{Readable, TTBR0_EL2};
use addr::PhysAddr;
use core::arch::asm;
use smmu::frames::Frames;

const PAGE: u64 = 4096;
/// A table, or a page at level 3; bit 0 alone is a block.
const TABLE: u64 = 0b11;
const VALID: u64 = 1;
/// Output address of 48 bits.
const ADDRESS: u64 = 0xffff_ffff_f000;
/// Output address of a block, and its contiguous hint: what a page does not take from it.
const NOT_OF_A_PAGE: u64 = ADDRESS | 1 << 52;
const LAST: u32 = 3;

/// Maps pages from `new` on like the registers from `old` on, as far as these go and at most `most` bytes. Tables come from
/// `frames`. Returns whether the first page is mapped; pages that are mapped already stay as they are.
///
/// # Safety
/// 1. The map in force is one of [`crate::mmu::identity_map`], which maps its own tables and `frames`, and nobody else changes it.
/// 2. At `new` there are registers.
pub unsafe fn map_like(old: PhysAddr, new: PhysAddr, most: u64, frames: &mut dyn Frames) -> bool {
    let (old, new) = (old.0 & !(PAGE - 1), new.0 & !(PAGE - 1));
    for offset in (0..most).step_by(PAGE as usize) {
        let Some(leaf) = leaf(old + offset).filter(|_| cpu::device_memory_at(old + offset)) else { break };
        let Some(entry) = page(new + offset, frames) else { break };
        // SAFETY: an entry of the map in force, by the first promise.
        if unsafe { mmio::read64(entry) } & VALID == 0 {
            // SAFETY: as above; nothing was there, so that no TLB holds it (DDI 0487, D8.16.1).
            unsafe { mmio::write64(entry, leaf & !NOT_OF_A_PAGE | (new + offset) | TABLE) }
        }
    }
    // SAFETY: table walks see the stores from here on.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) }
    cpu::device_memory_at(new)
}

fn root() -> u64 {
    TTBR0_EL2.get() & ADDRESS
}

/// Place of the entry for an address in a table of this level.
const fn place(table: u64, address: u64, level: u32) -> u64 {
    table + 8 * (address >> (39 - 9 * level) & 0x1ff)
}

/// The descriptor that maps an address.
fn leaf(address: u64) -> Option<u64> {
    let mut table = root();
    for level in 0..=LAST {
        // SAFETY: a table of the map in force.
        let descriptor = unsafe { mmio::read64(place(table, address, level)) };
        match descriptor & TABLE {
            TABLE if level < LAST => table = descriptor & ADDRESS,
            kind if kind & VALID != 0 => return Some(descriptor),
            _ => return None,
        }
    }
    None
}

/// The place of a page's entry, with new tables down to it; `None`: a block is in the way, or no memory is left.
fn page(address: u64, frames: &mut dyn Frames) -> Option<u64> {
    let mut table = root();
    for level in 0..LAST {
        let at = place(table, address, level);
        // SAFETY: a table of the map in force.
        let descriptor = unsafe { mmio::read64(at) };
        table = match descriptor & TABLE {
            TABLE => descriptor & ADDRESS,
            kind if kind & VALID != 0 => return None,
            _ => {
                // They come zeroed.
                let new = frames.allocate(PAGE, PAGE)?.0;
                cpu::dsb();
                // SAFETY: as above; nothing was there.
                unsafe { mmio::write64(at, new | TABLE) }
                new
            }
        };
    }
    Some(place(table, address, LAST))
}
