//! What a unit of each endpoint weighs, and what the endpoint could do at most: for the host's figures. No image needs it.

use crate::{ahci, frame, hda, once};

/// Weight and limit of one kind of endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Bytes of DMA that one counted unit stands for; `None`: it differs from unit to unit.
    pub unit_bytes: Option<u64>,
    /// Bytes a second that the endpoint's own speed allows; `None`: nobody says.
    pub limit: Option<u64>,
}

/// 1000BASE-T, one byte of eight bits (IEEE 802.3, 40).
const GIGABIT: u64 = 125_000_000;
/// First generation of Serial ATA, 1.5 Gb/s in ten bits a byte (Serial ATA 3.0, 7): every port has it.
const SATA_1: u64 = 150_000_000;

/// The load of an endpoint by its driver's name; nothing is known of others.
#[must_use]
pub fn of(driver: &str) -> Load {
    let (unit_bytes, limit) = match driver {
        "hda" => (Some(1), Some(hda::BYTES_PER_SECOND)),
        // Frames of ours, as the sender makes them; a frame of the lab's network may be longer.
        "e1000e" | "igb" | "igbvf" | "i210" => (Some(frame::FRAME_BYTES as u64), Some(GIGABIT)),
        "virtio-net" => (Some(frame::FRAME_BYTES as u64), None),
        "edu" | "acs-exerciser" | "iommu-testdev" => (Some(once::TRANSFER_BYTES), None),
        "ahci" => (Some(ahci::SECTOR_BYTES), Some(SATA_1)),
        // A completion is 16 bytes, and what was read before it as long as the controller allows.
        _ => (None, None),
    };
    Load { unit_bytes, limit }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn names_are_those_of_drivers() {
        let named =
            ["hda", "e1000e", "igb", "igbvf", "i210", "virtio-net", "ahci", "edu", "acs-exerciser", "iommu-testdev"];
        for name in named {
            assert!(crate::DRIVERS.iter().any(|driver| driver.name() == name), "{name}");
            assert!(of(name).unit_bytes.is_some(), "{name}");
        }
        let others = crate::DRIVERS.iter().filter(|driver| !named.contains(&driver.name()));
        assert!(others.into_iter().all(|driver| of(driver.name()).unit_bytes.is_none()));
        // What is counted in bytes weighs one.
        let in_bytes = crate::DRIVERS.iter().filter(|driver| driver.unit() == "bytes");
        assert!(in_bytes.into_iter().all(|driver| of(driver.name()).unit_bytes == Some(1)));
    }
}
