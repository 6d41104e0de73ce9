//! Scenarios, phases and the judge. Pure: everything here runs on the host as it does on the board.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod crash;
mod cycles;
pub mod damage;
mod hands;
pub mod judge;
pub mod options;
pub mod phase;
mod plant;
pub mod policy;
pub mod quiesce;
mod risks;
mod scenario;
mod work;

pub use crash::Crash;
pub use cycles::{Cycles, repeat};
pub use damage::Damage;
pub use hands::{Hands, Which};
pub use plant::Plant;
pub use policy::Policy;
pub use risks::Risks;
pub use scenario::{Scenario, ScenarioError};
pub use work::Work;
