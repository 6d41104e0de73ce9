//! Which functions do DMA, or may, while the firmware still has the machine.

use addr::Bdf;
use alloc::vec::Vec;
use pci::{BusRange, Command, ConfigSpace, Function};
use uefi::{
    boot::{self, OpenProtocolAttributes, OpenProtocolParams, ScopedProtocol},
    proto::pci::{PciIoAddress, configuration::ResourceRangeType, root_bridge::PciRootBridgeIo},
};

/// Configuration space behind one root bridge, by the firmware's own access: ECAM may not be mapped for us yet.
struct Bridge(ScopedProtocol<PciRootBridgeIo>);

impl ConfigSpace for Bridge {
    fn read32(&mut self, function: Bdf, offset: u16) -> u32 {
        let address = PciIoAddress::new(function.bus(), function.device(), function.function());
        let address = address.with_extended_register(offset.into());
        self.0.pci().read_one(address).unwrap_or(u32::MAX)
    }

    // Nothing is written: the firmware's drivers are at work.
    fn write32(&mut self, _: Bdf, _: u16, _: u32) {}

    fn write16(&mut self, _: Bdf, _: u16, _: u16) {}
}

/// All functions that are bus mastering; `None` where the firmware has no root bridge to ask.
pub(crate) fn all() -> Option<Vec<Bdf>> {
    let handles = boot::find_handles::<PciRootBridgeIo>().ok()?;
    let mut masters = Vec::new();
    for handle in handles {
        let params = OpenProtocolParams { handle, agent: boot::image_handle(), controller: None };
        // SAFETY: the bridge's driver keeps the protocol for as long as boot services run, and this is closed before their
        // end; an exclusive open would take the bridge from that driver.
        let bridge = unsafe { boot::open_protocol::<PciRootBridgeIo>(params, OpenProtocolAttributes::GetProtocol) };
        let mut bridge = Bridge(bridge.ok()?);
        for range in bridge.0.configuration().ok()? {
            if range.resource_range_type != ResourceRangeType::Bus {
                continue;
            }
            let segment = bridge.0.segment_nr() as u16;
            let root = BusRange { segment, first: range.address_min as u8, last: range.address_max as u8 };
            let mut found = Vec::new();
            pci::for_each_function(&mut bridge, root, &mut |function| found.push(function.bdf));
            let is_master = |bdf: &Bdf| {
                Function::new(&mut bridge, *bdf)
                    .is_some_and(|mut function| function.command().contains(Command::BUS_MASTER))
            };
            masters.extend(found.into_iter().filter(is_master));
        }
    }
    Some(masters)
}
