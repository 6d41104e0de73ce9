//! Reports in the hands of others: a browser, consumers of JUnit, JSON Schema and KTAP, and other reports.

use std::path::Path;

use serde_json::{Value, json};

use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::{FAST, Session};
use super::{Case, Need};
use crate::setup::tool::{self, Tool};
use crate::workspace;

/// Headings that a whole report has, in their order.
const HEADINGS: [&str; 8] = [
    "Summary",
    "Policies and streams",
    "Timeline",
    "Topology",
    "Findings",
    "Runs",
    "Platform",
    "What ran, and how to run it again",
];
/// Widths of a phone's and a desk's screen.
const WIDTHS: [u32; 2] = [390, 1280];

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case { needs: Some(Need::Tool(Tool::Chromium)), ..Case::new("report-page", page) },
        Case::new("report-diff-merge", diff_and_merge),
        Case::new("report-waived", waived),
        Case::new("report-lava", lava),
        // Last: it reads what all the cases before it have left.
        Case { needs: Some(Need::Tool(Tool::Consumers)), ..Case::new("report-consumers", consumers) },
    ]
}

/// In Chromium the page says nothing on its console, has its headings, and is nowhere wider than the screen.
fn page(session: &Session<'_>) -> Expected {
    let ended = session.run(&words(&format!("run {FAST}")))?;
    expect::outcome(&ended, 0, "pass")?;
    let report = session.report().join("report.html");
    let light = look(session, &report, &[])?;
    for (seen, width) in light.iter().zip(WIDTHS) {
        let wide = seen["scroll"].as_u64().unwrap_or(u64::MAX);
        ensure(wide <= u64::from(width), || format!("at {width} pixels it is {wide} wide: {}", seen["beyond"]))?;
        let headings: Vec<&str> = expect::array(seen, "headings")?.iter().filter_map(Value::as_str).collect();
        // A machine may have nothing wrong with it.
        let has_findings = !expect::array(&ended.report()?["platform"], "findings")?.is_empty();
        let wanted: Vec<&str> = HEADINGS.into_iter().filter(|name| *name != "Findings" || has_findings).collect();
        ensure(headings == wanted, || format!("headings at {width}: {headings:?}"))?;
        let streams: usize =
            expect::runs(&ended)?.iter().map(|run| run["streams"].as_array().map_or(0, Vec::len)).sum();
        ensure(seen["lanes"] == streams, || format!("{} lanes for {streams} streams", seen["lanes"]))?;
        let is_told =
            seen["verdict"].as_str().is_some_and(|text| text.starts_with("qemu-virt-dt does what is documented"));
        ensure(is_told, || format!("the verdict is {}", seen["verdict"]))?;
    }
    let dark = look(session, &report, &["--blink-settings=preferredColorScheme=0"])?;
    ensure(dark[0]["paper"] != light[0]["paper"], || format!("dark is light: {}", dark[0]["paper"]))?;
    let pdf = session.folder.join("report.pdf");
    browse(session, &[format!("--print-to-pdf={}", pdf.display()), format!("file://{}", report.display())])?;
    let printed = std::fs::read(&pdf).map_err(|error| format!("nothing was printed: {error}"))?;
    ensure(printed.starts_with(b"%PDF") && printed.len() > 10_000, || format!("{} bytes printed", printed.len()))
}

/// What the browser sees of a page in frames of each width.
fn look(session: &Session<'_>, report: &Path, options: &[&str]) -> Result<Vec<Value>, String> {
    let frames: String = WIDTHS
        .iter()
        .map(|width| format!("<iframe width={width} height=900 src=\"file://{}\"></iframe>", report.display()))
        .collect();
    let script = "onload = () => { document.body.textContent = JSON.stringify([...document.querySelectorAll('iframe')].map(frame => { \
                  const page = frame.contentDocument, all = sel => [...page.querySelectorAll(sel)]; return { \
                  scroll: page.documentElement.scrollWidth, headings: all('h2').map(h => h.textContent), lanes: all('.lane').length, \
                  verdict: page.querySelector('p.verdict').textContent, paper: frame.contentWindow.getComputedStyle(page.body).backgroundColor, \
                  beyond: all('body *').filter(e => e.getBoundingClientRect().right > frame.width && !e.closest('.scroll')).map(e => e.outerHTML.slice(0, 80)).slice(0, 3) \
                  } })) }";
    let frame = session.folder.join("frame.html");
    let text = format!("<!DOCTYPE html><style>iframe {{ border: 0 }}</style><body>{frames}<script>{script}</script>");
    std::fs::write(&frame, text).map_err(|error| format!("cannot write {}: {error}", frame.display()))?;
    let address = format!("file://{}", frame.display());
    let options = options.iter().map(|option| (*option).to_owned());
    let (page, _) = browse(session, &options.chain(["--dump-dom".to_owned(), address]).collect::<Vec<_>>())?;
    let found = page.split_once("<body>").and_then(|(_, rest)| rest.split_once("</body>")).map_or("", |(body, _)| body);
    let plain = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(plain.trim()).map_err(|error| format!("the browser saw no report ({error}): {page:.300}"))
}

fn browse(session: &Session<'_>, arguments: &[String]) -> Result<(String, String), String> {
    let program = tool::browser().ok_or("no browser")?;
    let own = [
        // The pages are ours, and root may not have a sandbox.
        "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --hide-scrollbars".to_owned(),
        "--allow-file-access-from-files --enable-logging=stderr".to_owned(),
    ];
    let profile = format!("--user-data-dir={}", session.folder.join("browser").display());
    let all: Vec<String> =
        own.iter().flat_map(|line| words(line)).chain([profile]).chain(arguments.iter().cloned()).collect();
    let (out, err) = tool::said(60, Path::new(program), &all)?;
    let said: Vec<&str> = err.lines().filter(|line| line.contains("CONSOLE")).collect();
    ensure(said.is_empty(), || format!("the page says on its console: {}", said.join("; ")))?;
    Ok((out, err))
}

/// Two runs that differ by a planted fault, and the matrix of both.
fn diff_and_merge(session: &Session<'_>) -> Expected {
    let one = Session { folder: session.folder.with_extension("one"), ..*session };
    expect::outcome(&one.run(&words(&format!("run {FAST} --scenario adopt")))?, 0, "pass")?;
    let two = Session { folder: session.folder.with_extension("two"), ..*session };
    expect::status(&two.run(&words(&format!("run {FAST} --scenario adopt --plant leaf-unmapped")))?, 1)?;
    let [good, bad] = [&one, &two].map(|session| session.report().display().to_string());
    let same = session.run(&words(&format!("report diff {good} {good}/report.json")))?;
    expect::status(&same, 0)?;
    ensure(same.stdout.contains("Nothing differs beyond noise"), || same.stdout.clone())?;
    let worse = session.run(&words(&format!("report diff {good} {bad}")))?;
    expect::status(&worse, 1)?;
    let is_told = worse.stdout.contains("New failures") && worse.stdout.contains("adopt dma.no-blocked: pass -> fail");
    ensure(is_told, || format!("the planted fault is not told:\n{}", worse.stdout))?;
    let better = session.run(&words(&format!("report diff {bad} {good} --json")))?;
    expect::status(&better, 0)?;
    let json: Value = serde_json::from_str(&better.stdout).map_err(|error| error.to_string())?;
    let is_fixed = |it: &Value| it["check"] == "dma.no-blocked" && it["after"] == "pass";
    ensure(expect::array(&json, "fixed")?.iter().any(is_fixed), || better.stdout.clone())?;
    let merged = session.run(&words(&format!("report merge {good} {bad}")))?;
    expect::status(&merged, 1)?;
    let text = std::fs::read_to_string(session.report().join("fleet.json")).map_err(|error| error.to_string())?;
    let fleet: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let outcomes: Vec<&Value> =
        expect::array(&fleet, "boards")?.iter().map(|board| &board["cells"][0]["outcome"]).collect();
    ensure(outcomes == ["pass", "fail"], || format!("cells {outcomes:?}"))?;
    let page = expect::array(&fleet, "boards")?[1]["page"].as_str().unwrap_or_default().to_owned();
    ensure(session.report().join(&page).is_file(), || format!("{page} leads nowhere"))?;
    newer(session, &good)
}

/// A report of a version to come is one line.
fn newer(session: &Session<'_>, good: &str) -> Expected {
    let file = session.folder.with_extension("json");
    std::fs::write(&file, json!({ "schema": "inflight-report/2" }).to_string()).map_err(|error| error.to_string())?;
    let ended = session.run(&words(&format!("report diff {good} {}", file.display())))?;
    expect::status(&ended, 2)?;
    let text = ended.stderr.trim();
    ensure(text.lines().count() == 1 && text.contains("newer version (schema inflight-report/2)"), || text.to_owned())
}

/// A deviation that is waived passes and is shown; a waiver that has ended, or that nothing needs, is told.
fn waived(session: &Session<'_>) -> Expected {
    let file = session.folder.with_extension("toml");
    let with = |scenario: &str, text: &str| {
        std::fs::write(&file, text).map_err(|error| error.to_string())?;
        session.run(&words(&format!("run {FAST} --scenario {scenario} --waivers {}", file.display())))
    };
    let waiver = |check: &str, expires: &str| {
        format!("[[waiver]]\ncheck = \"{check}\"\nboard = \"qemu-virt-dt\"\nreason = \"known\"\nexpires = {expires}\n")
    };
    // Whose streams firmware's own table serves is not recorded: these deviate, and nothing else.
    const DEVIATES: &str = "census --option firmware-smmu=1";
    let quiet = waiver("census.quiet", "9999-12-31");
    let good = with(DEVIATES, &(waiver("census.watched", "9999-12-31") + &quiet))?;
    expect::outcome(&good, 0, "pass")?;
    let check = &expect::run(&good, "census")?["checks"].to_string();
    ensure(check.contains(r#""waived":{"expires":"9999-12-31","reason":"known"}"#), || check.clone())?;
    let ktap = std::fs::read_to_string(session.report().join("ktap.txt")).map_err(|error| error.to_string())?;
    ensure(ktap.contains("census.watched # TODO waived until 9999-12-31: known"), || ktap.clone())?;
    let expired = with(DEVIATES, &(waiver("census.watched", "2026-01-31") + &quiet))?;
    expect::outcome(&expired, 1, "fail")?;
    expect::finding(&expired, "waiver-expired")?;
    let unused = with("adopt", &waiver("dma.no-blocked", "9999-12-31"))?;
    expect::outcome(&unused, 0, "pass")?;
    expect::finding(&unused, "waiver-unused")?;
    let wrong = with("adopt", &waiver("dma.no-blocked", "\"soon\""))?;
    expect::status(&wrong, 2)?;
    let text = wrong.stderr.trim();
    ensure(text.lines().count() == 1 && text.contains(":5:11: "), || format!("not one line with its place:\n{text}"))
}

/// With the option the console has a LAVA signal for each KTAP line.
fn lava(session: &Session<'_>) -> Expected {
    let ended = session.run(&words(&format!("run {FAST} --option lava=1")))?;
    expect::outcome(&ended, 0, "pass")?;
    let log = std::fs::read(session.report().join("console.log")).map_err(|error| error.to_string())?;
    let log = String::from_utf8_lossy(&log);
    let signals: Vec<&str> = log.lines().map(str::trim).filter(|line| line.starts_with("<LAVA_SIGNAL_")).collect();
    let mut wanted = Vec::new();
    let mut sets = expect::runs(&ended)?.iter().filter_map(|run| run["scenario"].as_str());
    for line in log.lines().map(|line| line.trim_end_matches('\r')) {
        let bare = line.trim_start().trim_start_matches("not ");
        let id = bare.strip_prefix("ok ").and_then(|rest| rest.split(' ').nth(1)).unwrap_or_default();
        if line == "  KTAP version 1" {
            wanted.push(format!("<LAVA_SIGNAL_TESTSET START {}>", sets.next().unwrap_or_default()));
        } else if line.starts_with("ok ") {
            wanted.push("<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=run.outcome RESULT=pass>".into());
            wanted.push("<LAVA_SIGNAL_TESTSET STOP>".into());
        } else if !id.is_empty() && line.starts_with("  ") {
            let is_known = line.contains(" # SKIP ") || line.contains(" # XFAIL ");
            let result = if is_known {
                "skip"
            } else if line.starts_with("  ok ") {
                "pass"
            } else {
                "fail"
            };
            wanted.push(format!("<LAVA_SIGNAL_TESTCASE TEST_CASE_ID={id} RESULT={result}>"));
        }
    }
    ensure(wanted.len() > 100, || format!("KTAP of {} lines", wanted.len()))?;
    let first = signals.iter().zip(&wanted).find(|(signal, wanted)| *signal != *wanted);
    ensure(first.is_none(), || format!("a signal differs from KTAP: {first:?}"))?;
    ensure(signals.len() == wanted.len(), || format!("{} signals, expected {}", signals.len(), wanted.len()))
}

/// `junitparser` counts as the report does, and every report that lies around is as the schema says.
fn consumers(session: &Session<'_>) -> Expected {
    let good = session.run(&words(&format!("run {FAST}")))?;
    expect::outcome(&good, 0, "pass")?;
    let folder = session.folder.parent().ok_or("no folder of tests")?;
    let schema = workspace::root().join("xtask/src/report/report.schema.json");
    let script = session.folder.join("consumers.py");
    std::fs::write(&script, include_str!("consumers.py")).map_err(|error| error.to_string())?;
    let arguments = [script.as_path(), &schema, folder].map(|path| path.display().to_string());
    let (said, _) = tool::said(100, &tool::python(), &arguments)?;
    let read = said.trim().strip_suffix(" reports").and_then(|number| number.parse::<u32>().ok()).unwrap_or(0);
    ensure(read > 0, || format!("no report was read: {said}"))
}
