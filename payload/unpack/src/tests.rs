use std::io::Write;
use std::vec::Vec;

use lzma_rust2::filter::bcj::BcjWriter;
use lzma_rust2::{LzmaOptions, LzmaWriter};
use proptest::prelude::*;

use super::{Damaged, LC, LP, PB, decode, restore};

extern crate std;

fn encoded(plain: &[u8]) -> Vec<u8> {
    let options = LzmaOptions { lc: LC, lp: LP, pb: PB, ..LzmaOptions::with_preset(9) };
    let mut writer = LzmaWriter::new_no_header(Vec::new(), &options, false).unwrap();
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

/// Bytes with literals, near and far matches, repeated distances and long runs in them.
fn mixture() -> Vec<u8> {
    let mut seed = 1_u32;
    let mut plain = Vec::new();
    for round in 0..3000_usize {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (kind, length, far) = (seed >> 30, seed as usize >> 16 & 0x1ff, seed as usize >> 5 & 0x7_ffff);
        match kind {
            0 => plain.extend((0..length % 9).map(|at| (seed >> at) as u8)),
            1 => plain.extend(core::iter::repeat_n(round as u8, length)),
            _ if plain.len() > length => {
                let from = plain.len() - length - far % (plain.len() - length);
                plain.extend_from_within(from - 1..from - 1 + length);
            }
            _ => {}
        }
    }
    plain
}

#[test]
fn what_another_encoder_writes_comes_back() {
    let plain = mixture();
    assert!(plain.len() > 300_000, "{} bytes: too few for far distances", plain.len());
    let mut out = std::vec![0; plain.len()];
    decode(&encoded(&plain), &mut out).unwrap();
    assert!(out == plain);
}

#[test]
fn a_stream_that_is_cut_is_damaged() {
    let plain = &mixture()[..20_000];
    let stream = encoded(plain);
    let mut out = std::vec![0; plain.len()];
    for length in (0..stream.len() - 5).step_by(7) {
        assert_eq!(decode(&stream[..length], &mut out), Err(Damaged), "cut at {length} of {}", stream.len());
    }
    assert_eq!(decode(&[1, 0, 0, 0, 0, 0], &mut []), Err(Damaged), "the first byte is 0");
}

#[test]
fn a_match_from_before_the_beginning_is_damaged() {
    // All ones: the first decision is a match, and its distance is the largest.
    assert_eq!(decode(&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &mut [0; 100]), Err(Damaged));
}

/// A filtered image, as another encoder writes it.
fn filtered(image: &[u8], start: u32) -> Vec<u8> {
    let mut writer = BcjWriter::new_arm64(Vec::new(), start as usize);
    writer.write_all(image).unwrap();
    writer.finish().unwrap()
}

#[test]
fn a_call_gets_its_distance_back() {
    // At 0x1000: BL to 0x1000 + 8, filtered to the word number 0x402.
    let mut image = 0x9400_0402_u32.to_le_bytes();
    restore(&mut image, 0x1000);
    assert_eq!(u32::from_le_bytes(image), 0x9400_0002);
    // ADRP x3 of the page before.
    let mut image = 0x9000_0003_u32.to_le_bytes();
    restore(&mut image, 0x1000);
    assert_eq!(u32::from_le_bytes(image), 0xf0ff_ffe3);
}

proptest! {
    #[test]
    fn any_stream_ends(mut stream in prop::collection::vec(any::<u8>(), 0..400), length in 0..5000_usize) {
        if let Some(first) = stream.first_mut() {
            *first = 0;
        }
        let _ = decode(&stream, &mut std::vec![0; length]);
    }

    #[test]
    fn a_damaged_byte_does_no_harm(at in 0..1000_usize, value: u8) {
        let plain = &mixture()[..5000];
        let mut stream = encoded(plain);
        let at = at % stream.len();
        stream[at] = value;
        let _ = decode(&stream, &mut std::vec![0; plain.len()]);
    }

    #[test]
    fn any_filtered_word_comes_back(
        words in prop::collection::vec((any::<u32>(), 0..4), 0..300),
        start in (0..1_u32 << 18).prop_map(|word| word * 4),
    ) {
        let image: Vec<u8> = words.iter().flat_map(|(word, kind)| {
            let opcode = match kind { 0 => 0x9400_0000, 1 => 0x9000_0000, _ => 0 };
            let kept = match kind { 0 => 0x03ff_ffff, 1 => 0x601f_ffff, 2 => u32::MAX, _ => 0xffff };
            (word & kept | opcode).to_le_bytes()
        }).chain([1, 2, 3]).collect();
        let mut back = filtered(&image, start);
        restore(&mut back, start);
        prop_assert_eq!(back, image);
    }
}
