//! The rules, each with the clause that it comes from. What is inferred or doubtful gives a remark and no violation.

/// How bad a broken rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The architecture or the profile forbids it.
    Violation,
    /// Doubtful, inferred, or without effect.
    Remark,
}

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable name.
    pub id: &'static str,
    /// Where it comes from.
    pub clause: &'static str,
    /// What a broken one is.
    pub severity: Severity,
    /// The rule in one sentence.
    pub demands: &'static str,
}

macro_rules! rules {
    ($($name:ident, $id:literal, $severity:ident, $clause:literal, $demands:literal;)*) => {
        $(pub(super) static $name: Rule =
            Rule { id: $id, clause: $clause, severity: Severity::$severity, demands: $demands };)*
        /// Every rule.
        pub static RULES: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    GUARD_STRTAB_BASE, "guard.strtab-base", Violation, "IHI 0070 6.3.24", "STRTAB_BASE is written with SMMUEN and its acknowledge 0";
    GUARD_STRTAB_BASE_CFG, "guard.strtab-base-cfg", Violation, "IHI 0070 6.3.25", "STRTAB_BASE_CFG is written with SMMUEN and its acknowledge 0";
    GUARD_CR1_TABLE, "guard.cr1-table", Violation, "IHI 0070 6.3.11", "CR1.TABLE_* change with SMMUEN and its acknowledge 0";
    GUARD_CR1_QUEUE, "guard.cr1-queue", Violation, "IHI 0070 6.3.11", "CR1.QUEUE_* change with all queue enables and their acknowledges 0";
    GUARD_CR2, "guard.cr2", Violation, "IHI 0070 6.3.12", "CR2 is written with SMMUEN and its acknowledge 0";
    GUARD_CMDQ_BASE, "guard.cmdq-base", Violation, "IHI 0070 6.3.26", "CMDQ_BASE is written with CMDQEN and its acknowledge 0";
    GUARD_CMDQ_CONS, "guard.cmdq-cons", Violation, "IHI 0070 6.3.28", "CMDQ_CONS is written with CMDQEN and its acknowledge 0";
    GUARD_CMDQ_PROD, "guard.cmdq-prod", Violation, "IHI 0070 6.3.27", "CMDQ_PROD only advances while CMDQEN is 1, by no more than there is room";
    GUARD_EVENTQ_BASE, "guard.eventq-base", Violation, "IHI 0070 6.3.29", "EVENTQ_BASE is written with EVENTQEN and its acknowledge 0";
    GUARD_EVENTQ_PROD, "guard.eventq-prod", Violation, "IHI 0070 6.3.30", "EVENTQ_PROD is written with EVENTQEN and its acknowledge 0";
    GUARD_PRIQ_BASE, "guard.priq-base", Violation, "IHI 0070 6.3", "PRIQ_BASE is written with the fields PRIQEN of CR0 and CR0ACK 0; SMMUEN 0 does not do";
    GUARD_PRIQ_PROD, "guard.priq-prod", Violation, "IHI 0070 6.3", "PRIQ_PROD is written with the fields PRIQEN of CR0 and CR0ACK 0";
    GUARD_GERROR_IRQ_CFG, "guard.gerror-irq-cfg", Violation, "IHI 0070 6.3.17", "GERROR_IRQ_CFGn are written with IRQ_CTRL.GERROR_IRQEN and its acknowledge 0";
    GUARD_EVENTQ_IRQ_CFG, "guard.eventq-irq-cfg", Violation, "IHI 0070 6.3.17", "EVENTQ_IRQ_CFGn are written with IRQ_CTRL.EVENTQ_IRQEN and its acknowledge 0";
    GUARD_PRIQ_IRQ_CFG, "guard.priq-irq-cfg", Violation, "IHI 0070 6.3.17", "PRIQ_IRQ_CFGn are written with IRQ_CTRL.PRIQ_IRQEN and its acknowledge 0";
    GUARD_GERRORN, "guard.gerrorn", Violation, "IHI 0070 6.3.20", "GERRORN toggles only bits of active errors";
    GUARD_GATOS, "guard.gatos", Violation, "IHI 0070 (GATOS_CTRL.RUN)", "GATOS RUN is set with SMMUEN 1 and RUN 0, and SMMUEN stays 1 until RUN is 0";
    GBPA_WITHOUT_UPDATE, "gbpa.without-update", Violation, "IHI 0070 6.3.14", "GBPA is written with Update";
    GBPA_WHILE_UPDATING, "gbpa.while-updating", Violation, "IHI 0070 6.3.14", "GBPA is written after Update was read 0";
    CR0_BEFORE_ACK, "cr0.before-ack", Violation, "IHI 0070 6.3.9", "a field of CR0 is changed again only after CR0ACK agreed";
    CR0_RESERVED, "cr0.reserved", Remark, "IHI 0070 6.3.9", "fields of CR0 that this SMMU does not have stay 0";
    IRQ_CTRL_BEFORE_ACK, "irq-ctrl.before-ack", Remark, "inferred from IHI 0070 6.3.17", "a field of IRQ_CTRL is changed again only after IRQ_CTRLACK agreed";
    REGISTER_READ_ONLY, "register.read-only", Violation, "IHI 0070 6.3", "read-only registers are not written";
    REGISTER_RESERVED, "register.reserved", Violation, "IHI 0070 6.2", "PROD and CONS of event and PRI queue are written in page 1: their offsets in page 0 are reserved";
    REGISTER_SECURE, "register.secure", Violation, "IHI 0070 (S_*)", "Secure registers are left to the Secure state";
    REGISTER_ABSENT, "register.absent", Remark, "IHI 0070 6.3.1, 6.3.2", "registers that this SMMU does not have, or has preset, are not written";
    QUEUE_BASE, "queue.base", Violation, "IHI 0070 6.3.26, 6.3.29", "a queue is no larger than IDR1 says, and aligned to its size";
    QUEUE_INIT_ORDER, "queue.init-order", Violation, "IHI 0070 3.5", "a queue is set up in the order BASE, PROD and CONS, enable";
    COMMAND_OPCODE, "command.opcode", Violation, "IHI 0070 7.1 (CERROR_ILL)", "commands have known opcodes";
    COMMAND_HYP, "command.no-hyp", Violation, "IHI 0070 4.4.3", "TLBI_EL2_* need IDR0.Hyp";
    COMMAND_ATS, "command.no-ats", Violation, "IHI 0070 7.1", "ATC_INV needs IDR0.ATS";
    COMMAND_PRI, "command.no-pri", Violation, "IHI 0070 7.1", "PRI_RESP needs IDR0.PRI";
    COMMAND_S2, "command.no-s2", Violation, "IHI 0070 7.1", "TLBI_S12_VMALL and TLBI_S2_IPA need IDR0.S2P";
    COMMAND_STALL, "command.no-stall", Violation, "IHI 0070 7.1", "RESUME and STALL_TERM need a stall model";
    COMMAND_SECURE, "command.secure", Violation, "IHI 0070 (SSec, TLBI_S_*, TLBI_EL3_*)", "the Non-secure queue has no Secure commands";
    COMMAND_RESERVED, "command.reserved-field", Violation, "IHI 0070 7.1", "reserved fields of commands are 0, reserved values are not used";
    COMMAND_DOUBTFUL, "command.doubtful", Remark, "inferred from IHI 0070 4.3, 4.4", "commands of features that IDR0 and IDR3 do not name are not sent";
    COMMAND_UNWRITTEN, "command.unwritten", Violation, "IHI 0070 3.5, 6.3.27", "CMDQ_PROD announces entries that were written";
    COMMAND_BARRIER, "command.no-barrier", Violation, "IHI 0070 3.5", "entries are visible before CMDQ_PROD announces them";
    SYNC_INCOMPLETE, "sync.incomplete", Violation, "IHI 0070 4.7.3", "an invalidation is relied on only after a CMD_SYNC behind it was consumed";
    ENABLE_INVALIDATED, "enable.not-invalidated", Violation, "IHI 0070 3.11", "everything cached is invalidated, and complete, between the disabled state and SMMUEN";
    ENABLE_TABLES_LATER, "enable.tables-after-invalidation", Remark, "inferred from IHI 0070 3.11", "tables are set before the invalidation, in the recommended order";
    ENABLE_CMDQ_ERROR, "enable.cmdq-error", Violation, "IHI 0070 7.1", "CMDQ_ERR is acknowledged before commands are sent: nothing is consumed under it";
    ENABLE_TABLE_SHAPE, "enable.table-shape", Violation, "IHI 0070 6.3.24, 6.3.25", "the stream table that SMMUEN puts in force has a format of this SMMU and is aligned to its size";
    ENABLE_UNPUBLISHED, "enable.unpublished", Violation, "IHI 0070 3.21.3", "structures are published before SMMUEN";
    ENABLE_ATSCHK_CLEARED, "enable.atschk-cleared", Violation, "IHI 0070 5.2", "ATSCHK is not cleared under live STEs with EATS=0b10";
    ENABLE_ATSCHK_WITH_SMMUEN, "enable.atschk-with-smmuen", Remark, "inferred from IHI 0070 6.3.9", "ATSCHK and SMMUEN are not cleared by one write: fields are updated independently";
    ENABLE_ATSCHK_CFGI, "enable.atschk-no-cfgi", Violation, "IHI 0070 6.3.9 (ATSCHK)", "a change of ATSCHK under SMMUEN is followed by an invalidation of the STEs";
    ENABLE_IRQ_STALE, "enable.irq-stale", Remark, "IHI 0070 6.3.17", "errors that are active when their interrupt is enabled are looked for: they raise none";
    DISABLE_WITHOUT_ABORT, "disable.without-abort", Violation, "IHI 0070 6.3.14", "GBPA.ABORT is in force before SMMUEN goes to 0";
    STRUCTURE_IN_PLACE, "structure.in-place", Violation, "IHI 0070 3.21.3", "a live valid structure changes by one 64-bit word at a time, with CFGI and SYNC between";
    STRUCTURE_WORDS, "structure.words-before-valid", Violation, "IHI 0070 3.21.3", "all other words are published before V is set";
    STRUCTURE_STALE_INVALID, "structure.stale-invalid", Violation, "IHI 0070 3.21.3", "words that changed under V=0 are invalidated by CFGI and SYNC before V is set";
    STRUCTURE_INVALID_SYNC, "structure.invalid-not-synced", Violation, "IHI 0070 3.21.3", "after V=0 nothing else changes before CFGI and SYNC";
    STRUCTURE_NO_CFGI, "structure.no-cfgi", Violation, "IHI 0070 3.21.3", "each change of a live structure is followed by a matching CFGI and SYNC";
    STRUCTURE_BARRIER, "structure.no-barrier", Violation, "IHI 0070 3.21.3", "a changed word is published before the CFGI for it";
    STRUCTURE_TARGET, "structure.target-unpublished", Violation, "IHI 0070 3.21.3", "what a live structure points to is published before the pointer";
    STRUCTURE_LEAF, "structure.l1std-leaf", Violation, "IHI 0070 5.1.1", "a changed level-1 descriptor is invalidated with CFGI_STE Leaf=0, CFGI_STE_RANGE or CFGI_ALL";
    STRUCTURE_REUSED, "structure.memory-reused", Violation, "IHI 0070 3.21.3", "memory of a table is reused only after the pointer to it is gone, with CFGI and SYNC";
    ADOPT_SMMUEN, "adopt.smmuen", Violation, "Chen v7 5/7", "an adoption writes SMMUEN as 1 in every CR0 write";
    ADOPT_STRTAB, "adopt.strtab", Violation, "Chen v7 5/7", "an adoption does not write STRTAB_*";
    ADOPT_CR1_CR2, "adopt.cr1-cr2", Violation, "Chen v7 5/7", "an adoption does not write CR1 and CR2";
    ADOPT_GBPA, "adopt.gbpa", Violation, "Chen v7 5/7", "an adoption does not write GBPA";
    ADOPT_OUTPUT_QUEUES, "adopt.output-queues", Violation, "Chen v7 3/7, 4/7", "an adoption programs neither event nor PRI queue";
    ADOPT_TABLE_STORE, "adopt.table-store", Violation, "Chen v6 6/7", "an adoption stores no STE, level-1 descriptor or CD before the first attach, not even with the same value";
    ADOPT_IDENTIFIER, "adopt.identifier-reused", Violation, "Shrivastava, 1 Jul 2026; Chen v10", "a new CD has no ASID, and new stage-2 tables no VMID, of the adopted ones";
}
