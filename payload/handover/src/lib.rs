//! The blocks that one image leaves for the other.
//!
//! [`boot`] is what any crash kernel is given; [`oracle`] only observer and judge may read; [`report`] is what the kdump
//! image leaves on its way back. Each begins with a [`Header`] and carries a CRC over all that is in use. Beside them lies
//! the [`crash_note`], which is written until and past the last moment, and the [`last_words`], for the start after a death.
//! A [`bundle`] comes from the host, and is no image's to change.

#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod bundle;
pub mod crash_note;
pub mod last_words;
pub mod oracle;
pub mod report;
mod seal;

pub use seal::{HandoverError, Header, crc64, crc64_of};

#[cfg(test)]
mod tests;
