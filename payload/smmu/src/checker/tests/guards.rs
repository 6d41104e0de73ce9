//! Registers: what may be written when.

use super::*;

/// Switches off what an enabled SMMU has on, the queues last.
const OFF: &str = "R GBPA 0x1000; W GBPA 0x80101000; R GBPA 0x101000; W CR0 0; R CR0ACK 0";

/// A register that is guarded by CR0.
fn by_cr0(rule: &'static str, write: &str) -> Pair {
    // Off and acknowledged; off and not acknowledged.
    pair(
        rule,
        enabled(),
        "R GBPA 0x1000; W GBPA 0x80101000; R GBPA 0x101000; W CR0 0",
        "R CR0ACK 0",
        "R CR0ACK 0xd",
        write,
    )
}

fn with_pri(found: Found) -> Found {
    Found { idr0: found.idr0 | 1 << 16, idr1: found.idr1 | 8 << 11, ..found }
}

fn by_irq(rule: &'static str, write: &str) -> Pair {
    let found = Found { irq_ctrl: 7, irq_ctrlack: 7, ..with_pri(enabled()) };
    pair(rule, found, "W IRQ_CTRL 0", "R IRQ_CTRLACK 0", "", write)
}

pub(super) fn pairs() -> Vec<Pair> {
    let priq = Found { cr0: 0xF, cr0ack: 0xF, ..with_pri(enabled()) };
    let atos = Found { idr0: enabled().idr0 | 1 << 15, ..enabled() };
    vec![
        by_cr0("guard.strtab-base", "W64 STRTAB_BASE 0x50004000"),
        by_cr0("guard.strtab-base-cfg", "W STRTAB_BASE_CFG 0x10210"),
        by_cr0("guard.cr2", "W CR2 0"),
        by_cr0("guard.cr1-table", "W CR1 0x35"),
        pair("guard.cr1-queue", Found { cr0: 5, cr0ack: 5, ..enabled() }, "W CR0 1", "R CR0ACK 1", "", "W CR1 0xd40"),
        by_cr0("guard.cmdq-base", "W64 CMDQ_BASE 0x50000008; W CMDQ_PROD 0; W CMDQ_CONS 0"),
        by_cr0("guard.cmdq-cons", "W CMDQ_CONS 0"),
        by_cr0("guard.eventq-base", "W64 EVENTQ_BASE 0x50002008"),
        by_cr0("guard.eventq-prod", "W EVENTQ_PROD 0"),
        pair(
            "guard.cmdq-prod",
            enabled(),
            "CMD 0 0x30 0; CMD 1 0xfc02046 0; CMD 2 0x30 0; CMD 3 0xfc02046 0; GO 2",
            "DONE 2; GO 4; DONE 4",
            "GO 1; DONE 2; GO 4; DONE 4",
            "",
        ),
        // The field counts, not what SMMUEN=0 makes of it.
        pair("guard.priq-base", priq, OFF, "W64 PRIQ_BASE 0x50004004", "W CR0 2; W64 PRIQ_BASE 0x50004004", ""),
        pair("guard.priq-prod", priq, "W CR0 0xd", "R CR0ACK 0xd", "R CR0ACK 0xf", "W PRIQ_PROD 0"),
        by_irq("guard.gerror-irq-cfg", "W64 GERROR_IRQ_CFG0 0"),
        by_irq("guard.eventq-irq-cfg", "W 0xb8 0"),
        by_irq("guard.priq-irq-cfg", "W64 PRIQ_IRQ_CFG0 0"),
        pair("guard.gerrorn", enabled(), "", "R GERROR 1; R GERRORN 0; W GERRORN 1", "R GERROR 0; W GERRORN 1", ""),
        pair("guard.gatos", atos, "W 0x100 1", "R 0x100 0", "R 0x100 1", "W 0x100 1"),
        pair(
            "guard.gatos",
            atos,
            "R GBPA 0x1000; W GBPA 0x80101000; R GBPA 0x101000; W 0x100 1",
            "R 0x100 0",
            "",
            "W CR0 0",
        ),
        pair("gbpa.without-update", off(), "", "W GBPA 0x80101000", "W GBPA 0x101000", ""),
        pair(
            "gbpa.while-updating",
            off(),
            "W GBPA 0x80101000",
            "R GBPA 0x101000",
            "R GBPA 0x80001000",
            "W GBPA 0x80001000",
        ),
        pair("cr0.before-ack", off(), "W CR0 8", "R CR0ACK 8; W CR0 0", "R CR0ACK 0; W CR0 0", ""),
        pair("cr0.reserved", off(), "", "W CR0 0", "W CR0 2", ""),
        pair("irq-ctrl.before-ack", off(), "W IRQ_CTRL 1", "R IRQ_CTRLACK 1", "R IRQ_CTRLACK 0", "W IRQ_CTRL 0"),
        pair("register.read-only", off(), "", "R IDR0 0", "W IDR0 0", ""),
        pair("register.reserved", off(), "", "W EVENTQ_PROD 0", "W 0xa8 0", ""),
        pair("register.secure", off(), "", "R 0x8020 0", "W 0x8020 0", ""),
        pair("register.absent", off(), "", "W64 EVENTQ_BASE 0x50002008", "W64 PRIQ_BASE 0x50004004", ""),
        pair("register.absent", Found { idr1: off().idr1 | 1 << 30, ..off() }, "", "", "W STRTAB_BASE_CFG 0", ""),
    ]
}

#[test]
fn what_becomes_of_a_guarded_write_depends_on_the_version() {
    let text = |aidr| {
        let report = judged(Found { aidr, ..enabled() }, &log("W STRTAB_BASE_CFG 0"));
        report.found[0].text.clone()
    };
    assert!(text(1).contains("UNPREDICTABLE") && !text(1).contains("ignored"));
    assert!(text(2).contains("ignored") && !text(2).contains("UNPREDICTABLE"));
}

#[test]
fn a_value_counts_as_old_until_it_is_acknowledged_and_as_new_from_its_write() {
    // Written 1 and not acknowledged yet: it may be 1.
    let report = judged(off(), &log("W CR0 8; W CMDQ_CONS 0"));
    assert_eq!(broken(&report), ["guard.cmdq-cons"]);
    assert_eq!(report.found[0].entries, [0, 1]);
    // Not this SMMU's acknowledge.
    let mut entries = log("W CR0 0; R CR0ACK 0; W CMDQ_CONS 0");
    entries[1].smmu = SmmuIndex(1);
    let found = [enabled(), Found { smmu: SmmuIndex(1), ..enabled() }];
    let report = check(&found, Coverage::ALL, &entries, true);
    assert!(broken(&report).contains(&"guard.cmdq-cons"));
}

#[test]
fn a_64_bit_register_may_be_written_in_halves() {
    let report = judged(enabled(), &log("W STRTAB_BASE 0; W 0x84 0; W 0xa4 0"));
    assert_eq!(broken(&report), ["guard.strtab-base", "guard.strtab-base", "guard.eventq-base"]);
}

#[test]
fn unchanged_table_attributes_may_be_written_with_those_of_queues() {
    let found = Found { cr0: 1, cr0ack: 1, ..enabled() };
    assert_eq!(broken(&judged(found, &log("W CR1 0xd40"))), [""; 0]);
    assert_eq!(broken(&judged(found, &log("W CR1 0x540"))), ["guard.cr1-table"]);
}
