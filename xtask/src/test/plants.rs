//! Planted faults: the check of the broken rule must see it, none that does not follow from it may fail, and the second
//! witness must tell the same story.

use serde_json::Value;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::{FAST, Session};

/// A fault and what follows from it.
struct Plant {
    name: &'static str,
    /// Exactly the checks that are not as expected.
    broken: &'static [&'static str],
    /// Devices still fetch their descriptors through the SMMU, so that translations prove no delivery.
    has_fetches: bool,
    /// The SMMU may record events of it.
    has_events: bool,
    /// Rules that the protocol checker names.
    rules: &'static [&'static str],
    /// What the counts must show.
    counts: fn(&[Value]) -> Expected,
}

const PLANTS: [Plant; 8] = [
    Plant {
        name: "leaf-unmapped",
        broken: &["dma.no-blocked"],
        has_fetches: true,
        has_events: true,
        rules: &[],
        counts: one_blocked,
    },
    Plant {
        name: "bus-error",
        broken: &["cpu.no-serror"],
        has_fetches: false,
        has_events: false,
        rules: &[],
        counts: all_delivered,
    },
    Plant {
        name: "leaf-canary",
        broken: &["dma.no-mis-steer"],
        has_fetches: true,
        has_events: false,
        rules: &[],
        counts: one_mis_steered,
    },
    Plant {
        name: "ste-rewritten",
        broken: &["adopt.no-table-stores", "protocol.no-violation"],
        has_fetches: false,
        has_events: false,
        // Equal words change nothing for an SMMU: only the profile forbids them.
        rules: &["adopt.table-store"],
        counts: all_delivered,
    },
    Plant {
        name: "smmuen-cleared",
        broken: &["adopt.smmuen-kept", "protocol.no-violation"],
        has_fetches: false,
        has_events: false,
        rules: &["adopt.smmuen", "disable.without-abort", "enable.not-invalidated"],
        counts: |_| Ok(()),
    },
    Plant {
        name: "sender-stopped",
        broken: &["dma.live-blackout", "dma.live-after", "dma.delivered-after"],
        has_fetches: false,
        has_events: false,
        rules: &[],
        counts: one_silent,
    },
    Plant {
        name: "endpoint-off",
        broken: &[
            "dma.live-before",
            "dma.live-blackout",
            "dma.live-after",
            "dma.delivered-after",
            "dma.delivered-before",
        ],
        has_fetches: false,
        has_events: false,
        rules: &[],
        counts: one_silent,
    },
    Plant { name: "stale-oracle", broken: STALE, has_fetches: true, has_events: false, rules: &[], counts: |_| Ok(()) },
];

/// Everything that is compared with what the primary recorded; nothing else.
const STALE: &[&str] = &[
    "oracle.fresh",
    "dma.live-before",
    "dma.live-blackout",
    "dma.live-after",
    "dma.counts-consistent",
    "dma.no-blocked",
    "dma.no-mis-steer",
    "dma.delivered-after",
    "dma.delivered-before",
    "adopt.tables-identical",
    "adopt.identifiers-reserved",
    "rmr.ste-unchanged",
    "pcie.no-new-errors",
];

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases: Vec<_> = PLANTS.iter().map(case).collect();
    cases.push(Case::new("plant-iova-in-kdump", |session| {
        let id = "iova-in-kdump";
        let clean = session.run(&words("run --scenario adopt"))?;
        ensure(expect::finding(&clean, id).is_err(), || "found where nothing is planted".to_owned())?;
        let ended = session.run(&words("run --scenario adopt --plant iova-in-kdump"))?;
        expect::outcome(&ended, 1, "fail")?;
        expect::finding(&ended, id)
    }));
    cases.push(Case::new("crash-region", |session| {
        // This plant has the payload say where the second image's memory begins.
        let line = "run --scenario adopt --plant iova-in-kdump --option region=0x50000000";
        expect::finding(&session.run(&words(line))?, "uses 0x50000000, which is an address of the kdump region")?;
        let outside = session.run(&words("run --scenario adopt --option region=0x80000000"))?;
        expect::outcome(&outside, 1, "fail")?;
        expect::finding(&outside, "option region=0x80000000: 32 MiB are not free there")
    }));
    cases.push(Case::new("plant-kdump-digest", |session| {
        let ended = session.run_with_witness(&words("run --scenario adopt --plant kdump-digest"), true)?;
        expect::outcome(&ended, 1, "fail")?;
        let report = ended.report()?;
        ensure(report["planted"] == "kdump-digest", || "the report is not marked".to_owned())?;
        let started = report["images"].to_string().contains("kdump");
        ensure(!started, || "the kdump image was started in spite of its digest".to_owned())?;
        let run = expect::run(&ended, "adopt")?;
        expect::only_broken(run, &["cycle.completed"])?;
        let reasons = run["checks"].to_string();
        ensure(reasons.contains("digest"), || format!("the digest is not named: {reasons}"))
    }));
    cases
}

fn case(plant: &'static Plant) -> Case {
    Case::new(format!("plant-{}", plant.name), move |session: &Session<'_>| {
        let arguments = words(&format!("run {FAST} --scenario adopt --plant {}", plant.name));
        let ended = session.run_with_witness(&arguments, plant.has_fetches)?;
        expect::outcome(&ended, 1, "fail")?;
        ensure(ended.report()?["planted"] == plant.name, || "the report is not marked".to_owned())?;
        let run = expect::run(&ended, "adopt")?;
        let streams = expect::array(run, "streams")?;
        expect::only_broken(run, &[plant.broken, &by_timing(plant, run, streams)].concat())?;
        plant.rules.iter().try_for_each(|rule| expect::violates(run, rule))?;
        if plant.rules.is_empty() {
            expect::followed(run, "ADOPT v10")?;
        }
        (plant.counts)(streams)
    })
}

/// Checks that break only if an access meets the fault in time, and then must: a leaf is changed before the crash, the
/// takeover turns the event queue off, and SMMUEN is cleared for a moment.
fn by_timing(plant: &Plant, run: &Value, streams: &[Value]) -> Vec<&'static str> {
    let has_events = run["events"].as_array().is_some_and(|events| !events.is_empty());
    let any = |phase, key| streams.iter().any(|stream| expect::count(stream, phase, key).unwrap_or(0) > 0);
    let is_leaf = plant.name.starts_with("leaf-");
    let met = [
        ("smmu.no-events", plant.has_events && has_events),
        ("dma.delivered-before", is_leaf && (any("before", "blocked") || any("before", "mis_steered"))),
        ("dma.no-mis-steer", plant.name == "smmuen-cleared" && any("blackout", "mis_steered")),
    ];
    met.into_iter().filter(|(_, is_met)| *is_met).map(|(id, _)| id).collect()
}

/// Sum over the three phases.
fn total(stream: &Value, key: &str) -> u64 {
    ["before", "blackout", "after"].iter().filter_map(|phase| expect::count(stream, phase, key)).sum()
}

/// Exactly one stream has this trait.
fn only_one(streams: &[Value], what: &str, has: impl Fn(&Value) -> bool) -> Expected {
    let those: Vec<_> = streams.iter().filter(|stream| has(stream)).map(|stream| stream["bdf"].to_string()).collect();
    ensure(those.len() == 1, || format!("{what}: {those:?}, exactly one stream expected"))
}

fn one_blocked(streams: &[Value]) -> Expected {
    only_one(streams, "blocked", |stream| total(stream, "blocked") > 0)?;
    only_one(streams, "touched", |stream| total(stream, "blocked") + total(stream, "mis_steered") > 0)
}

fn one_mis_steered(streams: &[Value]) -> Expected {
    only_one(streams, "mis-steered", |stream| total(stream, "mis_steered") > 0)?;
    only_one(streams, "touched", |stream| total(stream, "blocked") + total(stream, "mis_steered") > 0)
}

fn all_delivered(streams: &[Value]) -> Expected {
    let phases = ["before", "blackout", "after"];
    streams.iter().try_for_each(|stream| phases.iter().try_for_each(|phase| expect::delivered(stream, phase)))
}

fn one_silent(streams: &[Value]) -> Expected {
    only_one(streams, "silent after the crash", |stream| expect::count(stream, "after", "delivered") == Some(0))
}
