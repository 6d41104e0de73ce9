extern crate std;

use super::Scenario;
use crate::{Crash, Damage, Plant, Policy, Risks, crash, policy};
use std::{string::ToString, vec::Vec};

#[test]
fn a_scenario_prints_what_it_reads() {
    for name in ["adopt", "reset", "adopt@panic", "reset@panic"] {
        assert_eq!(Scenario::parse(name).unwrap().to_string(), name);
    }
    let defaults = Scenario { policy: Policy::Reset, damage: Damage::NONE, crash: Crash::Jump };
    assert_eq!(Scenario::parse("reset+none@jump"), Ok(defaults));
    for scenario in Scenario::all() {
        assert_eq!(Scenario::parse(&scenario.to_string()), Ok(scenario));
        let documented = scenario.documented();
        assert!(!documented.expects.is_empty() && !documented.source.is_empty());
    }
    let all: Vec<_> = Scenario::all().map(|scenario| scenario.to_string()).collect();
    let policies = Policy::ALL.map(|policy| policy.name().to_string());
    let damages = Damage::all().skip(1).flat_map(|damage| {
        let name = damage.name();
        // A stream is attached at the stage that it had.
        let policies =
            if name == "stage-2-domains" { &["adopt", "adopt-attach", "adopt-v7-attach"][..] } else { &["adopt"] };
        policies.iter().map(move |policy| std::format!("{policy}+{name}"))
    });
    let crashes = ["panic", "fault", "hung-cpu", "other-cpu"];
    let crashes = crashes.iter().flat_map(|crash| ["adopt", "reset"].map(|policy| std::format!("{policy}@{crash}")));
    assert_eq!(all, policies.into_iter().chain(damages).chain(crashes).collect::<Vec<_>>());
}

#[test]
fn names_in_messages_are_the_names() {
    assert_eq!(Policy::ALL.map(Policy::name).join(", "), policy::NAMES);
    assert_eq!(Crash::ALL.map(Crash::name).join(", "), crash::NAMES);
}

#[test]
fn what_is_unknown_is_named_with_what_is_known() {
    let message = |text| Scenario::parse(text).unwrap_err().to_string();
    for name in ["adapt", ""] {
        assert_eq!(message(name), std::format!("there is no policy `{name}`; known: {}", policy::NAMES));
    }
    assert_eq!(message("adopt+rust"), "there is no damage `rust`; known: those of --list-scenarios");
    assert_eq!(message("reset@hang"), "there is no crash kind `hang`; known: jump, panic, fault, hung-cpu, other-cpu");
    assert_eq!(
        message("reset@panic+none"),
        "there is no crash kind `panic+none`; known: jump, panic, fault, hung-cpu, other-cpu"
    );
}

#[test]
fn plants_read_what_they_print_and_keep_their_numbers() {
    let mut names = Vec::new();
    for (code, plant) in (1..).zip(Plant::ALL) {
        assert_eq!(Plant::parse(plant.name()), Some(plant));
        assert_eq!((plant.code(), Plant::from_code(code)), (code, Some(plant)));
        names.push(plant.name());
    }
    assert_eq!(names.join(", "), Plant::NAMES);
    assert_eq!(
        (Plant::parse("leaf"), Plant::from_code(0), Plant::from_code(Plant::ALL.len() as u32 + 1)),
        (None, None, None)
    );
}

#[test]
fn risks_are_read_and_compared() {
    let reset = Scenario::plain(Policy::Reset).risks();
    assert_eq!(reset.to_string(), "bus-error,stray-write");
    assert_eq!(Risks::parse("bus-error,stray-write"), Some(reset));
    assert_eq!(reset.without(Risks::BUS_ERROR), Risks::STRAY_WRITE);
    assert!(reset.without(Risks::ALL).is_empty() && Scenario::plain(Policy::Adopt).risks().is_empty());
    assert_eq!((Risks::parse("all"), Risks::parse("none")), (Some(Risks::ALL), Some(Risks::NONE)));
    assert_eq!((Risks::parse("bus-error,"), Risks::parse("fire")), (None, None));
    assert_eq!(Risks::NONE.to_string(), "none");
}

#[test]
fn every_crash_kind_is_documented_and_a_second_cpu_is_a_risk() {
    for crash in Crash::ALL {
        let documented = crash.documented();
        assert_eq!(documented.is_none(), crash == Crash::Jump, "{}", crash.name());
        assert!(documented.is_none_or(|words| !words.expects.is_empty() && !words.source.is_empty()));
        let scenario = Scenario { crash, ..Scenario::plain(Policy::Adopt) };
        assert_eq!(scenario.risks() == Risks::POWER_CYCLE, crash.needs_second_cpu());
    }
    assert_eq!(Crash::ALL.into_iter().filter(|crash| crash.needs_second_cpu()).count(), 2);
}
