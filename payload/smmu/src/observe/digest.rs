//! Digests of all structures that decide where DMA goes, to show that a takeover left them byte for byte.

use super::{Budget, CdTable, Entry, ObserveError, Registers, cds, for_each_ste};
use crate::access::Access;
use crc::{CRC_64_XZ, Crc, Table};

// A constant, like the one in `handover`: an image that has both keeps one table of 2 KiB.
const CRC: &Crc<u64, Table<1>> = &Crc::<u64, Table<1>>::new(&CRC_64_XZ);

/// CRC-64/XZ of the structures, whose words count as little-endian bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The linear stream table, or level 1.
    pub level1_crc: u64,
    /// The level-2 tables that a look-up can reach, in level-1 order.
    pub level2_crc: u64,
    /// CDs and their level-1 descriptors that valid stage-1 STEs lead to, in StreamID order.
    pub cd_crc: u64,
    /// Bytes under the three.
    pub bytes: u64,
}

/// Reads every structure that the registers lead to, in StreamID order; translation tables are not included.
///
/// # Errors
/// [`ObserveError`] where a structure lies outside memory, or all together are larger than `limit` bytes.
pub fn digest(hw: &mut dyn Access, registers: &Registers, limit: u64) -> Result<Digest, ObserveError> {
    let (mut level1, mut level2, mut contexts) = (CRC.digest(), CRC.digest(), CRC.digest());
    let linear = registers.stream_table().split.is_none();
    let mut budget = Budget::new(limit);
    for_each_ste(hw, registers, &mut budget, &mut |hw: &mut dyn Access, budget: &mut Budget, entry| {
        let ste = match entry {
            Entry::Level1(descriptor) => {
                level1.update(&descriptor.into_bits().to_le_bytes());
                return Ok(());
            }
            Entry::Ste { ste, .. } => ste,
        };
        let table = if linear { &mut level1 } else { &mut level2 };
        for word in ste {
            table.update(&word.to_le_bytes());
        }
        cds(hw, registers, &ste, budget, &mut |_: &mut dyn Access, _: &mut Budget, item| {
            match item {
                CdTable::Level1(descriptor) => contexts.update(&descriptor.into_bits().to_le_bytes()),
                CdTable::Cd { cd, .. } => {
                    for word in cd {
                        contexts.update(&word.to_le_bytes());
                    }
                }
            }
            Ok::<(), ObserveError>(())
        })
    })?;
    Ok(Digest {
        level1_crc: level1.finalize(),
        level2_crc: level2.finalize(),
        cd_crc: contexts.finalize(),
        bytes: budget.used(),
    })
}
