//! Scenarios, phases and the judge.

#![no_std]
#![forbid(unsafe_code)]
