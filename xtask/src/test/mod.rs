//! `cargo xtask test`: the host tests, and cases that start boards on QEMU as a user would.

mod attach;
mod cases;
mod census;
mod completions;
mod crashes;
mod damage;
mod devices;
mod expect;
mod flash;
mod found;
mod guest;
mod host;
mod input;
mod interface;
mod ipmi;
mod lab;
mod labgrid;
mod lava;
mod linux;
mod many;
mod netboot;
mod pcie;
mod place;
mod plants;
mod policies;
mod pypi;
mod quiesce;
mod raw;
mod redfish;
mod release;
mod reports;
mod session;
mod soak;
mod stops;
mod storage;
mod stored;
mod sushy;
mod takers;
pub mod tally;
mod testdev;
mod watchdog;
mod ways;
mod witness;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::cli::TestArgs;
use crate::exit::{Exit, usage};
use crate::{build, setup, workspace};

use crate::setup::tool::Tool;
use session::Session;
use tally::Tally;

/// A test that starts this tool.
pub struct Case {
    /// Its name: what it is about, then what is special.
    pub name: String,
    /// No case takes longer.
    pub deadline: Duration,
    /// What it takes beside what all need.
    pub needs: Option<Need>,
    /// Why this host cannot run it.
    pub lacks: fn() -> Option<String>,
    /// The test.
    pub test: Box<Test>,
}

/// What a case takes.
#[derive(Clone, Copy)]
pub enum Need {
    /// The oldest QEMU, where it is newer than the one that all need.
    Qemu(u32, u32),
    /// Another program.
    Tool(Tool),
    /// A kernel of this suite of Debian.
    Linux(&'static str),
}

impl Need {
    /// Why it is not there, after an attempt to get it; `yes`: without a question.
    fn lacks(self, yes: bool) -> Option<String> {
        match self {
            Self::Qemu(major, minor) => setup::lacks_qemu((major, minor)),
            Self::Tool(tool) => setup::tool::lacks(tool, yes),
            Self::Linux(suite) => setup::linux::lacks(suite),
        }
    }
}

/// What a case does. The error says in words what differs.
type Test = dyn Fn(&Session<'_>) -> Result<(), String>;

impl Case {
    /// A case of ordinary length.
    pub fn new(name: impl Into<String>, test: impl Fn(&Session<'_>) -> Result<(), String> + 'static) -> Self {
        let deadline = Duration::from_secs(120);
        Self { name: name.into(), deadline, needs: None, lacks: || None, test: Box::new(test) }
    }
}

/// Runs the command.
pub fn run(args: &TestArgs) -> anyhow::Result<Exit> {
    let cases = cases_matching(args.filter.as_deref());
    if args.list {
        cases.iter().for_each(|case| crate::exit::say!("{}", case.name));
        return Ok(Exit::Pass);
    }
    let mut tally = Tally::default();
    all(args, &mut tally)?;
    if let Some(filter) = args.filter.as_deref().filter(|_| tally.is_empty()) {
        return Err(usage(format!("no test has `{filter}` in its name; `test --list` shows the cases on QEMU")));
    }
    crate::exit::say!("{}", tally.summary());
    Ok(if tally.is_good() { Exit::Pass } else { Exit::Fail })
}

/// Runs all tests that `args` asks for, without the last line.
pub fn all(args: &TestArgs, tally: &mut Tally) -> anyhow::Result<()> {
    if !args.qemu {
        host::run(args.filter.as_deref(), tally);
    }
    if !args.host {
        let cases = cases_matching(args.filter.as_deref());
        if !cases.is_empty() {
            setup::ensure_all(&args.install)?;
            build::images()?;
            on_qemu(&cases, args.install.yes, tally)?;
        }
    }
    Ok(())
}

/// Names of all cases on QEMU.
pub fn names() -> Vec<String> {
    cases_matching(None).into_iter().map(|case| case.name).collect()
}

fn cases_matching(filter: Option<&str>) -> Vec<Case> {
    let mut cases = cases::all();
    cases.extend(damage::all());
    cases.extend(devices::all());
    cases.extend(crashes::all());
    cases.extend(flash::all());
    cases.extend(found::all());
    cases.extend(guest::all());
    cases.extend(takers::all());
    cases.extend(plants::all());
    cases.extend(policies::all());
    cases.extend(quiesce::all());
    cases.extend(census::all());
    cases.extend(attach::all());
    cases.extend(raw::all());
    cases.extend(redfish::all());
    cases.extend(soak::all());
    cases.extend(stops::all());
    cases.extend(storage::all());
    cases.extend(input::all());
    cases.extend(interface::all());
    cases.extend(ipmi::all());
    cases.extend(lab::all());
    cases.extend(labgrid::all());
    cases.extend(lava::all());
    cases.extend(linux::all());
    cases.extend(many::all());
    cases.extend(netboot::all());
    cases.extend(pcie::all());
    cases.extend(testdev::all());
    cases.extend(watchdog::all());
    cases.extend(ways::all());
    cases.extend(completions::all());
    cases.extend(release::all());
    // Last: they read what the cases before have left.
    cases.extend(reports::all());
    cases.retain(|case| filter.is_none_or(|filter| case.name.contains(filter)));
    cases
}

fn on_qemu(cases: &[Case], yes: bool, tally: &mut Tally) -> anyhow::Result<()> {
    let folder = workspace::target().join("inflight/test");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let program = copy_of_this_tool(&folder)?;
    for case in cases {
        let name = format!("qemu {}", case.name);
        if let Some(lack) = case.needs.and_then(|need| need.lacks(yes)).or_else(case.lacks) {
            tally.skip(&name, &lack);
            continue;
        }
        let session = Session { program: &program, folder: folder.join(&case.name), deadline: case.deadline };
        tally.run(&name, || (case.test)(&session));
    }
    Ok(())
}

/// The tests start a copy: cargo may replace the program itself while they run.
fn copy_of_this_tool(folder: &Path) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find this program")?;
    let copy = folder.join("xtask");
    std::fs::copy(&this, &copy).with_context(|| format!("cannot copy {}", this.display()))?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::cases_matching;

    #[test]
    fn names_of_cases_are_folders_and_unique() {
        let cases = cases_matching(None);
        let names: BTreeSet<_> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len());
        assert!(names.iter().all(|name| name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')));
    }
}
