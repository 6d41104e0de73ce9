//! One fault for each check that fails it alone.

use super::*;

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
