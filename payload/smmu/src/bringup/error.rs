//! What can go wrong with an SMMU, with the values that tell why.

use crate::poll::TimedOut;
use crate::queue::QueueError;
use crate::table::TableError;
use crate::translation::MapError;
use addr::PhysAddr;

/// Why an SMMU could not be brought up, changed or shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BringUpError {
    /// No SMMU at the address that the firmware tables name.
    #[error("no SMMUv3 answers at {base}: SMMU_IDR0 reads {idr0:#010x}, SMMU_AIDR {aidr:#010x}")]
    NoAnswer {
        /// Register frame.
        base: PhysAddr,
        /// SMMU_IDR0.
        idr0: u32,
        /// SMMU_AIDR.
        aidr: u32,
    },
    /// The hardware lacks something.
    #[error("SMMU at {base}: {what}, {register} {value:#010x}")]
    Unsupported {
        /// Register frame.
        base: PhysAddr,
        /// What is missing.
        what: &'static str,
        /// The register that says so.
        register: &'static str,
        /// Its value.
        value: u32,
    },
    /// Only a reset ends Service Failure Mode (IHI 0070, 12.3).
    #[error("SMMU in Service Failure Mode: GERROR {gerror:#x}, GERRORN {gerrorn:#x}")]
    ServiceFailure {
        /// SMMU_GERROR.
        gerror: u32,
        /// SMMU_GERRORN.
        gerrorn: u32,
    },
    /// Errors became active on the way.
    #[error("global errors active after enabling: GERROR {gerror:#x}, GERRORN {gerrorn:#x}")]
    GlobalError {
        /// SMMU_GERROR.
        gerror: u32,
        /// SMMU_GERRORN.
        gerrorn: u32,
    },
    /// A register was not updated in time.
    #[error("{step}: {error}")]
    TimedOut {
        /// What was being changed.
        step: &'static str,
        /// Which register, and its values.
        error: TimedOut,
    },
    /// The command queue.
    #[error("{step}: {error}")]
    Queue {
        /// What was being done.
        step: &'static str,
        /// Why it was not.
        error: QueueError,
    },
    /// The stream table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Translation tables.
    #[error(transparent)]
    Map(#[from] MapError),
    /// No memory for a structure.
    #[error("no memory for {what} of {bytes:#x} bytes")]
    OutOfMemory {
        /// Which.
        what: &'static str,
        /// Its size.
        bytes: u64,
    },
    /// Every ASID, or VMID, is in use.
    #[error("no identifier left after {domains} domains")]
    NoIdentifier {
        /// Domains made so far.
        domains: u16,
    },
}

impl BringUpError {
    /// There was no memory for something; what was made before is as it was.
    pub(crate) const fn is_out_of_memory(&self) -> bool {
        matches!(
            self,
            Self::OutOfMemory { .. } | Self::Map(MapError::OutOfMemory(_)) | Self::Table(TableError::OutOfMemory(_))
        )
    }
}
