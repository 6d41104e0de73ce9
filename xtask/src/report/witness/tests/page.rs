//! What a reader gets to see: names, keys, the page.

use super::*;

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
fn where_several_cpus_ran_each_access_says_which() {
    let page = |boot: &Boot| crate::report::html::render(&judged(boot)).unwrap();
    assert!(
        !page(&stock(resets)).contains("<th>CPU</th>")
            && !page(&stock(resets)).contains("CPUs: accesses stand in the order")
    );
    let boot = stock(|kernel| {
        kernel.stock();
        kernel.witness.running_on(0x101);
        kernel.attach(0x10, false);
        shuts_down(kernel);
    });
    let boot = with_end(boot, |record| {
        if let Record::Witnessed { cpu, .. } = record {
            *cpu = 0x101;
        }
    });
    let report = judged(&boot);
    let witness = report.runs[0].witness.as_ref().unwrap();
    assert_eq!((witness.cpus, witness.last.as_ref().unwrap().cpu.map(|cpu| cpu.0)), (2, Some(0x101)));
    let cpus = report.runs[0].access_log.iter().filter_map(|access| access.foreign.as_ref()?.cpu);
    let changes: Vec<u64> = cpus.map(|cpu| cpu.0).collect();
    assert!(changes.is_sorted() && changes.first() == Some(&0) && changes.last() == Some(&0x101), "{changes:?}");
    let page = page(&boot);
    for words in [
        "<th>CPU</th>",
        "<td class=\"code\">0x101</td>",
        "It ran on 2 CPUs: accesses stand in the order",
        "on CPU 0x101",
    ] {
        assert!(page.contains(words), "no `{words}`");
    }
}

#[test]
fn a_kernel_without_an_end_has_names_once_it_has_called_firmware() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("System.map");
    let map = "ffff800080000000 T _text\nffff80007feb2340 T __arm_smccc_smc\nffff80007feb2380 T next\n\
               ffff8000804ffff0 t arm_smmu_device_reset\nffff800080501000 T behind\n";
    std::fs::write(&path, map).unwrap();
    let mut boot = stock(resets);
    boot.request.kernel.as_mut().unwrap().system_map = Some(path);
    let at = boot.records.iter().position(|record| matches!(record, Record::Witnessed { .. })).unwrap();
    boot.records.truncate(at);
    let report = judged(&boot);
    let last = report.runs[0].witness.as_ref().unwrap().last.clone().unwrap();
    assert!(last.symbol.as_deref().is_some_and(|symbol| symbol.starts_with("arm_smmu_device_reset+")), "{last:?}");
}
