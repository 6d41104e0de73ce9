//! Completion in real shells, as TAB asks for it: bash by its own variables, fish by its own command.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::Session;
use crate::{child, workspace};

const SHORT: Duration = Duration::from_secs(30);

/// All of them.
pub fn all() -> Vec<Case> {
    let bash = Case { lacks: || lacks("bash"), ..Case::new("completions-bash", bash) };
    let fish = Case { lacks: || lacks("fish"), ..Case::new("completions-fish", fish) };
    vec![bash, fish]
}

fn lacks(shell: &str) -> Option<String> {
    child::run(&[shell, "--version"], &[], SHORT).is_err().then(|| format!("no {shell}"))
}

/// Lines up to the cursor, what completes the last word of each, and what does not.
const LINES: [(&str, &str, &str); 7] = [
    ("cargo xtask fl", "flash", "run"),
    ("cargo xtask run --board qemu-virt-i", "qemu-virt-igb", "qemu-virt"),
    ("cargo xtask run --scenario adopt,res", "adopt,reset", "adopt"),
    ("cargo xtask report di", "diff", "merge"),
    ("cargo xtask flash --via ", "redfish", "--via"),
    ("cargo xtask test secure", "secure-boot", "adopt"),
    ("cargo xtask boards check qemu-virt-d", "qemu-virt-dt", "qemu-virt"),
];

fn script(session: &Session<'_>, shell: &str) -> Result<PathBuf, String> {
    let ended = session.run(&words(&format!("completions {shell}")))?;
    expect::status(&ended, 0)?;
    let path = session.folder.join("script");
    std::fs::write(&path, ended.stdout).map_err(|error| error.to_string())?;
    let tool = workspace::target().join("debug/xtask");
    ensure(tool.is_file(), || format!("the script asks {}, which is not there", tool.display()))?;
    Ok(path)
}

fn ask(shell: &[&str], program: &str, script: &Path, line: &str) -> Result<String, String> {
    let start = format!("cd \"$1\" && . \"$2\" && {program}");
    let (root, script) = (workspace::root().display().to_string(), script.display().to_string());
    let words = [shell, &["-c", &start, "shell", &root, &script, line]].concat();
    child::run(&words, &[], SHORT).map_err(|error| format!("{line}: {error:#}"))
}

fn check(line: &str, found: &str, wanted: &str, not: &str) -> Expected {
    let has = |word: &str| found.lines().any(|line| line.split('\t').next() == Some(word));
    ensure(has(wanted) && !has(not), || format!("`{line}` is completed by:\n{found}"))
}

/// What readline does: it cuts the line at the breaks, calls the function, and takes COMPREPLY.
const READLINE: &str = r#"COMP_LINE=$3 COMP_POINT=${#3}
complete -p cargo | grep -q __inflight_cargo || exit 1
__inflight_cargo cargo "${COMP_LINE##*[ =:@]}" ''
printf '%s\n' "${COMPREPLY[@]}""#;

fn bash(session: &Session<'_>) -> Expected {
    let script = script(session, "bash")?;
    let shell = ["bash", "--norc"];
    for (line, wanted, not) in LINES {
        check(line, &ask(&shell, READLINE, &script, line)?, wanted, not)?;
    }
    // readline has cut these off, and puts back what is in front.
    for (line, wanted) in
        [("cargo xtask run --scenario adopt@pa", "panic"), ("cargo xtask run --board=qemu-virt-ig", "qemu-virt-igb")]
    {
        check(line, &ask(&shell, READLINE, &script, line)?, wanted, line)?;
    }
    // Who completed cargo before still does.
    let before =
        format!("true && _before() {{ COMPREPLY=(from-before); }}; complete -F _before cargo; . \"$2\"; {READLINE}");
    check("cargo bui", &ask(&shell, &before, &script, "cargo bui")?, "from-before", "build")?;
    check("cargo xtask fl", &ask(&shell, &before, &script, "cargo xtask fl")?, "flash", "from-before")?;
    // Elsewhere there is nothing to ask.
    let elsewhere = format!("cd / && {READLINE}");
    check("cargo xtask fl", &ask(&shell, &elsewhere, &script, "cargo xtask fl")?, "", "flash")
}

fn fish(session: &Session<'_>) -> Expected {
    let script = script(session, "fish")?;
    for (line, wanted, not) in LINES {
        let text = "cd $argv[2]; and source $argv[3]; and complete -C $argv[4]";
        let (root, script) = (workspace::root().display().to_string(), script.display().to_string());
        let shell = ["fish", "--no-config", "-c", text, "shell", &root, &script, line];
        let found = child::run(&shell, &[], SHORT).map_err(|error| format!("{line}: {error:#}"))?;
        check(line, &found, wanted, not)?;
    }
    Ok(())
}
