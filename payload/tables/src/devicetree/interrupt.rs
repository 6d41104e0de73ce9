//! From interrupt specifiers to the GIC's interrupt numbers (Linux binding `interrupt-controller/arm,gic-v3.yaml`).

use super::cells::strings;
use super::gic::GICS;
use super::tree::Node;
use crate::finding::Sink;
use crate::rule;
use alloc::vec::Vec;

/// Most interrupts of one node that are read.
const MAX_INTERRUPTS: usize = 32;

/// One interrupt of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Interrupt {
    /// Its number at the GIC; zero where another controller takes it.
    pub(super) gsiv: u32,
    /// As in the GTDT: bit 0 edge triggered, bit 1 active low.
    pub(super) flags: u32,
}

impl Node<'_, '_> {
    /// The node's interrupts in order. One that does not reach the GIC has no number, and is a finding.
    pub(super) fn interrupts(&self, sink: &mut Sink<'_>) -> Vec<Interrupt> {
        let mut interrupts = Vec::new();
        if let Some(mut cells) = self.cells("interrupts-extended") {
            while let Some(controller) = cells.cell() {
                let controller = self.tree().by_phandle(controller);
                let count = controller.and_then(|controller| controller.interrupt_cells());
                let specifier = count.and_then(|count| cells.take(count.into()));
                let (Some(controller), Some(specifier)) = (controller, specifier) else { break };
                interrupts.push(specifier_at(&controller, specifier));
                if interrupts.len() == MAX_INTERRUPTS {
                    break;
                }
            }
        } else if let Some(mut cells) = self.cells("interrupts")
            && let Some(controller) = self.interrupt_parent()
            && let Some(count) = controller.interrupt_cells().filter(|count| *count > 0)
        {
            while let Some(specifier) = cells.take(count.into()).filter(|_| interrupts.len() < MAX_INTERRUPTS) {
                interrupts.push(specifier_at(&controller, specifier));
            }
        }
        let unread = interrupts.iter().filter(|interrupt| interrupt.is_none()).count();
        let has_none = interrupts.is_empty() && (self.has("interrupts") || self.has("interrupts-extended"));
        if unread > 0 || has_none {
            sink(self.finding(&rule::W_DTB_INTERRUPT).found(unread as u64));
        }
        interrupts.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// Places in `interrupt-names` of each of `names`.
    pub(super) fn interrupt_places<const COUNT: usize>(&self, names: [&str; COUNT]) -> Option<[Option<usize>; COUNT]> {
        let value = self.property("interrupt-names")?;
        Some(names.map(|name| strings(value).take(MAX_INTERRUPTS).position(|other| other == name)))
    }
}

/// The number that a specifier has at the GIC; `None` at any other controller.
fn specifier_at(controller: &Node<'_, '_>, mut specifier: super::cells::Cells<'_>) -> Option<Interrupt> {
    if !controller.is_compatible(&GICS) {
        return None;
    }
    let (kind, number, trigger) = (specifier.cell()?, specifier.cell()?, specifier.cell()?);
    // Kinds: SPI, PPI, extended SPI, extended PPI (IHI 0069, 2.2.1).
    let (first, count) = match kind {
        0 => (32, 988),
        1 => (16, 16),
        2 => (4096, 1024),
        3 => (1056, 64),
        _ => return None,
    };
    let gsiv = (number < count).then(|| first + number)?;
    // Trigger: 1 rising edge, 2 falling edge, 4 high level, 8 low level.
    let flags = match trigger & 0xf {
        1 => 1,
        2 => 3,
        8 => 2,
        _ => 0,
    };
    Some(Interrupt { gsiv, flags })
}
