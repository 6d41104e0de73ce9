//! All that is known of one table, for whoever prints it.

use addr::{Bdf, PhysAddr};
use tables::iort::rmr_place::{Occupant, Place, check_places};
use tables::iort::{Index, Iort, Node, NodeKind, Quirk, Reading, Resolution, disagreement, quirk};
use tables::madt::{self, Madt};
use tables::mcfg::{self, Mcfg};
use tables::{Finding, Severity};

use super::input::Input;
use crate::cli::IortArgs;
use crate::exit::Exit;

/// Bytes of an SMMUv3's two register pages, and of an ITS's frames.
const SMMU_BYTES: u64 = 0x2_0000;
const ITS_BYTES: u64 = 0x2_0000;

/// A question that was asked, and its answers.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The function, where a function was asked for.
    pub function: Option<Bdf>,
    /// The node that the walk begins at, if there is one, and its input ID.
    pub node: Option<Node<'a>>,
    pub id: u32,
    pub spec: Resolution<'a>,
    pub linux: Resolution<'a>,
}

/// A finding, or that there was no table to find anything in.
#[derive(Debug)]
pub enum Told {
    Finding(Finding),
    Unreadable(String),
}

/// One table.
#[derive(Debug)]
pub struct Answer<'a> {
    pub name: &'a str,
    /// Bytes of the file.
    pub length: usize,
    pub told: Vec<Told>,
    pub index: Option<Index<'a>>,
    pub asked: Vec<Asked<'a>>,
    /// Tables beside it that were read for it.
    pub beside: Vec<String>,
}

impl<'a> Answer<'a> {
    /// Reads a table and asks it what the command line asks.
    pub fn new(input: &'a Input, args: &IortArgs) -> Self {
        let mut answer =
            Self { name: &input.name, length: 0, told: Vec::new(), index: None, asked: Vec::new(), beside: Vec::new() };
        let bytes = match &input.bytes {
            Ok(bytes) => bytes,
            Err(why) => {
                answer.told.push(Told::Unreadable(why.clone()));
                return answer;
            }
        };
        answer.length = bytes.len();
        let mut findings = Vec::new();
        if let Ok(iort) = Iort::parse(bytes, &mut |finding| findings.push(finding)) {
            let index = Index::build(iort);
            add_what_was_cut(&index, &mut findings);
            answer.look_beside(input, iort, &mut findings);
            answer.ask(&index, args, &mut findings);
            answer.index = Some(index);
        }
        answer.told.extend(findings.into_iter().map(Told::Finding));
        answer
    }

    /// Reserved ranges against what the other tables of the machine name.
    fn look_beside(&mut self, input: &Input, iort: Iort<'_>, findings: &mut Vec<Finding>) {
        let mut places: Vec<Place> = iort.smmus().map(|smmu| place(smmu.base, SMMU_BYTES, Occupant::Smmu)).collect();
        places.extend(iort.smmus_v1_v2().map(|smmu| place(smmu.base, smmu.span, Occupant::Smmu)));
        places.retain(|place| place.base.0 != 0);
        let mut theirs = Vec::new();
        for table in &input.beside {
            let of_table = match &table.signature {
                signature if *signature == mcfg::SIGNATURE => {
                    Mcfg::parse(&table.bytes, &mut |finding| theirs.push(finding)).ok().map(|mcfg| ecam(&mcfg))
                }
                signature if *signature == madt::SIGNATURE => {
                    Madt::parse(&table.bytes, &mut |finding| theirs.push(finding)).ok().map(|madt| gic(&madt))
                }
                _ => continue,
            };
            self.beside.push(table.signature.escape_ascii().to_string());
            places.extend(of_table.into_iter().flatten());
        }
        // What is wrong with those tables is not this table's; only what it is compared with counts.
        check_places(iort, &places, &mut |finding| findings.push(finding));
    }

    fn ask(&mut self, index: &Index<'a>, args: &IortArgs, findings: &mut Vec<Finding>) {
        for function in &args.resolve {
            let node = root_complex_of(index, *function);
            let [spec, linux] = [Reading::Spec, Reading::Linux].map(|reading| index.resolve(*function, reading));
            findings.extend(node.and_then(|node| disagreement(&node, &spec, &linux)));
            self.asked.push(Asked { function: Some(*function), node, id: function.rid.into(), spec, linux });
        }
        let of_node = |node: &Node<'a>, id| Asked {
            function: None,
            node: Some(*node),
            id,
            spec: index.resolve_from(node, id, Reading::Spec),
            linux: index.resolve_from(node, id, Reading::Linux),
        };
        for input in &args.input {
            self.asked.push(match index.nodes().get(input.node as usize) {
                Some(node) => of_node(node, input.id),
                None => Asked {
                    function: None,
                    node: None,
                    id: input.id,
                    spec: Resolution::default(),
                    linux: Resolution::default(),
                },
            });
        }
        if !args.resolve.is_empty() || !args.input.is_empty() || !args.json {
            return;
        }
        for node in index.nodes().iter().filter(|node| has_inputs(node)) {
            let mut ids: Vec<u32> =
                node.mappings().flat_map(|mapping| [mapping.input_base, mapping.input_last()]).collect();
            ids.sort_unstable();
            ids.dedup();
            self.asked.extend(ids.into_iter().map(|id| of_node(node, id)));
        }
    }

    /// The worst that was found; a table that is none is an error.
    pub fn severity(&self) -> Option<Severity> {
        let severity = |told: &Told| match told {
            Told::Finding(finding) => finding.severity(),
            Told::Unreadable(_) => Severity::Error,
        };
        self.told.iter().map(severity).max()
    }

    /// Whether there is an IORT at all, be it broken.
    pub fn is_iort(&self) -> bool {
        let is_none = |told: &Told| match told {
            Told::Finding(finding) => matches!(finding.id(), "E_SIG" | "E_SHORT"),
            Told::Unreadable(_) => true,
        };
        !self.told.iter().any(is_none)
    }

    /// Exit status for this table.
    pub fn exit(&self) -> Exit {
        match self.severity() {
            _ if !self.is_iort() => Exit::Usage,
            Some(Severity::Error) => Exit::Fail,
            _ => Exit::Pass,
        }
    }

    /// What Linux does about this table, with the nodes that it does it for.
    pub fn quirks(&self) -> Vec<(&'static Quirk, Vec<u32>)> {
        let Some(index) = &self.index else { return Vec::new() };
        let mut by_quirk: Vec<(&'static Quirk, Vec<u32>)> =
            quirk::ALL.iter().map(|quirk| (*quirk, Vec::new())).collect();
        for node in index.nodes() {
            let mut add = |quirk: &'static Quirk| {
                if let Some((_, nodes)) = by_quirk.iter_mut().find(|(known, _)| *known == quirk) {
                    nodes.push(node.index);
                }
            };
            if index.is_ambiguous(node) {
                let has = |id| index.faults().iter().any(|fault| fault.id() == id && is_in(fault, node));
                if has("W_MAP_OFF_BY_ONE") {
                    add(&quirk::COUNT_ONE_TOO_LARGE);
                }
                if has("E_MAP_OVERLAP") {
                    add(&quirk::FIRST_MATCH_STAYS);
                }
            }
            quirk::of_node(index.iort(), node, &mut add);
        }
        by_quirk.retain(|(_, nodes)| !nodes.is_empty());
        by_quirk
    }
}

/// Tells whether a finding is about bytes of a node.
pub fn is_in(finding: &Finding, node: &Node<'_>) -> bool {
    finding.offset.and_then(|offset| offset.checked_sub(node.offset)).is_some_and(|inside| inside < node.length())
}

/// Checks that need no memory give up on a table that is too large for them; the index did not.
fn add_what_was_cut(index: &Index<'_>, findings: &mut Vec<Finding>) {
    let Some(at) = findings.iter().position(|finding| finding.id() == "N_CHECK_CUT") else { return };
    findings.remove(at);
    let known: std::collections::HashSet<(&str, Option<u32>)> =
        findings.iter().map(|finding| (finding.id(), finding.offset)).collect();
    let new = index.faults().iter().filter(|fault| !known.contains(&(fault.id(), fault.offset)));
    findings.extend(new.copied());
}

/// Whether input IDs of a node are something that a device can have.
fn has_inputs(node: &Node<'_>) -> bool {
    !matches!(node.kind, NodeKind::ItsGroup | NodeKind::Rmr | NodeKind::Unknown(_))
}

/// The root complex that a function's walk begins at: that which has its ID, else the first of its segment.
fn root_complex_of<'a>(index: &Index<'a>, function: Bdf) -> Option<Node<'a>> {
    let of_segment =
        |node: &&Node<'a>| node.root_complex().is_some_and(|complex| complex.segment == u32::from(function.segment));
    let spec = index.resolve(function, Reading::Spec);
    let all = || index.nodes().iter().filter(of_segment);
    let owner = all().find(|node| {
        spec != Resolution::default() && index.resolve_from(node, function.rid.into(), Reading::Spec) == spec
    });
    owner.or(all().next()).copied()
}

fn place(base: PhysAddr, bytes: u64, occupant: Occupant) -> Place {
    Place { base, bytes, occupant }
}

fn ecam(mcfg: &Mcfg<'_>) -> Vec<Place> {
    let extents = mcfg.regions().map(|region| region.extent());
    extents.map(|(base, bytes)| place(base, bytes, Occupant::Ecam)).collect()
}

fn gic(madt: &Madt<'_>) -> Vec<Place> {
    let place = |record| match record {
        madt::Record::Its(its) => Some(place(its.base, ITS_BYTES, Occupant::Its)),
        madt::Record::Gicd(distributor) => Some(place(distributor.base, 0x1_0000, Occupant::Mmio)),
        madt::Record::Gicr(range) => Some(place(range.base, range.bytes.into(), Occupant::Mmio)),
        _ => None,
    };
    madt.records().filter_map(place).collect()
}
