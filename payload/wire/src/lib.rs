//! Console lines shared by payload and host: machine records and KTAP.
//!
//! A machine line is `@inflight SSSSSS PAYLOAD CCCCCCCC`: sequence number in hexadecimal (modulo 2^24), a [`Record`] in
//! postcard and base64 without padding, and the CRC-32 (ISO-HDLC) of `SSSSSS PAYLOAD` in hexadecimal. Everything is
//! ASCII, so that firmware text, escape sequences and damaged bytes around and inside a line are told from it.

#![no_std]
#![forbid(unsafe_code)]

mod ktap;
mod lava;
mod line;
pub mod reader;
pub mod record;
mod writer;

pub use ktap::{END_LINE, START_LINE};
pub use line::{LINE_MAX, PREFIX, SEQUENCE_MASK};
pub use reader::{Anomaly, Item, Reader};
pub use record::Record;
pub use writer::{WriteError, Writer};
