//! The frames that the host sends and a network endpoint receives without being asked.
//!
//! | bytes | content |
//! |---|---|
//! | 0..6 | destination: broadcast, so that no address filter has to be set |
//! | 6..12 | source: locally administered, last byte the stream's number |
//! | 12..14 | EtherType 88B5h: IEEE 802 local experimental 1, no protocol stack answers it |
//! | 14..22 | magic |
//! | 22..24 | version, big-endian |
//! | 24..28 | stream number, big-endian |
//! | 28..36 | sequence number, big-endian |
//! | 36..60 | zeros |

/// Length without the frame check sequence: the least that Ethernet allows.
pub const FRAME_BYTES: usize = 60;
/// Destination.
pub const BROADCAST: [u8; 6] = [0xff; 6];
/// IEEE 802 local experimental EtherType 1 (IEEE 802, 9.2.4).
pub const ETHER_TYPE: u16 = 0x88b5;
/// Tells our frames from others with the same EtherType.
pub const MAGIC: [u8; 8] = *b"inflight";
/// Version of the layout.
pub const VERSION: u16 = 1;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which sender: the endpoint's number at the host.
    pub stream: u32,
    /// Counts up by one with each frame of that sender, from 1.
    pub sequence: u64,
}

impl Frame {
    /// Lays the frame out as it goes over the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; FRAME_BYTES] {
        let [.., last] = self.stream.to_be_bytes();
        let source = [0x02, 0x69, 0x6e, 0x66, 0x6c, last];
        let parts: [&[u8]; 7] = [
            &BROADCAST,
            &source,
            &ETHER_TYPE.to_be_bytes(),
            &MAGIC,
            &VERSION.to_be_bytes(),
            &self.stream.to_be_bytes(),
            &self.sequence.to_be_bytes(),
        ];
        let mut frame = [0; FRAME_BYTES];
        for (to, from) in frame.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        frame
    }

    /// Reads a frame from the first bytes of a receive buffer; `None` if it is not one of ours.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&BROADCAST)?.get(6..)?;
        let rest = rest.strip_prefix(&ETHER_TYPE.to_be_bytes())?;
        let rest = rest.strip_prefix(&MAGIC)?.strip_prefix(&VERSION.to_be_bytes())?;
        let (stream, rest) = rest.split_first_chunk()?;
        let (sequence, _) = rest.split_first_chunk()?;
        Some(Self { stream: u32::from_be_bytes(*stream), sequence: u64::from_be_bytes(*sequence) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_layout_is_fixed() {
        let frame = Frame { stream: 0x0102_0304, sequence: 0x1122_3344_5566_7788 }.encode();
        let expected = *b"\xff\xff\xff\xff\xff\xff\x02infl\x04\x88\xb5inflight\x00\x01\x01\x02\x03\x04\x11\x22\x33\x44\x55\x66\x77\x88";
        assert_eq!(frame[..36], expected);
        assert_eq!(frame[36..], [0; 24]);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_parsed(stream: u32, sequence: u64, tail in prop::collection::vec(any::<u8>(), 0..8)) {
            let frame = Frame { stream, sequence };
            let mut bytes = std::vec::Vec::from(frame.encode());
            bytes.extend(tail);
            prop_assert_eq!(Frame::parse(&bytes), Some(frame));
            for cut in 0..36 {
                prop_assert_eq!(Frame::parse(&bytes[..cut]), None);
            }
        }

        #[test]
        fn one_wrong_byte_before_the_numbers_is_another_frame(at in 0usize..24, flip in 1u8..) {
            let mut bytes = Frame { stream: 1, sequence: 2 }.encode();
            bytes[at] ^= flip;
            // The source address says nothing.
            prop_assert_eq!(Frame::parse(&bytes).is_some(), (6..12).contains(&at));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Frame::parse(&bytes);
        }
    }

    extern crate std;
}
