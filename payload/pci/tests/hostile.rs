//! Configuration space that answers anything: every look ends, after a bounded number of reads.

#[expect(unreachable_pub, reason = "the crate of the fuzz targets exports it")]
#[path = "../../../ci/fuzz/src/configuration.rs"]
mod configuration;

use proptest::prelude::*;

/// A record of the fuzz target's input: where, and what; mostly what a walk follows.
fn function() -> impl Strategy<Value = Vec<u8>> {
    let rid = prop_oneof![3 => 0u16..0x40, 1 => any::<u16>()];
    let header = prop_oneof![Just(0u8), Just(1), Just(0x81), any::<u8>()];
    (rid, header, any::<bool>(), prop::collection::vec(any::<u8>(), 64)).prop_map(
        |(rid, header, has_list, mut page)| {
            page[0x0e] = header;
            if has_list {
                page[0x06] |= 0x10;
                page[0x34] = 0x40;
            }
            [&rid.to_le_bytes()[..], &page].concat()
        },
    )
}

proptest! {
    #[test]
    fn every_look_ends(lives in prop_oneof![Just(u16::MAX), any::<u16>()], functions in prop::collection::vec(function(), 0..20)) {
        configuration::configuration(&[&lives.to_le_bytes()[..], &functions.concat()].concat());
    }

    #[test]
    fn arbitrary_bytes_too(bytes in prop::collection::vec(any::<u8>(), 0..800)) {
        configuration::configuration(&bytes);
    }
}
