//! The table of damages.

use super::{Config, Pointer, Queue, Ste, What};
use smmu::takeover::Rule;

/// What a policy that adopts must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Fall back whole.
    Refused(Rule),
    /// The same, as far as it reads STEs, CDs and addresses: revision 7 does not.
    RefusedByScan(Rule),
    /// Fall back whole: STEs are read as level-1 descriptors, or LOG2SIZE is below SPLIT. Revision 7, which takes a null
    /// pointer for an unused entry, meets a wrong span only in the STE of a live stream.
    RefusedAsLevel1,
    /// Adopt all the same.
    Adopted,
    /// Adopt, and refuse one stream when its device is met.
    OneRefused(Rule),
}

/// One damage.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) what: What,
    pub(super) answer: Answer,
}

const fn row(name: &'static str, what: What, answer: Answer) -> Row {
    Row { name, what, answer }
}

const fn config(name: &'static str, config: Config, rule: Rule) -> Row {
    row(name, What::Config(config), Answer::Refused(rule))
}

const fn span(name: &'static str, span: u8) -> Row {
    row(name, What::Level1 { span, pointer: Pointer::Live }, Answer::Refused(Rule::L1Span))
}

/// Descriptors of the right span.
const fn level2(name: &'static str, pointer: Pointer, rule: Rule) -> Row {
    row(name, What::Level1 { span: 9, pointer }, Answer::RefusedByScan(rule))
}

const fn ste(name: &'static str, ste: Ste, rule: Rule) -> Row {
    row(name, What::Ste(ste), Answer::RefusedByScan(rule))
}

const fn queue(name: &'static str, queue: Queue) -> Row {
    row(name, What::Queue(queue), Answer::Adopted)
}

/// The first is none.
pub(super) static ROWS: [Row; 43] = [
    row("none", What::Nothing, Answer::Adopted),
    config("strtab-log2size-below-split", Config::Log2size(7), Rule::StrtabLog2size),
    config("strtab-log2size-above-sidsize", Config::AboveSidsize, Rule::StrtabLog2size),
    config("strtab-log2size-huge", Config::Log2size(63), Rule::StrtabLog2size),
    config("strtab-split-6", Config::Split(6), Rule::StrtabSplit),
    config("strtab-split-10", Config::Split(10), Rule::StrtabSplit),
    config("strtab-split-reserved", Config::Split(7), Rule::StrtabSplit),
    config("strtab-fmt-reserved", Config::Format(2), Rule::StrtabFormat),
    row("strtab-fmt-linear", What::Config(Config::Format(0)), Answer::RefusedByScan(Rule::StrtabAlignment)),
    row("strtab-fmt-two-level", What::Config(Config::TwoLevel), Answer::RefusedAsLevel1),
    config("l1-beyond-2-17", Config::Log2size(26), Rule::StrtabSize),
    span("l1-span-1", 1),
    span("l1-span-2", 2),
    span("l1-span-3", 3),
    span("l1-span-4", 4),
    span("l1-span-5", 5),
    span("l1-span-6", 6),
    span("l1-span-7", 7),
    span("l1-span-8", 8),
    span("l1-span-10", 10),
    span("l1-span-11", 11),
    span("l1-span-reserved", 12),
    level2("l2-null", Pointer::Null, Rule::L2Null),
    level2("l2-misaligned", Pointer::Misaligned, Rule::L2Alignment),
    level2("l2-outside-ram", Pointer::Nowhere, Rule::Unbacked),
    level2("l2-in-kdump", Pointer::Own, Rule::OwnMemory),
    row(
        "table-changed-after-validation",
        What::Level1 { span: 9, pointer: Pointer::Live },
        Answer::OneRefused(Rule::L1Span),
    ),
    ste("cd-null", Ste::CdNull, Rule::CdTableNull),
    ste("s1cdmax-too-large", Ste::CdMax, Rule::CdTableSize),
    ste("s1fmt-reserved", Ste::CdFormat, Rule::CdTableFormat),
    ste("l1cd-misaligned", Ste::CdLeaf, Rule::CdLeaf),
    ste("asid-0", Ste::AsidZero, Rule::Asid),
    row("asid-shared", What::Ste(Ste::AsidShared), Answer::Adopted),
    ste("s2vmid-0", Ste::VmidZero, Rule::Vmid),
    ste("ste-config-unknown", Ste::Config, Rule::SteConfig),
    queue("stale-cmdq-error", Queue::CommandError),
    queue("stale-eventq-abort", Queue::EventAbort),
    queue("cmdq-unconsumed", Queue::Unconsumed),
    queue("cmdq-torn", Queue::Torn),
    queue("evtq-full", Queue::EventsFull),
    row("smmu-disabled", What::Off, Answer::Refused(Rule::SmmuDisabled)),
    row("firmware-table", What::FirmwareTable, Answer::Adopted),
    row("stage-2-domains", What::Stage2, Answer::Adopted),
];
