//! From the bytes of a console to a report: the same way for a live board and for a kept log.

#[cfg(test)]
pub mod fixture;
mod request;
#[cfg(test)]
mod tests;

pub use request::{Expected, HOST_PREFIX, HostLine, Kernel, Request};

use wire::Record;
use wire::reader::{Item, Reader};

use crate::report::{Builder, Report};

/// Reads a console and collects what it tells.
pub struct Capture {
    reader: Reader,
    state: State,
}

/// What the reader's items are put into.
struct State {
    request: Option<Request>,
    builder: Builder,
    /// Text of the current console line; the reader may hand out a long line in parts.
    last_text: String,
    last_record: Option<String>,
    /// What came last.
    is_text_last: bool,
    has_ended: bool,
    /// Lines that told something new.
    news: u64,
    /// Kind, address and value.
    last_access: Option<(u8, u64, u64)>,
}

impl Default for Capture {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Capture {
    /// A capture at the start of a boot; `request` is `None` for a log that brings its own.
    pub fn new(request: Option<Request>) -> Self {
        let state = State {
            request,
            builder: Builder::default(),
            last_text: String::new(),
            last_record: None,
            is_text_last: false,
            has_ended: false,
            news: 0,
            last_access: None,
        };
        Self { reader: Reader::new(), state }
    }

    /// Takes bytes from the console; `seen` is told every record.
    pub fn feed(&mut self, bytes: &[u8], mut seen: impl FnMut(&Record<'_>)) {
        let state = &mut self.state;
        self.reader.feed(bytes, |item| state.take(item, &mut seen));
    }

    /// The payload sent its last record.
    pub fn has_ended(&self) -> bool {
        self.state.has_ended
    }

    /// Lines so far, but for blank ones, mere signs of life, and what a poll sees again and again.
    pub fn news(&self) -> u64 {
        self.state.news
    }

    /// The user ended a run that goes on by time; what was torn is left out.
    pub fn stop(&mut self) {
        self.reader = Reader::new();
        self.state.builder.stop();
    }

    /// Ends the capture and judges. `lost` says why the host gave up.
    pub fn finish(mut self, lost: Option<String>) -> Report {
        let state = &mut self.state;
        self.reader.finish(|item| state.take(item, &mut |_| {}));
        let last_seen = self.state.last_seen();
        let State { request, mut builder, .. } = self.state;
        if let Some(reason) = lost {
            builder.lost(reason);
        }
        builder.finish(request.as_ref(), last_seen)
    }
}

impl State {
    fn take(&mut self, item: Item<'_>, seen: &mut impl FnMut(&Record<'_>)) {
        self.news += u64::from(self.is_new(&item));
        match item {
            Item::Record { record, .. } => {
                self.is_text_last = false;
                self.last_record = Some(in_words(&record));
                self.has_ended |= matches!(record, Record::End { .. });
                self.builder.push(&record);
                seen(&record);
            }
            Item::Anomaly(anomaly) => self.builder.anomaly(anomaly.to_string()),
            Item::Text(text) => self.text(&String::from_utf8_lossy(text)),
        }
    }

    /// Whether it shows progress.
    fn is_new(&mut self, item: &Item<'_>) -> bool {
        match item {
            // A poll that is told more than once has an access for each time.
            Item::Record { record: Record::Access { kind, address, value, .. }, .. } => {
                let access = Some((*kind, *address, *value));
                core::mem::replace(&mut self.last_access, access) != access
            }
            // This belongs to an access, and counts come with each sign of life.
            Item::Record { record, .. } => !matches!(
                record,
                Record::Foreign { .. } | Record::Watching { .. } | Record::CycleStream { .. } | Record::Sample { .. }
            ),
            Item::Text(text) => !text.trim_ascii().is_empty(),
            Item::Anomaly(_) => true,
        }
    }

    fn text(&mut self, line: &str) {
        match HostLine::read(line) {
            // A log that holds two boots has two of these; the first is the one that was judged.
            Some(HostLine::Request(request)) if self.request.is_none() => self.request = Some(request),
            Some(HostLine::Request(_)) => {}
            Some(HostLine::Lost(reason)) => self.builder.lost(reason),
            Some(HostLine::Stopped) => self.builder.stop(),
            Some(HostLine::Finding { id, text }) => self.builder.warn_of_host(id, text),
            None if line.starts_with(HOST_PREFIX) => {
                self.builder.lost("a line that the host itself put into the log is damaged".into());
            }
            None if line.trim().is_empty() => {}
            None => {
                self.builder.console(line);
                let printable = |c: char| if c.is_control() { '?' } else { c };
                self.last_text = line.trim().chars().take(200).map(printable).collect();
                self.is_text_last = true;
            }
        }
    }

    fn last_seen(&self) -> String {
        match (&self.last_record, self.is_text_last) {
            (None, false) => "nothing".to_owned(),
            (Some(record), false) => record.clone(),
            (None, true) => format!("console text `{}`, no record yet", self.last_text),
            (Some(record), true) => format!("console text `{}` after {record}", self.last_text),
        }
    }
}

/// A record in a few words.
fn in_words(record: &Record<'_>) -> String {
    match record {
        Record::Hello { image, el, .. } => format!("start of image {image} at EL{el}"),
        Record::Finding { table, id, .. } => format!("finding {id} in {table}"),
        Record::Iort { .. } => "the IORT".into(),
        Record::Firmware { .. } => "the firmware's name".into(),
        Record::Smmu { index, .. } => format!("SMMU {index}"),
        Record::Endpoint { bdf, .. } => format!("endpoint {bdf}"),
        Record::Rmr { stream_id, .. } => format!("reserved range of stream {stream_id:#x}"),
        Record::Armed { run, cycle, streams } => format!("run {run}, cycle {cycle}: {streams} stream(s) armed"),
        Record::RunBegin { run, scenario, .. } => format!("run {run}: begin of {scenario}"),
        Record::Check { run, cycle, id, .. } => format!("run {run}, cycle {cycle}: check {id}"),
        Record::Stream { run, cycle, bdf, .. } | Record::CycleStream { run, cycle, bdf, .. } => {
            format!("run {run}, cycle {cycle}: counts of {bdf}")
        }
        Record::Sample { run, cycle, bdf, .. } => format!("run {run}, cycle {cycle}: sample of {bdf}"),
        Record::Event { run, cycle, name, .. } => format!("run {run}, cycle {cycle}: event {name}"),
        Record::Access { run, cycle, index, name, .. } => format!("run {run}, cycle {cycle}: access {index} ({name})"),
        Record::Kernel { run, cycle, .. } => format!("run {run}, cycle {cycle}: start of the kernel"),
        Record::Foreign { run, cycle, index, pc, .. } => {
            format!("run {run}, cycle {cycle}: access {index} of the kernel, at {pc:#x}")
        }
        Record::Witnessed { run, cycle, pc, .. } => format!("run {run}, cycle {cycle}: end of the kernel, at {pc:#x}"),
        Record::Watching { run, cycle, pc, accesses, .. } => {
            format!(
                "run {run}, cycle {cycle}: sign of life of the kernel, at {pc:#x} after {accesses} entries of the log"
            )
        }
        Record::Step { run, cycle, name, .. } => format!("run {run}, cycle {cycle}: step {name}"),
        Record::Register { run, cycle, name, .. } => format!("run {run}, cycle {cycle}: register {name}"),
        Record::Abort { run, cycle, step, .. } => format!("run {run}, cycle {cycle}: bus error in step {step}"),
        Record::Timing { run, cycle, .. } => format!("run {run}, cycle {cycle}: timing"),
        Record::Cycle { run, cycle, outcome, .. } => format!("run {run}: end of cycle {cycle} ({outcome:?})"),
        Record::RunEnd { run, outcome, .. } => format!("run {run}: end ({outcome:?})"),
        Record::Lost { reason } => format!("the payload gave up: {reason}"),
        Record::Crash { run, cycle, .. } => format!("run {run}, cycle {cycle}: how it crashed"),
        Record::Attach { run, cycle, bdf, .. } => format!("run {run}, cycle {cycle}: {bdf} in a new domain"),
        Record::Stranger { run, cycle, stream_id, .. } => {
            format!("run {run}, cycle {cycle}: DMA of StreamID {stream_id:#x}")
        }
        Record::Watched { run, cycle, smmu, .. } => format!("run {run}, cycle {cycle}: how SMMU {smmu} was watched"),
        Record::Mark { run, cycle, address, .. } => format!("run {run}, cycle {cycle}: DMA at {address:#x}"),
        Record::Pooled { run, cycle, bdf } => format!("run {run}, cycle {cycle}: {bdf} is not watched apart"),
        Record::Requester { run, cycle, bdf, .. } => format!("run {run}, cycle {cycle}: DMA of {bdf}"),
        Record::PcieFunction { bdf, .. } => format!("capabilities of {bdf}"),
        Record::PcieErrors { run, cycle, bdf, .. } => format!("run {run}, cycle {cycle}: PCI Express errors of {bdf}"),
        Record::Died { scenario, cycle, .. } => format!("last words of {scenario}, cycle {cycle}"),
        Record::Hold { run, cycle, phase } => format!("run {run}, cycle {cycle}: hold in phase {phase}"),
        Record::End { outcome, runs } => format!("end of {runs} run(s) ({outcome:?})"),
    }
}
