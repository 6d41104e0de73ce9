//! Console lines shared by payload and host: machine records and KTAP.

#![no_std]
#![forbid(unsafe_code)]

pub mod record;

pub use record::Record;
