//! Read-only snapshots: registers, the structures that they lead to, digests of them, and what memory they open.
//!
//! Everything follows the registers, as the SMMU itself does, and trusts nothing that it finds: sizes are bounded by a
//! [`Budget`], addresses may be anywhere. Both images use the same functions, so two snapshots compare word by word.

mod digest;
mod identity;
mod lookup;
mod reach;
mod registers;

use crate::access::{Structure, Unbacked};
use crate::log::structure_name;
pub use crate::translation::{Budget, OverBudget};
pub use digest::{Digest, Fold, digest};
pub use identity::not_identity;
pub use lookup::{
    CdTable, Entry, StreamTableShape, Unwalkable, Visitor, cds, for_each_ste, stage2_tables, ste, tables,
};
pub use reach::{How, Reach, ReachError, reaches, uses};
pub use registers::{MsiAddresses, Priq, Registers};

/// Why a snapshot is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObserveError {
    /// A structure lies outside memory.
    #[error("{}: {unbacked}", structure_name(*.what))]
    Unbacked {
        /// Which structure.
        what: Structure,
        /// Where.
        unbacked: Unbacked,
    },
    /// The registers describe more than the budget allows to read.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
}

#[cfg(test)]
mod tests;
