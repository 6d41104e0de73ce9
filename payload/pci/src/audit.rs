//! What is wrong with configuration space as the firmware leaves it. Everything is bounded: a function may answer all ones from
//! one read to the next, link its capabilities in a circle, or claim what another has.

use crate::enumerate::BUS_NUMBERS;
use crate::{CapabilityId, ConfigSpace, ExtendedCapabilityId, Found, Function, HeaderType, PciError};
use addr::Bdf;
use alloc::vec::Vec;

/// A host bridge: its BARs, if it has any, are not to be touched.
const HOST_BRIDGE: u32 = 0x06_00;

/// BARs that are compared with each other.
const MOST_BARS: usize = 4096;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The function answers configuration requests with Request Retry Status: it is not ready.
    NotReady,
    /// It stopped answering while it was looked at.
    Gone,
    /// The layout of its header is neither 0 nor 1.
    Header,
    /// A capability list does not end, or leads outside of its space.
    List,
    /// A BAR has a reserved type, or is cut off.
    BarType,
    /// A bridge leads nowhere: its secondary bus is not above its own, outside of the window, or another bridge's.
    BusNumbers,
    /// A bridge's range of buses ends before it begins, or cuts that of another.
    BusOverlap,
    /// A BAR with an address takes no memory, or its size is no power of two that the address is a multiple of.
    BarSize,
    /// Two BARs claim an address.
    BarOverlap,
    /// A BAR claims memory.
    BarOverRam,
}

impl FaultKind {
    /// Stable name, and words for what follows them.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::NotReady => ("function-not-ready", "not ready: vendor ID"),
            Self::Gone => ("function-gone", "answered once, and then"),
            Self::Header => ("header-type", "reserved header type"),
            Self::List => ("capability-list", "the capability list does not end, or leaves its space, at"),
            Self::BarType => ("bar-type", "BAR of reserved type, or cut off:"),
            Self::BusNumbers => ("bridge-bus-numbers", "secondary is no bus of its own below: bus numbers"),
            Self::BusOverlap => ("bridge-bus-overlap", "its buses do not fit: bus numbers"),
            Self::BarSize => ("bar-size", "BAR with an address takes bytes"),
            Self::BarOverlap => ("bar-overlap", "BAR over another: at"),
            Self::BarOverRam => ("bar-over-ram", "BAR over memory: at"),
        }
    }
}

/// Something wrong with a function's configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// The function.
    pub function: Bdf,
    /// Where in its configuration space.
    pub offset: u16,
    /// A register's value; of a BAR its address or size.
    pub value: u64,
    /// Whom it gets in the way of.
    pub other: Option<Bdf>,
}

impl Fault {
    /// A fault of one function.
    pub(crate) const fn new(kind: FaultKind, function: Bdf, offset: u16, value: u64) -> Self {
        Self { kind, function, offset, value, other: None }
    }

    /// Stable name.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.kind.words().0
    }

    const fn gone(function: Bdf) -> Self {
        Self::new(FaultKind::Gone, function, 0, 0xffff_ffff)
    }
}

impl From<PciError> for Fault {
    fn from(error: PciError) -> Self {
        match error {
            PciError::CapabilityLoop { function, at } | PciError::CapabilityPointer { function, at } => {
                Self::new(FaultKind::List, function, at, at.into())
            }
            PciError::BarType { function, index, value } => {
                Self::new(FaultKind::BarType, function, bar_at(index), value.into())
            }
        }
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { kind, function, value, other, .. } = self;
        write!(f, "{function}: {} {value:#x}", kind.words().1)?;
        match other {
            Some(other) => write!(f, ", as {other}"),
            None => Ok(()),
        }
    }
}

/// Offset of a BAR.
const fn bar_at(index: u8) -> u16 {
    0x10 + 4 * index as u16
}

/// A range of one function: of addresses, or of bus numbers.
#[derive(Clone, Copy)]
struct Claim {
    function: Bdf,
    index: u8,
    first: u64,
    last: u64,
}

/// Looks at `found`, and tells each fault. BARs are sized, with decoding off for a moment: nobody may be using the functions.
/// Those that are `denied` are only read: of their BARs no more than the first address is known. `is_ram` says whether a range
/// of addresses, first and last, holds memory.
pub fn audit(
    space: &mut dyn ConfigSpace,
    found: &[Found],
    denied: &[Bdf],
    is_ram: &dyn Fn(u64, u64) -> bool,
    tell: &mut dyn FnMut(Fault),
) {
    let (mut bars, mut buses) = (Vec::new(), Vec::new());
    for Found { bdf, identity, physical, .. } in found {
        let function = if physical.is_some() { Function::any(space, *bdf) } else { Function::new(space, *bdf) };
        let Some(mut function) = function else {
            tell(Fault::gone(*bdf));
            continue;
        };
        let header = function.header_type();
        if !matches!(header.layout(), HeaderType::ENDPOINT | HeaderType::BRIDGE) {
            // Layout 2 is a CardBus bridge (PCI Local Bus 3.0, 6.1), which PCI Express has not.
            if function.answers() {
                tell(Fault::new(FaultKind::Header, *bdf, 0x0e, header.0.into()));
            } else {
                tell(Fault::gone(*bdf));
            }
            continue;
        }
        // No list has this entry: the whole of it is walked. ID 0 is the null capability, and reserved IDs are never given.
        let lists = [function.capability(CapabilityId(0xff)), function.extended_if_any(ExtendedCapabilityId(0xffff))];
        for error in lists.into_iter().filter_map(Result::err) {
            tell(error.into());
        }
        if header.layout() == HeaderType::BRIDGE {
            let numbers = function.read32(BUS_NUMBERS);
            let (first, last) = (u64::from(numbers >> 8 & 0xff), u64::from(numbers >> 16 & 0xff));
            // The walk has told those that lead nowhere.
            if first > u64::from(bdf.bus()) {
                buses.push(Claim { function: *bdf, index: 0, first, last });
            }
        }
        if identity.class >> 8 != HOST_BRIDGE {
            claims(&mut function, !denied.contains(bdf), is_ram, &mut bars, tell);
        }
        if !function.answers() {
            tell(Fault::gone(*bdf));
        }
    }
    overlapping_bars(&bars, tell);
    overlapping_buses(&buses, tell);
}

/// Adds the memory BARs of a function to `bars`, in the order of their addresses.
fn claims(
    function: &mut Function<'_>,
    may_size: bool,
    is_ram: &dyn Fn(u64, u64) -> bool,
    bars: &mut Vec<Claim>,
    tell: &mut dyn FnMut(Fault),
) {
    let bdf = function.bdf();
    let mut next = 0;
    while next < 6 {
        let index = next;
        next += 1;
        let bar = match function.memory_bar(index) {
            Ok(Some(bar)) => bar,
            Ok(None) => continue,
            Err(error) => {
                if function.answers() {
                    tell(error.into());
                }
                continue;
            }
        };
        next += u8::from(bar.is_64_bit);
        if bar.address.0 == 0 {
            continue;
        }
        let address = bar.address.0;
        let bytes = if may_size { function.memory_bar_bytes(&bar) } else { 1 };
        let last = match address.checked_add(bytes) {
            Some(end) if bytes.is_power_of_two() && address.is_multiple_of(bytes) => end - 1,
            _ => {
                tell(Fault::new(FaultKind::BarSize, bdf, bar_at(index), bytes));
                continue;
            }
        };
        if is_ram(address, last) {
            tell(Fault::new(FaultKind::BarOverRam, bdf, bar_at(index), address));
        }
        if bars.len() < MOST_BARS {
            let key = |claim: &Claim| (claim.function.segment, claim.first);
            let claim = Claim { function: bdf, index, first: address, last };
            let at = bars.partition_point(|before| key(before) <= key(&claim));
            bars.insert(at, claim);
        }
    }
}

/// In the order of addresses each is compared with the one before that reaches furthest.
fn overlapping_bars(bars: &[Claim], tell: &mut dyn FnMut(Fault)) {
    let mut furthest: Option<Claim> = None;
    for claim in bars {
        let before = furthest.filter(|before| before.function.segment == claim.function.segment);
        if let Some(other) = before.filter(|before| before.last >= claim.first) {
            let fault = Fault::new(FaultKind::BarOverlap, claim.function, bar_at(claim.index), claim.first);
            tell(Fault { other: Some(other.function), ..fault });
        }
        if before.is_none_or(|before| before.last < claim.last) {
            furthest = Some(*claim);
        }
    }
}

/// Buses of two bridges of one segment are apart, or those of one lie among those of the other, which it is behind.
fn overlapping_buses(buses: &[Claim], tell: &mut dyn FnMut(Fault)) {
    for (index, claim) in buses.iter().enumerate() {
        let Claim { function: bridge, first, last, .. } = *claim;
        let fault =
            Fault::new(FaultKind::BusOverlap, bridge, BUS_NUMBERS, last << 16 | first << 8 | u64::from(bridge.bus()));
        if last < first {
            tell(fault);
            continue;
        }
        let others = buses.iter().enumerate().filter(|(other, _)| *other < index);
        let mut others = others.map(|(_, other)| other).filter(|other| other.function.segment == bridge.segment);
        let holds = |outer: &Claim, inner: &Claim| {
            let bus = u64::from(inner.function.bus());
            (outer.first..=outer.last).contains(&bus) && inner.first > bus && inner.last <= outer.last
        };
        let fits = |other: &&Claim| {
            let is_apart = other.last < first || other.first > last;
            is_apart || other.last < other.first || holds(other, claim) || holds(claim, other)
        };
        if let Some(other) = others.find(|other| !fits(other)) {
            tell(Fault { other: Some(other.function), ..fault });
        }
    }
}

#[cfg(test)]
mod tests;
