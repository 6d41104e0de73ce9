//! Checks of nodes, one by one and against each other. Nothing here changes what is read.

use super::{Iort, Node, NodeKind, check_map, check_rmr, finding};
use crate::finding::{Finding, Sink};
use crate::rule;
use arrayvec::ArrayVec;

/// Comparisons that all checks of one table may make together: enough for tables a hundred times larger than real ones,
/// and an end for tables that are made to be slow.
const BUDGET: u32 = 1 << 22;

/// What the checks of one table share.
pub(super) struct Checker<'c, 'a> {
    pub(super) iort: Iort<'a>,
    sink: &'c mut Sink<'c>,
    budget: u32,
    /// Nodes found lately by their offset: real tables refer to a few nodes again and again.
    known: ArrayVec<Node<'a>, 16>,
    next_known: usize,
}

impl<'a> Checker<'_, 'a> {
    pub(super) fn report(&mut self, finding: Finding) {
        (self.sink)(finding);
    }

    /// Takes one comparison from the budget; `false` once it is used up, which is a note.
    pub(super) fn spend(&mut self) -> bool {
        if self.budget == 1 {
            self.report(finding(&rule::N_CHECK_CUT).found(BUDGET));
        }
        self.budget = self.budget.saturating_sub(1);
        self.budget > 0
    }

    /// [`Iort::node_at`] with a memory; `Err` when the budget is used up.
    pub(super) fn node_at(&mut self, offset: u32) -> Result<Option<Node<'a>>, ()> {
        if offset as usize >= self.iort.bytes().len() {
            return Ok(None);
        }
        if let Some(node) = self.known.iter().find(|node| node.offset == offset) {
            return Ok(Some(*node));
        }
        for node in self.iort.nodes() {
            if !self.spend() {
                return Err(());
            }
            if node.offset == offset {
                if self.known.is_full() {
                    self.known.swap_remove(self.next_known);
                    self.next_known = (self.next_known + 1) % self.known.capacity();
                }
                self.known.push(node);
                return Ok(Some(node));
            }
            if node.offset > offset {
                break;
            }
        }
        Ok(None)
    }
}

/// Checks the whole table.
pub(super) fn check<'c, 'a>(iort: Iort<'a>, sink: &'c mut Sink<'c>) {
    let mut checker = Checker { iort, sink, budget: BUDGET, known: ArrayVec::new(), next_known: 0 };
    for node in iort.nodes() {
        check_node(&mut checker, &node);
    }
    check_smmu_bases(&mut checker);
    check_map::check_segments(&mut checker);
    check_rmr::check_overlaps(&mut checker);
}

fn check_node<'a>(checker: &mut Checker<'_, 'a>, node: &Node<'a>) {
    let at = node.offset as usize;
    if let NodeKind::Unknown(raw) = node.kind {
        checker.report(finding(&rule::W_NODE_TYPE).at(at).found(raw));
    }
    if let Some(newest) = node.kind.newest_revision().filter(|newest| node.revision > *newest) {
        checker.report(finding(&rule::W_NODE_REV).at(at + 3).found(node.revision).against(newest));
    }
    if !node.is_whole() {
        let fixed = node.kind.fixed_bytes(node.revision);
        checker.report(finding(&rule::E_NODE_LEN_SHORT).at(at + 1).found(node.length()).against(fixed));
        return;
    }
    match node.kind {
        NodeKind::ItsGroup if node.its_ids().is_none() => {
            checker.report(finding(&rule::E_ITS_COUNT).at(at + 16).against(node.length()));
        }
        NodeKind::NamedComponent | NodeKind::Iwb if node.object_name().is_none() => {
            checker.report(finding(&rule::E_NAME_UNTERM).at(at + node.kind.fixed_bytes(node.revision) as usize));
        }
        NodeKind::SmmuV1V2 => {
            if let Some(field) = node.broken_interrupts() {
                checker.report(finding(&rule::E_SMMU_IRQ_OOB).at(at + field).against(node.length()));
            }
        }
        NodeKind::Pmcg => check_monitored(checker, node),
        NodeKind::SmmuV3 => {
            if let Some(index) =
                node.device_id_mapping().filter(|index| *index >= node.mapping_count && node.mapping_count > 0)
            {
                checker.report(finding(&rule::E_DEVID_INDEX).at(at + 64).found(index).against(node.mapping_count));
            }
        }
        NodeKind::Rmr => check_rmr::check_node(checker, node),
        _ => {}
    }
    check_map::check_mappings(checker, node);
}

/// A PMCG names no node by zero; anything else is the start of one.
fn check_monitored<'a>(checker: &mut Checker<'_, 'a>, node: &Node<'a>) {
    let Some(reference) = node.pmcg().map(|pmcg| pmcg.monitors).filter(|reference| *reference != 0) else { return };
    if let Ok(None) = checker.node_at(reference) {
        checker.report(finding(&rule::W_PMCG_REF).at(node.offset as usize + 28).found(reference));
    }
}

/// A base of zero, and one base for two SMMUs.
fn check_smmu_bases(checker: &mut Checker<'_, '_>) {
    let iort = checker.iort;
    let smmus = || iort.nodes().filter_map(|node| Some((node, node.smmu_base()?.0)));
    // Ascending or descending bases, the usual case, need no second look.
    let (mut low, mut high) = (u64::MAX, 0);
    for (position, (node, base)) in smmus().enumerate() {
        if base == 0 {
            checker.report(finding(&rule::W_SMMU_BASE_ZERO).at(node.offset as usize + 16));
        }
        if position > 0 && base >= low && base <= high {
            for (earlier, its_base) in smmus().take(position) {
                if !checker.spend() {
                    return;
                }
                if its_base == base {
                    let twice = finding(&rule::W_DUP_SMMU_BASE).at(node.offset as usize + 16);
                    checker.report(twice.found(base).against(earlier.offset));
                    break;
                }
            }
        }
        (low, high) = (low.min(base), high.max(base));
    }
}
