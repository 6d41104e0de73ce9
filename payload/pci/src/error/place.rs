//! Where a function has its error registers: looked for once, and read without a walk in whatever state the machine is then.

use super::{ErrorRegister, ErrorState};
use crate::capability::express;
use crate::reset::{BRIDGE_CONTROL, DISCARD_TIMER_STATUS};
use crate::{CapabilityId, Command, ConfigSpace, ExtendedCapabilityId, Function, HeaderType, PciError};
use addr::Bdf;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const VENDOR_ID: u16 = 0x00;
const COMMAND: u16 = 0x04;
const STATUS: u16 = 0x06;
/// Of a bridge.
const SECONDARY_STATUS: u16 = 0x1e;
const BRIDGE_SERR: u16 = 1 << 1;

/// Offsets in the AER capability (PCI Express Base 6.0, 7.8.4).
mod aer {
    pub(super) const UNCORRECTABLE: u16 = 0x04;
    pub(super) const CORRECTABLE: u16 = 0x10;
    pub(super) const CONTROL: u16 = 0x18;
    pub(super) const FIRST_ERROR_POINTER: u32 = 0x1f;
    pub(super) const HEADER_LOG: u16 = 0x1c;
    pub(super) const ROOT_STATUS: u16 = 0x30;
    pub(super) const SOURCES: u16 = 0x34;
    pub(super) const PREFIX_LOG: u16 = 0x38;
    pub(super) const BYTES: u16 = 0x48;
    /// TLP Prefix Log Present.
    pub(super) const HAS_PREFIXES: u32 = 1 << 11;
}

/// Offset in the DPC capability (7.9.14): 16 bits, and as many of DPC Error Source ID behind them.
const DPC_STATUS: u16 = 0x08;

/// Correctable, non-fatal, fatal, unsupported request: each is to be told (7.5.3.4).
const REPORTING: u16 = 0xf;
/// Root Control: system error on correctable, non-fatal, fatal (7.5.3.12).
const SYSTEM_ERRORS: u16 = 0x7;

/// The function has root error registers.
const ROOT: u16 = 1 << 0;
/// It is a bridge.
const BRIDGE: u16 = 1 << 1;

/// Where one function has its error registers. Offsets are 0 where it has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ErrorPlaces {
    /// The function.
    pub bdf: Bdf,
    /// What it is behind: the bridge that leads to its bus, or its event collector; [`Self::NONE`] on a root bus without one.
    pub upstream: u16,
    express: u16,
    aer: u16,
    containment: u16,
    flags: u16,
    reserved: u16,
}

impl ErrorPlaces {
    /// No place in a list.
    pub const NONE: u16 = u16::MAX;

    /// Looks for the registers of a function. What a broken list hides is not there.
    pub fn find(function: &mut Function<'_>) -> Self {
        let there = |at: Result<Option<u16>, PciError>| at.ok().flatten().unwrap_or(0);
        let express = there(function.capability(CapabilityId::EXPRESS));
        let mut places = Self { bdf: function.bdf(), upstream: Self::NONE, express, ..Self::default() };
        if function.header_type().layout() == HeaderType::BRIDGE {
            places.flags |= BRIDGE;
        }
        // What is no PCI Express function has no such capabilities, and may repeat its first 256 bytes there.
        if express == 0 {
            return places;
        }
        // One that would reach past the end is none.
        let mut extended = |id, bytes: u16| {
            let at = there(function.extended_capability(id));
            if at <= 0x1000 - bytes { at } else { 0 }
        };
        places.aer = extended(ExtendedCapabilityId::ADVANCED_ERROR_REPORTING, aer::BYTES);
        places.containment = extended(ExtendedCapabilityId::DOWNSTREAM_PORT_CONTAINMENT, 0x0c);
        let kind = function.read16(express + express::CAPABILITIES) >> 4 & 0xf;
        if places.aer != 0 && matches!(kind, express::TYPE_ROOT_PORT | express::TYPE_EVENT_COLLECTOR) {
            places.flags |= ROOT;
        }
        places
    }

    /// The function tells more than a conventional one can.
    #[must_use]
    pub const fn reports(&self) -> bool {
        self.express != 0
    }

    /// It gathers the messages of others.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.flags & ROOT != 0
    }

    /// Where its registers are, by [`ErrorRegister`]; 0: it has none.
    fn offsets(&self) -> [u16; ErrorRegister::ALL.len()] {
        let Self { express, aer, containment, flags, .. } = *self;
        let of = |has: bool, at: u16| if has { at } else { 0 };
        let mut all = [0; ErrorRegister::ALL.len()];
        all[ErrorRegister::Uncorrectable as usize] = of(aer != 0, aer + aer::UNCORRECTABLE);
        all[ErrorRegister::Correctable as usize] = of(aer != 0, aer + aer::CORRECTABLE);
        all[ErrorRegister::Device as usize] = of(express != 0, express + express::DEVICE_STATUS);
        all[ErrorRegister::Status as usize] = STATUS;
        all[ErrorRegister::Secondary as usize] = of(flags & BRIDGE != 0, SECONDARY_STATUS);
        all[ErrorRegister::Containment as usize] = of(containment != 0, containment + DPC_STATUS);
        all[ErrorRegister::Root as usize] = of(flags & ROOT != 0, aer + aer::ROOT_STATUS);
        all
    }

    /// Reads the registers. Nothing is written.
    pub fn read(&self, space: &mut dyn ConfigSpace) -> ErrorState {
        let Self { bdf, aer, containment, flags, .. } = *self;
        if space.read32(bdf, VENDOR_ID) as u16 == u16::MAX {
            return ErrorState::GONE;
        }
        let mut state = ErrorState::default();
        for ((register, at), bits) in ErrorRegister::ALL.into_iter().zip(self.offsets()).zip(&mut state.bits) {
            if at == 0 {
                continue;
            }
            let value = space.read32(bdf, at & !3);
            // Read while it went: each of these words has reserved bits, which read as zero.
            if value == u32::MAX {
                return ErrorState::GONE;
            }
            *bits = value >> (8 * (at & 2)) & register.errors();
        }
        if containment != 0 {
            state.containment_source = space.read32(bdf, containment + DPC_STATUS) >> 16;
        }
        if flags & ROOT != 0 {
            state.root_sources = space.read32(bdf, aer + aer::SOURCES);
        }
        if aer == 0 {
            return state;
        }
        let control = space.read32(bdf, aer + aer::CONTROL);
        state.first = control & aer::FIRST_ERROR_POINTER;
        // The log means something while the bit that the pointer names is set.
        if state.of(ErrorRegister::Uncorrectable) >> state.first & 1 != 0 {
            let has_prefixes = control & aer::HAS_PREFIXES != 0;
            let logs =
                [(true, aer::HEADER_LOG, &mut state.header), (has_prefixes, aer::PREFIX_LOG, &mut state.prefixes)];
            for (_, log, words) in logs.into_iter().filter(|(has, ..)| *has) {
                for (word, at) in words.iter_mut().zip((aer + log..).step_by(4)) {
                    *word = space.read32(bdf, at);
                }
            }
        }
        state
    }

    /// Clears what the registers tell, and returns what is then still told. All bits are write-one-to-clear; a containment
    /// is left, because its end brings a link up. Headers of more than one error are kept behind each other (7.8.4.7), so that a
    /// bit may come back.
    pub fn clear(&self, space: &mut dyn ConfigSpace) -> ErrorState {
        /// More errors than bits are not kept.
        const MOST: usize = 32;
        for _ in 0..MOST {
            let state = self.read(space);
            let mut is_clear = true;
            // Root Error Status is the last: what it tells came from the others.
            for (register, at) in ErrorRegister::ALL.into_iter().zip(self.offsets()) {
                let bits = state.of(register);
                if bits == 0 || register == ErrorRegister::Containment || state.is_gone() {
                    continue;
                }
                is_clear = false;
                match register {
                    ErrorRegister::Uncorrectable | ErrorRegister::Correctable | ErrorRegister::Root => {
                        space.write32(self.bdf, at, bits);
                    }
                    // A control register or bus numbers stand beside.
                    _ => space.write16(self.bdf, at, bits as u16),
                }
            }
            if is_clear {
                return state;
            }
        }
        self.read(space)
    }

    /// Has the function tell its errors, and a port pass on what is told below it, as a kernel with native error handling does
    /// (6.2.5, 6.2.6). The root port only keeps them: no interrupt is asked for, and no system error comes of it.
    pub fn enable(&self, space: &mut dyn ConfigSpace) {
        self.set_reporting(space, [0, REPORTING, BRIDGE_SERR, Command::SERR.bits()]);
    }

    /// What [`Self::enable`] changes, as it is.
    pub fn reporting(&self, space: &mut dyn ConfigSpace) -> Reporting {
        let Some(mut function) = Function::new(space, self.bdf) else { return Reporting::default() };
        self.controls().map(|(at, bits, _)| if at == 0 { 0 } else { function.read16(at) & bits })
    }

    /// Sets it to what it was, or shall be.
    pub fn set_reporting(&self, space: &mut dyn ConfigSpace, wanted: Reporting) {
        let Some(mut function) = Function::new(space, self.bdf) else { return };
        for ((at, bits, acts), wanted) in self.controls().into_iter().zip(wanted).filter(|((at, ..), _)| *at != 0) {
            let control = function.read16(at) & !(bits | acts);
            function.write16(at, control | wanted);
        }
    }

    /// Control registers: offset, or 0 where the function has it not; bits that are about errors; bits that do something when
    /// written 1.
    fn controls(&self) -> [(u16, u16, u16); 4] {
        let Self { express, flags, .. } = *self;
        let of = |has: bool, at: u16| if has && express != 0 { at } else { 0 };
        let is_bridge = flags & BRIDGE != 0;
        [
            (of(flags & ROOT != 0, express + express::ROOT_CONTROL), SYSTEM_ERRORS, 0),
            (of(true, express + express::DEVICE_CONTROL), REPORTING, express::INITIATE_FLR),
            (of(is_bridge, BRIDGE_CONTROL), BRIDGE_SERR, DISCARD_TIMER_STATUS),
            (of(is_bridge, COMMAND), Command::SERR.bits(), 0),
        ]
    }
}

/// What a function reports, by the registers of `ErrorPlaces::controls`.
pub type Reporting = [u16; 4];

/// Says of each function what it is behind: the bridge whose secondary bus it is on; on a root bus the event collector that has
/// it (PCI Express Base 6.0, 7.9.10).
pub fn link(space: &mut dyn ConfigSpace, places: &mut [ErrorPlaces]) {
    for index in 0..places.len().min(usize::from(ErrorPlaces::NONE)) {
        let Some(above) = places.get(index).copied() else { return };
        let Some(mut function) = Function::new(space, above.bdf) else { continue };
        let buses = (function.read32(0x18) >> 8) as u8;
        let associated = if above.is_root() && above.flags & BRIDGE == 0 { associated(&mut function) } else { None };
        for below in places.iter_mut().filter(|below| below.bdf.segment == above.bdf.segment && below.bdf != above.bdf)
        {
            let bus = below.bdf.bus();
            let is_behind = match associated {
                Some((devices, first, last)) => {
                    (bus == above.bdf.bus() && devices >> below.bdf.device() & 1 != 0) || (first..=last).contains(&bus)
                }
                // A number that is not above its own leads in a circle.
                None => above.flags & BRIDGE != 0 && bus == buses && buses > above.bdf.bus(),
            };
            if is_behind && below.upstream == ErrorPlaces::NONE {
                below.upstream = index as u16;
            }
        }
    }
}

/// Devices of its own bus, and first and last other bus, that an event collector has; a first that is above the last is none.
fn associated(collector: &mut Function<'_>) -> Option<(u32, u8, u8)> {
    let at = collector.extended_capability(ExtendedCapabilityId::EVENT_COLLECTOR).ok()?.filter(|at| *at < 0xff4)?;
    // Version 2 has a range of buses.
    let buses = if collector.read32(at) >> 16 & 0xf >= 2 { collector.read32(at + 8) } else { 0x0000_ff00 };
    Some((collector.read32(at + 4), (buses >> 8) as u8, (buses >> 16) as u8))
}
