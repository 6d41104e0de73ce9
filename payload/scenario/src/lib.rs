//! Scenarios, phases and the judge. Pure: everything here runs on the host as it does on the board.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod judge;
pub mod options;
pub mod phase;
mod plant;
mod risks;
mod scenario;

pub use plant::Plant;
pub use risks::Risks;
pub use scenario::{Crash, Damage, LISTED, Listed, Policy, Scenario, ScenarioError};
