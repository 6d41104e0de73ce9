//! A DMA is tried between every two accesses of a takeover (mails/0).

mod common;

use addr::{PhysAddr, StreamId};
use common::*;
use model::{Choices, Freedom, Freedoms, Hardware, Machine, Outcome, Path, Personality, Stop, Stream, exhaust};
use smmu::access::{Access, Barrier, Structure};
use smmu::spec::ste::Ste;
use smmu::takeover::{Policy, TakeoverError};
use std::collections::BTreeSet;

const SEEDS: u64 = 400;

/// Every hazard of a run, and what it was in words.
fn found(machine: &Machine, streams: &[Stream], before: &[Ste]) -> BTreeSet<(Hazard, &'static str)> {
    assert_eq!(machine.record.dropped(), 0);
    let mut all = BTreeSet::new();
    for seen in machine.record.rows() {
        let must_deliver = streams[seen.function].kind.delivers();
        for hazard in hazards(seen, &before[seen.function..=seen.function], must_deliver) {
            all.insert((hazard, seen.step));
        }
    }
    all
}

fn adopt(hardware: Hardware, choices: Choices, streams: &[Stream]) -> (Machine, BTreeSet<(Hazard, &'static str)>) {
    let (mut machine, stes) = crashed(hardware, choices, streams);
    let before: Vec<_> = stes.iter().map(|at| ste_in_memory(&machine, *at)).collect();
    let taken = take(Policy::Adopt, &mut machine, &[]).expect("adopt");
    assert_eq!((taken.did, taken.refusal), (Policy::Adopt, None));
    assert_eq!(taken.ignored, Default::default());
    let found = found(&machine, streams, &before);
    (machine, found)
}

fn streams_for(hardware: Hardware) -> Vec<Stream> {
    let bits = hardware.idr1.sidsize();
    STREAMS.into_iter().filter(|stream| u64::from(stream.id) >> bits == 0).collect()
}

#[test]
fn adopt_shows_no_live_stream_anything_but_its_own_translation() {
    let mut transactions = 0;
    for (name, hardware) in hardware() {
        let streams = streams_for(hardware);
        for seed in 0..SEEDS {
            let (machine, found) = adopt(hardware, Choices::seeded(seed), &streams);
            assert_eq!(found, BTreeSet::new(), "{name}, seed {seed}");
            assert_eq!(machine.units[0].violations, [], "{name}, seed {seed}");
            transactions += machine.record.count(|_| true);
        }
    }
    println!("{transactions} transactions during {} adoptions, none harmed", SEEDS * hardware().len() as u64);
    assert!(transactions > 1_000_000);
}
