//! Events (IHI 0070, chapter 7): 32 bytes, four words.

/// One event queue entry.
pub type Event = [u64; 4];
/// Bytes of one event.
pub const EVENT_BYTES: u64 = 32;
