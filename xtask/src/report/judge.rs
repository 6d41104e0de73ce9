//! The host's own check of what the payload reports: nothing passes on the payload's word alone.

use super::collect::{Builder, Cycle, RawRun};
use super::model::*;
use super::witness::{self, Asked, Symbols};
use super::{merge, protocol, requester, statistics, throughput};
use crate::capture::{Expected, Request};
use scenario::Work;

/// The payload's checks that stand alone where a scenario does not apply: the board does not allow its risks, or lacks
/// what it takes.
pub const SKIPPED: [&str; 2] = ["scenario.allowed", "scenario.possible"];

/// Judges all that a boot told.
pub fn report(mut raw: Builder, request: Option<&Request>, last_seen: String) -> Report {
    let mut problems = std::mem::take(&mut raw.problems);
    // Only what goes on by time may be ended before it ends.
    let is_stopped = raw.is_stopped && raw.end.is_none() && request.is_some_and(|request| request.by_time);
    if is_stopped {
        drop_unfinished(&mut raw);
    }
    let ended: usize = raw.runs.iter().map(|run| run.cycles.len()).sum();
    if let Some((outcome, _)) = raw.end {
        if outcome == Outcome::Lost && raw.lost.is_empty() {
            raw.lost.push("the payload says so".into());
        }
    } else if is_stopped && ended == 0 {
        raw.lost.push("it was stopped before the first cycle ended".into());
    } else if raw.lost.is_empty() && !is_stopped {
        raw.lost.push("the console ends before the last record".into());
    }
    if let Some(request) = request.filter(|_| raw.end.is_some()) {
        against_request(&raw, request, &mut problems);
    }
    if let Some((_, runs)) = raw.end
        && runs as usize != raw.runs.len()
    {
        problems.push(format!("the payload counts {runs} run(s), its records hold {}", raw.runs.len()));
    }
    if raw.end.is_some() && raw.runs.is_empty() {
        problems.push("no scenario ran".into());
    }
    let planted = raw.runs.iter().find_map(|run| run.planted.clone()).or_else(|| request?.plant.clone());
    let endpoints = request.map_or(&[][..], |request| &request.endpoints);
    let kernel = request.and_then(|request| request.kernel.as_deref());
    let symbols = kernel.and_then(|kernel| kernel.system_map.as_deref()).map(Symbols::load);
    let asked = Asked { kernel, symbols: symbols.as_ref(), endpoints: &raw.platform.endpoints };
    let machine = (&raw.platform, raw.counter_hz);
    let runs: Vec<Run> = raw.runs.iter().map(|run| one_run(run, endpoints, machine, asked)).collect();
    if !runs.is_empty() && runs.iter().all(is_skipped) {
        problems.push(
            "no scenario ran: the board does not allow their risks (its key allow-risks), or lacks what they take"
                .into(),
        );
    }
    if !raw.lost.is_empty() {
        raw.lost.extend(runs.iter().filter_map(witness::hung));
    }
    let lost = (!raw.lost.is_empty()).then(|| Lost { reason: reasons(&raw.lost), last_seen });
    let payload_outcome = raw.end.map(|(outcome, _)| outcome);
    let is_all_well = (payload_outcome == Some(Outcome::Pass) || is_stopped)
        && problems.is_empty()
        && planted.is_none()
        && runs.iter().all(|run| run.outcome == Outcome::Pass);
    Report {
        schema: SCHEMA.into(),
        board: request.map_or_else(|| UNKNOWN_BOARD.into(), |request| request.board.clone()),
        outcome: match (&lost, is_all_well) {
            (Some(_), _) => Outcome::Lost,
            (None, true) => Outcome::Pass,
            (None, false) => Outcome::Fail,
        },
        payload_outcome,
        planted,
        stopped: is_stopped.then(|| format!("by Ctrl-C, after {ended} cycles")),
        provenance: request.and_then(|request| request.provenance.as_deref().cloned()),
        lost,
        problems,
        images: raw.images,
        platform: raw.platform,
        runs,
    }
}

/// A cycle that was cut off says nothing, nor does a run without another.
fn drop_unfinished(raw: &mut Builder) {
    for run in &mut raw.runs {
        run.cycles.retain(|_, cycle| cycle.end.is_some());
    }
    raw.runs.retain(|run| run.end.is_some() || !run.cycles.is_empty());
}

/// Nothing was told of the run but that it does not apply.
fn is_skipped(run: &Run) -> bool {
    !run.checks.is_empty() && run.checks.iter().all(|check| SKIPPED.contains(&&*check.id))
}

/// Why a run did not apply; `None` where it did.
pub fn skipped_for(run: &Run) -> Option<&str> {
    run.checks.iter().filter(|_| is_skipped(run)).find_map(|check| check.reason.as_deref())
}

/// The first reasons; a torn console brings hundreds.
fn reasons(reasons: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut text = reasons.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if reasons.len() > SHOWN {
        text = format!("{text}; and {} more", reasons.len() - SHOWN);
    }
    text
}

fn against_request(raw: &Builder, request: &Request, problems: &mut Vec<String>) {
    let ran: Vec<&str> = raw.runs.iter().map(|run| run.scenario.as_str()).collect();
    if !request.scenarios.is_empty() && ran != request.scenarios {
        problems.push(format!("asked for {}, ran {}", request.scenarios.join(","), ran.join(",")));
    }
    for run in &raw.runs {
        if (request.cycles != 0 || request.by_time) && run.cycles_asked != request.cycles {
            let RawRun { scenario, cycles_asked, .. } = run;
            problems.push(format!("{scenario}: asked for {} cycle(s), ran {cycles_asked}", request.cycles));
        }
        if run.planted != request.plant {
            let word = |plant: &Option<String>| plant.clone().unwrap_or_else(|| "none".into());
            let (asked, ran) = (word(&request.plant), word(&run.planted));
            problems.push(format!("{}: asked to plant {asked}, the payload planted {ran}", run.scenario));
        }
    }
}

/// Nothing crashes in such a run, and nothing is put to work.
pub(super) fn is_census(scenario: &str) -> bool {
    Work::parse(scenario) == Ok(Work::Census)
}

fn one_run(raw: &RawRun, endpoints: &[Expected], machine: (&Platform, u64), asked: Asked<'_>) -> Run {
    let mut problems = Vec::new();
    against_end(raw, &mut problems);
    for (number, cycle) in &raw.cycles {
        // A run that was cut has an unfinished last cycle; that is no contradiction.
        if cycle.end.is_some() || raw.end.is_some() {
            let mut found = Vec::new();
            one_cycle(cycle, endpoints, is_census(&raw.scenario), &mut found);
            problems.extend(found.into_iter().map(|text| format!("cycle {number}: {text}")));
        }
    }
    let lines: Vec<CycleLine> = raw.cycles.iter().map(|(number, cycle)| line(*number, cycle)).collect();
    let streams = merge::streams(raw);
    if raw.end.is_some() {
        totals(&lines, &streams, &mut problems);
    }
    let mut checks = merge::checks(raw);
    let (protocol, witness, watched_log) = match witness::judge(raw, asked) {
        Some(watched) => {
            // What the host sees of a kernel goes before the image's own word.
            checks.retain(|check| !watched.checks.iter().any(|own| own.id == check.id));
            checks.extend(watched.checks);
            (Some(watched.protocol), Some(watched.witness), Some(watched.access_log))
        }
        None => {
            let (protocol_check, protocol) = protocol::judge(raw).unzip();
            checks.extend(protocol_check);
            (protocol, None, None)
        }
    };
    let said = raw.end.map(|(outcome, ..)| outcome).or(raw.is_stopped.then_some(Outcome::Pass));
    let is_lost = raw.is_damaged || said.is_none_or(|outcome| outcome == Outcome::Lost);
    let is_as_expected = said == Some(Outcome::Pass)
        && problems.is_empty()
        && raw.planted.is_none()
        && checks.iter().all(Check::is_as_expected)
        && lines.iter().all(|line| line.outcome == Outcome::Pass);
    let outcome = match (is_lost, is_as_expected) {
        (true, _) => Outcome::Lost,
        (false, true) => Outcome::Pass,
        (false, false) => Outcome::Fail,
    };
    let mut whole = raw.cycles.values().find(|cycle| cycle.is_whole()).cloned().unwrap_or_default();
    if whole.kernel.as_ref().is_some_and(|kernel| kernel.end.is_none()) {
        // As found, and nobody has looked again.
        whole.registers.clear();
    }
    let is_done = |line: &CycleLine| raw.cycles.get(&line.cycle).is_some_and(|cycle| cycle.end.is_some());
    if let [check] = &checks[..]
        && SKIPPED.contains(&&*check.id)
        && check.verdict == Verdict::Skip
    {
        return skipped(raw, checks);
    }
    let throughput = throughput::of(&streams, raw.cycles.values());
    let requesters = requester::all(&whole, machine.0, machine.1, is_census(&raw.scenario));
    let is_several = raw.cycles_asked != 1 || raw.cycles.len() > 1;
    Run {
        scenario: raw.scenario.clone(),
        cycles: if raw.cycles_asked == 0 { count(lines.iter()) } else { raw.cycles_asked },
        cycles_done: count(lines.iter().filter(|line| is_done(line))),
        // A cycle that was cut off is neither done nor failed.
        cycles_failed: count(lines.iter().filter(|line| line.outcome != Outcome::Pass && is_done(line))),
        outcome,
        planted: raw.planted.clone(),
        problems,
        checks,
        streams,
        events: merge::events(raw),
        access_log: watched_log.unwrap_or_else(|| merge::access_log(&whole)),
        protocol,
        witness,
        samples: whole.samples,
        timing: whole.timing,
        blackout: statistics::blackout(raw.cycles.values().filter(|_| !is_census(&raw.scenario))),
        throughput,
        registers: whole.registers,
        aborts: whole.aborts,
        pcie_errors: whole.pcie_errors,
        crash: whole.crash,
        attach: whole.attach,
        requesters,
        watched: whole.watched,
        failed_cycles: if is_several { failed(raw, &lines, machine) } else { Vec::new() },
        cycle_lines: merge::thinned(lines),
    }
}

/// A scenario that does not apply: nothing ran, and nothing had to.
fn skipped(raw: &RawRun, checks: Vec<Check>) -> Run {
    Run {
        scenario: raw.scenario.clone(),
        cycles: raw.cycles_asked,
        cycles_done: 0,
        cycles_failed: 0,
        outcome: if raw.planted.is_none() { Outcome::Pass } else { Outcome::Fail },
        planted: raw.planted.clone(),
        problems: Vec::new(),
        checks,
        streams: Vec::new(),
        events: Vec::new(),
        access_log: Vec::new(),
        protocol: None,
        witness: None,
        samples: Vec::new(),
        timing: None,
        blackout: None,
        throughput: None,
        registers: Vec::new(),
        aborts: Vec::new(),
        pcie_errors: Vec::new(),
        crash: None,
        attach: None,
        requesters: Vec::new(),
        watched: Vec::new(),
        failed_cycles: Vec::new(),
        cycle_lines: Vec::new(),
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

/// What the payload said at the run's end, against the cycles that it sent.
fn against_end(raw: &RawRun, problems: &mut Vec<String>) {
    let Some((outcome, cycles, failed)) = raw.end else { return };
    let seen = count(raw.cycles.values().filter(|cycle| cycle.end.is_some()));
    let is_number_asked = raw.cycles_asked == 0 || cycles == raw.cycles_asked;
    if seen != cycles || !is_number_asked {
        let asked = raw.cycles_asked;
        problems.push(format!("{asked} cycle(s) announced, {cycles} counted by the payload, {seen} reported"));
    }
    if raw.cycles.is_empty() {
        problems.push("no cycle ran".into());
    }
    if let Some(missing) = (0..).zip(raw.cycles.keys()).find(|(due, is)| due != *is) {
        problems.push(format!("cycle {} follows where cycle {} is due", missing.1, missing.0));
    }
    let not_passed = |cycle: &&Cycle| cycle.end.is_some_and(|(outcome, ..)| outcome != Outcome::Pass);
    let seen_failed = count(raw.cycles.values().filter(not_passed));
    if seen_failed != failed {
        problems.push(format!("{failed} failed cycle(s) counted by the payload, {seen_failed} reported"));
    }
    if outcome == Outcome::Pass && failed > 0 {
        problems.push(format!("passed by the payload with {failed} failed cycle(s)"));
    }
}

fn one_cycle(cycle: &Cycle, endpoints: &[Expected], is_census: bool, problems: &mut Vec<String>) {
    let streams = merge::counts(cycle);
    // A census starts none.
    if streams.is_empty() != is_census {
        problems.push(if is_census { "a stream in a census".into() } else { "no stream".to_owned() });
    }
    for endpoint in endpoints.iter().filter(|_| !is_census) {
        let Expected { bdf, driver } = endpoint;
        if !streams.iter().any(|stream| stream.bdf == *bdf) {
            problems.push(format!("endpoint {bdf} ({driver}) is no stream"));
        }
        if let Some(stream) = cycle.streams.iter().find(|stream| stream.bdf == *bdf && stream.endpoint != *driver) {
            problems.push(format!("endpoint {bdf} has the driver {}, expected {driver}", stream.endpoint));
        }
    }
    for stream in &streams {
        if streams.iter().filter(|other| other.bdf == stream.bdf).count() > 1 {
            problems.push(format!("stream {} is there twice", stream.bdf));
        }
        for (name, phase) in stream.phases.named() {
            if !phase.adds_up() {
                problems.push(format!("{} {name}: the counts do not add up", stream.bdf));
            }
        }
    }
    for short in cycle.short.iter().filter(|_| !cycle.streams.is_empty()) {
        if !streams.contains(short) {
            problems.push(format!("stream {} has two different counts", short.bdf));
        }
    }
    match cycle.end {
        None => problems.push("no end".into()),
        Some(_) if cycle.ends > 1 => problems.push(format!("{} ends", cycle.ends)),
        Some((outcome, checks, failed)) => {
            if checks == 0 {
                problems.push("no check".into());
            }
            if cycle.is_whole() {
                verdicts(cycle, (outcome, checks, failed), problems);
            } else if outcome == Outcome::Pass && failed > 0 {
                problems.push(format!("passed by the payload with {failed} check(s) not as expected"));
            }
        }
    }
}

fn verdicts(cycle: &Cycle, (outcome, checks, failed): (Outcome, u32, u32), problems: &mut Vec<String>) {
    if count(cycle.checks.iter()) != checks {
        problems.push(format!("{checks} check(s) counted by the payload, {} reported", cycle.checks.len()));
    }
    let unexpected = count(cycle.checks.iter().filter(|check| !check.is_as_expected()));
    if unexpected != failed {
        problems.push(format!("{failed} unexpected verdict(s) counted by the payload, {unexpected} reported"));
    }
    if outcome == Outcome::Pass && unexpected > 0 {
        problems.push(format!("passed by the payload with {unexpected} unexpected verdict(s)"));
    }
}

fn line(number: u32, cycle: &Cycle) -> CycleLine {
    let (said, checks, failed) = cycle.end.unwrap_or((Outcome::Lost, 0, 0));
    let is_broken = said == Outcome::Pass && !cycle.checks.iter().all(Check::is_as_expected);
    let outcome = if is_broken { Outcome::Fail } else { said };
    CycleLine { cycle: number, outcome, checks, failed, streams: merge::counts(cycle) }
}

/// The totals are the sum of the lines, and no line has a stream that the totals lack.
fn totals(lines: &[CycleLine], streams: &[Stream], problems: &mut Vec<String>) {
    for bdf in lines.iter().flat_map(|line| &line.streams).map(|stream| &stream.bdf) {
        if !streams.iter().any(|stream| stream.bdf == *bdf) {
            let text = format!("stream {bdf} is counted but never described");
            if !problems.contains(&text) {
                problems.push(text);
            }
        }
    }
    for stream in streams {
        let of_stream = lines.iter().flat_map(|line| &line.streams).filter(|count| count.bdf == stream.bdf);
        let mut cycles = 0;
        let mut sum: Option<Phases> = None;
        for count in of_stream {
            cycles += 1;
            sum = Some(sum.map_or(count.phases, |sum| sum.plus(count.phases)));
        }
        if sum != Some(stream.phases) {
            problems.push(format!("stream {}: the totals are not the sum of the cycles", stream.bdf));
        }
        if cycles != lines.len() {
            problems.push(format!("stream {} is in {cycles} of {} cycle(s)", stream.bdf, lines.len()));
        }
    }
}

fn failed(raw: &RawRun, lines: &[CycleLine], (platform, hz): (&Platform, u64)) -> Vec<FailedCycle> {
    let is_failed = |number: &u32| lines.iter().any(|line| line.cycle == *number && line.outcome != Outcome::Pass);
    let whole = |(number, cycle): (&u32, &Cycle)| FailedCycle {
        cycle: *number,
        checks: cycle.checks.clone(),
        streams: cycle.streams.clone(),
        samples: cycle.samples.clone(),
        events: cycle.events.clone(),
        timing: cycle.timing,
        registers: cycle.registers.clone(),
        aborts: cycle.aborts.clone(),
        pcie_errors: cycle.pcie_errors.clone(),
        crash: cycle.crash.clone(),
        attach: cycle.attach.clone(),
        requesters: requester::all(cycle, platform, hz, is_census(&raw.scenario)),
        access_log: merge::access_log(cycle),
    };
    raw.cycles.iter().filter(|(number, _)| is_failed(number)).map(whole).collect()
}
