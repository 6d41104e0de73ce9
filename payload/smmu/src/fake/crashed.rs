//! The SMMU that a crashed kernel leaves behind, as QEMU has it.

use super::Fake;
use crate::access::SmmuIndex;
use crate::spec::registers as reg;
use addr::PhysAddr;

/// Level 1 of the live table; its descriptor 0 leads to [`L2`].
pub const L1: PhysAddr = PhysAddr(0x4025_4000);
/// The one level 2 that is there.
pub const L2: PhysAddr = PhysAddr(0x4026_0000);
/// Context descriptors: that of ASID *n* is entry *n*.
pub const CDS: PhysAddr = PhysAddr(0x4027_0000);
/// STRTAB_BASE.
pub const STRTAB_BASE: u64 = 1 << 62 | L1.0;
/// STRTAB_BASE_CFG: two levels, split at 8 bits, 2^16 StreamIDs.
pub const STRTAB_BASE_CFG: u32 = 0x1_0210;

/// The first SMMU enabled: streams 0x10 and 0x18 at stage 1, with ASIDs 2 and 3, the rest aborts; a command queue that is empty.
#[must_use]
pub fn crashed() -> Fake {
    let mut fake = Fake::default();
    let unit = fake.unit(SmmuIndex(0));
    for (register, value) in [
        (reg::CR0, 0xD),
        (reg::CR0ACK, 0xD),
        (reg::CR1, 0xD75),
        (reg::CR2, 6),
        (reg::IRQ_CTRL, 5),
        (reg::IRQ_CTRLACK, 5),
        (reg::STRTAB_BASE_CFG, STRTAB_BASE_CFG),
    ] {
        unit.set(register, value);
    }
    unit.set64(reg::STRTAB_BASE, STRTAB_BASE);
    unit.set64(reg::CMDQ_BASE, 0x4100_0008);
    fake.poke(L1, L2.0 | 9);
    for stream in 0..256 {
        fake.poke(ste(stream), 1);
    }
    for (stream, asid) in [(0x10, 2), (0x18, 3)] {
        let cd = CDS.plus(asid * 64);
        fake.poke(ste(stream), 0b1011 | cd.0);
        fake.poke(ste(stream).plus(8), 0xD6);
        fake.poke(cd, asid << 48 | 1 << 31);
    }
    fake
}

/// The STE of a stream below 256.
#[must_use]
pub const fn ste(stream: u64) -> PhysAddr {
    L2.plus(stream * 64)
}
