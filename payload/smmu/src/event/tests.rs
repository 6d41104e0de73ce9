use super::*;
use proptest::prelude::*;

/// An F_TRANSLATION of stream 0x10 on a read of `address`, as QEMU writes it.
fn translation(address: u64, read: bool) -> Event {
    [0x10 | 0x10 << 32, u64::from(read) << 35 | 2 << 40, address, 0]
}

#[test]
fn translation_fault() {
    let event = decode(translation(0xFFFF_C004, true));
    assert_eq!((event.name(), event.stream, event.substream), ("F_TRANSLATION", StreamId(0x10), None));
    assert_eq!((event.input_address, event.read), (Some(Iova(0xFFFF_C004)), Some(true)));
    assert_eq!((event.class, event.stall, event.fetch_address), (Some(Class::Input), None, None));
}

#[test]
fn bad_stream_has_no_address() {
    let event = decode([0x02 | 0x100 << 32, u64::MAX, u64::MAX, u64::MAX]);
    assert_eq!((event.name(), event.stream), ("C_BAD_STREAMID", StreamId(0x100)));
    assert_eq!((event.input_address, event.read, event.class, event.ipa), (None, None, None, None));
}

#[test]
fn stalled_stage_2_fault() {
    let w1 = 0xBEEF | 1 << 31 | 1 << 33 | 1 << 34 | 1 << 39 | 1 << 40;
    let event = decode([0x13 | 1 << 11 | 0xABCDE << 12 | 7 << 32, w1, 0x1234, 0x000F_0000_0000_1FFF]);
    assert_eq!((event.substream, event.stall), (Some(0xABCDE), Some(0xBEEF)));
    assert!(event.privileged && event.instruction && event.stage2);
    assert_eq!((event.read, event.class), (Some(false), Some(Class::TableDescriptor)));
    assert_eq!(event.ipa, Some(0x000F_0000_0000_1000));
}

#[test]
fn failed_fetch() {
    let event = decode([0x03 | 5 << 32, 0, 0, 0xFFF0_0000_DEAD_BEEF]);
    assert_eq!((event.name(), event.fetch_address), ("F_STE_FETCH", Some(PhysAddr(0xDEAD_BEE8))));
}

#[test]
fn counts_are_per_page_and_direction_and_bounded() {
    let mut counts = Counts::with_capacity(2);
    for offset in (0..0x1000).step_by(4) {
        counts.add(translation(0x8000 + offset, false));
    }
    counts.add(translation(0x8000, true));
    counts.add(translation(0x8800, false));
    counts.add(translation(0x9000, false));
    let rows: Vec<_> = counts.rows().iter().map(|row| (row.page, row.read, row.count)).collect();
    assert_eq!(rows, [(Some(Iova(0x8000)), Some(false), 1025), (Some(Iova(0x8000)), Some(true), 1)]);
    assert_eq!((counts.total(), counts.unlisted()), (1027, 1));
}

proptest! {
    #[test]
    fn decoding_never_fails_and_keeps_the_stream(event: [u64; 4]) {
        let decoded = decode(event);
        prop_assert_eq!(u64::from(decoded.stream.0), event[0] >> 32);
        prop_assert_eq!(u64::from(decoded.id), event[0] & 0xFF);
        prop_assert_eq!(decoded.substream.is_some(), event[0] >> 11 & 1 == 1);
        if let Some(read) = decoded.read {
            prop_assert_eq!(read, event[1] >> 35 & 1 == 1);
        }
        if let Some(address) = decoded.input_address {
            prop_assert_eq!(address.0, event[2]);
        }
        prop_assert!(!decoded.name().is_empty());
        let mut counts = Counts::with_capacity(1);
        counts.add(event);
        prop_assert_eq!(counts.total(), 1);
    }
}
