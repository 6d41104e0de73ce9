//! What a user may type: every mistake is one line and status 2, and nothing is written.

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::{Ended, Session};

/// Wrong command lines, and a word that the message must hold.
const WRONG: [(&str, &str); 24] = [
    ("run --board no-such-board", "qemu-virt"),
    ("run --scenario adpot", "adopt"),
    ("run --scenario adopt+no-such-damage", "no-such-damage"),
    ("run --scenario adopt@no-such-crash", "no-such-crash"),
    ("run --cycles 0", "cycles"),
    ("run --cycles many", "many"),
    ("run --plant no-such-fault", "leaf-unmapped"),
    ("run --option e2h", "e2h"),
    ("run --option no-such-key=1", "no-such-key"),
    ("run --option strtab=round", "linear"),
    ("run --iort /no/such/file", "/no/such/file"),
    ("run --no-such-option", "--no-such-option"),
    ("report /no/such/log", "/no/such/log"),
    ("boards new Altra --from x", "lower-case"),
    ("boards new altra --from /no/such/file", "/no/such/file"),
    ("flash --board qemu-vrit --to /no/such/folder/file", "did you mean `qemu-virt`?"),
    ("flash --board qemu-virt", "--to"),
    ("flash --board qemu-virt --via epsilon --to /no/such/folder/file", "esp"),
    ("flash --board qemu-virt --to /no/such/folder/file", "/no/such/folder/file"),
    ("flash --board qemu-virt --to /dev/full", "neither a folder, a drive nor a file"),
    ("flash --board qemu-virt --to /dev/null --scenario adpot", "neither a folder, a drive nor a file"),
    ("flash --board qemu-virt --to /tmp --yes-erase sdb", "--yes-erase is for drives"),
    ("flash --board qemu-virt --to /tmp --scenario adpot", "did you mean `adopt`?"),
    ("flash --board qemu-virt-dt --to /tmp", "raw image"),
];

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case::new("wrong-options", |session| WRONG.iter().try_for_each(|(line, word)| wrong(session, line, word))),
        Case::new("wrong-qemu-arguments", |session| {
            let ended = session.run(&words("run -- -no-such-argument"))?;
            expect::status(&ended, 2)?;
            let last = ended.stderr.lines().last().unwrap_or_default();
            let is_named = last.starts_with("error:") && last.contains("-no-such-argument");
            ensure(is_named, || format!("it does not end with the emulator's word:\n{}", ended.stderr))?;
            writes_nothing(session, &ended)
        }),
        Case::new("wrong-test-name", |session| wrong(session, "test --qemu no-such-case", "no-such-case")),
        Case::new("iort-file-that-is-none", |session| {
            let file = session.folder.with_extension("iort");
            std::fs::write(&file, b"not a table").map_err(|error| error.to_string())?;
            let line = format!("run --iort {}", file.display());
            wrong(session, &line, "IORT")
        }),
        Case::new("print-command", |session| {
            let ended = session.run(&words("run --print-command -- -gdb tcp::1234"))?;
            expect::status(&ended, 0)?;
            for word in ["qemu-system-aarch64", "-kernel", "inflight.efi", "-gdb tcp::1234", "iommu=smmuv3"] {
                ensure(ended.stdout.contains(word), || format!("no `{word}` in:\n{}", ended.stdout))?;
            }
            writes_nothing(session, &ended)
        }),
        Case::new("lists", |session| {
            let ended = session.run(&words("boards"))?;
            expect::status(&ended, 0)?;
            ensure(ended.stdout.contains("qemu-virt"), || format!("no qemu-virt in:\n{}", ended.stdout))?;
            expect::status(&session.run(&words("boards check"))?, 0)?;
            expect::status(&session.run(&words("boards check qemu-vrit qemu-virt"))?, 2)?;
            let ended = session.run(&words("run --list-scenarios"))?;
            expect::status(&ended, 0)?;
            ensure(["adopt", "reset"].iter().all(|name| ended.stdout.contains(name)), || ended.stdout.clone())?;
            writes_nothing(session, &ended)
        }),
        Case::new("doctor", |session| {
            let ended = session.run(&words("doctor"))?;
            expect::status(&ended, 0)?;
            ensure(ended.stdout.contains("QEMU") && ended.stdout.contains("firmware"), || ended.stdout.clone())
        }),
    ]
}

fn wrong(session: &Session<'_>, line: &str, word: &str) -> Expected {
    let about = |reason: String| format!("`{line}`: {reason}");
    let ended = session.run(&words(line)).map_err(about)?;
    expect::status(&ended, 2).map_err(about)?;
    let text = ended.stderr.trim();
    let is_one_line = text.lines().count() == 1 && text.starts_with("error:");
    ensure(is_one_line && text.contains(word), || about(format!("not one line that names {word}:\n{text}")))?;
    writes_nothing(session, &ended).map_err(about)
}

/// Nothing is written half, and nothing at all where nothing ran.
fn writes_nothing(session: &Session<'_>, ended: &Ended) -> Expected {
    ensure(ended.report.is_none() && !session.report().join("console.log").exists(), || "it left a report".to_owned())
}
