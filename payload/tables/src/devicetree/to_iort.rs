//! The translation: who sits behind which SMMU and which ITS, as the IORT says it.
//!
//! Devicetree gives StreamID and DeviceID of a function separately; in the IORT the DeviceID follows from the StreamID.

use super::direct::{Direct, directs};
use super::gic::{ItsNode, its_nodes};
use super::host::{Host, hosts};
use super::map::{Names, Target, runs};
use super::order::sorted;
use super::pieces::{Met, Pieces, Run};
use super::smmu::{self, Smmu, msi_parent, smmus, streams};
use super::tree::{Node, Tree};
use super::write::{ROOT_COMPLEX_MAPPINGS, SMMU_MAPPINGS, SmmuFields, Writer, is_whole, range, single};
use crate::finding::Sink;
use crate::iort::layout::IdMapping;
use crate::rule;
use alloc::{vec, vec::Vec};

const IOMMU: Names = Names { map: "iommu-map", mask: "iommu-map-mask" };
const MSI: Names = Names { map: "msi-map", mask: "msi-map-mask" };

/// Runs of all host bridges, past which no further one is taken. One that maps each function by itself has half as many.
const MAX_RUNS: usize = 1 << 17;

/// A host bridge's requester IDs.
struct Routes<'t, 'a> {
    host: Host<'t, 'a>,
    /// To StreamIDs.
    to_smmu: Vec<Run>,
    /// To DeviceIDs, past every SMMU.
    to_its: Vec<Run>,
}

/// A device with StreamIDs of its own.
struct Component<'t, 'a> {
    node: Node<'t, 'a>,
    streams: Vec<(usize, u32)>,
}

struct Translation<'t, 'a> {
    tree: &'t Tree<'a>,
    its: Vec<ItsNode>,
    smmus: Vec<Smmu>,
    /// DeviceIDs by StreamID, for each SMMU.
    device_ids: Vec<Pieces>,
    routes: Vec<Routes<'t, 'a>>,
    components: Vec<Component<'t, 'a>>,
    /// Runs of all host bridges.
    runs: usize,
}

/// Writes the IORT of a tree.
pub(super) fn to_iort(tree: &Tree<'_>, sink: &mut Sink<'_>) -> Vec<u8> {
    let its = its_nodes(tree, sink);
    let smmus = smmus(tree, &its, sink);
    let device_ids = smmus.iter().map(|_| Pieces::default()).collect();
    let mut translation =
        Translation { tree, its, smmus, device_ids, routes: Vec::new(), components: Vec::new(), runs: 0 };
    for host in hosts(tree, sink) {
        translation.add_host(host, sink);
    }
    for node in tree.nodes().filter(|node| node.has("iommus") && node.is_available()) {
        translation.add_component(node, sink);
    }
    translation.write(sink)
}

impl<'t, 'a> Translation<'t, 'a> {
    fn add_host(&mut self, host: Host<'t, 'a>, sink: &mut Sink<'_>) {
        if self.runs > MAX_RUNS {
            sink(host.node.finding(&rule::W_DTB_IORT_FULL).found(self.runs as u64).against(MAX_RUNS as u64));
            return;
        }
        let rids = u32::from(host.first_bus) << 8..=u32::from(host.last_bus) << 8 | 0xff;
        let to_smmu = |phandle| smmu::target(self.tree, &self.smmus, phandle);
        let streams = runs(&host.node, &IOMMU, rids.clone(), &to_smmu, sink);
        let to_its = |phandle| self.its_target(phandle);
        let messages = match msi_parent(&host.node, &self.its) {
            // Without a map an ITS calls a function by its requester ID.
            Some((target, _)) if !host.node.has(MSI.map) => {
                vec![Run { first: *rids.start(), last: *rids.end(), output: *rids.start(), target }]
            }
            _ => runs(&host.node, &MSI, rids, &to_its, sink),
        };
        let mut past = Vec::new();
        let mut is_split = false;
        // Both lists are sorted and disjoint: one pass over both.
        let mut at = 0;
        for message in &messages {
            let mut next = message.first;
            while streams.get(at).is_some_and(|stream| stream.last < message.first) {
                at += 1;
            }
            let here = streams.iter().skip(at).take_while(|stream| stream.first <= message.last);
            for stream in here {
                let (first, last) = (stream.first.max(message.first), stream.last.min(message.last));
                if next < first {
                    past.push(message.part(next, first - 1));
                }
                let (from, to) = (stream.part(first, last), message.part(first, last));
                if let Some(pieces) = self.device_ids.get_mut(stream.target) {
                    let met = pieces.add(from.output, from.output + (last - first), Some((to.target, to.output)));
                    is_split |= met == Met::Other;
                }
                next = last + 1;
            }
            if next <= message.last {
                past.push(message.part(next, message.last));
            }
        }
        if is_split {
            sink(host.node.finding(&rule::W_DTB_DEVICE_IDS));
        }
        self.runs += streams.len() + messages.len();
        self.routes.push(Routes { host, to_smmu: streams, to_its: past });
    }

    fn its_target(&self, phandle: u32) -> Target {
        let Some(node) = self.tree.by_phandle(phandle) else { return Target::Nothing(&rule::E_DTB_PHANDLE) };
        match self.its.binary_search_by_key(&node.index, |its| its.index) {
            Ok(place) => Target::At(place),
            Err(_) => Target::Nothing(&rule::W_DTB_MSI_KIND),
        }
    }

    fn add_component(&mut self, node: Node<'t, 'a>, sink: &mut Sink<'_>) {
        let streams = streams(&node, &self.smmus, sink);
        // A platform device has one DeviceID; it goes with the first StreamID.
        if let (Some((smmu, stream)), Some(to)) = (streams.first(), msi_parent(&node, &self.its))
            && let Some(pieces) = self.device_ids.get_mut(*smmu)
            && pieces.add(*stream, *stream, Some(to)) == Met::Other
        {
            sink(node.finding(&rule::W_DTB_DEVICE_IDS));
        }
        if !streams.is_empty() {
            self.components.push(Component { node, streams });
        }
    }

    fn write(&self, sink: &mut Sink<'_>) -> Vec<u8> {
        let mut writer = Writer::new();
        let mut is_full = false;
        let its: Vec<_> = self.its.iter().map(|its| writer.its_group(its.its.id).unwrap_or(0)).collect();
        let smmus: Vec<_> = self.write_smmus(&mut writer, &its, sink);
        for routes in &self.routes {
            let to = |runs: &[Run], offsets: &[u32]| -> Vec<IdMapping> {
                let offset = |run: &Run| offsets.get(run.target).copied();
                runs.iter().filter_map(|run| Some(range(run.first, run.last, run.output, offset(run)?))).collect()
            };
            let mut mappings = [to(&routes.to_smmu, &smmus), to(&routes.to_its, &its)].concat();
            let key = |(place, mapping): (usize, &IdMapping)| (mapping.input_base.get().into(), place as u64);
            let order = sorted(mappings.iter().enumerate().map(key).collect());
            mappings = order.iter().filter_map(|(_, place)| mappings.get(*place as usize).copied()).collect();
            let node = &routes.host.node;
            let (is_coherent, has_ats) = (node.is_coherent(), node.has("ats-supported"));
            // A root complex is there without any mapping, too; one with too many is several nodes.
            let mut chunks: Vec<&[IdMapping]> = mappings.chunks(ROOT_COMPLEX_MAPPINGS).collect();
            if chunks.is_empty() {
                chunks.push(&[]);
            }
            for chunk in chunks {
                is_full |= writer.root_complex(routes.host.segment, is_coherent, has_ats, chunk).is_none();
            }
        }
        for component in &self.components {
            let streams = component.streams.iter().enumerate();
            let mapping = |(index, (smmu, stream)): (usize, &(usize, u32))| {
                Some(single(index as u32, *stream, *smmus.get(*smmu)?))
            };
            let mappings: Vec<_> = streams.filter_map(mapping).collect();
            let node = &component.node;
            is_full |= writer.named_component(&node.path(), node.is_coherent(), &mappings).is_none();
        }
        for direct in directs(self.tree, sink) {
            is_full |= !self.write_rmr(&mut writer, &direct, &smmus, sink);
        }
        if is_full {
            sink(super::finding(&rule::W_DTB_IORT_FULL));
        }
        writer.finish()
    }

    fn write_smmus(&self, writer: &mut Writer, its: &[u32], sink: &mut Sink<'_>) -> Vec<u32> {
        let mut offsets = Vec::new();
        for (smmu, pieces) in self.smmus.iter().zip(&self.device_ids) {
            let runs = pieces.runs(0..=u32::MAX);
            if runs.len() > SMMU_MAPPINGS {
                sink(super::finding(&rule::W_DTB_IORT_FULL).found(runs.len() as u64).against(SMMU_MAPPINGS as u64));
            }
            let mapping = |run: &Run| Some(range(run.first, run.last, run.output, *its.get(run.target)?));
            let mappings: Vec<_> = runs.iter().take(SMMU_MAPPINGS).filter_map(mapping).collect();
            let device_id = smmu.msi.and_then(|(place, id)| Some(single(0, id, *its.get(place)?)));
            let fields = SmmuFields {
                base: smmu.base,
                is_coherent: smmu.is_coherent,
                model: smmu.model,
                gsivs: smmu.gsivs,
                mappings: &mappings,
                device_id,
            };
            // An offset of zero is no node; what refers to it is a finding of the reader.
            offsets.push(writer.smmu(&fields).unwrap_or(0));
        }
        offsets
    }

    /// Writes the RMR node of a device's range; `false` where there is no room.
    fn write_rmr(&self, writer: &mut Writer, direct: &Direct<'_, '_>, smmus: &[u32], sink: &mut Sink<'_>) -> bool {
        let Direct { device, range: memory } = direct;
        let streams = self.streams_of(device, sink);
        let mut streams = sorted(streams.iter().map(|(target, stream)| (*target as u64, (*stream).into())).collect());
        streams.dedup();
        if streams.is_empty() {
            sink(device.finding(&rule::W_DTB_REGION_NO_STREAM).found(memory.base.0).against(memory.bytes));
            return true;
        }
        if !is_whole(memory.base, memory.bytes) {
            sink(device.finding(&rule::W_DTB_REGION_GRANULE).found(memory.base.0).against(memory.bytes));
        }
        let mut joined: Vec<Run> = Vec::new();
        for (target, stream) in streams {
            let (target, stream) = (target as usize, stream as u32);
            let one = Run { first: stream, last: stream, output: stream, target };
            if !joined.last_mut().is_some_and(|run| run.join(&one)) {
                joined.push(one);
            }
        }
        let mapping = |run: &Run| Some(range(0, run.last - run.first, run.output, *smmus.get(run.target)?));
        let mappings: Vec<_> = joined.iter().filter_map(mapping).collect();
        writer.rmr(memory.base, memory.bytes, device.is_coherent(), &mappings).is_some()
    }

    /// StreamIDs of a device: those that it names, or, right behind a host bridge, that of its function.
    fn streams_of(&self, device: &Node<'_, '_>, sink: &mut Sink<'_>) -> Vec<(usize, u32)> {
        if let Ok(place) = self.components.binary_search_by_key(&device.index, |component| component.node.index) {
            return self.components.get(place).map_or_else(Vec::new, |component| component.streams.clone());
        }
        let parent = device.parent().map_or(0, |parent| parent.index);
        let Some(routes) = self.routes.iter().find(|routes| routes.host.node.index == parent) else {
            return Vec::new();
        };
        let Some(high) = device.cell("reg") else {
            sink(device.finding(&rule::E_DTB_REG));
            return Vec::new();
        };
        // Device and function number; the bus below a host bridge is its first one (IEEE 1275 PCI, 2.2.1.1).
        let rid = u32::from(routes.host.first_bus) << 8 | high >> 8 & 0xff;
        let place = routes.to_smmu.partition_point(|run| run.last < rid);
        let run = routes.to_smmu.get(place).filter(|run| run.first <= rid);
        run.map(|run| (run.target, run.part(rid, rid).output)).into_iter().collect()
    }
}
