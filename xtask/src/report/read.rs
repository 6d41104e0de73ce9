//! Reads a `report.json` that this version, or an older one, has written.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::model::{Report, SCHEMA};
use crate::exit::usage;

/// Begins the name of every schema; a number follows.
const FAMILY: &str = "inflight-report/";
/// A soak over days is far below it.
const LONGEST: u64 = 1 << 30;
/// Name of the file in a report's folder.
pub const FILE: &str = "report.json";

#[derive(Deserialize)]
struct Head {
    schema: Option<String>,
}

/// Where a report is: the file itself, or the one in its folder.
pub fn place(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(FILE) } else { path.to_owned() }
}

/// The report in a folder, or in a file.
pub fn report(path: &Path) -> anyhow::Result<Report> {
    let path = place(path);
    let refuse = |what: String| usage(format!("{}: {what}", path.display()));
    let file =
        std::fs::metadata(&path).map_err(|error| refuse(format!("{error}; give a report's folder or its {FILE}")))?;
    if !file.is_file() || file.len() > LONGEST {
        return Err(refuse(format!("no file of at most {LONGEST} bytes; give a report's folder or its {FILE}")));
    }
    let text = std::fs::read(&path).map_err(|error| refuse(error.to_string()))?;
    parse(&text).map_err(refuse)
}

/// Reads the text of a report; the error is one line.
pub fn parse(text: &[u8]) -> Result<Report, String> {
    let head: Head = serde_json::from_slice(text).map_err(|error| format!("no {FILE} of a run: {error}"))?;
    let schema = head.schema.ok_or_else(|| format!("no {FILE} of a run: it has no key `schema`"))?;
    let version = |schema: &str| schema.strip_prefix(FAMILY).and_then(|number| number.parse::<u32>().ok());
    match (version(&schema), version(SCHEMA)) {
        (Some(found), Some(known)) if found > known => {
            Err(format!("written by a newer version (schema {schema}); this one reads up to {SCHEMA}: update it"))
        }
        (Some(_), _) => serde_json::from_slice(text).map_err(|error| format!("not as {schema} says: {error}")),
        (None, _) => Err(format!("schema `{schema}` is none of a run's; it would be {SCHEMA}")),
    }
}

#[cfg(test)]
mod tests;
