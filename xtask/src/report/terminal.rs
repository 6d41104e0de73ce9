//! What a person reads at the end of a run: verdicts, what is not as expected, the comparison, one last line.

use std::fmt::Write;
use std::path::Path;

use super::judge::SKIPPED;
use super::model::{Attach, Blackout, Check, Outcome, PcieErrors, Report, Requester, Run, Smmu, Watched, Witness};
use super::view::{self, Line, Row};
use super::waive;

/// Failed checks and cycles that are shown; the report has all.
const SHOWN: usize = 12;
/// Scenarios whose streams are shown one by one.
const FEW: usize = 8;
/// Kinds of events that are shown of a run.
const EVENTS: usize = 4;
/// Functions with PCI Express errors that are shown of a run.
const ERRORS: usize = 4;

/// Prints the summary.
pub fn print(report: &Report, folder: &Path) {
    crate::exit::say!("{}\n", summary(report).trim_end());
    crate::exit::say!("{} {} - report in {}", report.board, report.outcome.word(), folder.display());
}

/// The summary without its last line.
pub fn summary(report: &Report) -> String {
    let mut text = String::new();
    for finding in report.platform.findings.iter().filter(|finding| finding.severity != "note").take(SHOWN) {
        let at = finding.offset.map_or_else(String::new, |offset| format!("+{offset:#x}"));
        let (severity, table) = (&finding.severity, &finding.table);
        line(&mut text, &format!("{severity} {table}{at} {}: {}", finding.id, finding.text));
    }
    for smmu in &report.platform.smmus {
        let product = smmu.product.as_ref().map_or_else(String::new, |product| format!(", {product}"));
        let Smmu { index, architecture, gbpa_reset, .. } = smmu;
        line(&mut text, &format!("SMMU {index}: {architecture}{product}, found with GBPA {gbpa_reset}"));
    }
    let is_many = report.runs.len() > FEW;
    // Of many, the table says what passed without a word.
    let is_silent =
        |run: &&Run| is_many && run.outcome == Outcome::Pass && run.checks.iter().all(Check::is_as_expected);
    for run in report.runs.iter().filter(|run| !is_silent(run) || is_skipped(run)) {
        one_run(&mut text, run);
    }
    for problem in &report.problems {
        line(&mut text, &format!("  not as it should be: {problem}"));
    }
    let rows = rows(report);
    if is_many {
        line(&mut text, "\nFrom the crash on (the report has each stream):");
        table(&mut text, &brief(report));
        line(&mut text, "");
    } else if rows.len() > 1 {
        line(&mut text, "\nFrom the crash on:");
        table(&mut text, &rows);
        events(&mut text, report);
        line(&mut text, "");
    }
    if let Some(planted) = &report.planted {
        line(&mut text, &format!("planted fault: {planted}; such a run never passes"));
    }
    if let Some(stopped) = &report.stopped {
        line(&mut text, &format!("stopped {stopped}"));
    }
    if let Some(lost) = &report.lost {
        line(&mut text, &format!("lost: {}; last seen: {}", lost.reason, lost.last_seen));
    }
    text
}

/// The whole scenario, or a check of it, was left out for a reason worth telling.
fn is_skipped(run: &Run) -> bool {
    run.checks.iter().any(|check| SKIPPED.contains(&&*check.id))
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn one_run(text: &mut String, run: &Run) {
    let expected = run.checks.iter().filter(|check| check.is_as_expected()).count();
    let mut head =
        format!("{} {}: {expected} of {} checks as expected", run.outcome.word(), run.scenario, run.checks.len());
    if run.cycles > 1 {
        // Writing to a String cannot fail.
        let _ = write!(head, ", {} of {} cycles passed", run.cycles_done.saturating_sub(run.cycles_failed), run.cycles);
    }
    line(text, &head);
    if let Some(Blackout { cycles, mean_us, deviation_us, p99_us, max_us }) = run.blackout.filter(|it| it.cycles > 1) {
        line(
            text,
            &format!(
                "  blackout without the hold: mean {mean_us:.1} us, deviation {deviation_us:.1}, p99 {p99_us}, max {max_us} \
                 over {cycles} cycles"
            ),
        );
    }
    let sum = run.throughput.as_ref().filter(|_| run.cycles > 1).and_then(|rate| rate.bytes_per_second);
    if let Some(sum) = sum {
        line(text, &format!("  delivered since the crash: {sum} bytes/s in sum"));
    }
    if let Some(Attach { bdf, asid, vmid, attempted, delivered, mis_steered, .. }) = &run.attach {
        let id = match (asid, vmid) {
            (Some(asid), _) => format!(", ASID {asid}"),
            (None, Some(vmid)) => format!(", VMID {vmid}"),
            (None, None) => String::new(),
        };
        line(
            text,
            &format!(
                "  {bdf} in a new domain{id}: {delivered} of {attempted} delivered, \
                 {mis_steered} into the dead kernel's pages"
            ),
        );
    }
    if let Some(witness) = &run.witness {
        kernel(text, witness);
    }
    // How they were stopped, or that they were never told to, is what such a run is about.
    let is_census = super::judge::is_census(&run.scenario);
    for Watched { smmu, how, .. } in &run.watched {
        line(text, &format!("  SMMU {smmu}: {how}"));
    }
    let is_told = |requester: &&Requester| {
        requester.stopped.is_some() || (is_census && (requester.first_attempt_us.is_some() || requester.bus_master))
    };
    for requester in run.requesters.iter().filter(is_told).take(SHOWN) {
        line(text, &format!("  {}", requester.sentence));
    }
    for PcieErrors { bdf, phase, text: errors, .. } in run.pcie_errors.iter().take(ERRORS) {
        line(text, &format!("  PCI Express, {bdf} in phase {phase}: {errors}"));
    }
    if run.pcie_errors.len() > ERRORS {
        line(text, &format!("  PCI Express: and {} more", run.pcie_errors.len() - ERRORS));
    }
    let unexpected: Vec<_> = run.checks.iter().filter(|check| !check.is_as_expected()).collect();
    for check in unexpected.iter().take(SHOWN) {
        let reason = check.reason.as_deref().unwrap_or("no reason given");
        let (verdict, expected) = (check.verdict.word(), check.expected.word());
        let waived = check.waived.as_ref().map_or_else(String::new, |waived| format!("; {}", waive::why(waived)));
        line(text, &format!("  {}: {verdict}, expected {expected}: {reason} [{}]{waived}", check.id, check.source));
    }
    if unexpected.len() > SHOWN {
        line(text, &format!("  and {} more", unexpected.len() - SHOWN));
    }
    let cycles: Vec<String> = run.failed_cycles.iter().take(SHOWN).map(|cycle| cycle.cycle.to_string()).collect();
    if !cycles.is_empty() {
        let more = if run.failed_cycles.len() > SHOWN { ", …" } else { "" };
        line(text, &format!("  failed cycles: {}{more}", cycles.join(", ")));
    }
    for check in run.checks.iter().filter(|check| SKIPPED.contains(&&*check.id)) {
        line(text, &format!("  skipped: {}", check.reason.as_deref().unwrap_or("")));
    }
    for problem in run.problems.iter().take(SHOWN) {
        line(text, &format!("  not as it should be: {problem}"));
    }
}

/// What a kernel did that was watched.
fn kernel(text: &mut String, witness: &Witness) {
    let Witness { accesses, commands, table_stores, ended, .. } = witness;
    // An older report has it in one word alone.
    let profile = if witness.followed.is_empty() { &*witness.profile } else { &witness.followed };
    let name = witness.kernel.version.as_ref().or(witness.kernel.name.as_ref()).map_or("a kernel", |name| name);
    let cpus = if witness.cpus > 1 { format!(" on {} CPUs", witness.cpus) } else { String::new() };
    line(
        text,
        &format!(
            "  {name}{cpus}: {profile}, {accesses} register accesses, {commands} commands, {table_stores} stores to watched tables, \
             ended by {ended}"
        ),
    );
    for known in witness.known.iter().take(SHOWN) {
        line(
            text,
            &format!(
                "  {} [{}], as every Linux up to 7.3: {}",
                known.broken.rule, known.broken.clause, known.broken.text
            ),
        );
    }
    if let Some(symbols) = &witness.symbols {
        line(text, &format!("  names of functions: {symbols}"));
    }
}

/// The comparison's cells, the heading first: policy, stream, what became of its DMA from the crash on.
fn rows(report: &Report) -> Vec<[String; 7]> {
    let mut rows = vec![["policy", "stream", "delivered", "blocked", "mis-steered", "gap", "events"].map(String::from)];
    for run in &report.runs {
        for stream in &run.streams {
            let Row { scenario, stream, delivered, blocked, mis_steered, gap, events, rate, .. } = Row::of(run, stream);
            let events = if rate.is_empty() { events.to_string() } else { format!("{events} ({rate})") };
            rows.push([scenario, stream, delivered, blocked, mis_steered.to_string(), gap, events]);
        }
    }
    rows
}

/// One line for each scenario: how many of its streams were delivered to, blocked, mis-steered.
fn brief(report: &Report) -> Vec<[String; 8]> {
    let heading =
        ["scenario", "outcome", "as expected", "streams delivered", "blocked", "mis-steered", "blackout", "events"];
    let cells = |run: &Run| {
        let line = Line::of(run);
        let checks = format!("{} of {}", line.as_expected, line.checks);
        let [delivered, blocked, mis_steered] =
            [line.delivered, line.blocked, line.mis_steered].map(|count| format!("{count} of {}", line.streams));
        let (outcome, events) = (line.outcome.into(), line.events.to_string());
        [line.scenario, outcome, checks, delivered, blocked, mis_steered, line.blackout, events]
    };
    std::iter::once(heading.map(String::from)).chain(report.runs.iter().map(cells)).collect()
}

/// What kinds of events there were, where a taker left its queue on.
fn events(text: &mut String, report: &Report) {
    for run in &report.runs {
        let rows = view::events(run);
        for row in rows.iter().take(EVENTS) {
            let view::EventRow { scenario, event, stream, page, direction, count, rate } = row;
            let direction = if page == "none" { String::new() } else { format!(", {direction} of page {page}") };
            let rate = if rate.is_empty() { String::new() } else { format!(" ({rate})") };
            line(text, &format!("  {scenario}: {count} {event}{rate} of {stream}{direction}"));
        }
        if rows.len() > EVENTS {
            line(text, &format!("  {}: and {} more kinds", run.scenario, rows.len() - EVENTS));
        }
    }
}

fn table<const COLUMNS: usize>(text: &mut String, rows: &[[String; COLUMNS]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    for row in rows {
        let mut out = String::from(" ");
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Names to the left, numbers to the right. Writing to a String cannot fail.
            let _ = if column < 2 { write!(out, " {cell:<width$}") } else { write!(out, "  {cell:>width$}") };
        }
        line(text, out.trim_end());
    }
}
