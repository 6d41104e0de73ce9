//! Commands: which are legal, and how they are handed over.

use super::*;
use text::synced;

/// A command that is legal on one SMMU and not on another, or another command that is not.
fn legal(rule: &'static str, kept: (u64, u64), broken: (u64, u64)) -> Pair {
    let of = |(low, high)| log(&synced(0, low, high));
    Pair { rule, found: enabled(), keeps: of(kept), breaks: of(broken) }
}

pub(super) fn pairs() -> Vec<Pair> {
    let all = (0x30, 0);
    let program = "W64 CMDQ_BASE 0x50000008; W CMDQ_PROD 0; W CMDQ_CONS 0";
    let with_error = Found { gerror: 1, ..off() };
    vec![
        legal("command.opcode", all, (0x77, 0)),
        legal("command.no-hyp", all, (0x20, 0)),
        legal("command.no-ats", all, (0x40, 52)),
        legal("command.no-pri", all, (0x41, 0)),
        Pair { found: Found { idr0: enabled().idr0 & !1, ..enabled() }, ..legal("command.no-s2", all, (0x28, 0)) },
        legal("command.no-stall", all, (0x44 | 5 << 32, 1)),
        legal("command.secure", (3 | 5 << 32, 1), (3 | 1 << 10 | 5 << 32, 1)),
        legal("command.secure", all, (0x60, 0)),
        legal("command.reserved-field", (4, 31), (4, 31 | 1 << 8)),
        legal("command.reserved-field", all, (0x46 | 3 << 12, 0)),
        Pair { found: Found { idr0: enabled().idr0 & !2, ..enabled() }, ..legal("command.doubtful", all, (0x10, 0)) },
        pair("command.unwritten", enabled(), "CMD 0 0x30 0", "CMD 1 0xfc02046 0", "", "GO 2; DONE 2"),
        // An entry beside the queue.
        pair(
            "command.unwritten",
            enabled(),
            "CMD 0 0x30 0",
            "CMD 1 0xfc02046 0",
            "CMD 300 0xfc02046 0",
            "GO 2; DONE 2",
        ),
        pair("command.no-barrier", enabled(), "CMD 0 0x46 0", "B doorbell", "", "W CMDQ_PROD 1"),
        pair("sync.incomplete", enabled(), "CMD 0 0x30 0; CMD 1 0x46 0; GO 2", "DONE 2", "DONE 1", ""),
        pair(
            "sync.incomplete",
            enabled(),
            "CMD 0 0x30 0; CMD 1 0x46 0; GO 2",
            "DONE 2",
            "",
            "W CR0 5; R CR0ACK 5; DONE 2",
        ),
        pair(
            "queue.init-order",
            off(),
            "",
            program,
            "W CMDQ_PROD 0; W64 CMDQ_BASE 0x50000008; W CMDQ_CONS 0",
            "W CR0 8",
        ),
        pair(
            "queue.init-order",
            off(),
            "W64 EVENTQ_BASE 0x50002008; W EVENTQ_PROD 0",
            "W EVENTQ_CONS 0",
            "",
            "W CR0 4",
        ),
        pair("queue.base", off(), "", program, "W64 CMDQ_BASE 0x50000088; W CMDQ_PROD 0; W CMDQ_CONS 0", "W CR0 8"),
        pair("queue.base", off(), "", program, "W64 CMDQ_BASE 0x50000015; W CMDQ_PROD 0; W CMDQ_CONS 0", "W CR0 8"),
        pair(
            "enable.cmdq-error",
            with_error,
            program,
            "R GERROR 1; R GERRORN 0; W GERRORN 1; W CR0 8; R CR0ACK 8",
            "W CR0 8; R CR0ACK 8",
            "CMD 0 0x46 0; GO 1",
        ),
    ]
}

#[test]
fn commands_of_the_hardware_are_legal() {
    let has = |bits: u32| Found { idr0: enabled().idr0 | bits, ..enabled() };
    for (found, low, high) in [
        (has(1 << 9), 0x20, 0),
        (has(1 << 9), 0x21 | 7 << 48, 0),
        (has(1 << 10), 0x40 | 5 << 32, 0x1000 | 12),
        (has(1 << 16), 0x41 | 5 << 32, 2 << 12 | 3),
        (Found { idr0: enabled().idr0 & !(3 << 24), ..enabled() }, 0x44 | 1 << 12 | 5 << 32, 9),
        (enabled(), 1 | 5 << 32, 0),
        (enabled(), 5 | 5 << 32 | 3 << 12, 1),
        (enabled(), 0x12 | 5 << 32 | 7 << 48 | 3 << 12 | 2 << 20, 0x1000 | 1 << 10 | 1),
        (enabled(), 0x28 | 5 << 32, 0),
    ] {
        let report = judged(found, &log(&synced(0, low, high)));
        assert_eq!(broken(&report), [""; 0], "{low:#x} {high:#x}: {:?}", report.found);
    }
}

#[test]
fn the_wrap_of_the_queue_is_no_step_back() {
    let found = Found { cmdq_prod: 0xFF, cmdq_cons: 0xFF, ..enabled() };
    let entries = log("CMD 255 0x30 0; CMD 0 0x46 0; GO 0x101; DONE 0x101; CMD 1 0x46 0; GO 0x102");
    assert_eq!(broken(&judged(found, &entries)), [""; 0]);
    let entries = log("CMD 255 0x30 0; CMD 0 0x46 0; GO 0x1");
    assert_eq!(broken(&judged(found, &entries)), ["guard.cmdq-prod"]);
}

#[test]
fn a_register_trace_alone_claims_nothing_about_memory() {
    let entries = log("W CMDQ_PROD 2; DONE 2; W CR0 5; R CR0ACK 5");
    assert_eq!(check(&[enabled()], Coverage::REGISTERS, &entries, true).found, []);
}
