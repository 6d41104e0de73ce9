//! The rest of the machine, as [`Platform`] has it.

use super::{Devicetree, TABLE, chosen, cpu, gic, host, timer};
use crate::finding::{Finding, Sink};
use crate::platform::{Platform, keep};
use crate::rule;

impl<'a> Platform<'a> {
    /// Reads a tree. `iort` is what [`Devicetree::to_iort`] wrote of it, with or without something that was added. What is
    /// missing or bad is a finding, and the rest is kept.
    #[must_use]
    pub fn from_devicetree(tree: &Devicetree<'_>, iort: &'a [u8], sink: &mut Sink<'_>) -> Self {
        let tree = &tree.tree;
        let mut platform = Self::default();
        // A tree may well have nothing that the IORT describes.
        let has_nodes = |finding: &Finding| finding.rule.id != rule::W_NO_NODES.id;
        platform.read_iort(Some(iort), &mut |finding| Some(finding).filter(has_nodes).into_iter().for_each(&mut *sink));
        // What is wrong with segments and buses was said where the IORT was written.
        let hosts = host::hosts(tree, &mut |_| {});
        for host in &hosts {
            keep(&mut platform.ecam, host.ecam(sink).into_iter(), TABLE, sink);
        }
        if platform.ecam.is_empty() {
            sink(super::finding(&rule::W_ECAM_NONE));
        }
        platform.console = chosen::console(tree, sink);
        platform.timers = timer::timers(tree, sink);
        keep(&mut platform.watchdogs, timer::watchdogs(tree, sink).into_iter(), TABLE, sink);
        let (distributor, redistributors) = gic::gic(tree, sink);
        platform.gic.distributor = distributor;
        keep(&mut platform.gic.redistributors, redistributors.into_iter(), TABLE, sink);
        let its = gic::its_nodes(tree, &mut |_| {}).into_iter().map(|its| its.its);
        keep(&mut platform.gic.its, its, TABLE, sink);
        keep(&mut platform.gic.cpus, cpu::cpus(tree, sink).into_iter(), TABLE, sink);
        platform.psci = cpu::conduit(tree, sink);
        platform
    }
}
