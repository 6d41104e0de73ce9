//! What PCI functions tell of errors, read at the cuts of the phases. Nothing is written.

use crate::streams::Streams;
use alloc::vec::Vec;
use arch::{bus::Ecam, console, timer};
use handover::oracle::FunctionLeft;
use pci::ErrorState;
use wire::Record;

/// The host injects an error within this time after it was told to.
const INJECTED_US: u64 = 3_000_000;
/// Time between two looks.
const STEP_US: u64 = 2_000;

/// The functions of the oracle, and what they told when this image began, after the takeover, and after the watch.
pub struct Errors<'a> {
    left: &'a [FunctionLeft],
    /// By function, in the oracle's order.
    pub seen: Vec<[ErrorState; 3]>,
}

impl<'a> Errors<'a> {
    /// Reads them for the first time.
    pub fn new(left: &'a [FunctionLeft], config: &mut Ecam) -> Self {
        Self { left, seen: left.iter().map(|left| [left.places.read(config); 3]).collect() }
    }

    /// Reads them again at the end of a phase: 1 blackout, 2 after.
    pub fn cut(&mut self, phase: usize, config: &mut Ecam) {
        for (left, seen) in self.left.iter().zip(&mut self.seen) {
            if let Some(slot) = seen.get_mut(phase) {
                *slot = left.places.read(config);
            }
        }
    }

    /// Has the host inject an error in this phase, and waits until a function tells of it, while the streams go on.
    pub fn wait_for_one(&self, record: &Record<'_>, phase: usize, streams: &mut Streams, config: &mut Ecam) {
        console::record(record);
        let deadline = timer::now() + timer::ticks_of_us(INJECTED_US);
        let mut is_new = false;
        while !is_new && timer::now() < deadline {
            timer::sleep_us(STEP_US);
            streams.count();
            is_new = self.left.iter().zip(&self.seen).any(|(left, seen)| {
                let before = seen.get(phase - 1).copied().unwrap_or_default();
                !before.difference(&left.places.read(config)).is_clean()
            });
        }
        // Its message takes a moment to the root port.
        timer::sleep_us(STEP_US);
    }

    /// What is new, with its function and phase.
    pub fn each_new(&self, tell: &mut dyn FnMut(&FunctionLeft, u8, &ErrorState)) {
        for (left, seen) in self.left.iter().zip(&self.seen) {
            let mut before = &left.armed;
            for (phase, after) in (0..).zip(seen) {
                let new = before.difference(after);
                if !new.is_clean() {
                    tell(left, phase, &new);
                }
                before = after;
            }
        }
    }
}
