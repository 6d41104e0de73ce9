//! The 82576 with virtual functions: each has a pool with queues of its own, and every pool gets each broadcast frame
//! (82576 7.10.3).

use super::SOON;
use super::registers::*;
use crate::poll::poll32;
use crate::{Bus, DmaError};
use addr::PhysAddr;

/// Pools, and their first queues.
const POOLS: u16 = 8;
/// The physical function's own pool: the last. The others are for as many virtual functions.
pub(super) const OWN: u16 = POOLS - 1;

/// Divides the receiver, after its reset, between the function itself and `count` virtual ones. Returns the offset of the queue
/// that is its own.
pub(super) fn share(bus: &mut dyn Bus, at: PhysAddr, count: u16) -> u64 {
    bus.write32(at.plus(MRQC), MRQC_POOLS);
    bus.write32(at.plus(VT_CTL), u32::from(OWN) << VT_CTL_DEFAULT_POOL | VT_CTL_REPLICATE);
    for pool in 0..u64::from(POOLS) {
        let offloads = bus.read32(at.plus(VMOLR + 4 * pool));
        bus.write32(at.plus(VMOLR + 4 * pool), offloads | VMOLR_BROADCAST | VMOLR_UNTAGGED);
    }
    let virtual_pools = (1 << count.min(OWN)) - 1;
    bus.write32(at.plus(QDE), (1 << (2 * POOLS)) - 1);
    bus.write32(at.plus(VFRE), virtual_pools | 1 << OWN);
    let extended = bus.read32(at.plus(CTRL_EXT));
    bus.write32(at.plus(CTRL_EXT), extended | CTRL_EXT_RESET_DONE);
    QUEUE_82576 + QUEUE_82576_STRIDE * u64::from(OWN)
}

/// Stops a virtual function's queue; what its physical function allowed it stays.
pub(super) fn stop_queue(bus: &mut dyn Bus, at: PhysAddr) -> Result<(), DmaError> {
    let control = at.plus(QUEUE_82574 + RXDCTL);
    bus.write32(at.plus(VTEIMC), u32::MAX);
    bus.write32(control, 0);
    poll32(bus, "VF RXDCTL.ENABLE", control, SOON, |control| control & RXDCTL_ENABLE == 0)
}

/// Stops a virtual function and resets it. It receives again only when its physical function has allowed it anew (82576
/// 4.2.2.2): by [`share`].
pub(super) fn reset_virtual(bus: &mut dyn Bus, at: PhysAddr) -> Result<(), DmaError> {
    stop_queue(bus, at)?;
    bus.write32(at.plus(CTRL), CTRL_RST);
    bus.sleep_us(10);
    poll32(bus, "VTCTRL.RST", at.plus(CTRL), SOON, |control| control & CTRL_RST == 0)
}
