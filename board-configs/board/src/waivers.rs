//! Waivers: deviations that a lab knows and accepts for a time, one TOML file for all boards.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use crate::date::Date;
use crate::error::{self, BoardError};
use crate::names;

/// Name of the file beside the boards' own; no board has this name.
pub const FILE: &str = "waivers.toml";

/// A deviation that is accepted until a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// The check.
    pub check: String,
    /// The board.
    pub board: String,
    /// The scenario; any, where none is named.
    pub scenario: Option<String>,
    /// Why, for whoever reads the report.
    pub reason: String,
    /// The last day on which it counts.
    pub expires: Date,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFile {
    #[serde(default)]
    waiver: Vec<Spanned<RawWaiver>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawWaiver {
    check: Spanned<String>,
    board: Spanned<String>,
    scenario: Option<Spanned<String>>,
    reason: Spanned<String>,
    expires: Spanned<Datetime>,
}

/// Reads a waivers file.
///
/// # Errors
/// [`BoardError::Read`], or [`BoardError::Invalid`] with its line.
pub fn load(path: &Path) -> Result<Vec<Waiver>, BoardError> {
    let text = std::fs::read_to_string(path).map_err(|source| BoardError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// Reads waivers from `text`; `path` is for messages.
///
/// # Errors
/// [`BoardError::Invalid`], with line and column.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Waiver>, BoardError> {
    let file = toml::from_str::<RawFile>(text).map_err(|error| error::from_toml(path, text, &error))?;
    let mut waivers: Vec<Waiver> = Vec::new();
    for raw in file.waiver {
        let place = raw.span();
        let waiver = checked(path, text, raw.into_inner())?;
        let key = |waiver: &Waiver| (waiver.check.clone(), waiver.board.clone(), waiver.scenario.clone());
        if waivers.iter().any(|known| key(known) == key(&waiver)) {
            let text_of = format!("a second waiver for {} on {}; keep one", waiver.check, waiver.board);
            return Err(BoardError::at(path, text, place, text_of));
        }
        waivers.push(waiver);
    }
    Ok(waivers)
}

fn checked(path: &Path, text: &str, raw: RawWaiver) -> Result<Waiver, BoardError> {
    let word = |key: &str, value: Spanned<String>| {
        let place = value.span();
        let value = value.into_inner().trim().to_owned();
        if value.is_empty() {
            return Err(BoardError::at(path, text, place, format!("{key} is empty; it says {}", wanted(key))));
        }
        let known = match key {
            "check" => names::check(&value),
            "scenario" => names::scenario(&value),
            // A lab's own boards have their files elsewhere.
            _ => Ok(()),
        };
        known.map_err(|wrong| BoardError::at(path, text, place, wrong))?;
        Ok(value)
    };
    let wrong_date = || {
        let message = "expires is the last day on which the waiver counts, as in 2027-01-31 without quotes";
        BoardError::at(path, text, raw.expires.span(), message.to_owned())
    };
    let expires = match raw.expires.get_ref() {
        Datetime { date: Some(date), time: None, offset: None } => {
            Date { year: date.year, month: date.month, day: date.day }
        }
        _ => return Err(wrong_date()),
    };
    Ok(Waiver {
        check: word("check", raw.check)?,
        board: word("board", raw.board)?,
        scenario: raw.scenario.map(|scenario| word("scenario", scenario)).transpose()?,
        reason: word("reason", raw.reason)?,
        expires,
    })
}

fn wanted(key: &str) -> &'static str {
    match key {
        "check" => "which check, as in `dma.delivered-after`",
        "board" => "which board, as in `qemu-virt`",
        "scenario" => "which scenario, as in `adopt`; leave the key out for any",
        _ => "why the deviation is accepted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[[waiver]]\ncheck = \"dma.live-after\"\nboard = \"b\"\nscenario = \"adopt\"\nreason = \"known\"\n\
                        expires = 2027-01-31\n";

    fn mistake(text: &str) -> String {
        parse(Path::new("waivers.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_waiver_names_check_board_reason_and_last_day() {
        let waivers = parse(Path::new("waivers.toml"), GOOD).unwrap();
        let expires = Date { year: 2027, month: 1, day: 31 };
        let [waiver] = &waivers[..] else { panic!("{waivers:?}") };
        assert_eq!((&*waiver.check, &*waiver.board, waiver.expires), ("dma.live-after", "b", expires));
        assert_eq!((waiver.scenario.as_deref(), &*waiver.reason), (Some("adopt"), "known"));
        assert!(parse(Path::new("waivers.toml"), "").unwrap().is_empty());
    }

    #[test]
    fn every_check_and_every_kind_of_scenario_can_be_waived() {
        let read = |from: &str, to: &str| parse(Path::new("waivers.toml"), &GOOD.replace(from, to)).unwrap();
        for check in crate::checks() {
            assert_eq!(read("dma.live-after", check)[0].check, check);
        }
        for scenario in ["census", "adopt+l2-outside-ram", "reset@panic"] {
            assert_eq!(read("\"adopt\"", &format!("\"{scenario}\""))[0].scenario.as_deref(), Some(scenario));
        }
    }

    #[test]
    fn a_mistake_is_one_line_with_its_place_and_what_would_be_right() {
        for (from, to, wanted) in [
            ("reason", "raeson", "waivers.toml:5:1: unknown field `raeson`"),
            ("2027-01-31", "\"2027-01-31\"", "waivers.toml:6:11: "),
            ("2027-01-31", "2027-02-30", "waivers.toml:6:"),
            ("2027-01-31", "2027-01-31T08:00:00Z", "waivers.toml:6:11: expires is the last day"),
            (
                "dma.live-after",
                "dma.live-aftr",
                "2:9: there is no check `dma.live-aftr`; did you mean `dma.live-after`?",
            ),
            ("dma.live-after", "no.such", "2:9: there is no check `no.such`"),
            ("\"adopt\"", "\"adpot\"", "4:12: there is no scenario `adpot`; did you mean `adopt`?"),
            ("\"adopt\"", "\"cencus\"", "4:12: there is no scenario `cencus`; did you mean `census`?"),
            ("\"known\"", "\" \"", "waivers.toml:5:10: reason is empty; it says why"),
            ("expires = 2027-01-31\n", "", "missing field `expires`"),
            ("[[waiver]]", "[[wavier]]", "did you mean `waiver`?"),
        ] {
            let text = mistake(&GOOD.replace(from, to));
            assert!(text.contains(wanted) && !text.contains('\n'), "`{text}` lacks `{wanted}`");
        }
        assert!(mistake(&GOOD.replace("reason", "raeson")).ends_with("did you mean `reason`?"));
        assert!(
            mistake(&format!("{GOOD}{GOOD}")).contains("waivers.toml:7:1: a second waiver for dma.live-after on b")
        );
    }
}
