//! Kernels that are watched, as boots of one run each.

mod dma;
mod ends;
mod faults;
mod kernels;
mod page;
mod smmus;
mod whole;

use smmu::fake::crashed::{CDS, L2};
use smmu::spec::registers as reg;
use wire::Record;
use wire::record::Phase;
use witness::fake::Kernel;

use crate::capture::fixture::kernel::{Boot, Recorded, boot, shuts_down, ticks};
use crate::capture::fixture::phase;
use crate::report::from_log;
use crate::report::model::{Check, Outcome, Report, Run, Verdict};

/// A boot with this kernel, whose streams did all that they did before its first access.
fn watched(act: impl FnOnce(&mut Kernel), after: Phase, share: u64) -> Boot {
    let mut kernel = Kernel::new();
    kernel.witness.tell_found(&mut kernel.hw);
    act(&mut kernel);
    let end = ticks(&mut kernel);
    boot(Recorded::of(&mut kernel), [after; 2], &[(1, 0), (2, share), (end, share), (end + 10, 100)])
}

/// A released kernel: nothing is delivered after it, of either stream.
fn stock(act: impl FnOnce(&mut Kernel)) -> Boot {
    watched(act, phase(0, 25, 0), 100)
}

fn resets(kernel: &mut Kernel) {
    kernel.stock();
    kernel.attach(0x10, false);
    shuts_down(kernel);
}

/// A kernel that adopts, whose reads are watched.
fn adopting(act: impl FnOnce(&mut Kernel)) -> Boot {
    let mut boot = watched(act, phase(30, 0, 0), 100);
    boot.request.kernel.as_mut().unwrap().watch_reads = true;
    boot
}

fn judged(boot: &Boot) -> Report {
    from_log(&boot.log())
}

fn unexpected(run: &Run) -> Vec<&str> {
    run.checks.iter().filter(|check| !check.is_as_expected()).map(|check| check.id.as_str()).collect()
}

fn check<'a>(run: &'a Run, id: &str) -> &'a Check {
    run.checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("no {id}"))
}

fn verdict(run: &Run, id: &str) -> (Verdict, Verdict) {
    let check = check(run, id);
    (check.verdict, check.expected)
}

/// The one check that fails, with its reason.
fn only_failure(boot: &Boot) -> (String, String) {
    let report = judged(boot);
    let run = &report.runs[0];
    assert_eq!(run.problems, [""; 0]);
    let failed = unexpected(run);
    assert_eq!(failed.len(), 1, "{failed:?}: {:#?}", run.checks);
    assert_eq!((run.outcome, report.outcome), (Outcome::Fail, Outcome::Fail));
    let check = check(run, failed[0]);
    (check.id.clone(), check.reason.clone().unwrap_or_default())
}

/// The boot with the kernel's end changed.
fn with_end(mut boot: Boot, change: fn(&mut Record<'static>)) -> Boot {
    boot.retain(|record| {
        if matches!(record, Record::Witnessed { .. }) {
            change(record);
        }
        true
    });
    boot
}
