use super::*;
use crate::capture::fixture::*;
use crate::report::from_log;

#[test]
fn the_matrix_has_a_cell_for_each_scenario_of_each_board_and_gaps_where_none_ran() {
    let one = from_log(&log(Some(&request()), &two_runs()));
    let mut two = one.clone();
    two.runs.remove(0);
    two.runs[0].outcome = Outcome::Fail;
    (two.board, two.outcome) = ("<other>".into(), Outcome::Fail);
    let reports = [(Path::new("labs/a/report.json"), one), (Path::new("labs/b c/report.json"), two)];
    let fleet = of(&reports, Path::new("labs/matrix"));
    assert_eq!((fleet.outcome, &*fleet.scenarios), (Outcome::Fail, &["adopt".to_owned(), "reset".to_owned()][..]));
    let [first, second] = &fleet.boards[..] else { panic!("{fleet:?}") };
    assert_eq!((&*first.page, &*second.page), ("../a/report.html", "../b%20c/report.html"));
    let adopt = first.cells[0].as_ref().unwrap();
    assert_eq!((adopt.outcome, adopt.delivered, adopt.streams, adopt.blocked), (Outcome::Pass, 2, 2, 0));
    assert!(second.cells[0].is_none());
    assert_eq!(
        second.cells[1].as_ref().map(|cell| (cell.outcome, cell.blocked, cell.mis_steered)),
        Some((Outcome::Fail, 2, 2))
    );
    let page = html::page("fleet.html", context! { fleet => Serde(&fleet) }).unwrap();
    assert!(page.contains("1 of 2 reports pass, over 2 scenarios") && page.contains("<td class=\"none\">not run</td>"));
    assert!(page.contains("&lt;other&gt;") && !page.contains("<other>"));
}

#[test]
fn the_worst_outcome_is_that_of_the_fleet() {
    let one = from_log(&log(Some(&request()), &two_runs()));
    let lost = from_log(b"");
    assert_eq!(of(&[(Path::new("a"), one.clone())], Path::new("m")).outcome, Outcome::Pass);
    assert_eq!(of(&[(Path::new("a"), lost), (Path::new("b"), one)], Path::new("m")).outcome, Outcome::Lost);
}
