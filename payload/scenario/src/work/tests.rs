extern crate std;
use super::*;
use std::string::ToString;

#[test]
fn names_are_read_as_they_are_written() {
    for work in Scenario::all().map(Work::Crash).chain([Work::Census]) {
        assert_eq!(Work::parse(&work.to_string()), Ok(work));
    }
    for wrong in ["census+l2-null", "census@panic", "Census", ""] {
        assert!(Work::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_census_refuses_dma_and_says_so() {
    assert_eq!(Work::Census.risks(), Risks::BUS_ERROR);
    assert!(Work::Census.documented().expects.contains("is refused it unless"));
}
