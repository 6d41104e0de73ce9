//! The machine: the home of unsafe.

#![no_std]
