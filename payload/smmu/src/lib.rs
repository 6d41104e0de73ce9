//! SMMUv3: layouts, the access layer with its log, tables and queues, takeover policies, and what can be observed.
//!
//! Nothing here knows which streams are live or where their data must go: that is the oracle's, and the judge's.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod access;
pub mod bringup;
pub mod census;
pub mod checker;
pub mod event;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod frames;
pub mod guard;
pub mod log;
pub mod observe;
pub mod poll;
pub mod queue;
pub mod spec;
pub mod table;
pub mod takeover;
pub mod translation;
