use super::*;
use crate::takeover::plant::{Plant, Sabotaged};

fn adopt(fake: &mut Fake, plant: Option<Plant>) -> (bool, Vec<String>) {
    let mut log = Log::with_capacity(4096);
    let mut frames = FakeFrames::default();
    let site = site(&mut frames);
    let mut logged = Logged::new(fake, &mut log);
    let (taken, done) = match plant {
        None => (take_over(Policy::Adopt, &mut logged, site), false),
        Some(plant) => {
            let mut sabotaged = Sabotaged::new(&mut logged, SMMU, plant);
            let taken = take_over(Policy::Adopt, &mut sabotaged, site);
            (taken, sabotaged.done())
        }
    };
    assert_eq!(taken.map(|taken| taken.did), Ok(Policy::Adopt));
    (done, log.entries().iter().filter_map(words).collect())
}

/// What the plant added to the trace of a healthy adoption, which must be one run of accesses.
fn added(plant: Plant) -> (Vec<String>, String) {
    let (_, healthy) = adopt(&mut crashed(), None);
    let (done, trace) = adopt(&mut crashed(), Some(plant));
    assert!(done);
    let from = healthy.iter().zip(&trace).take_while(|(a, b)| a == b).count();
    let until = trace.len() - (healthy.len() - from);
    assert_eq!(healthy[from..], trace[until..]);
    (trace[from..until].to_vec(), trace[until].clone())
}

#[test]
fn smmuen_is_cleared_for_one_write() {
    let (added, next) = added(Plant::SmmuenCleared);
    assert_trace(&added, "W CR0 0x0\n R CR0ACK 0x0");
    assert_eq!(next, "W CR0 0x1");
}

#[test]
fn an_ste_is_rewritten_with_equal_meaning() {
    let at = ste(0x10);
    let (added, next) = added(Plant::SteRewritten { at });
    assert_eq!(next, "W CR0 0x1");
    let stores: Vec<_> = added.iter().filter(|row| row.starts_with('S')).cloned().collect();
    assert_eq!((added.len(), stores.len()), (16, 8));
    assert_eq!(stores[0], "S STE 0x40260400 0x4027008b");
    assert_eq!(stores[1], "S STE 0x40260408 0xd6");
}

#[test]
fn a_plant_that_cannot_be_is_told() {
    let (done, _) = adopt(&mut crashed(), Some(Plant::SteRewritten { at: PhysAddr(0) }));
    assert!(!done);
    let mut fake = crashed();
    let before = fake.memory().clone();
    let (done, _) = adopt(&mut fake, Some(Plant::SteRewritten { at: ste(0x10) }));
    assert!(done && before.iter().all(|(at, word)| fake.peek(PhysAddr(*at)) == *word));
}
