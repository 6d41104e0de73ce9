extern crate std;
use super::*;
use std::string::ToString;

#[test]
fn names_are_read_as_they_are_written() {
    let witnesses = Scenario::all().map(|Scenario { damage, crash, .. }| Work::Witness { damage, crash });
    for work in Scenario::all().map(Work::Crash).chain([Work::Census]).chain(witnesses) {
        assert_eq!(Work::parse(&work.to_string()), Ok(work));
    }
    for wrong in
        ["census+l2-null", "census@panic", "Census", "", "witness+", "witness@", "witness+none+none", "Witness"]
    {
        assert!(Work::parse(wrong).is_err(), "{wrong}");
    }
    let plain = Work::Witness { damage: Damage::NONE, crash: Crash::Jump };
    assert_eq!(plain.to_string(), "witness");
}

#[test]
fn a_census_refuses_dma_and_says_so() {
    assert_eq!(Work::Census.risks(), Risks::BUS_ERROR);
    assert!(Work::Census.documented().expects.contains("is refused it unless"));
}
