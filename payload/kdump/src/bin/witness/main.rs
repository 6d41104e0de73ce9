//! The image that starts somebody's kernel after the crash, and watches it from EL2.

#![no_std]
#![no_main]

extern crate alloc;

use arch::frames::FrameRange;
use handover::{boot::Boot, report::Report};

kdump::image!("witness", take_over);

fn take_over(_: &'static Boot, _: FrameRange, _: u64) -> Report {
    Report::default()
}
