//! What ran, on what, and how to run it again.

use serde::{Deserialize, Serialize};

/// What the host knows of a boot that no console tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Provenance {
    /// When it began, in UTC, as in 2027-01-31T08:30:00Z.
    pub started: String,
    /// The command that repeats it, as a shell takes it.
    pub command: String,
    /// Commit of the checkout that the images were built from, `+` after it where files differ from it; absent outside
    /// of a checkout.
    pub revision: Option<String>,
    /// What the emulator says of its version; absent on silicon.
    pub emulator: Option<String>,
    /// The emulator's command line, as a shell takes it.
    pub emulator_command: Option<String>,
    /// The firmware's file; absent where the host does not choose it.
    pub firmware: Option<Artifact>,
    /// The file that was started, and the images in it.
    pub images: Vec<Artifact>,
}

/// A file that took part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Artifact {
    /// What it is: `primary`, `kdump`, or the file's name.
    pub name: String,
    /// Length.
    pub bytes: u64,
    /// Its digest.
    pub sha256: String,
}
