//! The decoder against words that an assembler made (LLVM 14), and against an encoder of our own.

extern crate std;

mod encode;
mod text;

use super::*;
use encode::encode;
use proptest::prelude::*;
use text::text;

/// Instruction words, and what they were assembled from. Ordering, which is the same here as none, is left out of the names, and so is
/// what `ldnp` and `ldur` have over `ldp` and `ldr`.
const ASSEMBLED: &[(u32, &str)] = &[
    (0xA940_0861, "ldp x1, x2, [x3]"),
    (0x297F_0861, "ldp w1, w2, [x3, #-8]"),
    (0xA9C1_0861, "ldp x1, x2, [x3, #16]!"),
    (0xA8C2_7BFD, "ldp x29, x30, [sp], #32"),
    (0x6940_94C4, "ldpsw x4, x5, [x6, #4]"),
    (0xA91F_8861, "stp x1, x2, [x3, #504]"),
    (0x29A0_7FE1, "stp w1, wzr, [sp, #-256]!"),
    (0xA8A0_7C7F, "stp xzr, xzr, [x3], #-512"),
    (0xA840_A127, "ldp x7, x8, [x9, #8]"),
    (0x283F_A127, "stp w7, w8, [x9, #-4]"),
    (0xF840_8441, "ldr x1, [x2], #8"),
    (0xB85F_CC41, "ldr w1, [x2, #-4]!"),
    (0xF80F_F441, "str x1, [x2], #255"),
    (0xB810_0C41, "str w1, [x2, #-256]!"),
    (0x3800_1441, "strb w1, [x2], #1"),
    (0x7800_2C41, "strh w1, [x2, #2]!"),
    (0x3840_1441, "ldrb w1, [x2], #1"),
    (0x7840_2441, "ldrh w1, [x2], #2"),
    (0x3880_1441, "ldrsb x1, [x2], #1"),
    (0x38C0_1441, "ldrsb w1, [x2], #1"),
    (0x7880_2C41, "ldrsh x1, [x2, #2]!"),
    (0x78C0_2C41, "ldrsh w1, [x2, #2]!"),
    (0xB880_4441, "ldrsw x1, [x2], #4"),
    (0xF85F_D041, "ldr x1, [x2, #-3]"),
    (0xB800_5041, "str w1, [x2, #5]"),
    (0xF840_8841, "ldtr x1, [x2, #8]"),
    (0xB800_0841, "sttr w1, [x2]"),
    (0xB880_4841, "ldtrsw x1, [x2, #4]"),
    (0xF97F_FC41, "ldr x1, [x2, #32760]"),
    (0xB900_07E1, "str w1, [sp, #4]"),
    (0xB9BF_FC41, "ldrsw x1, [x2, #16380]"),
    (0xF823_6841, "str x1, [x2, x3]"),
    (0xF823_7841, "str x1, [x2, x3, lsl #3]"),
    (0xB823_4841, "str w1, [x2, w3, uxtw]"),
    (0xB83E_DBE1, "str w1, [sp, w30, sxtw #2]"),
    (0x783F_F841, "strh w1, [x2, xzr, sxtx #1]"),
    (0x3823_C841, "strb w1, [x2, w3, sxtw]"),
    (0xF863_7841, "ldr x1, [x2, x3, lsl #3]"),
    (0x3863_6841, "ldrb w1, [x2, x3]"),
    (0xB8A3_5841, "ldrsw x1, [x2, w3, uxtw #2]"),
    (0x78E3_7841, "ldrsh w1, [x2, x3, lsl #1]"),
    (0x38A3_C841, "ldrsb x1, [x2, w3, sxtw]"),
    (0xC8DF_FC41, "ldar x1, [x2]"),
    (0x08DF_FFE1, "ldarb w1, [sp]"),
    (0x889F_FC41, "stlr w1, [x2]"),
    (0x489F_FC41, "stlrh w1, [x2]"),
    (0xC8DF_7C41, "ldar x1, [x2]"),
    (0xC89F_7C5F, "stlr xzr, [x2]"),
    (0xF8BF_C041, "ldar x1, [x2]"),
    (0x38BF_C041, "ldarb w1, [x2]"),
    (0xD95F_8041, "ldar x1, [x2, #-8]"),
    (0x9980_4041, "ldarsw x1, [x2, #4]"),
    (0x19C0_1041, "ldarsb w1, [x2, #1]"),
    (0x990F_F041, "stlr w1, [x2, #255]"),
    (0x1910_0041, "stlrb w1, [x2, #-256]"),
    (0x3DC0_0441, "ldr q1, [x2, #16]"),
    (0x3DBF_FC5F, "str q31, [x2, #65520]"),
    (0xFD40_0441, "ldr d1, [x2, #8]"),
    (0xBD00_0441, "str s1, [x2, #4]"),
    (0x7D40_0441, "ldr h1, [x2, #2]"),
    (0x3D00_0441, "str b1, [x2, #1]"),
    (0x3CC1_0420, "ldr q0, [x1], #16"),
    (0x3C9F_0C20, "str q0, [x1, #-16]!"),
    (0x3C90_03E0, "str q0, [sp, #-256]"),
    (0xFC40_3041, "ldr d1, [x2, #3]"),
    (0xFC1F_8443, "str d3, [x2], #-8"),
    (0xAD41_0440, "ldp q0, q1, [x2, #32]"),
    (0xADBE_7FE0, "stp q0, q31, [sp, #-64]!"),
    (0x6CC1_0440, "ldp d0, d1, [x2], #16"),
    (0x2D00_8440, "stp s0, s1, [x2, #4]"),
    (0xAC5F_8C42, "ldp q2, q3, [x2, #1008]"),
    (0x6C20_0C42, "stp d2, d3, [x2, #-512]"),
    (0x3CA3_7841, "str q1, [x2, x3, lsl #4]"),
    (0xFC63_4841, "ldr d1, [x2, w3, uxtw]"),
    (0x3C23_6841, "str b1, [x2, x3]"),
    (0x7C63_D841, "ldr h1, [x2, w3, sxtw #1]"),
    (0xC85F_7C41, "ldxr x1, [x2]"),
    (0x885F_7FE1, "ldxr w1, [sp]"),
    (0xC85F_FC5E, "ldxr x30, [x2]"),
    (0x085F_7C41, "ldxrb w1, [x2]"),
    (0x485F_FC41, "ldxrh w1, [x2]"),
    (0xC800_7C41, "stxr w0, x1, [x2]"),
    (0x8800_FC41, "stxr w0, w1, [x2]"),
    (0x081E_7C5F, "stxrb w30, wzr, [x2]"),
    (0x481F_FC41, "stxrh wzr, w1, [x2]"),
    (0xC87F_0861, "ldxp x1, x2, [x3]"),
    (0x887F_8861, "ldxp w1, w2, [x3]"),
    (0xC820_0861, "stxp w0, x1, x2, [x3]"),
    (0x8820_8BE1, "stxp w0, w1, w2, [sp]"),
    (0xF821_005F, "stadd x1, [x2]"),
    (0xB861_005F, "stadd w1, [x2]"),
    (0x3821_105F, "stclrb w1, [x2]"),
    (0x7821_205F, "steorh w1, [x2]"),
    (0xF821_33FF, "stset x1, [sp]"),
    (0xF821_405F, "stsmax x1, [x2]"),
    (0xB821_505F, "stsmin w1, [x2]"),
    (0xF821_605F, "stumax x1, [x2]"),
    (0xB821_705F, "stumin w1, [x2]"),
    (0xF821_0043, "ldadd x1, x3, [x2]"),
    (0xB8E1_0043, "ldadd w1, w3, [x2]"),
    (0xF8A1_1043, "ldclr x1, x3, [x2]"),
    (0xF861_2043, "ldeor x1, x3, [x2]"),
    (0x38A1_3043, "ldsetb w1, w3, [x2]"),
    (0x78E1_4043, "ldsmaxh w1, w3, [x2]"),
    (0xF821_5043, "ldsmin x1, x3, [x2]"),
    (0xF821_6043, "ldumax x1, x3, [x2]"),
    (0xB821_7043, "ldumin w1, w3, [x2]"),
    (0xF821_8043, "swp x1, x3, [x2]"),
    (0x38E1_8043, "swpb w1, w3, [x2]"),
    (0xF8BF_83E3, "swp xzr, x3, [sp]"),
    (0xC8A1_7C43, "cas x1, x3, [x2]"),
    (0x88E1_FC43, "cas w1, w3, [x2]"),
    (0x08E1_7C43, "casb w1, w3, [x2]"),
    (0x48A1_FC43, "cash w1, w3, [x2]"),
    (0x4820_7C82, "casp x0, x1, x2, x3, [x4]"),
    (0x0864_FFE6, "casp w4, w5, w6, w7, [sp]"),
    (0xD50B_7424, "dc zva, x4"),
    (0xD50B_743F, "dc zva, xzr"),
];

/// The same of what is refused, and why. Those without a name LLVM 14 does not know: they are written by hand.
const REFUSED: &[(u32, &str, &str)] = &[
    (0x587F_FFE1, "ldr x1, #1048572", "is relative to the program counter"),
    (0x9C00_0081, "ldr q1, #16", "is relative to the program counter"),
    (0x4C40_7820, "ld1 { v0.4s }, [x1]", "moves structures of vectors"),
    (0x4C9F_0020, "st4 { v0.16b, v1.16b, v2.16b, v3.16b }, [x1], #64", "moves structures of vectors"),
    (0x0D40_9020, "ld1 { v0.s }[1], [x1]", "moves structures of vectors"),
    (0xD920_0841, "stg x1, [x2]", "moves tags"),
    (0xD960_1441, "stzg x1, [x2], #16", "moves tags"),
    (0x6900_0861, "stgp x1, x2, [x3]", "moves tags"),
    (0xD50B_7461, "dc gva, x1", "moves tags"),
    (0xD50B_7481, "dc gzva, x1", "moves tags"),
    (0xF980_0020, "prfm pldl1keep, [x1]", "is a prefetch"),
    (0xF8A2_6820, "prfm pldl1keep, [x1, x2]", "is a prefetch"),
    (0xF880_0020, "prfum pldl1keep, [x1]", "is a prefetch"),
    (0xA540_A020, "ld1w { z0.s }, p0/z, [x1]", "moves scalable vectors"),
    (0xF83F_9100, "st64b x0, [x8]", "moves 64 bytes, or is atomic on page tables"),
    (0xF821_B100, "st64bv x1, x0, [x8]", "moves 64 bytes, or is atomic on page tables"),
    (0xF83F_D100, "ld64b x0, [x8]", "moves 64 bytes, or is atomic on page tables"),
    (0x8B03_0041, "add x1, x2, x3", "no load or store"),
    (0xD503_201F, "nop", "no load or store"),
    (0xF820_0441, "ldraa x1, [x2]", "authenticates its address"),
    (0x1D01_0440, "cpyp [x0]!, [x1]!, x2!", "copies or sets memory"),
    (0x19C2_0420, "setp [x0]!, x1!, x2", "copies or sets memory"),
    // FEAT_LSE128, FEAT_THE, FEAT_LRCPC3, FEAT_LSUI, FEAT_LSFE.
    (0x1921_8043, "swpp x3, x1, [x2]", "is atomic on 128 bits or on page tables"),
    (0x1921_0843, "rcwcas x1, x3, [x2]", "is atomic on 128 bits or on page tables"),
    (0x3821_9043, "rcwclr x1, x3, [x2]", "moves 64 bytes, or is atomic on page tables"),
    (0xD901_1841, "stilp x1, x1, [x2]", "is ordered, with write-back or as a pair"),
    (0x1D00_0841, "stlur b1, [x2]", "moves vectors in order"),
    (0xC95F_7C41, "ldtxr x1, [x2]", "is exclusive or atomic with the rights of EL0"),
    (0x3C21_0043, "ldfadd", "is atomic on vectors"),
];

#[test]
fn assembled_words_are_read_back() {
    for (word, assembly) in ASSEMBLED {
        let decoded = decode(*word).unwrap_or_else(|refused| panic!("{assembly}: {refused}"));
        assert_eq!(text(&decoded), *assembly, "{word:#010x}");
        if let Instruction::Plain(Plain { first, second: Some((offset, second)), .. }) = decoded {
            assert_eq!(offset, first.0 + i64::from(second.bytes), "{assembly}");
        }
    }
}

#[test]
fn what_is_not_emulated_is_named() {
    for (word, assembly, what) in REFUSED {
        assert_eq!(decode(*word), Err(Refused { word: *word, what }), "{assembly}");
    }
}

#[test]
fn unpredictable_forms_are_refused() {
    // ldp x1, x1, [x3]; ldr x2, [x2], #8; stp x1, x3, [x3], #16; str x2, [x2, #8]!; ldxp x1, x1, [x2]; stxr w1, x1, [x2];
    // stxr w2, x1, [x2]; stxp w3, x1, x3, [x2]
    for word in [0xA940_0461, 0xF840_8442, 0xA881_0C61, 0xF800_8C42, 0xC87F_0441, 0xC801_7C41, 0xC802_7C41, 0xC823_0C41]
    {
        let refused = decode(word).err().map(|refused| refused.what.ends_with("UNPREDICTABLE"));
        assert_eq!(refused, Some(true), "{word:#010x}");
    }
    // 31 is two registers there, and V2 is not X2.
    for (word, assembly) in
        [(0xF800_87FF, "str xzr, [sp], #8"), (0xC81F_7FFF, "stxr wzr, xzr, [sp]"), (0xFC40_8442, "ldr d2, [x2], #8")]
    {
        assert_eq!(decode(word).map(|decoded| text(&decoded)).as_deref(), Ok(assembly));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40_000))]

    /// Whatever is accepted is one of the encodings of what was decoded, and nothing panics. Loads and stores are likelier than in
    /// arbitrary words.
    #[test]
    fn an_accepted_word_is_an_encoding_of_what_was_read(word: u32, group in 0..7) {
        let word = match group {
            0 => word,
            1 => word & 0xC7FF_FFFF | 0x2800_0000,
            2 => word & !0x0300_0000 & !0x3800_0000 | 0x3800_0000,
            3 => word & !0x0300_0000 & !0x3800_0000 | 0x3900_0000,
            4 => word & !0x3F00_0000 | 0x0800_7C00,
            5 => word & !0x3F00_0C00 | 0x3820_0000,
            _ => word & !0x3F20_0C00 | 0x1900_0000,
        };
        if let Ok(instruction) = decode(word) {
            prop_assert!(encode(&instruction).contains(&word), "{:#010x} is {}", word, text(&instruction));
        }
    }
}
