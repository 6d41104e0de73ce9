//! Checks of reserved memory ranges, which no other reader makes.

use super::check::Checker;
use super::layout::{RMR_GRANULE, RmrDescriptor};
use super::{Iort, Node, RmrRange, finding};
use crate::rule;
use addr::PhysAddr;

/// Highest access attribute that has a meaning (IORT E.d).
const LAST_ATTRIBUTE: u8 = 5;

pub(super) fn check_node<'a>(checker: &mut Checker<'_, 'a>, node: &Node<'a>) {
    let Some(fields) = node.rmr_fields() else { return };
    let at = node.offset as usize;
    let table_revision = checker.iort.revision();
    if node.revision < 3 {
        checker.report(finding(&rule::W_RMR_REV).at(at + 3).found(node.revision).against(3_u8));
    }
    if !checker.iort.has_rmrs_for_linux() {
        checker.report(finding(&rule::W_RMR_TABLE_REV).at(8).found(table_revision).against(node.offset));
    }
    if fields.flags.0 >> 10 != 0 {
        checker.report(finding(&rule::W_RMR_FLAGS).at(at + 16).found(fields.flags.0));
    }
    if fields.flags.attributes() > LAST_ATTRIBUTE {
        checker.report(finding(&rule::N_RMR_ATTR).at(at + 16).found(fields.flags.attributes()));
    }
    if node.mapping_count == 0 {
        checker.report(finding(&rule::W_RMR_NO_MAP).at(at + 8));
    }
    if fields.count == 0 {
        checker.report(finding(&rule::E_RMR_NO_DESC).at(at));
    }
    match node.rmr_descriptors(&fields) {
        None => checker.report(finding(&rule::E_RMR_DESC_OOB).at(at).found(fields.count).against(fields.offset)),
        Some(descriptors) => {
            for (index, raw) in descriptors.iter().enumerate() {
                check_range(checker, raw, at + fields.offset as usize + index * size_of::<RmrDescriptor>());
            }
        }
    }
}

fn check_range(checker: &mut Checker<'_, '_>, raw: &RmrDescriptor, at: usize) {
    let (base, length) = (raw.base.get(), raw.length.get());
    if length == 0 {
        checker.report(finding(&rule::W_RMR_ZERO_LEN).at(at + 8).found(base));
    } else if base.checked_add(length - 1).is_none() {
        checker.report(finding(&rule::E_RMR_WRAP).at(at).found(base).against(length));
    }
    if base % RMR_GRANULE != 0 || length % RMR_GRANULE != 0 {
        checker.report(finding(&rule::W_RMR_UNALIGNED).at(at).found(base).against(length));
    }
}

/// All ranges that are some, with the offset of their node; one that wraps is cut at the top.
fn ranges(iort: Iort<'_>) -> impl Iterator<Item = (u32, u64, u64)> {
    iort.rmrs().flat_map(|rmr| {
        let span = move |range: RmrRange| {
            let last = range.last().unwrap_or(PhysAddr(u64::MAX)).0;
            (range.bytes > 0).then_some((rmr.node.offset, range.base.0, last))
        };
        rmr.ranges().filter_map(span)
    })
}

/// Two ranges that overlap, in one node or in two.
pub(super) fn check_overlaps(checker: &mut Checker<'_, '_>) {
    // Ascending or descending ranges, the usual case, need no second look.
    let (mut low, mut high) = (u64::MAX, 0);
    for (position, (node, base, last)) in ranges(checker.iort).enumerate() {
        if position > 0 && last >= low && base <= high {
            for (_, its_base, its_last) in ranges(checker.iort).take(position) {
                if !checker.spend() {
                    return;
                }
                if base <= its_last && its_base <= last {
                    let twice = finding(&rule::W_RMR_OVERLAP).at(node as usize);
                    checker.report(twice.found(base).against(its_base));
                    break;
                }
            }
        }
        (low, high) = (low.min(base), high.max(last));
    }
}
