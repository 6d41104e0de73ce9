//! Takeovers per second on this host: `cargo run --release -p model --example throughput`.

#![forbid(unsafe_code)]

use addr::StreamId;
use model::{Builder, Choices, Format, FreshFrames, Hardware, Kind, Machine, Personality, Schedule, Stream};
use smmu::access::SmmuIndex;
use smmu::takeover::{Policy, Site, take_over};
use std::time::{Duration, Instant};

/// Each figure is the median and the best of so many slices: other work on the host spoils some.
const SLICES: usize = 21;
const SLICE: Duration = Duration::from_millis(100);

/// A normal table: 16 bits of StreamID, two levels, three streams in stage 1, the rest aborts.
fn crashed() -> Machine {
    let hardware = Hardware::virt(Personality::Architecture { minor: 1 });
    let mut builder = Builder::new(hardware, Choices::kind(), Format::TwoLevel { split: 8 }, 16);
    for (id, asid) in [(0x00, 1), (0x10, 2), (0x18, 3)] {
        let target = 0x4800_0000 + u64::from(id) * 0x1000;
        builder.stream(&Stream { id, kind: Kind::stage1(asid), iova: 0xFFFF_C000, target });
    }
    let mut machine = builder.crashed();
    machine.dma_all();
    machine
}

/// One takeover of a copy of `start`; whether DMA of every stream still arrives.
fn takeover(start: &Machine, policy: Policy, schedule: Schedule, choices: Choices) -> bool {
    let mut machine = start.clone();
    machine.bus.choices = choices;
    machine.schedule = schedule;
    let mut frames = FreshFrames::default();
    let site = Site {
        smmu: SmmuIndex(0),
        coherent: None,
        cpu_is_vhe: false,
        queue_cap_log2: 8,
        timeout_us: 2000,
        frames: &mut frames,
        rmr_streams: &[StreamId(0x10)],
        own: addr::PhysAddr(0)..addr::PhysAddr(0),
        attach: &[],
    };
    let taken = take_over(policy, &mut machine, site);
    let right = taken.is_ok_and(|taken| taken.did == policy);
    right && machine.dma(2, 0).is_delivered() == (policy == Policy::Adopt)
}

fn main() {
    let start = crashed();
    println!("{} pages of memory hold the crashed kernel's structures", start.bus.memory.pages());
    for (policy, schedule, seeded) in [
        (Policy::Adopt, Schedule::Off, false),
        (Policy::Reset, Schedule::Off, false),
        (Policy::Adopt, Schedule::EveryAccess, true),
        (Policy::Reset, Schedule::EveryAccess, true),
    ] {
        let mut seed = 0;
        let mut rates: Vec<_> = (0..SLICES)
            .map(|_| {
                let (begin, mut done) = (Instant::now(), 0_u32);
                while begin.elapsed() < SLICE {
                    seed += 1;
                    let choices = if seeded { Choices::seeded(seed) } else { Choices::kind() };
                    assert!(takeover(&start, policy, schedule, choices), "a takeover went wrong");
                    done += 1;
                }
                f64::from(done) / begin.elapsed().as_secs_f64()
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        let (median, best) = (rates[SLICES / 2], rates[SLICES - 1]);
        println!("{policy}, DMA {schedule:?}: {median:.0} takeovers per second (best slice {best:.0})");
    }
}
