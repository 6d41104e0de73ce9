//! Names of error bits, as PCI-SIG writes them, or shorter. A register's names are one text: a pointer for each would cost the
//! images more than the names.

use super::ErrorRegister;

/// A register: its name, its error bits, and their names from the lowest bit up, with a bar between.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) mask: u32,
    pub(super) bits: &'static str,
}

/// In the order of [`ErrorRegister::ALL`].
static ROWS: [Row; ErrorRegister::ALL.len()] = [
    Row {
        name: "Uncorrectable",
        mask: 0xffff_f030,
        bits: "Data Link Protocol Error|Surprise Down|Poisoned TLP Received|Flow Control Protocol Error|\
               Completion Timeout|Completer Abort|Unexpected Completion|Receiver Overflow|Malformed TLP|\
               ECRC Error|Unsupported Request|ACS Violation|Uncorrectable Internal Error|MC Blocked TLP|\
               AtomicOp Egress Blocked|TLP Prefix Blocked|Poisoned TLP Egress Blocked|DMWr Egress Blocked|\
               IDE Check Failed|Misrouted IDE TLP|PCRC Check Failed|TLP Translation Egress Blocked",
    },
    Row {
        name: "Correctable",
        mask: 0x0000_f1c1,
        bits: "Receiver Error|Bad TLP|Bad DLLP|REPLAY_NUM Rollover|Replay Timer Timeout|\
               Advisory Non-Fatal Error|Corrected Internal Error|Header Log Overflow",
    },
    Row {
        name: "Device Status",
        mask: 0x0000_000f,
        bits: "Correctable Error|Non-Fatal Error|Fatal Error|Unsupported Request",
    },
    Row {
        name: "Status",
        mask: 0x0000_f900,
        bits: "Master Data Parity Error|Signaled Target Abort|Received Target Abort|Received Master Abort|\
               Signaled System Error|Detected Parity Error",
    },
    Row {
        name: "Secondary Status",
        mask: 0x0000_f900,
        bits: "Master Data Parity Error|Signaled Target Abort|Received Target Abort|Received Master Abort|\
               Received System Error|Detected Parity Error",
    },
    Row { name: "DPC", mask: 0x0000_0001, bits: "Triggered" },
    Row {
        name: "Root",
        mask: 0x0000_007f,
        bits: "ERR_COR|more ERR_COR|ERR_FATAL/NONFATAL|more ERR_FATAL/NONFATAL|First Uncorrectable Fatal|\
               Non-Fatal Message|Fatal Message",
    },
];

/// The row of a register.
pub(super) fn row(register: ErrorRegister) -> &'static Row {
    &ROWS[register as usize]
}
