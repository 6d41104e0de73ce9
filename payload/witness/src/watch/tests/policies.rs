//! Our own policies as guests: the witness sees from outside what the policy's own log says.

use super::guest::Guest;
use super::*;
use addr::StreamId;
use smmu::access::Access;
use smmu::checker::{Followed, Profile};
use smmu::fake::{self, FakeFrames};
use smmu::log::{Log, Logged, What};
use smmu::takeover::plant::{Plant, Sabotaged};
use smmu::takeover::{Policy, take_over};

fn run(policy: Policy, plant: Option<Plant>, hw: &mut dyn Access) {
    let mut frames = FakeFrames::default();
    let rmr = [StreamId(0x18), StreamId(0x28)];
    let own = PhysAddr(frames.free.start)..PhysAddr(frames.free.end);
    let site = smmu::takeover::Site { rmr_streams: &rmr, ..fake::site(SMMU, own, &mut frames) };
    let result = match plant {
        None => take_over(policy, hw, site),
        Some(plant) => take_over(policy, &mut Sabotaged::new(hw, SMMU, plant), site),
    };
    assert!(result.is_ok(), "{policy:?}: {result:?}");
}

fn watched(policy: Policy, plant: Option<Plant>, loads: bool) -> (Found, Witness) {
    let mut fake = crashed();
    let (found, mut witness) = witness(&mut fake);
    run(policy, plant, &mut Guest { hw: &mut fake, witness: &mut witness, loads });
    assert!(!witness.is_partial());
    (found, witness)
}

fn own_log(policy: Policy, plant: Option<Plant>) -> (Found, Vec<Entry>) {
    let mut fake = crashed();
    let found = found(&mut fake);
    let mut log = Log::with_capacity(1 << 14);
    run(policy, plant, &mut Logged::new(&mut fake, &mut log));
    (found, log.entries().to_vec())
}

const POLICIES: [Policy; 7] = [
    Policy::Adopt,
    Policy::AdoptV7,
    Policy::AdoptRmrBypass,
    Policy::Reset,
    Policy::ResetEvtq,
    Policy::Abort,
    Policy::Bypass,
];

fn registers<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<(Op, u64, u64, u32)> {
    let registers = entries.filter(|entry| entry.what == What::Register);
    registers.map(|entry| (entry.op, entry.address, entry.value, entry.count)).collect()
}

fn words<'a>(entries: impl Iterator<Item = &'a Entry>, structure: Structure) -> Vec<(u64, u64)> {
    let is_it = |entry: &&Entry| entry.what == What::Structure(structure) && entry.op == Op::Store;
    entries.filter(is_it).map(|entry| (entry.address, entry.value)).collect()
}

#[test]
fn registers_and_commands_are_those_of_the_policys_own_log() {
    for policy in POLICIES {
        let (_, own) = own_log(policy, None);
        let (_, witness) = watched(policy, None, false);
        let seen = || witness.log().entries().iter().map(|seen| &seen.entry);
        assert_eq!(registers(seen()), registers(own.iter()), "{policy:?}");
        let commands = words(own.iter(), Structure::Command);
        assert_eq!(words(seen(), Structure::Command), commands, "{policy:?}");
        assert!(policy == Policy::Abort || policy == Policy::Bypass || !commands.is_empty(), "{policy:?}");
    }
}

#[test]
fn the_checker_recognises_what_was_watched() {
    for (policy, loads, profile) in [
        (Policy::Adopt, true, Profile::AdoptV10),
        (Policy::AdoptV7, true, Profile::AdoptV7),
        // Nobody saw what was looked at: that there was more than version 7 wants cannot be told.
        (Policy::Adopt, false, Profile::AdoptV7),
        (Policy::Reset, true, Profile::Reset),
        (Policy::Reset, false, Profile::Reset),
    ] {
        let (found, witness) = watched(policy, None, loads);
        let report = judged(found, &witness, loads);
        let followed = report.followed.get(&SMMU);
        assert_eq!(followed, Some(&Followed { profile: Some(profile), ..Followed::default() }), "{policy:?}");
        assert_eq!(rules(&report), [""; 0], "{policy:?}: {:#?}", report.found);
        assert_eq!(report.unjudged, 0);
    }
}

#[test]
fn what_a_policy_breaks_is_seen_from_outside() {
    let ste = PhysAddr(L2 + 0x10 * 64);
    for (policy, plant) in [
        (Policy::AdoptRmrBypass, None),
        (Policy::Bypass, None),
        (Policy::Adopt, Some(Plant::SmmuenCleared)),
        (Policy::Adopt, Some(Plant::SteRewritten { at: ste })),
    ] {
        let (found, own) = own_log(policy, plant);
        let expected = rules(&check(&[found], coverage(true), &own, true));
        let (found, witness) = watched(policy, plant, true);
        let report = judged(found, &witness, true);
        assert_eq!(rules(&report), expected, "{policy:?} {plant:?}");
        assert!(!expected.is_empty(), "{policy:?} {plant:?} breaks nothing");
    }
}

#[test]
fn a_store_to_the_dead_table_has_its_place_and_its_old_value() {
    let ste = L2 + 0x10 * 64;
    let (_, witness) = watched(Policy::Adopt, Some(Plant::SteRewritten { at: PhysAddr(ste) }), false);
    let stores: Vec<_> = witness.log().entries().iter().filter(|seen| seen.old.is_some()).collect();
    let expected: Vec<_> = (0..8).map(|word| (ste + word * 8, 0x4000, How::Trapped)).collect();
    assert_eq!(stores.iter().map(|s| (s.entry.address, s.pc, s.how)).collect::<Vec<_>>(), expected);
    assert_eq!(
        stores.iter().take(2).map(|s| (s.old, s.entry.value)).collect::<Vec<_>>(),
        [(Some(0b1011 | (CDS + 128)), 0b1011 | (CDS + 128)), (Some(0xD6), 0xD6),]
    );
}
