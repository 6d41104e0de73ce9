//! Carries a plan out: says what it is going to do, asks where somebody is there to answer, and does it.

use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

use anyhow::Context;

use super::plan::{self, Facts, Missing, Step};
use super::sources::{self, Archive};
use super::system::{Manager, Release, in_path};
use super::version::Version;
use crate::exit;

/// Reads what the plan depends on.
pub fn facts(oldest: Version) -> Facts {
    let release = std::fs::read_to_string("/etc/os-release").map(|text| Release::parse(&text)).unwrap_or_default();
    let manager = Manager::find();
    let is_apt = manager == Some(Manager::Apt);
    Facts {
        oldest,
        release,
        manager,
        archives: if is_apt { archives() } else { Vec::new() },
        candidate: if is_apt { candidate() } else { None },
        is_root: output("id", &["-u"]).is_some_and(|id| id.trim() == "0"),
        has_sudo: in_path("sudo"),
    }
}

/// apt's sources, as the system has them.
fn archives() -> Vec<Archive> {
    let mut archives = sources::one_line(&std::fs::read_to_string("/etc/apt/sources.list").unwrap_or_default());
    let folder = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let mut files: Vec<_> = folder.map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => archives.extend(sources::deb822(&text)),
            Some("list") => archives.extend(sources::one_line(&text)),
            // apt reads no other names.
            _ => {}
        }
    }
    archives
}

fn candidate() -> Option<Version> {
    Version::apt_candidate(&output("apt-cache", &["policy", Manager::Apt.qemu()])?)
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::null());
    String::from_utf8(command.output().ok()?.stdout).ok()
}

fn prefix(facts: &Facts) -> &'static str {
    if facts.is_root { "" } else { "sudo " }
}

/// The steps as a user could type them.
pub fn shown(steps: &[Step], facts: &Facts) -> String {
    steps.iter().map(|step| format!("  {}", step.shown(prefix(facts)))).collect::<Vec<_>>().join("\n")
}

/// Installs what is missing, after saying how, and after asking where a person can answer.
pub fn install(missing: Missing, oldest: Version, yes: bool) -> anyhow::Result<()> {
    let facts = facts(oldest);
    let steps = plan::plan(missing, &facts).map_err(exit::host_lacks)?;
    crate::exit::tell!("missing: {}", plan::wanted(missing, oldest));
    crate::exit::tell!("going to install it with:\n{}", shown(&steps, &facts));
    if !yes && std::io::stdin().is_terminal() && !is_confirmed()? {
        return Err(exit::host_lacks(format!("not installed: {}", plan::wanted(missing, oldest))));
    }
    steps.iter().try_for_each(|step| carry_out(step, &facts))
}

fn is_confirmed() -> anyhow::Result<bool> {
    eprint!("Install now? [Y/n] ");
    std::io::stderr().flush().context("cannot write to the terminal")?;
    let mut answer = String::new();
    let bytes = std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    // End of input is no consent.
    Ok(bytes > 0 && matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes"))
}

pub fn carry_out(step: &Step, facts: &Facts) -> anyhow::Result<()> {
    match step {
        Step::Run(words) => run(words, facts),
        Step::Write { path, text } => {
            let file = tempfile::NamedTempFile::new().context("cannot create a temporary file")?;
            std::fs::write(file.path(), text).context("cannot write a temporary file")?;
            let from = file.path().to_str().context("the temporary folder's name is not text")?;
            run(&["install", "-m", "0644", from, path].map(str::to_owned), facts)
        }
    }
}

fn run(words: &[String], facts: &Facts) -> anyhow::Result<()> {
    let sudo = if facts.is_root { None } else { Some("sudo".to_owned()) };
    let words: Vec<_> = sudo.into_iter().chain(words.iter().cloned()).collect();
    let (program, arguments) = words.split_first().context("an empty command in the plan")?;
    let mut command = Command::new(program);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    // A package's questions have nobody to answer them; sudo asks the terminal itself.
    let status = command.stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(exit::host_lacks(format!("`{}` failed ({status})", words.join(" ")))),
        Err(error) => Err(exit::host_lacks(format!("cannot start `{program}`: {error}"))),
    }
}
