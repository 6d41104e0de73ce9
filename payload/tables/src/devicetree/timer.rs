//! Timer interrupts and watchdogs (Linux bindings `timer/arm,arch_timer.yaml` and `watchdog/arm,sbsa-gwdt.yaml`).

use super::interrupt::Interrupt;
use super::tree::Tree;
use crate::finding::Sink;
use crate::gtdt::{Timer, Timers, Watchdog};
use crate::platform::MAX_WATCHDOGS;
use crate::rule;
use alloc::vec::Vec;

const TIMERS: [&str; 2] = ["arm,armv8-timer", "arm,armv7-timer"];
const WATCHDOG: &str = "arm,sbsa-gwdt";
/// Names of the interrupts, in the order that they have where the node does not name them.
const NAMES: [&str; 5] = ["sec-phys", "phys", "virt", "hyp-phys", "hyp-virt"];
/// Timer flag: it counts on while the CPU is powered down.
const ALWAYS_ON: u32 = 1 << 2;

/// Timer interrupts of the CPUs.
pub(super) fn timers(tree: &Tree<'_>, sink: &mut Sink<'_>) -> Option<Timers> {
    let Some(node) = tree.compatible(&TIMERS).next() else {
        sink(super::finding(&rule::W_TIMER_GSIV));
        return None;
    };
    let interrupts = node.interrupts(sink);
    let places = node.interrupt_places(NAMES).unwrap_or([0, 1, 2, 3, 4].map(Some));
    let always_on = if node.has("always-on") { ALWAYS_ON } else { 0 };
    let [secure_el1, non_secure_el1, virtual_el1, el2, virtual_el2] = places.map(|place| {
        let interrupt = place.and_then(|place| interrupts.get(place)).copied();
        interrupt.map_or_else(Timer::default, |Interrupt { gsiv, flags }| Timer { gsiv, flags: flags | always_on })
    });
    if el2.gsiv == 0 {
        sink(node.finding(&rule::W_TIMER_GSIV));
    }
    let virtual_el2 = Some(virtual_el2).filter(|timer| timer.gsiv != 0);
    Some(Timers { secure_el1, non_secure_el1, virtual_el1, el2, virtual_el2 })
}

/// SBSA watchdogs: control frame first, then refresh frame.
pub(super) fn watchdogs(tree: &Tree<'_>, sink: &mut Sink<'_>) -> Vec<Watchdog> {
    let mut found = Vec::new();
    for node in tree.compatible(&[WATCHDOG]).take(MAX_WATCHDOGS + 1) {
        let [Some(control), Some(refresh), ..] = node.regs(sink)[..] else {
            sink(node.finding(&rule::E_DTB_REG));
            continue;
        };
        let Interrupt { gsiv, flags } = node.interrupts(sink).first().copied().unwrap_or_default();
        found.push(Watchdog { refresh: refresh.base, control: control.base, interrupt: Timer { gsiv, flags } });
    }
    found
}
