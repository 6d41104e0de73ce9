//! The link of a controller with a copper port.

use super::SOON;
use super::registers::*;
use crate::poll::{Pace, poll32};
use crate::{Bus, DmaError};
use addr::PhysAddr;

/// How long a link that is up may take to show after a MAC reset.
const FOUND: Pace = Pace { every_us: 1_000, deadline_us: 20_000 };
/// Negotiation of 1000BASE-T takes 2 to 3 s on a real cable (IEEE 802.3, 28 and 40).
const NEGOTIATED: Pace = Pace { every_us: 1_000, deadline_us: 5_000_000 };

fn poll(bus: &mut dyn Bus, at: PhysAddr, pace: Pace) -> Result<(), DmaError> {
    poll32(bus, "NIC STATUS.LU (link)", at.plus(STATUS), pace, |status| status & STATUS_LU != 0)
}

/// The link is up, as another function has left it.
pub(super) fn is_up(bus: &mut dyn Bus, at: PhysAddr) -> Result<(), DmaError> {
    poll(bus, at, FOUND)
}

/// Has the link come up. QEMU's 82576 has it down after a MAC reset until its PHY is told to negotiate, which takes 500 ms;
/// a PHY that is up already is left alone.
pub(super) fn begin(bus: &mut dyn Bus, at: PhysAddr) -> Result<(), DmaError> {
    begin_where(bus, at, true)
}

/// The same; a PHY that MDIC does not reach by number (I210 8.2.4) negotiates by itself.
pub(super) fn begin_where(bus: &mut dyn Bus, at: PhysAddr, has_phy_1: bool) -> Result<(), DmaError> {
    let control = bus.read32(at.plus(CTRL));
    bus.write32(at.plus(CTRL), control & !CTRL_FORCE | CTRL_SLU);
    if !has_phy_1 || is_up(bus, at).is_ok() {
        return Ok(());
    }
    bus.write32(at.plus(MDIC), MDIC_WRITE_PHY1 | PHY_CONTROL_RESTART);
    poll32(bus, "NIC MDIC.R", at.plus(MDIC), SOON, |mdic| mdic & MDIC_READY != 0)
}

/// Waits until it is up.
pub(super) fn wait(bus: &mut dyn Bus, at: PhysAddr) -> Result<(), DmaError> {
    poll(bus, at, NEGOTIATED)
}
