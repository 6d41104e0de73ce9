//! Kernels that are right, and one fault for each check that fails it alone.

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

#[test]
fn a_stock_kernel_is_as_documented() {
    let report = judged(&stock(resets));
    let run = &report.runs[0];
    assert_eq!(unexpected(run), [""; 0], "{:#?}", run.checks);
    assert_eq!(report.outcome, Outcome::Pass, "{:?}", run.problems);
    let witness = run.witness.as_ref().unwrap();
    assert_eq!((&*witness.profile, &*witness.ended), ("RESET", "off"));
    assert_eq!((witness.accesses, witness.commands, witness.table_stores), (48, 13, 3));
    assert_eq!((witness.violations.len(), witness.known.len()), (0, 1));
    assert_eq!(witness.known[0].broken.rule, "structure.l1std-leaf");
    assert_eq!(witness.left, None);
    assert_eq!(verdict(run, "linux.l1std-leaf"), (Verdict::Fail, Verdict::Fail));
    assert_eq!(verdict(run, "linux.off-behind-abort"), (Verdict::Pass, Verdict::Pass));
    assert_eq!(verdict(run, "gerror.read-before-cmdq"), (Verdict::Skip, Verdict::Skip));
    for lost in ["dma.no-blocked", "dma.delivered-after"] {
        assert_eq!(verdict(run, lost), (Verdict::Fail, Verdict::Fail), "{lost}");
    }
    assert_eq!(verdict(run, "dma.no-mis-steer"), (Verdict::Pass, Verdict::Pass));
    assert_eq!(witness.kernel.way.as_deref(), Some("devicetree"));
    assert_eq!(witness.kernel.command_line.as_deref(), Some("nr_cpus=1 reset_devices panic=1"));
}

#[test]
fn an_adopting_kernel_is_as_documented() {
    for attach in [false, true] {
        let report = judged(&adopting(|kernel| {
            kernel.adopt_v7();
            if attach {
                kernel.adopted_attach(0x10, 300);
            }
        }));
        let run = &report.runs[0];
        assert_eq!(unexpected(run), [""; 0], "{:#?}", run.checks);
        assert_eq!(report.outcome, Outcome::Pass, "{:?}", run.problems);
        let witness = run.witness.as_ref().unwrap();
        assert_eq!((&*witness.profile, witness.table_stores), ("ADOPT-v7", u64::from(attach)));
        assert_eq!(verdict(run, "adopt.l1-validated"), (Verdict::Pass, Verdict::Pass));
        assert_eq!(verdict(run, "gerror.read-before-cmdq"), (Verdict::Pass, Verdict::Pass));
        let reused = if attach { Verdict::Pass } else { Verdict::Skip };
        assert_eq!(verdict(run, "asid.not-reused"), (reused, reused));
    }
}

#[test]
fn each_fault_fails_its_own_check_alone() {
    type Fault = fn(&mut Kernel);
    let faults: [(&str, &str, Fault); 8] = [
        ("protocol.no-violation", "adopt.output-queues", |kernel| {
            kernel.adopt_looks();
            kernel.reads_level1(256);
            kernel.read(reg::CR0);
            kernel.write(reg::EVENTQ_CONS, 0);
            kernel.acked(reg::CR0, 1);
            kernel.reads(&[reg::GERROR, reg::GERRORN]);
            kernel.adopt_ends();
        }),
        ("witness.profile-followed", "IRQ_CTRL written 0x5", |kernel| {
            kernel.adopt_looks();
            kernel.reads_level1(256);
            kernel.read(reg::CR0);
            kernel.acked(reg::CR0, 1);
            kernel.reads(&[reg::GERROR, reg::GERRORN]);
            kernel.queue();
            kernel.acked(reg::CR0, 9);
            kernel.invalidate();
            kernel.interrupts(5);
            kernel.acked(reg::CR0, 9);
        }),
        ("adopt.l1-validated", "255 level-1 descriptors of 256", |kernel| {
            kernel.adopt_looks();
            kernel.reads_level1(255);
            kernel.adopt_acts();
        }),
        ("adopt.table-unchanged-until-attach", "STE at", |kernel| {
            kernel.adopt_looks();
            kernel.reads_level1(256);
            kernel.store(L2.0 + 0x18 * 64, 1);
            kernel.adopt_acts();
        }),
        ("adopt.table-unchanged-until-attach", "CD at", |kernel| {
            kernel.adopt_v7();
            // The crashed kernel's own CD, long after the takeover.
            kernel.store(CDS.0 + 128, 0);
        }),
        ("linux.rmr-bypass-in-live-table", "becomes a bypass", |kernel| {
            kernel.adopt_looks();
            kernel.reads_level1(256);
            let ste = L2.0 + 0x18 * 64;
            (0..8).for_each(|word| kernel.store(ste + word * 8, 0));
            kernel.store(ste, 9);
            kernel.adopt_acts();
        }),
        ("gerror.read-before-cmdq", "not both read", |kernel| {
            kernel.adopt_looks();
            kernel.reads_level1(256);
            kernel.read(reg::CR0);
            kernel.acked(reg::CR0, 1);
            kernel.adopt_ends();
        }),
        ("asid.not-reused", "has ASID 3, as the adopted one", |kernel| {
            kernel.adopt_v7();
            kernel.adopted_attach(0x10, 3);
        }),
    ];
    for (id, words, fault) in faults {
        let (failed, reason) = only_failure(&adopting(fault));
        assert_eq!(failed, id, "{reason}");
        assert!(reason.contains(words), "{id}: {reason}");
        assert!(reason.contains("log entry ") && reason.contains("PC 0xffff8000806000"), "{id}: {reason}");
    }
}

#[test]
fn a_live_ste_that_is_not_invalidated_is_not_hitless() {
    let (failed, reason) = only_failure(&stock(|kernel| {
        kernel.stock();
        kernel.attach(0x10, true);
    }));
    assert_eq!(failed, "ste.hitless-order");
    assert!(reason.starts_with("structure.no-cfgi"), "{reason}");
}

#[test]
fn a_stale_translation_is_told_by_what_lands() {
    // A fresh ASID, and still the second half of all that was delivered came after the attach.
    let mut boot = watched(
        |kernel| {
            kernel.adopt_v7();
            kernel.adopted_attach(0x10, 300);
        },
        phase(30, 0, 0),
        50,
    );
    let (failed, reason) = only_failure(&boot);
    assert_eq!(failed, "asid.not-reused");
    assert!(reason.starts_with("0000:00:02.0: 15 landed in the crashed kernel's window"), "{reason}");
    // The other stream was not attached: its DMA goes on, rightly.
    boot.retain(|record| !matches!(record, Record::Sample { bdf, .. } if *bdf == "0000:00:02.0"));
    // Identifiers are known, so that sets say what no sample does.
    assert_eq!(unexpected(&judged(&boot).runs[0]), [""; 0]);
}

/// The boot with the phases of the first stream changed.
fn with_phases(mut boot: Boot, change: fn(&mut [Phase; 3])) -> Boot {
    boot.retain(|record| {
        if let Record::Stream { bdf: "0000:00:02.0", phases, .. } = record {
            change(phases);
        }
        true
    });
    boot
}

#[test]
fn dma_that_fares_otherwise_fails_its_check_alone() {
    let adopt = || adopting(Kernel::adopt_v7);
    let cases: [(&str, Boot); 6] = [
        ("dma.no-blocked", with_phases(adopt(), |phases| phases[1] = phase(20, 3, 0))),
        ("dma.no-mis-steer", with_phases(adopt(), |phases| phases[2] = phase(30, 0, 2))),
        ("dma.delivered-before", with_phases(adopt(), |phases| phases[0] = phase(0, 0, 0))),
        ("dma.live-after", with_phases(adopt(), |phases| phases[2] = phase(0, 0, 0))),
        ("reset.blocks-dma", with_phases(stock(resets), |phases| phases[2] = phase(4, 25, 0))),
        ("dma.no-mis-steer", with_phases(stock(resets), |phases| phases[2] = phase(0, 25, 1))),
    ];
    for (id, boot) in cases {
        let (failed, reason) = only_failure(&boot);
        assert_eq!(failed, id, "{reason}");
        assert!(reason.starts_with("0000:00:02.0: "), "{id}: {reason}");
    }
    // A device that the kernel's driver has taken is silent, rightly; with all of them nothing is left to see.
    let mut taken = with_phases(adopt(), |phases| phases[2] = phase(0, 0, 0));
    let stopped = wire::record::Stopped {
        means: "the kernel's own driver",
        told: 5,
        done: 5,
        last_dma: None,
        landed: None,
        attempted: None,
    };
    let at = taken.records.iter().position(|record| matches!(record, Record::Register { .. })).unwrap();
    let requester = Record::Requester {
        run: 0,
        cycle: 0,
        bdf: "0000:00:02.0",
        requester: "0000:00:02.0",
        bus_master: true,
        answers: true,
        first_dma: None,
        last_dma: None,
        first_attempt: None,
        last_attempt: None,
        stopped: Some(stopped),
    };
    taken.records.insert(at, requester);
    assert_eq!(unexpected(&judged(&taken).runs[0]), [""; 0]);
    // All of it refused: not what an adoption promises.
    let refused = with_phases(adopt(), |phases| phases[2] = phase(0, 25, 0));
    assert_eq!(unexpected(&judged(&refused).runs[0]), ["dma.no-blocked", "dma.delivered-after"]);
    // A released kernel's bypass for the RMR stream is documented, its absence too.
    let mut rmr = stock(resets);
    rmr.retain(|record| {
        if let Record::Stream { rmr: true, phases, .. } = record {
            phases[2] = phase(10, 0, 10);
        }
        true
    });
    assert_eq!(unexpected(&judged(&rmr).runs[0]), [""; 0]);
}

#[test]
fn what_nobody_attempted_was_not_refused() {
    let mut quiet = stock(resets);
    quiet.retain(|record| {
        if let Record::Stream { phases, .. } = record {
            phases[2] = phase(0, 0, 0);
        }
        true
    });
    let report = judged(&quiet);
    assert_eq!(unexpected(&report.runs[0]), ["dma.live-after", "dma.no-blocked"]);
    for id in ["reset.blocks-dma", "dma.delivered-after"] {
        assert_eq!(verdict(&report.runs[0], id), (Verdict::Skip, Verdict::Skip), "{id}");
    }
}

#[test]
fn what_goes_astray_when_the_smmu_is_off_is_told_apart() {
    let ends = |act: fn(&mut Kernel)| {
        // Half of it before the kernel's end, half after the SMMU was turned off.
        let mut boot = watched(
            |kernel| {
                act(kernel);
                shuts_down(kernel);
            },
            phase(30, 0, 8),
            0,
        );
        boot.request.kernel.as_mut().unwrap().watch_reads = true;
        // All was delivered before.
        boot.retain(|record| {
            if let Record::Sample { delivered, ticks: 2.., .. } = record {
                *delivered = 60;
            }
            true
        });
        judged(&boot)
    };
    let report = ends(Kernel::adopt_v7);
    let run = &report.runs[0];
    // Linux leaves GBPA alone: documented, and told.
    assert_eq!(unexpected(run), [""; 0], "{:#?}", run.checks);
    for id in ["linux.off-behind-abort", "dma.no-mis-steer-when-off"] {
        assert_eq!(verdict(run, id), (Verdict::Fail, Verdict::Fail), "{id}");
    }
    assert_eq!(run.witness.as_ref().unwrap().known.len(), 1);
    // Behind a reset, ABORT is set.
    let report = ends(Kernel::stock);
    assert_eq!(verdict(&report.runs[0], "dma.no-mis-steer-when-off"), (Verdict::Fail, Verdict::Pass));
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

#[test]
fn a_kernel_ends_in_one_of_the_known_ways() {
    let to = |number: u8| {
        move |boot: Boot| {
            let mut boot = boot;
            boot.retain(|record| {
                if let Record::Witnessed { ended, .. } = record {
                    *ended = number;
                }
                true
            });
            boot
        }
    };
    let ended = |boot: &Boot| judged(boot).runs[0].witness.clone().unwrap().ended.into_owned();
    let reset = to(1)(stock(resets));
    assert_eq!((ended(&reset), unexpected(&judged(&reset).runs[0]).len()), ("reset".into(), 0));
    let mut panic = to(1)(stock(resets));
    panic.console = "Kernel panic - not syncing: Attempted to kill init!";
    assert_eq!(ended(&panic), "panic");
    let (failed, reason) = only_failure(&panic);
    assert_eq!(failed, "kdump.survived");
    assert!(
        reason.contains(
            "Attempted to kill init!, last seen at PC 0xffff800080600004; its last access: read32 of CR0ACK, 0x0"
        ),
        "{reason}"
    );
    // An `off` after such words is not what it seems either: the words are another boot's, or a test's.
    let stopped = with_end(to(2)(stock(resets)), |record| {
        if let Record::Witnessed { reason, .. } = record {
            *reason = "an access that nobody can carry out";
        }
    });
    assert_eq!(ended(&stopped), "stopped");
    let (failed, reason) = only_failure(&stopped);
    assert!(failed == "kdump.survived" && reason.contains("nobody can carry out"), "{reason}");
}

#[test]
fn that_a_kernel_survived_is_said_by_the_image_or_by_nobody() {
    let mut silent = stock(resets);
    silent.retain(|record| match record {
        Record::Check { id: "kdump.survived", .. } => false,
        Record::Cycle { checks, .. } => {
            *checks = 0;
            true
        }
        _ => true,
    });
    let report = judged(&silent);
    assert_eq!(verdict(&report.runs[0], "kdump.survived"), (Verdict::NotCovered, Verdict::Pass));
    assert_eq!(report.outcome, Outcome::Fail);
}

#[test]
fn a_kernel_that_hangs_is_lost_with_its_last_sign_of_life() {
    let mut boot = stock(resets);
    let at = boot.records.iter().position(|record| matches!(record, Record::Witnessed { .. })).unwrap();
    boot.records.truncate(at);
    let mut log = boot.log();
    log.extend(crate::capture::HostLine::Lost("no record for 60 s".into()).write().bytes());
    let report = from_log(&log);
    assert_eq!(report.outcome, Outcome::Lost);
    let lost = report.lost.unwrap().reason;
    assert!(lost.contains("no record for 60 s") && lost.contains("was not heard of again after"), "{lost}");
    assert!(lost.contains("last seen at PC 0xffff800080600000; its last access: read32 of CR0ACK"), "{lost}");
    let witness = report.runs[0].witness.as_ref().unwrap();
    // Registers are told at the end: without them nobody can judge.
    assert_eq!((&*witness.ended, &*witness.profile), ("hang", "none"));
    let failed = report.runs[0].checks.iter().filter(|check| check.verdict == Verdict::Fail);
    assert_eq!(failed.map(|check| &*check.id).collect::<Vec<_>>(), ["kdump.survived"]);
}

#[test]
fn nothing_passes_because_nothing_was_seen() {
    let none = watched(|_| {}, phase(30, 0, 0), 100);
    let report = judged(&none);
    let run = &report.runs[0];
    assert_eq!(run.witness.as_ref().unwrap().profile, "none");
    assert_eq!(verdict(run, "witness.saw-accesses"), (Verdict::Fail, Verdict::Pass));
    for id in ["witness.profile-followed", "protocol.no-violation"] {
        assert_eq!(verdict(run, id).0, Verdict::NotCovered, "{id}");
    }
    assert_eq!(report.outcome, Outcome::Fail);
    // A log that is not whole says nothing good.
    let partial = |change: fn(&mut Record<'static>)| {
        let boot = with_end(adopting(Kernel::adopt_v7), change);
        judged(&boot).runs.swap_remove(0)
    };
    let run = partial(|record| {
        if let Record::Witnessed { overflowed, .. } = record {
            *overflowed = true;
        }
    });
    for id in ["protocol.no-violation", "witness.profile-followed", "adopt.table-unchanged-until-attach"] {
        assert_eq!(verdict(&run, id), (Verdict::NotCovered, Verdict::Pass), "{id}");
    }
    let run = partial(|record| {
        if let Record::Witnessed { partial, .. } = record {
            *partial = true;
        }
    });
    assert_eq!(verdict(&run, "adopt.table-unchanged-until-attach").0, Verdict::NotCovered);
    assert_eq!(verdict(&run, "protocol.no-violation").0, Verdict::Pass);
    // Without reads or samples nobody can say which identifiers are used again.
    let mut unseen = watched(
        |kernel| {
            kernel.adopt_v7();
            kernel.adopted_attach(0x10, 300);
        },
        phase(30, 0, 0),
        100,
    );
    // Without what the witness begins with: the kernel's own first access is to IDR0.
    let begun = unseen.records.iter().find_map(|record| match record {
        Record::Access { index, name: "IDR0", .. } => Some(*index),
        _ => None,
    });
    let begun = begun.unwrap();
    unseen.retain(|record| match record {
        Record::Access { index, .. } | Record::Foreign { index, .. } => {
            let is_own = *index >= begun;
            *index = index.saturating_sub(begun);
            is_own
        }
        Record::Sample { .. } => false,
        _ => true,
    });
    let run = judged(&unseen).runs.swap_remove(0);
    assert_eq!(verdict(&run, "asid.not-reused"), (Verdict::NotCovered, Verdict::Pass));
}

#[test]
fn damaged_lines_and_unknown_makers_leave_nothing_covered() {
    let mut boot = adopting(Kernel::adopt_v7);
    let at = boot.records.iter().position(|record| matches!(record, Record::Foreign { index: 9, .. })).unwrap();
    let told = boot.records.remove(at);
    let run = judged(&boot).runs.swap_remove(0);
    let check = check(&run, "protocol.no-violation");
    assert_eq!((check.verdict, check.reason.as_deref()), (Verdict::NotCovered, Some("nobody told who made access 9")));
    boot.records.insert(at, told);
    // A line that is torn on its way.
    let mut log = boot.log();
    let torn = log.len() / 2;
    log[torn] ^= 1;
    let report = from_log(&log);
    assert_eq!(report.outcome, Outcome::Lost);
    assert_eq!(verdict(&report.runs[0], "protocol.no-violation").0, Verdict::NotCovered);
}

#[test]
fn a_smmu_that_was_left_alone_is_told() {
    let mut boot = adopting(Kernel::adopt_v7);
    let others: Vec<Record<'static>> = boot
        .records
        .iter()
        .copied()
        .filter_map(|record| match record {
            Record::Register { run, cycle, name, before, after, .. } => {
                Some(Record::Register { run, cycle, smmu: 1, name, before, after })
            }
            _ => None,
        })
        .collect();
    let at = boot.records.iter().rposition(|record| matches!(record, Record::Register { .. })).unwrap();
    boot.records.splice(at + 1..at + 1, others);
    let (failed, reason) = only_failure(&boot);
    assert_eq!((&*failed, &*reason), ("witness.saw-accesses", "the kernel left SMMU 1 enabled and never touched it"));
}

#[test]
fn instructions_have_names_where_the_map_fits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("System.map");
    // Linked at 0xffff_8000_8000_0000, and moved by 0x10_0000.
    let map = "ffff800080000000 T _text\nffff8000800123c0 T other\nffff80007feb2340 T __arm_smccc_smc\n\
               ffff80007feb2380 T next\nffff8000804ffff0 t arm_smmu_device_reset\nffff800080501000 T behind\n";
    std::fs::write(&path, map).unwrap();
    let mut boot = stock(resets);
    boot.request.kernel.as_mut().unwrap().system_map = Some(path.clone());
    let report = judged(&boot);
    let run = &report.runs[0];
    let witness = run.witness.as_ref().unwrap();
    assert_eq!(witness.symbols.as_deref(), Some("the kernel ran 0x100000 above where it was linked"));
    assert_eq!(witness.known[0].symbol.as_deref(), Some("arm_smmu_device_reset+0x14"));
    assert!(check(run, "linux.l1std-leaf").reason.as_ref().unwrap().contains("(arm_smmu_device_reset+0x14)"));
    let symbols = run.access_log.iter().filter_map(|access| access.foreign.as_ref()?.symbol.as_deref());
    assert!(symbols.filter(|symbol| symbol.starts_with("arm_smmu_device_reset+")).count() > 40);
    // The same by the command line, for a log that does not say it.
    let mut untold = stock(resets);
    untold.request.kernel.as_mut().unwrap().system_map = None;
    let log = crate::report::named(untold.log(), Some(&path)).unwrap();
    assert_eq!(from_log(&log).runs[0].witness.as_ref().unwrap().symbols, witness.symbols);
    let own = crate::capture::fixture::log(None, &crate::capture::fixture::two_runs());
    assert!(crate::report::named(own, Some(&path)).unwrap_err().to_string().contains("the log is of no kernel"));
    // Another kernel's map is told in one line, and names nothing.
    std::fs::write(&path, map.replace("7feb2340", "7feb2300").replace("7feb2380", "7feb2340")).unwrap();
    let report = judged(&boot);
    let witness = report.runs[0].witness.as_ref().unwrap();
    let told = witness.symbols.as_deref().unwrap();
    assert!(told.starts_with("the System.map does not fit: ") && !told.contains('\n'), "{told}");
    assert_eq!((witness.known[0].symbol.as_ref(), report.outcome), (None, Outcome::Pass));
}

#[test]
fn the_report_has_the_contracts_keys_and_what_is_known_of_each_access() {
    let json = serde_json::to_value(judged(&stock(resets))).unwrap();
    let witness = json["runs"][0]["witness"].as_object().unwrap();
    for key in ["kernel", "profile", "accesses", "commands", "table_stores", "violations", "ended"] {
        assert!(!witness[key].is_null(), "{key}");
    }
    assert_eq!(witness["kernel"]["sha256"], "cd".repeat(32));
    assert_eq!(witness["cost"]["visits"], 17);
    let log = json["runs"][0]["access_log"].as_array().unwrap();
    let store = log.iter().find(|access| access["foreign"]["how"] == "trapped" && access["kind"] == "store").unwrap();
    assert_eq!((&store["name"], &store["foreign"]["old"]), (&"L1STD".into(), &"0x0".into()));
    assert_eq!((&store["foreign"]["pc"], &store["foreign"]["cost"]), (&"0xffff80008060000c".into(), &3.into()));
}

#[test]
fn the_page_tells_what_the_kernel_did_and_what_nobody_saw() {
    let report = judged(&stock(resets));
    let page = crate::report::html::render(&report).unwrap();
    for words in [
        "It followed <b>RESET</b>",
        "ended by <b>off</b>",
        "What a witness cannot see",
        "nr_cpus=1 reset_devices panic=1",
        "every Linux up to 7.3 does so",
        "until its takeover was complete (63 entries)",
    ] {
        assert!(page.contains(words), "no `{words}`");
    }
    // A takeover of our own has its steps, and nothing of a kernel.
    let own = from_log(&crate::capture::fixture::log(None, &crate::capture::fixture::two_runs()));
    let page = crate::report::html::render(&own).unwrap();
    assert!(page.contains("Access log of the takeover") && !page.contains("What a witness cannot see"));
}

#[test]
fn every_check_has_its_name_among_those_of_the_boards() {
    let report = judged(&stock(resets));
    for check in &report.runs[0].checks {
        assert!(board::checks().any(|known| known == check.id), "{}", check.id);
    }
    for name in board::WITNESS_CHECKS {
        check(&report.runs[0], name);
    }
}

#[test]
fn debians_kernel_as_it_was_recorded_resets_and_breaks_no_rule() {
    let recorded = || Recorded::read(include_str!("recorded/debian-7.3.4.txt"));
    let report = judged(&boot(recorded(), [phase(0, 25, 0); 2], &[(1, 0), (2, 100), (3, 100)]));
    let run = &report.runs[0];
    assert_eq!(unexpected(run), [""; 0], "{:#?}", run.checks);
    assert_eq!(report.outcome, Outcome::Pass);
    let witness = run.witness.as_ref().unwrap();
    assert_eq!((&*witness.profile, &witness.left, witness.fallback), ("RESET", &None, false));
    assert_eq!((witness.accesses, witness.commands, witness.table_stores), (75, 40, 9));
    assert_eq!((witness.violations.len(), witness.known.len()), (0, 1));
    assert_eq!(witness.taken_over, Some(46));
    assert_eq!(verdict(run, "linux.l1std-leaf"), (Verdict::Fail, Verdict::Fail));
    assert_eq!(verdict(run, "ste.hitless-order"), (Verdict::Pass, Verdict::Pass));
    // One value of it changed, and it is told; the rest of the log is as it was.
    let mut other = boot(recorded(), [phase(0, 25, 0); 2], &[(1, 0), (2, 100), (3, 100)]);
    other.retain(|record| {
        if let Record::Access { name: "CR2", value, .. } = record {
            *value = 4;
        }
        true
    });
    let (failed, reason) = only_failure(&other);
    assert!(
        failed == "witness.profile-followed" && reason.contains("CR2 written 0x4; expected: CR2 written 0x6"),
        "{reason}"
    );
}

#[test]
fn damage_that_must_be_refused_and_is_adopted_is_told() {
    let of = |mut boot: Boot, name: &'static str| {
        boot.request.scenarios = vec![name.into()];
        boot.retain(|record| {
            if let Record::RunBegin { scenario, .. } = record {
                *scenario = name;
            }
            true
        });
        boot
    };
    let (failed, reason) = only_failure(&of(adopting(Kernel::adopt_v7), "witness+l1-span-8"));
    assert_eq!((&*failed, &*reason), ("damage.rule-fired", "l1-span-8 is adopted all the same, as ADOPT v7"));
    // What only revision 10 refuses is none of revision 7's faults; a reset meets no table at all.
    let skipped = |boot, name| verdict(&judged(&of(boot, name)).runs[0], "damage.rule-fired");
    assert_eq!(skipped(adopting(Kernel::adopt_v7), "witness+l2-null"), (Verdict::Skip, Verdict::Skip));
    assert_eq!(skipped(stock(resets), "witness+l1-span-8@panic"), (Verdict::Skip, Verdict::Skip));
}
