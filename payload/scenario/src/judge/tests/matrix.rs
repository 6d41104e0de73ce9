//! Planted faults against checks: the checks that state the broken rule fail, and no other.

use super::super::outcome;
use super::{
    verdicts::ABORT,
    with_verdict,
    world::{World, counts},
};
use crate::{Plant, Policy};
use alloc::{vec, vec::Vec};
use smmu::spec::event::id;
use wire::record::{Outcome, Verdict};

const LIVE: [&str; 3] = ["dma.live-before", "dma.live-blackout", "dma.live-after"];

/// Evidence as the fault makes it; what cannot be done to a fake is made up in the counts.
fn planted(plant: Plant) -> World {
    let mut world = World::with(Policy::Adopt, Some(plant), |_| {});
    match plant {
        Plant::LeafUnmapped => {
            let cuts = &mut world.streams[0].cuts;
            (cuts.takeover, cuts.end) = (counts(30, 25, 0), counts(60, 40, 0));
            let fault = [u64::from(id::F_TRANSLATION) | 0x10 << 32, 0, 0x8000_0000, 0];
            world.events.as_mut().unwrap().add(fault);
        }
        Plant::LeafCanary => {
            let cuts = &mut world.streams[0].cuts;
            (cuts.takeover, cuts.end) = (counts(30, 25, 5), counts(60, 40, 20));
        }
        Plant::SenderStopped => {
            let cuts = &mut world.streams[0].cuts;
            (cuts.takeover, cuts.end) = (cuts.crash, cuts.crash);
        }
        Plant::EndpointOff => world.streams[1].cuts = Default::default(),
        Plant::StaleOracle => world.oracle_cycle -= 1,
        Plant::BusError => world.aborts = Some(vec![ABORT]),
        Plant::PcieErrorBefore => malformed(&mut world, 0),
        Plant::PcieErrorBlackout => malformed(&mut world, 1),
        Plant::PcieErrorAfter => malformed(&mut world, 2),
        Plant::SteRewritten
        | Plant::SmmuenCleared
        | Plant::KdumpDigest
        | Plant::FirmwareDropped
        | Plant::StopSkipped
        | Plant::IovaInKdump
        | Plant::HangBefore
        | Plant::HangTakeover
        | Plant::BundleDigest
        | Plant::KdumpOverwritten => {}
    }
    world
}

/// From this phase on a function tells of a malformed request.
fn malformed(world: &mut World, phase: usize) {
    world.functions[1].1[phase..].iter_mut().for_each(|state| state.bits[0] = 1 << 18);
}

/// Checks that must fail, and checks that cannot be covered.
fn wanted(plant: Plant) -> (Vec<&'static str>, Vec<&'static str>) {
    match plant {
        Plant::LeafUnmapped => (vec!["dma.no-blocked", "smmu.no-events"], vec![]),
        Plant::LeafCanary => (vec!["dma.no-mis-steer"], vec![]),
        Plant::SteRewritten => (vec!["adopt.no-table-stores"], vec![]),
        Plant::SmmuenCleared => (vec!["adopt.smmuen-kept"], vec![]),
        Plant::BusError => (vec!["cpu.no-serror"], vec![]),
        Plant::PcieErrorBefore | Plant::PcieErrorBlackout | Plant::PcieErrorAfter => {
            (vec!["pcie.no-new-errors"], vec![])
        }
        Plant::SenderStopped => (vec![], [&LIVE[1..], &["dma.delivered-after"]].concat()),
        Plant::EndpointOff => (vec![], [&LIVE[..], &["dma.delivered-after", "dma.delivered-before"]].concat()),
        Plant::StaleOracle => {
            let counted = ["dma.counts-consistent", "dma.no-blocked", "dma.no-mis-steer", "dma.delivered-after"];
            let compared =
                ["adopt.tables-identical", "adopt.identifiers-reserved", "rmr.ste-unchanged", "pcie.no-new-errors"];
            (vec!["oracle.fresh"], [&LIVE[..], &counted, &["dma.delivered-before"], &compared].concat())
        }
        plant if is_elsewhere(plant) => (vec![], vec![]),
        other => panic!("{}", other.name()),
    }
}

/// The jump, or its end, never comes: there is nothing to judge, and that is no pass. Others show before the crash, to the
/// primary, only where devices are stopped (`policies`), or to the image that watches a kernel.
fn is_elsewhere(plant: Plant) -> bool {
    matches!(
        plant,
        Plant::KdumpDigest
            | Plant::FirmwareDropped
            | Plant::StopSkipped
            | Plant::IovaInKdump
            | Plant::HangBefore
            | Plant::HangTakeover
            | Plant::BundleDigest
            | Plant::KdumpOverwritten
    )
}

#[test]
fn every_planted_fault_fails_its_own_checks_and_no_other() {
    for plant in Plant::ALL {
        if is_elsewhere(plant) {
            assert_eq!(outcome(&[], Some(plant)), Outcome::Fail);
            continue;
        }
        let checks = planted(plant).judge();
        let (fail, not_covered) = wanted(plant);
        assert_eq!(with_verdict(&checks, Verdict::Fail), fail, "{}", plant.name());
        assert_eq!(with_verdict(&checks, Verdict::NotCovered), not_covered, "{}", plant.name());
        assert_eq!(outcome(&checks, Some(plant)), Outcome::Fail);
        // The checks find it by themselves, without being told of the plant.
        assert_eq!(outcome(&checks, None), Outcome::Fail, "{}", plant.name());
    }
}
