//! The decoder against words that an assembler made (LLVM 14), and against an encoder of our own.

extern crate std;

use super::*;
use proptest::prelude::*;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Instruction words and what they were assembled from.
const ASSEMBLED: &[(u32, &str)] = &[
    (0xA940_0861, "ldp x1, x2, [x3, #0]"),
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
    (0xB800_0841, "sttr w1, [x2, #0]"),
    (0xB880_4841, "ldtrsw x1, [x2, #4]"),
    (0xF97F_FC41, "ldr x1, [x2, #32760]"),
    (0xB900_07E1, "str w1, [sp, #4]"),
    (0xB9BF_FC41, "ldrsw x1, [x2, #16380]"),
];

/// The same of what is refused, and why: `ldnp` and `ldur` above stand as `ldp` and `ldr`, which do the same.
const REFUSED: &[(u32, &str, &str)] = &[
    (0xF863_6841, "ldr x1, [x2, x3]", "has its offset in a register"),
    (0x587F_FFE1, "ldr x1, #1048572", "is relative to the program counter"),
    (0xC85F_7C41, "ldxr x1, [x2]", "is exclusive"),
    (0xC800_7C41, "stxr w0, x1, [x2]", "is exclusive"),
    (0xC8DF_FC41, "ldar x1, [x2]", "is ordered"),
    (0xC89F_FC41, "stlr x1, [x2]", "is ordered"),
    (0xF821_005F, "stadd x1, [x2]", "is atomic"),
    (0xF821_8043, "swp x1, x3, [x2]", "is atomic"),
    (0xC8A1_7C43, "cas x1, x3, [x2]", "is atomic"),
    (0xD50B_7424, "dc zva, x4", "zeroes a block"),
    (0xAD40_0440, "ldp q0, q1, [x2]", "moves vectors"),
    (0x3C81_0420, "str q0, [x1], #16", "moves vectors"),
    (0xFD40_0020, "ldr d0, [x1]", "moves vectors"),
    (0x4C40_7820, "ld1 { v0.4s }, [x1]", "moves vectors"),
    (0xD920_0841, "stg x1, [x2]", "moves tags"),
    (0x6900_0861, "stgp x1, x2, [x3]", "moves tags"),
    (0xF820_0441, "ldraa x1, [x2]", "authenticates its address"),
    (0xD940_0041, "ldapur x1, [x2]", "is ordered"),
    (0x1D01_0440, "cpyp [x0]!, [x1]!, x2!", "copies or sets memory"),
    (0x19C2_0420, "setp [x0]!, x1!, x2", "copies or sets memory"),
    (0xF980_0020, "prfm pldl1keep, [x1]", "is a prefetch"),
    (0xA540_A020, "ld1w { z0.s }, p0/z, [x1]", "moves scalable vectors"),
    (0xF83F_9100, "st64b x0, [x8]", "is atomic"),
    (0x8B03_0041, "add x1, x2, x3", "no load or store"),
    (0xD503_201F, "nop", "no load or store"),
];

/// What was decoded, as assembly.
fn text(instruction: &Instruction) -> String {
    let (offset, first) = instruction.first;
    let is_pair = instruction.second.is_some();
    let mut name = String::from(if instruction.is_load { "ld" } else { "st" });
    name += if is_pair {
        "p"
    } else if instruction.is_unprivileged {
        "tr"
    } else {
        "r"
    };
    name += if first.is_signed { "s" } else { "" };
    name += match first.bytes {
        1 => "b",
        2 => "h",
        4 if first.is_signed => "w",
        _ => "",
    };
    let register = |transfer: Transfer| {
        let letter = if transfer.is_wide { 'x' } else { 'w' };
        if transfer.register == 31 { format!("{letter}zr") } else { format!("{letter}{}", transfer.register) }
    };
    let registers: Vec<String> = instruction.transfers().map(|(_, transfer)| register(transfer)).collect();
    let base = if instruction.base == SP { "sp".to_string() } else { format!("x{}", instruction.base) };
    let address = match instruction.write_back {
        None => format!("[{base}, #{offset}]"),
        Some(by) if offset == 0 => format!("[{base}], #{by}"),
        Some(by) => {
            assert_eq!(by, offset);
            format!("[{base}, #{offset}]!")
        }
    };
    format!("{name} {}, {address}", registers.join(", "))
}

#[test]
fn assembled_words_are_read_back() {
    for (word, assembly) in ASSEMBLED {
        let decoded = decode(*word).unwrap_or_else(|refused| panic!("{assembly}: {refused}"));
        assert_eq!(text(&decoded), *assembly, "{word:#010x}");
        if let Some((offset, second)) = decoded.second {
            assert_eq!(offset, decoded.first.0 + i64::from(second.bytes), "{assembly}");
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
    // ldp x1, x1, [x3]; ldr x2, [x2], #8; stp x1, x3, [x3], #16; str x2, [x2, #8]!
    for word in [0xA940_0461, 0xF840_8442, 0xA881_0C61, 0xF800_8C42] {
        let refused = decode(word).err().map(|refused| refused.what.ends_with("UNPREDICTABLE"));
        assert_eq!(refused, Some(true), "{word:#010x}");
    }
    // str xzr, [sp], #8 is well defined: 31 is two registers there.
    assert_eq!(decode(0xF800_87FF).map(|decoded| text(&decoded)).as_deref(), Ok("str xzr, [sp], #8"));
}

/// Encodes what the decoder accepts: each field is placed from its value, and not masked out of a word.
fn encode(instruction: &Instruction) -> Vec<u32> {
    let (offset, first) = instruction.first;
    let (rn, rt) = (u32::from(instruction.base), u32::from(first.register));
    let load = u32::from(instruction.is_load);
    let field = |value: i64, bits: u32| (value.rem_euclid(1 << bits)) as u32;
    let mut words = Vec::new();
    if let Some((_, second)) = instruction.second {
        let opc = if first.is_signed { 1 } else { u32::from(first.bytes) / 8 * 2 };
        let imm = field(instruction.write_back.unwrap_or(offset) / i64::from(first.bytes), 7);
        for form in 0..4 {
            let is_post = instruction.write_back.is_some() && offset == 0 && instruction.write_back != Some(0);
            let is_form = match form {
                0 => instruction.write_back.is_none() && opc != 1,
                1 => instruction.write_back.is_some() && offset == 0,
                2 => instruction.write_back.is_none(),
                _ => instruction.write_back.is_some() && !is_post,
            };
            if is_form {
                let rt2 = u32::from(second.register);
                words.push(
                    opc * 0x4000_0000
                        + 0x2800_0000
                        + form * 0x80_0000
                        + load * 0x40_0000
                        + imm * 0x8000
                        + rt2 * 0x400
                        + rn * 0x20
                        + rt,
                );
            }
        }
        return words;
    }
    let size = first.bytes.ilog2();
    let opc = match (instruction.is_load, first.is_signed, first.is_wide) {
        (false, ..) => 0,
        (true, false, _) => 1,
        (true, true, true) => 2,
        (true, true, false) => 3,
    };
    let start = size * 0x4000_0000 + 0x3800_0000 + opc * 0x40_0000 + rn * 0x20 + rt;
    let unscaled = |form: u32, by| start + field(by, 9) * 0x1000 + form * 0x400;
    match instruction.write_back {
        _ if instruction.is_unprivileged => words.push(unscaled(2, offset)),
        Some(by) => {
            words.extend((offset == 0).then(|| unscaled(1, by)));
            words.extend((offset == by).then(|| unscaled(3, by)));
        }
        None => {
            words.extend((-256..256).contains(&offset).then(|| unscaled(0, offset)));
            let scaled = offset >> size;
            let is_scaled = offset >= 0 && scaled < 4096 && scaled << size == offset;
            words.extend(is_scaled.then(|| start + 0x100_0000 + scaled as u32 * 0x400));
        }
    }
    words
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Whatever is accepted is one of the encodings of what was decoded, and nothing panics. Pairs and immediates are
    /// likelier than in arbitrary words.
    #[test]
    fn an_accepted_word_is_an_encoding_of_what_was_read(word: u32, group in 0..4) {
        let word = match group {
            0 => word,
            1 => word & 0xC7FF_FFFF & !0x0400_0000 | 0x2800_0000 & !0x1000_0000,
            2 => word & !0x0700_0000 | 0x3800_0000,
            _ => word & !0x0700_0000 | 0x3900_0000,
        };
        if let Ok(instruction) = decode(word) {
            prop_assert!(encode(&instruction).contains(&word), "{:#010x} is {}", word, text(&instruction));
        }
    }
}
