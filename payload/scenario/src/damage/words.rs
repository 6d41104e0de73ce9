//! Damages in words.

use super::{
    Config, Queue, Ste, What,
    rows::{Answer, Row},
};
use crate::policy::Documented;
use smmu::takeover::Rule;

macro_rules! refuses {
    ($rule:literal) => {
        concat!("adopt refuses the table (rule ", $rule, ") and falls back whole: DMA as under reset")
    };
}

pub(super) const fn of(row: &Row) -> Option<Documented> {
    let expects = match row.answer {
        Answer::Adopted => match row.what {
            What::Nothing => return None,
            What::FirmwareTable => {
                "adopt keeps the table that the dead payload itself found in force (firmware's, stage-2 identity) and had \
                 adopted: firmware's device misses nothing at the payload's start; DMA as under adopt"
            }
            What::Ste(_) => "adopt goes on, and keeps the ASID out of use once: DMA as under adopt",
            What::Stage2 => {
                "adopt keeps the VMIDs out of use, as ASIDs elsewhere: all as under the policy alone, but that an attach gives \
                 a VMID, and replaces two words of the STE through V=0"
            }
            What::Queue(Queue::CommandError) => {
                "adopt acknowledges CMDQ_ERR before its own queue starts: DMA as under adopt"
            }
            What::Queue(Queue::EventAbort) => {
                "adopt acknowledges EVENTQ_ABT_ERR before its own queue starts: DMA as under adopt"
            }
            What::Queue(Queue::EventsFull) => {
                "adopt leaves the full queue off: DMA as under adopt; its events are told"
            }
            _ => "adopt abandons the old queue, and its own completes every CMD_SYNC: DMA as under adopt",
        },
        Answer::OneRefused(_) => {
            "adopt goes on; the stream whose descriptor changed is refused when its device is met (rule l1-span), no other"
        }
        Answer::RefusedAsLevel1 => {
            refuses!("l1-span, or strtab-log2size where the linear table has less than 256 STEs")
        }
        Answer::Refused(rule) | Answer::RefusedByScan(rule) => refused(rule),
    };
    Some(Documented { expects, source: source(row.what) })
}

const fn refused(rule: Rule) -> &'static str {
    match rule {
        Rule::SmmuDisabled => {
            "adopt finds SMMUEN 0 (rule smmu-disabled) and resets; GBPA stays as left: DMA as under reset"
        }
        Rule::StrtabFormat => refuses!("strtab-format"),
        Rule::StrtabSplit => refuses!("strtab-split"),
        Rule::StrtabLog2size => refuses!("strtab-log2size"),
        Rule::StrtabSize => refuses!("strtab-size, or strtab-log2size where SIDSIZE is 25 or less"),
        Rule::StrtabAlignment => refuses!("strtab-alignment, or strtab-format by chance"),
        Rule::L1Span => refuses!("l1-span"),
        Rule::L2Null => refuses!("l2-null"),
        Rule::L2Alignment => refuses!("l2-alignment"),
        Rule::Unbacked => refuses!("unbacked"),
        Rule::OwnMemory => refuses!("own-memory"),
        Rule::SteConfig => refuses!("ste-config"),
        Rule::CdTableNull => refuses!("cd-table-null"),
        Rule::CdTableSize => refuses!("cd-table-size"),
        Rule::CdTableFormat => refuses!("cd-table-format"),
        Rule::CdLeaf => refuses!("cd-leaf"),
        Rule::Asid => refuses!("asid"),
        Rule::Vmid => refuses!("vmid"),
        _ => "adopt refuses the table and falls back whole: DMA as under reset",
    }
}

const fn source(what: What) -> &'static str {
    match what {
        What::Nothing => "",
        What::Config(Config::Format(0)) => {
            "IHI 0070 6.3.25; Chen v10; v7 believes FMT and stores STEs over the live level 1, measured on 7.3.4"
        }
        What::Config(Config::TwoLevel) => "IHI 0070 5.1, 6.3.25; Shrivastava, 28 Jun 2026: FMT that lies",
        What::Config(_) => "IHI 0070 6.3.25; Chen v7 1/7, measured on 7.3.4",
        What::Level1 { pointer: super::Pointer::Live, .. } => {
            "IHI 0070 5.1; Chen v7 1/7; Shrivastava, 28 Jun 2026: adopt_strtab error paths"
        }
        What::Level1 { pointer: super::Pointer::Nowhere, .. } => {
            "IHI 0070 5.1; v7 adopts it and dies of it at the first device, measured on 7.3.4"
        }
        What::Level1 { pointer: super::Pointer::Own, .. } => "stricter than Chen v10, which vets no physical address",
        What::Level1 { .. } => "IHI 0070 5.1; Chen v10",
        What::Ste(Ste::AsidShared) => "IHI 0070 5.4; Shrivastava, 1 Jul 2026; Chen v10",
        What::Ste(_) => "IHI 0070 5.2, 5.3, 5.4; Chen v10",
        What::Queue(Queue::CommandError) => "IHI 0070 7.1, 7.5; Chen v3; stock 7.3.4 never gets a CMD_SYNC, measured",
        What::Queue(Queue::EventAbort | Queue::EventsFull) => "IHI 0070 7.2, 7.5; Chen v3",
        What::Queue(_) => "IHI 0070 3.5.1, 6.3.9; nobody stops the queue of a kernel that crashes",
        What::FirmwareTable => "IHI 0070 3.11, 5.2; ARCHITECTURE.md, found in firmware's hands",
        What::Stage2 => "IHI 0070 3.17, 3.21.3, 5.2; Shrivastava, 1 Jul 2026: VMIDs; Chen v10",
        What::Off => "IHI 0070 3.11, 6.3.14; Chen v7 7/7",
    }
}
