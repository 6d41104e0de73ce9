//! Firmware tables as values.

#![no_std]
#![forbid(unsafe_code)]
