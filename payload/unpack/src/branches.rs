//! The filter for branches: BL and ADRP hold a distance, and the filter makes it the place that they mean, which repeats.

/// Where the filter counts the primary from: its code lies at 0x400 in the file and at 0x1000 in memory, and an ADRP
/// is about pages of memory.
pub const START: u32 = 0xc00;

/// Gives BL and ADRP their distances back. `start` is where the filter took `image` to lie.
///
/// This is the ARM64 filter of the .xz file format (1.2.0, 5.3.2.2), decoding.
pub fn restore(image: &mut [u8], start: u32) {
    let mut place = start;
    for word in image.as_chunks_mut().0 {
        let restored = instruction(u32::from_le_bytes(*word), place);
        *word = restored.to_le_bytes();
        place = place.wrapping_add(4);
    }
}

/// One instruction at `place` (Arm DDI 0487, C6.2).
fn instruction(code: u32, place: u32) -> u32 {
    const BL: u32 = 0x9400_0000;
    const ADRP: u32 = 0x9000_0000;
    if code & 0xfc00_0000 == BL {
        // imm26, in words.
        return BL | code.wrapping_sub(place / 4) & 0x03ff_ffff;
    }
    // immhi:immlo, in pages. Only those within 512 MiB were touched; their sign fills the upper bits.
    let page = code >> 29 & 3 | code >> 3 & 0x1f_fffc;
    if code & 0x9f00_0000 != ADRP || page.wrapping_add(0x2_0000) & 0x1c_0000 != 0 {
        return code;
    }
    let page = page.wrapping_sub(place / 4096) & 0x3_ffff;
    let page = if page & 0x2_0000 == 0 { page } else { page | 0x1c_0000 };
    ADRP | code & 0x1f | (page & 3) << 29 | (page & 0x1f_fffc) << 3
}
