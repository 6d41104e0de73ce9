//! Addresses: what each bus needs, from the leaves up; where it goes, from the root down.
//!
//! Two kinds of space. *Low*: below 4 GiB, not prefetchable, through the bridges' memory windows. *High*: what is 64 bits
//! wide and prefetchable, where every bridge on the way has a 64-bit prefetchable window.

use super::{
    Assigned, HostBridge,
    tree::{Bus, Node},
};
use crate::{Bar, Command, ConfigSpace, Function};
use addr::Bdf;
use alloc::vec::Vec;

/// Bridges forward whole MiB (PCI Express Base 6.0, 7.5.1.3.8).
const MIB: u64 = 1 << 20;
const IO: u16 = 0x1c;
const MEMORY: u16 = 0x20;
const PREFETCHABLE: u16 = 0x24;
const PREFETCHABLE_BASE_HIGH: u16 = 0x28;
const PREFETCHABLE_LIMIT_HIGH: u16 = 0x2c;
const BAR0: u16 = 0x10;

/// A window of a host bridge, by addresses on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First address.
    pub start: u64,
    /// Length.
    pub bytes: u64,
    /// Reads have no side effects.
    pub is_prefetchable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Low,
    High,
}

/// What has to be placed on a bus: a BAR, or all that is behind a bridge.
struct Item<'a> {
    bytes: u64,
    alignment: u64,
    what: What<'a>,
}

enum What<'a> {
    Bar(Bdf, Bar),
    /// The bridge, and whether high space passes all bridges before it and itself.
    Behind(&'a Node, bool),
}

/// Gives addresses to all below a host bridge.
pub(super) fn place(space: &mut dyn ConfigSpace, root: &Bus, host: &HostBridge<'_>, assigned: &mut Assigned) {
    close_bridges(space, root);
    let largest =
        |is_wanted: &dyn Fn(&&Window) -> bool| host.windows.iter().filter(is_wanted).max_by_key(|it| it.bytes);
    let fits_low = |window: &&Window| window.start.saturating_add(window.bytes) <= 1 << 32;
    // A 32-bit prefetchable window is only taken where there is no other: reads must have no side effects there.
    let low = largest(&|window| fits_low(window) && !window.is_prefetchable).or_else(|| largest(&fits_low));
    let high = largest(&|window| !fits_low(window));
    let mut done = Vec::new();
    for (kind, window) in [(Kind::Low, low), (Kind::High, high)] {
        let Some(window) = window else { continue };
        // Address 0 means "none" in a BAR.
        let start = window.start.max(1);
        let mut from = start;
        let end = window.start.saturating_add(window.bytes);
        for item in items(root, kind, high.is_some(), true) {
            let Some(at) = from.checked_next_multiple_of(item.alignment) else { continue };
            if at.checked_add(item.bytes).is_some_and(|last| last <= end) {
                from = at + item.bytes;
                put(space, &item, at, kind, high.is_some(), &mut done);
            }
        }
    }
    finish(space, root, &done, assigned);
}

/// What is on a bus and behind its bridges, the strictest alignment first: so nothing is lost between two.
fn items(bus: &Bus, kind: Kind, has_high: bool, is_high_reached: bool) -> Vec<Item<'_>> {
    let mut all: Vec<Item<'_>> = Vec::new();
    for node in &bus.functions {
        for (bar, bytes) in &node.bars {
            let is_high = bar.is_64_bit && bar.is_prefetchable && has_high && is_high_reached;
            if is_high == (kind == Kind::High) {
                // Two functions share no page, so that one can be mapped without the other.
                let alignment = (*bytes).max(4096);
                add(&mut all, Item { bytes: *bytes, alignment, what: What::Bar(node.bdf, *bar) });
            }
        }
        if let Some(bridge) = &node.behind {
            let is_high_reached = is_high_reached && bridge.has_64_bit_window;
            let (bytes, alignment) = extent(&items(&bridge.bus, kind, has_high, is_high_reached));
            if bytes > 0 {
                let alignment = alignment.max(MIB);
                let what = What::Behind(node, is_high_reached);
                add(&mut all, Item { bytes: bytes.next_multiple_of(MIB), alignment, what });
            }
        }
    }
    all
}

/// Behind those that are aligned as strictly.
fn add<'a>(all: &mut Vec<Item<'a>>, item: Item<'a>) {
    let at = all.partition_point(|other| other.alignment >= item.alignment);
    all.insert(at, item);
}

/// Bytes that these take from an address with their strictest alignment on, and that alignment. A size that passes 64 bits
/// fits nowhere, and is told as such.
fn extent(items: &[Item<'_>]) -> (u64, u64) {
    let mut end = 0_u64;
    for item in items {
        let at = end.checked_next_multiple_of(item.alignment);
        end = at.and_then(|at| at.checked_add(item.bytes)).unwrap_or(u64::MAX / 2);
    }
    (end, items.first().map_or(1, |item| item.alignment))
}

/// Writes the address of a BAR, or of a bridge's window and of everything behind it.
fn put(space: &mut dyn ConfigSpace, item: &Item<'_>, at: u64, kind: Kind, has_high: bool, done: &mut Vec<(Bdf, u8)>) {
    match &item.what {
        What::Bar(bdf, bar) => {
            let Some(mut function) = Function::new(space, *bdf) else { return };
            let register = BAR0 + 4 * u16::from(bar.index);
            function.write32(register, at as u32);
            if bar.is_64_bit {
                function.write32(register + 4, (at >> 32) as u32);
            }
            done.push((*bdf, bar.index));
        }
        What::Behind(node, is_high_reached) => {
            let Some(bridge) = &node.behind else { return };
            let last = at + item.bytes - 1;
            if let Some(mut function) = Function::new(space, node.bdf) {
                // Bits 15:4 of base and limit are address bits 31:20.
                let window = (at >> 16 & 0xfff0) as u32 | (last & 0xfff0_0000) as u32;
                match kind {
                    Kind::Low => function.write32(MEMORY, window),
                    Kind::High => {
                        function.write32(PREFETCHABLE_BASE_HIGH, (at >> 32) as u32);
                        function.write32(PREFETCHABLE_LIMIT_HIGH, (last >> 32) as u32);
                        function.write32(PREFETCHABLE, window);
                    }
                }
            }
            let mut from = at;
            for item in items(&bridge.bus, kind, has_high, *is_high_reached) {
                let at = from.next_multiple_of(item.alignment);
                from = at + item.bytes;
                put(space, &item, at, kind, has_high, done);
            }
        }
    }
}

/// No window forwards anything: the base lies above the limit.
fn close_bridges(space: &mut dyn ConfigSpace, bus: &Bus) {
    for node in &bus.functions {
        let Some(bridge) = &node.behind else { continue };
        if let Some(mut function) = Function::new(space, node.bdf) {
            function.write16(IO, 0x00f0);
            function.write32(MEMORY, 0x0000_fff0);
            function.write32(PREFETCHABLE_LIMIT_HIGH, 0);
            function.write32(PREFETCHABLE_BASE_HIGH, u32::MAX);
            function.write32(PREFETCHABLE, 0x0000_fff0);
        }
        close_bridges(space, &bridge.bus);
    }
}

/// Functions whose BARs all have addresses answer; bridges forward both ways.
fn finish(space: &mut dyn ConfigSpace, bus: &Bus, done: &[(Bdf, u8)], assigned: &mut Assigned) {
    for node in &bus.functions {
        let has_address = |(bar, _): &&(Bar, u64)| done.contains(&(node.bdf, bar.index));
        let with = node.bars.iter().filter(has_address).count() as u32;
        let without = node.bars.len() as u32 - with;
        assigned.bars += with;
        assigned.left_out += without;
        if let Some(mut function) = Function::new(space, node.bdf) {
            let forwards = if node.behind.is_some() { Command::BUS_MASTER } else { Command::empty() };
            let answers = if without == 0 { Command::MEMORY_SPACE } else { Command::empty() };
            function.change_command(forwards | answers, Command::empty());
        }
        if let Some(bridge) = &node.behind {
            finish(space, &bridge.bus, done, assigned);
        }
    }
}
