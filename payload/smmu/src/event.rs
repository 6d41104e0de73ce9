//! Decoding of event queue entries.
