//! The machine under both images: exception vectors, MMU, caches, timer, console, image jump. The home of unsafe.
//!
//! On a host only the parts without instructions are built, for its tests.

#![no_std]
#![cfg_attr(
    any(target_os = "none", target_os = "uefi"),
    expect(unsafe_code, reason = "this crate is where the machine is touched; every other library forbids unsafe")
)]

extern crate alloc;

pub mod first_map;
pub mod mmu;
pub mod ranges;
pub mod serial;
pub mod stage2;
pub mod watchdog;

#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod alive;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod bus;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod cache;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod console;
#[cfg(any(target_os = "none", target_os = "uefi"))]
mod context;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod cpu;
// ELF only: the vectors have a section of their own, which an image without a guest does not get.
#[cfg(target_os = "none")]
pub mod el1;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod exceptions;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod frames;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod gic;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod heap;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod jump;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod lost;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod lpi;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod mmio;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod power;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod remap;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod timer;
#[cfg(any(target_os = "none", target_os = "uefi"))]
pub mod uart;
