use serde_json::{Value, json};

use super::*;
use crate::capture::fixture::*;
use crate::report::from_log;
use crate::report::model::Outcome;

fn refused(json: &Value) -> String {
    parse(json.to_string().as_bytes()).unwrap_err()
}

/// Reports that older versions wrote are kept beside the schema, whole.
const KEPT: &str = "src/report/kept";

#[test]
fn what_is_written_is_read_back_to_the_last_key() {
    let report = from_log(&log(Some(&request()), &two_runs()));
    let written = serde_json::to_value(&report).unwrap();
    let read = parse(written.to_string().as_bytes()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), written);
}

#[test]
fn reports_of_older_versions_stay_readable() {
    let mut number = 0;
    for file in std::fs::read_dir(KEPT).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let report = report(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(report.outcome != Outcome::Lost && !report.runs.is_empty(), "{}", path.display());
        assert!(report.runs.iter().all(|run| !run.checks.is_empty() && !run.streams.is_empty()), "{}", path.display());
        // Each of its checks can be waived.
        let mut checks = report.runs.iter().flat_map(|run| &run.checks);
        assert_eq!(checks.find(|told| !::board::checks().any(|known| known == told.id)), None, "{}", path.display());
        // And can be shown.
        assert!(crate::report::html::render(&report).unwrap().contains("</html>"), "{}", path.display());
        number += 1;
    }
    assert!(number >= 2, "{number}");
}

#[test]
fn what_is_no_report_is_one_line_that_says_why() {
    let newer = refused(&json!({ "schema": "inflight-report/2", "board": 7 }));
    let wanted =
        "written by a newer version (schema inflight-report/2); this one reads up to inflight-report/1: update it";
    assert_eq!(newer, wanted);
    assert!(refused(&json!({ "schema": "inflight-fleet/1" })).contains("none of a run's"));
    assert!(refused(&json!({})).contains("no key `schema`"));
    assert!(refused(&json!({ "schema": "inflight-report/1" })).contains("missing field"));
    assert!(refused(&json!([])).starts_with("no report.json of a run"));
    let mut wrong = serde_json::to_value(from_log(&log(Some(&request()), &two_runs()))).unwrap();
    wrong["runs"][0]["checks"][0]["verdict"] = "maybe".into();
    assert!(refused(&wrong).contains("unknown variant `maybe`"), "{}", refused(&wrong));
    for text in [&b""[..], b"\xff\xfe", b"{\"schema\":", &[b'['; 100_000]] {
        let error = parse(text).unwrap_err();
        assert!(!error.contains('\n') && error.starts_with("no report.json of a run"), "{error}");
    }
}
