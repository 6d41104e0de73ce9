//! The machine as a picture: functions by root complex on the left, SMMUs and reserved ranges on the right, and who is to blame.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::model::{Check, Ending, Endpoint, Platform, Report, Requester, Run, Verdict};
use crate::report::requester::NOBODY;

/// Heights in units of the picture, whose text is 11 high; what stands where from left to right is the page's.
const ROW: f64 = 20.0;
const GAP: f64 = 12.0;
const LINE: f64 = 15.0;

/// The picture.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Topology {
    pub height: f64,
    pub complexes: Vec<Complex>,
    pub smmus: Vec<Place>,
    pub rmrs: Vec<Place>,
    pub wires: Vec<Wire>,
    /// Whoever is to blame, with why.
    pub culprits: Vec<(String, String)>,
    /// Whose DMA went astray as the policy's documentation says, with where.
    pub astray: Vec<(String, String)>,
}

/// A root complex with what is behind it.
#[derive(Debug, PartialEq, Serialize)]
pub struct Complex {
    pub y: f64,
    pub height: f64,
    pub title: String,
    pub functions: Vec<Function>,
}

/// A function, or the words for many that do nothing.
#[derive(Debug, PartialEq, Serialize)]
pub struct Function {
    /// Middle of its row.
    pub y: f64,
    pub bdf: String,
    /// The same without its segment, which the box has.
    pub name: String,
    pub text: String,
    pub stream: String,
    pub is_live: bool,
    /// `culprit`, `astray` or nothing.
    pub mark: &'static str,
}

/// A box on the right.
#[derive(Debug, PartialEq, Serialize)]
pub struct Place {
    pub y: f64,
    pub height: f64,
    pub lines: Vec<String>,
}

/// From a function to its SMMU, or to a range that is reserved for it.
#[derive(Debug, PartialEq, Serialize)]
pub struct Wire {
    pub from: f64,
    pub to: f64,
    pub is_rmr: bool,
    pub mark: &'static str,
}

/// Draws the machine of a report; `None` where it told of no function.
pub fn of(report: &Report) -> Option<Topology> {
    let platform = &report.platform;
    let marked = Marked { culprits: culprits(report), astray: astray(report) };
    let list = |marks: &Marks| marks.iter().map(|(who, why)| (who.clone(), why.join("; "))).collect();
    let mut picture =
        Topology { culprits: list(&marked.culprits), astray: list(&marked.astray), ..Topology::default() };
    // In a census nothing is put to work.
    let live: Vec<&str> = report.runs.iter().flat_map(|run| &run.streams).map(|stream| &*stream.bdf).collect();
    let mut y = GAP;
    for (segment, functions) in &by_segment(platform) {
        let complex = complex(segment, functions, &marked, &live, y);
        y += complex.height + GAP;
        picture.complexes.push(complex);
    }
    if picture.complexes.is_empty() {
        return None;
    }
    let row = |bdf: &str| {
        let functions = picture.complexes.iter().flat_map(|complex| &complex.functions);
        functions.clone().find(|function| function.bdf == bdf).map(|function| (function.y, function.mark))
    };
    let mut bottom = GAP;
    for smmu in &platform.smmus {
        let own = || platform.endpoints.iter().filter(|endpoint| endpoint.smmu == Some(smmu.index));
        let rows: Vec<(f64, &'static str)> = own().filter_map(|endpoint| row(&endpoint.bdf)).collect();
        let lines = vec![
            format!("SMMU {}", smmu.index),
            format!("at {:#x}", smmu.base.0),
            format!("{}, {} functions", smmu.architecture, own().count()),
        ];
        let place = place(lines, mean(rows.iter().map(|row| row.0)), &mut bottom);
        let to = place.y + place.height / 2.0;
        picture.wires.extend(rows.iter().map(|(from, mark)| Wire { from: *from, to, is_rmr: false, mark }));
        picture.smmus.push(place);
    }
    let mut ranges = BTreeMap::<(u64, u64), Vec<(f64, &'static str)>>::new();
    for rmr in &platform.rmrs {
        let is_meant = |endpoint: &&Endpoint| endpoint.smmu == rmr.smmu && endpoint.stream_id == Some(rmr.stream_id);
        let rows = platform.endpoints.iter().filter(is_meant).filter_map(|endpoint| row(&endpoint.bdf));
        ranges.entry((rmr.base.0, rmr.bytes)).or_default().extend(rows);
    }
    for ((base, bytes), rows) in ranges {
        let lines = vec![format!("RMR {base:#x}"), format!("{} KiB", bytes / 1024)];
        let place = place(lines, mean(rows.iter().map(|row| row.0)), &mut bottom);
        let to = place.y + place.height / 2.0;
        picture.wires.extend(rows.iter().map(|(from, mark)| Wire { from: *from, to, is_rmr: true, mark }));
        picture.rmrs.push(place);
    }
    picture.height = y.max(bottom);
    Some(picture)
}

fn by_segment(platform: &Platform) -> BTreeMap<String, Vec<&Endpoint>> {
    let mut segments = BTreeMap::<String, Vec<&Endpoint>>::new();
    for endpoint in &platform.endpoints {
        let segment = endpoint.bdf.split(':').next().unwrap_or_default();
        segments.entry(segment.to_owned()).or_default().push(endpoint);
    }
    segments
}

/// Functions that are live, to blame, denied or driven one by one; of the others their number.
fn complex(segment: &str, functions: &[&Endpoint], marked: &Marked, live: &[&str], y: f64) -> Complex {
    let is_shown = |endpoint: &&&Endpoint| {
        endpoint.armed || endpoint.denied || endpoint.driver.is_some() || !marked.of(&endpoint.bdf).is_empty()
    };
    let first = y + ROW * 1.5;
    let mut rows = Vec::new();
    for (number, endpoint) in (0_u32..).zip(functions.iter().filter(is_shown)) {
        let state = match (endpoint.denied, endpoint.armed, &endpoint.driver) {
            (true, ..) => "denied".to_owned(),
            (_, true, Some(driver)) => driver.clone(),
            (_, false, Some(driver)) => format!("{driver}, not armed"),
            _ => "no driver".to_owned(),
        };
        rows.push(Function {
            y: first + ROW * f64::from(number),
            bdf: endpoint.bdf.clone(),
            name: endpoint.bdf.split_once(':').map_or_else(String::new, |(_, name)| name.to_owned()),
            text: state,
            stream: endpoint.stream_id.map_or_else(|| "no SMMU".into(), |id| format!("{id:#x}")),
            is_live: live.contains(&&*endpoint.bdf),
            mark: marked.of(&endpoint.bdf),
        });
    }
    let others = functions.len() - rows.len();
    let title = match others {
        0 => format!("Root complex {segment}"),
        _ => format!("Root complex {segment}, {others} idle"),
    };
    Complex { y, height: ROW * (rows.len() + 1) as f64 + 6.0, title, functions: rows }
}

/// Beside what leads to it, but below what is there already.
fn place(lines: Vec<String>, wish: Option<f64>, bottom: &mut f64) -> Place {
    let height = LINE * lines.len() as f64 + 8.0;
    let y = wish.map_or(*bottom, |middle| middle - height / 2.0).max(*bottom).round();
    *bottom = y + height + GAP;
    Place { y, height, lines }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    (count > 0.0).then(|| sum / count)
}

/// Functions with why they are marked.
type Marks = BTreeMap<String, Vec<String>>;

/// All that are.
struct Marked {
    culprits: Marks,
    astray: Marks,
}

impl Marked {
    fn of(&self, bdf: &str) -> &'static str {
        match (self.culprits.contains_key(bdf), self.astray.contains_key(bdf)) {
            (true, _) => "culprit",
            (_, true) => "astray",
            _ => "",
        }
    }
}

fn mark(marks: &mut Marks, who: &str, why: String) {
    let known = marks.entry(who.to_owned()).or_default();
    if !known.contains(&why) {
        known.push(why);
    }
}

/// Functions that a deviating check names, or that did DMA when nobody should.
fn culprits(report: &Report) -> Marks {
    let mut culprits = Marks::new();
    for run in &report.runs {
        let scenario = &run.scenario;
        for endpoint in &report.platform.endpoints {
            for check in named_by(run, &endpoint.bdf) {
                mark(&mut culprits, &endpoint.bdf, format!("{check} under {scenario}"));
            }
        }
        for requester in run.requesters.iter().filter(|requester| is_unasked(run, requester)) {
            let who = match (&*requester.bdf, requester.stream_id) {
                (NOBODY, Some(stream_id)) => format!("StreamID {stream_id:#x} of no function"),
                (bdf, _) => bdf.to_owned(),
            };
            mark(&mut culprits, &who, format!("was doing DMA under {scenario}"));
        }
    }
    culprits
}

/// Functions whose DMA landed where it should not.
fn astray(report: &Report) -> Marks {
    let mut astray = Marks::new();
    for run in &report.runs {
        for stream in &run.streams {
            let count = stream.phases.since_crash().mis_steered;
            if count > 0 {
                mark(&mut astray, &stream.bdf, format!("{count} {} under {}", stream.unit, run.scenario));
            }
        }
    }
    astray
}

fn named_by<'a>(run: &'a Run, bdf: &'a str) -> impl Iterator<Item = &'a str> {
    let is_named = move |reason: &Option<String>| reason.as_ref().is_some_and(|reason| reason.contains(bdf));
    let is_meant = move |check: &&Check| {
        // What could not be looked at is nobody's fault.
        check.verdict == Verdict::Fail && !check.is_as_expected() && is_named(&check.reason)
    };
    run.checks.iter().filter(is_meant).map(|check| &*check.id)
}

/// In a census nobody does DMA; a device that was stopped does none.
fn is_unasked(run: &Run, requester: &Requester) -> bool {
    let goes_on = requester.ending == Ending::StillGoing;
    goes_on && (crate::report::judge::is_census(&run.scenario) || requester.stopped.is_some())
}

#[cfg(test)]
mod tests;
