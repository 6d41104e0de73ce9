use serde_json::{Value, json};
use witness::fake::Kernel;

use super::*;
use crate::capture::fixture::kernel::{Recorded, boot};
use crate::capture::fixture::*;
use crate::report::from_log;
use crate::report::model::{Blackout, Hex, MadeBy, Verdict};

fn report() -> Report {
    from_log(&log(Some(&request()), &two_runs()))
}

/// The second report is changed.
fn changed(change: impl FnOnce(&mut Report)) -> Diff {
    let (before, mut after) = (report(), report());
    change(&mut after);
    of(("A", &before), ("B", &after))
}

fn failing(report: &mut Report) {
    let check = &mut report.runs[0].checks[0];
    (check.verdict, check.reason) = (Verdict::Fail, Some("SMMUEN was cleared".into()));
    report.runs[0].outcome = Outcome::Fail;
}

fn names(list: &[Verdicts]) -> Vec<String> {
    list.iter().map(|it| format!("{} {}", it.scenario, it.check)).collect()
}

#[test]
fn equal_reports_do_not_differ() {
    let diff = changed(|_| {});
    assert!(text::of(&diff).ends_with("Nothing differs beyond noise.\n"), "{}", text::of(&diff));
}

#[test]
fn a_new_failure_comes_first_and_the_other_way_round_it_is_fixed() {
    let diff = changed(|after| {
        failing(after);
        after.platform.smmus.clear();
        after.board = "another".into();
    });
    assert_eq!(names(&diff.new_failures), ["adopt adopt.smmuen-kept"]);
    let text = text::of(&diff);
    let at = |word: &str| text.find(word).unwrap_or_else(|| panic!("no {word} in {text}"));
    assert!(at("New failures (1)") < at("Machine and images"), "{text}");
    assert!(text.contains("adopt adopt.smmuen-kept: pass -> fail, expected pass: SMMUEN was cleared"), "{text}");
    let mut worse = report();
    failing(&mut worse);
    let diff = of(("A", &worse), ("B", &report()));
    assert_eq!((names(&diff.fixed), diff.new_failures.len()), (vec!["adopt adopt.smmuen-kept".to_owned()], 0));
    // It failed before: no new failure.
    assert!(of(("A", &worse), ("B", &worse)).new_failures.is_empty());
}

#[test]
fn what_no_check_says_is_a_new_failure_too() {
    let lost = |after: &mut Report| {
        after.lost = Some(crate::report::model::Lost { reason: "silence".into(), last_seen: "nothing".into() });
    };
    assert_eq!(names(&changed(lost).new_failures), ["boot whole-log"]);
    let cycles = changed(|after| after.runs[1].outcome = Outcome::Fail);
    assert_eq!(names(&cycles.new_failures), ["reset run.outcome"]);
    // A scenario that only the second has brings its failures along.
    let mut before = report();
    before.runs.remove(0);
    let mut after = report();
    failing(&mut after);
    let diff = of(("A", &before), ("B", &after));
    assert_eq!(
        (names(&diff.new_failures), diff.added),
        (vec!["adopt adopt.smmuen-kept".into()], vec!["adopt".to_owned()])
    );
    let diff = of(("A", &after), ("B", &before));
    assert_eq!((diff.gone, diff.new_failures.len()), (vec!["adopt".to_owned()], 0));
}

#[test]
fn a_waived_deviation_is_no_failure() {
    let diff = changed(|after| {
        failing(after);
        let waived =
            crate::report::model::Waived { reason: "known".into(), expires: Some("2027-01-31".into()), link: None };
        after.runs[0].checks[0].waived = Some(waived);
        after.runs[0].outcome = Outcome::Pass;
    });
    assert!(diff.new_failures.is_empty());
    assert_eq!(names(&diff.changed), ["adopt adopt.smmuen-kept"]);
}

#[test]
fn figures_are_told_only_beyond_their_noise() {
    let figures = |change: &dyn Fn(&mut Report)| {
        changed(|after| change(after)).figures.into_iter().map(|it| it.what).collect::<Vec<_>>()
    };
    let gap = |ticks| figures(&|after: &mut Report| after.runs[0].streams[0].gap_ticks = Some(ticks));
    assert!(gap(3000).is_empty() && !gap(6001).is_empty(), "1500 before");
    let never = figures(&|after: &mut Report| after.runs[0].streams[0].gap_ticks = None);
    assert_eq!(never, ["adopt 0000:00:02.0 hda: gap"]);
    let astray = figures(&|after: &mut Report| after.runs[0].streams[1].phases.after.mis_steered = 1);
    assert_eq!(astray, ["adopt 0000:00:03.0 hda: mis-steered since the crash"]);
    let stopped = figures(&|after: &mut Report| after.runs[0].streams[1].phases.after.delivered = 0);
    assert_eq!(stopped, ["adopt 0000:00:03.0 hda: delivered after the takeover"]);
    // Half as many are no news.
    assert!(figures(&|after: &mut Report| after.runs[0].streams[1].phases.after.delivered /= 2).is_empty());
}

#[test]
fn blackouts_differ_by_their_standard_error() {
    let of_mean = |mean_us, deviation_us| Blackout { cycles: 100, mean_us, deviation_us, p99_us: 0, max_us: 0 };
    let differs = |deviation, mean| {
        let (mut before, mut after) = (report(), report());
        before.runs[0].blackout = Some(of_mean(100.0, deviation));
        after.runs[0].blackout = Some(of_mean(mean, deviation));
        !of(("A", &before), ("B", &after)).figures.is_empty()
    };
    // Standard error of the difference: deviation times the root of 2 / 100.
    assert!(differs(10.0, 110.0) && !differs(30.0, 110.0) && !differs(10.0, 104.0));
}

#[test]
fn machine_firmware_tables_and_images_are_compared() {
    let diff = changed(|after| {
        after.platform.iort.as_mut().unwrap().sha256 = "cd".repeat(32);
        after.platform.endpoints[0].stream_id = Some(17);
        after.platform.findings.clear();
        after.images[0].version = "0.2.0".into();
        after.platform.firmware = Some(MadeBy { vendor: "EDK II".into(), revision: Hex(0x1_0000) });
        after.platform.rmrs.push(crate::report::model::Rmr {
            base: Hex(0x8000_0000),
            bytes: 65536,
            smmu: Some(0),
            stream_id: 24,
            flags: Hex(0),
        });
    });
    let told: Vec<&str> = diff.machine.iter().map(|it| &*it.what).collect();
    let wanted = [
        "firmware's own word",
        "IORT",
        "function 0000:00:02.0",
        "reserved range of StreamID 0x18",
        "finding IORT iort.node-unknown",
        "image primary",
    ];
    assert_eq!(told, wanted);
    assert_eq!((&*diff.machine[4].after, &*diff.machine[3].before), ("none", "none"));
    assert_eq!(diff.machine[0].after, "EDK II, revision 0x10000");
}

#[test]
fn the_differences_are_json_too() {
    let diff = changed(failing);
    let json: Value = serde_json::to_value(&diff).unwrap();
    let wanted = json!([{
        "scenario": "adopt", "check": "adopt.smmuen-kept", "before": "pass", "after": "fail, expected pass",
        "reason": "SMMUEN was cleared"
    }]);
    assert_eq!(json["new_failures"], wanted);
}

/// Two boots, each with a kernel.
fn kernels(acts: [fn(&mut Kernel); 2], change: impl FnOnce(&mut Report)) -> Diff {
    let [before, mut after] = acts.map(|act| {
        let mut kernel = Kernel::new();
        act(&mut kernel);
        from_log(&boot(Recorded::of(&mut kernel), [phase(0, 5, 0), phase(7, 0, 0)], &[]).log())
    });
    change(&mut after);
    of(("A", &before), ("B", &after))
}

fn told(diff: &Diff) -> Vec<(&str, &str, &str)> {
    diff.kernels.iter().map(|it| (&*it.what, &*it.before, &*it.after)).collect()
}

#[test]
fn the_same_kernel_does_not_differ_by_what_an_allocation_decides() {
    let moved = |after: &mut Report| {
        let run = &mut after.runs[0];
        for access in &mut run.access_log {
            access.ticks += 1000;
            if access.name == "STRTAB_BASE" || access.name == "CMDQ_BASE" {
                access.value.0 += 0x20_0000;
            }
            if ["STE", "CD", "CMD", "L1STD"].contains(&&*access.name) {
                access.address.0 += 0x20_0000;
            }
            if access.name == "GBPA" && access.kind == "read32" {
                access.count = 7;
            }
        }
    };
    fn both(kernel: &mut Kernel) {
        kernel.stock();
        kernel.attach(0x10, false);
    }
    fn told(kernel: &mut Kernel) {
        kernel.witness.tell_found(&mut kernel.hw);
        both(kernel);
    }
    let diff = kernels([told, both], moved);
    assert_eq!(self::told(&diff), []);
    assert!(text::of(&diff).contains("Nothing differs"), "{}", text::of(&diff));
}

#[test]
fn two_kernels_part_at_their_first_other_access() {
    let diff = kernels([Kernel::stock, Kernel::adopt_v7], |after| {
        after.runs[0].streams[0].phases.after.delivered = 3;
    });
    let told = told(&diff);
    assert_eq!(told[0], ("witness profile", "RESET", "ADOPT-v7"));
    assert_eq!(told[1].0, "witness first access that differs");
    assert!(
        told[1].1.starts_with("entry 6, read32 of GBPA, ") && told[1].2.starts_with("entry 6, read32 of GERROR, "),
        "{told:?}"
    );
    assert!(told[1].1.contains(" at 0xffff8000806000"), "{told:?}");
    let fared = [
        ("witness 0000:00:02.0 hda after the takeover", "blocked", "delivered and blocked"),
        ("witness 0000:00:03.0 hda after the takeover", "delivered", "delivered"),
    ];
    assert_eq!(told[2..], fared);
    assert!(text::of(&diff).contains("\nKernels (4):\n"), "{}", text::of(&diff));
}

#[test]
fn of_kernels_with_several_cpus_the_first_other_access_says_which_made_it() {
    let diff = kernels([Kernel::stock, Kernel::adopt_v7], |after| after.runs[0].witness.as_mut().unwrap().cpus = 2);
    let told = told(&diff);
    assert_eq!(told[0], ("witness CPUs", "1", "2"));
    let parting = told.iter().find(|it| it.0.ends_with("first access that differs")).unwrap();
    assert!(parting.1.ends_with(" on CPU 0x0") && parting.2.ends_with(" on CPU 0x0"), "{parting:?}");
}

#[test]
fn a_kernel_that_stops_earlier_parts_there_and_values_count() {
    let diff = kernels([Kernel::stock, Kernel::reset_begins], |_| {});
    let parting = diff.kernels.iter().find(|it| it.what.ends_with("first access that differs")).unwrap();
    assert!(parting.before.contains("write64 of STRTAB_BASE") && parting.after == "nothing more", "{parting:?}");
    fn other_value(kernel: &mut Kernel) {
        kernel.probe();
        kernel.read(smmu::spec::registers::GBPA);
        kernel.write(smmu::spec::registers::GBPA, 0x8000_1000);
    }
    let diff = kernels([Kernel::stock, other_value], |_| {});
    let parting = diff.kernels.iter().find(|it| it.what.ends_with("first access that differs")).unwrap();
    assert!(parting.before.contains("0x80101000") && parting.after.contains("0x80001000"), "{parting:?}");
}
