//! Reads, indexes and resolves all of some tables, and lets `iasl -d` decode the same ones beside it: time, memory, and which
//! broken tables each names. `cargo run -p tables --example iort_speed` (iasl is in the package acpica-tools).

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot be made ends here, in words")]

#[path = "../tests/made/mod.rs"]
mod made;

use made::{Draft, lay_out};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tables::iort::{Index, Iort, Reading};
use tables::{Finding, Severity};

/// Times each side reads a table; the shortest counts, for the host is shared.
const TIMES: u32 = 5;
/// A decoder that has not ended by then does not end.
const IASL_LIMIT: Duration = Duration::from_secs(5);
/// Blocks of 512 bytes that a decoder may write: endless ones fill the disk.
const IASL_BLOCKS: u32 = 400_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    // A process of its own for each table: its peak of memory is then the table's.
    if let Some(path) = arguments.next() {
        return measure_one(Path::new(&path));
    }
    let folder = std::env::temp_dir().join(format!("iort-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    println!(
        "{:<32} {:>9} {:>11} {:>9} {:>11} {:>9} {:>7}",
        "table", "bytes", "ours", "memory", "iasl -d", "memory", "factor"
    );
    let mut tables: Vec<PathBuf> = [("rmr-1", 1), ("rmr-1476", 1476), ("rmr-20000", 20_000)]
        .map(|(name, count)| {
            let path = folder.join(format!("{name}.aml"));
            std::fs::write(&path, reserved_ranges(count)).unwrap();
            path
        })
        .to_vec();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/synthetic");
    tables.extend(listed(&corpus.join("perf")));
    for path in &tables {
        compare(path, &folder);
    }
    let broken = listed(&corpus.join("malformed"));
    if broken.is_empty() {
        println!("no corpus beside the checkout: no broken tables");
    }
    name_broken(&broken, &folder);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// An SMMU, a root complex and `count` RMR nodes, each with a range of its own.
fn reserved_ranges(count: u32) -> Vec<u8> {
    let mut smmu = Draft { kind: 4, revision: 4, body: vec![0; 68], mappings: Vec::new() };
    smmu.body[18] = 5;
    let complex = Draft { kind: 2, revision: 4, body: vec![0; 40], mappings: vec![[0, 0xffff, 0, 0, 0]] };
    let rmr = |number: u32| {
        let mut body = vec![0; 48];
        body[20] = 1;
        body[24] = 28;
        body[28..36].copy_from_slice(&(0x8000_0000 + (u64::from(number) << 17)).to_le_bytes());
        body[38] = 1;
        Draft { kind: 6, revision: 3, body, mappings: vec![[0, 0, number, 0, 1]] }
    };
    let drafts: Vec<Draft> = [smmu, complex].into_iter().chain((0..count).map(rmr)).collect();
    lay_out(&drafts, 6)
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "aml"));
    paths.sort();
    paths
}

/// Nanoseconds, kilobytes and the number of walks, for the process that asked.
fn measure_one(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let mut best = Duration::MAX;
    let mut walks = 0;
    for _ in 0..TIMES {
        let start = Instant::now();
        walks = resolve_all(&bytes);
        best = best.min(start.elapsed());
    }
    println!("{} {} {walks}", best.as_nanos(), peak_kilobytes("self").unwrap_or(0));
}

/// Reads a table, builds its index, and walks both ends of every mapping in both readings.
fn resolve_all(bytes: &[u8]) -> u64 {
    let mut findings = 0;
    let Ok(iort) = Iort::parse(bytes, &mut |_| findings += 1) else { return 0 };
    let index = Index::build(iort);
    let (mut walks, mut found) = (0, 0);
    for node in index.nodes() {
        for id in node.mappings().flat_map(|mapping| [mapping.input_base, mapping.input_last()]) {
            for reading in [Reading::Spec, Reading::Linux] {
                found += u64::from(index.resolve_from(node, id, reading).smmu.is_some());
                walks += 1;
            }
        }
    }
    assert!(found <= walks);
    walks
}

/// Most memory that a process ever had, in KiB.
fn peak_kilobytes(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn compare(path: &Path, folder: &Path) {
    let output = Command::new(std::env::current_exe().unwrap()).arg(path).output().unwrap();
    let numbers: Vec<u64> =
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [nanoseconds, memory, walks] = numbers[..] else { panic!("no figures for {}", path.display()) };
    let ours = Duration::from_nanos(nanoseconds);
    let runs: Vec<Decoded> = (0..TIMES).map(|_| iasl(path, folder)).collect();
    let name = path.file_stem().unwrap().to_string_lossy();
    let bytes = std::fs::metadata(path).unwrap().len();
    let ours_text = format!("{:.3} ms", ours.as_secs_f64() * 1e3);
    let best = runs.iter().filter_map(|run| run.time).min();
    let theirs = best.map_or("no end".to_owned(), |time| format!("{:.1} ms", time.as_secs_f64() * 1e3));
    let factor = best.map_or(String::new(), |time| format!("{:.0}", time.as_secs_f64() / ours.as_secs_f64()));
    let their_memory = runs.iter().map(|run| run.kilobytes).max().unwrap_or(0);
    println!(
        "{name:<32} {bytes:>9} {ours_text:>11} {memory:>6} KB {theirs:>11} {their_memory:>6} KB {factor:>7}   {walks} walks"
    );
}

/// What `iasl -d` did.
struct Decoded {
    /// How long it took; `None` where it was stopped.
    time: Option<Duration>,
    /// The most memory that was seen.
    kilobytes: u64,
    /// Words of complaint in what it printed or decoded.
    complains: bool,
}

fn iasl(path: &Path, folder: &Path) -> Decoded {
    let out = folder.join("decoded");
    let dsl = out.with_extension("dsl");
    let _ = std::fs::remove_file(&dsl);
    let messages = std::fs::File::create(folder.join("messages")).unwrap();
    let command = format!("ulimit -f {IASL_BLOCKS}; exec iasl -d -p \"$0\" \"$1\"");
    let start = Instant::now();
    let mut child = Command::new("sh")
        .args(["-c", &command])
        .args([&out, path])
        .stdin(Stdio::null())
        .stdout(messages.try_clone().unwrap())
        .stderr(messages)
        .spawn()
        .unwrap();
    let mut kilobytes = 0;
    let status = loop {
        kilobytes = kilobytes.max(peak_kilobytes(&child.id().to_string()).unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if start.elapsed() > IASL_LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    // A signal is the limit of what it may write.
    let ended = status.filter(|status| status.code().is_some());
    assert!(ended.is_none_or(|status| status.code() != Some(127)), "no iasl here: install acpica-tools");
    let text = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(..bytes.len().min(1 << 20)).unwrap_or(&[])).to_lowercase()
    };
    let said = text(&folder.join("messages")) + &text(&dsl);
    let complains = ["error", "warning", "invalid", "unknown", "incorrect", "exceed", "beyond", "could not"];
    Decoded {
        time: ended.map(|_| start.elapsed()),
        kilobytes,
        complains: complains.iter().any(|word| said.contains(word)),
    }
}

/// Which of the broken tables each side names.
fn name_broken(paths: &[PathBuf], folder: &Path) {
    let (mut ours, mut theirs, mut endless) = (0, 0, 0);
    println!("\n{:<32} {:<40} iasl -d", "broken table", "ours");
    for path in paths {
        let mut findings: Vec<Finding> = Vec::new();
        let bytes = std::fs::read(path).unwrap();
        let _ = Iort::parse(&bytes, &mut |finding| findings.push(finding));
        findings.retain(|finding| finding.severity() > Severity::Note);
        let mut ids: Vec<&str> = findings.iter().map(Finding::id).collect();
        ids.dedup();
        let decoded = iasl(path, folder);
        let verdict = match (decoded.time, decoded.complains) {
            (None, _) => "does not end",
            (Some(_), true) => "complains",
            (Some(_), false) => "",
        };
        ours += u32::from(!ids.is_empty());
        theirs += u32::from(decoded.time.is_some() && decoded.complains);
        endless += u32::from(decoded.time.is_none());
        println!("{:<32} {:<40} {verdict}", path.file_stem().unwrap().to_string_lossy(), ids.join(" "));
    }
    println!("{} tables: ours names {ours}, iasl {theirs} and does not end on {endless}", paths.len());
}
