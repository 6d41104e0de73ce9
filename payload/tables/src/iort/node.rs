//! One node: its header, its type, its ID mappings.

use super::layout::{self, IdMapping, NodeHeader};
use crate::read;
use crate::rule::{self, Rule};

/// What a node describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Type 0: a group of interrupt translation services.
    ItsGroup,
    /// Type 1: a device that ACPI names.
    NamedComponent,
    /// Type 2: a PCI root complex.
    RootComplex,
    /// Type 3: an SMMU of version 1 or 2.
    SmmuV1V2,
    /// Type 4: an SMMU of version 3.
    SmmuV3,
    /// Type 5: a performance monitor counter group.
    Pmcg,
    /// Type 6: reserved memory ranges.
    Rmr,
    /// Type 7: an interrupt wire bridge.
    Iwb,
    /// Any other type.
    Unknown(u8),
}

impl From<u8> for NodeKind {
    fn from(raw: u8) -> Self {
        match raw {
            0 => Self::ItsGroup,
            1 => Self::NamedComponent,
            2 => Self::RootComplex,
            3 => Self::SmmuV1V2,
            4 => Self::SmmuV3,
            5 => Self::Pmcg,
            6 => Self::Rmr,
            7 => Self::Iwb,
            other => Self::Unknown(other),
        }
    }
}

impl NodeKind {
    /// The type number in the table.
    #[must_use]
    pub const fn raw(self) -> u8 {
        match self {
            Self::ItsGroup => 0,
            Self::NamedComponent => 1,
            Self::RootComplex => 2,
            Self::SmmuV1V2 => 3,
            Self::SmmuV3 => 4,
            Self::Pmcg => 5,
            Self::Rmr => 6,
            Self::Iwb => 7,
            Self::Unknown(raw) => raw,
        }
    }

    /// Bytes that a node of this type and revision has before its arrays (IORT E.f).
    #[must_use]
    pub const fn fixed_bytes(self, revision: u8) -> u32 {
        match (self, revision) {
            (Self::ItsGroup, _) => 20,
            (Self::NamedComponent, _) => 29,
            (Self::RootComplex, 0) => 32,
            (Self::RootComplex, 1..=3) => 36,
            (Self::RootComplex, _) => 40,
            (Self::SmmuV1V2, _) => 76,
            (Self::SmmuV3, 0) => 60,
            (Self::SmmuV3, _) => 68,
            (Self::Pmcg, 0) => 32,
            (Self::Pmcg, _) => 40,
            (Self::Rmr, 0) => 24,
            (Self::Rmr, _) => 28,
            (Self::Iwb, _) => 26,
            (Self::Unknown(_), _) => 16,
        }
    }

    /// Newest node revision that this reader knows; none for unknown types.
    #[must_use]
    pub const fn newest_revision(self) -> Option<u8> {
        match self {
            Self::ItsGroup | Self::Iwb => Some(1),
            Self::NamedComponent | Self::RootComplex => Some(4),
            Self::SmmuV1V2 | Self::Rmr => Some(3),
            Self::SmmuV3 => Some(5),
            Self::Pmcg => Some(2),
            Self::Unknown(_) => None,
        }
    }

    /// Tells whether the node is an SMMU of any version.
    #[must_use]
    pub const fn is_smmu(self) -> bool {
        matches!(self, Self::SmmuV1V2 | Self::SmmuV3)
    }

    /// Place in the only legal order: device, SMMU, ITS group.
    pub(super) const fn rank(self) -> u8 {
        match self {
            Self::SmmuV1V2 | Self::SmmuV3 => 1,
            Self::ItsGroup => 2,
            _ => 0,
        }
    }
}

/// A node whose header and Length are inside the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// Place in the table's order, from 0.
    pub index: u32,
    /// Byte offset from the start of the table; what output references hold.
    pub offset: u32,
    /// Type.
    pub kind: NodeKind,
    /// Revision of the type's layout.
    pub revision: u8,
    /// Label; nothing resolves through it, and it need not be unique.
    pub identifier: u32,
    /// Number of ID mappings that the header claims.
    pub mapping_count: u32,
    /// Offset of the ID mappings from the start of the node.
    pub mapping_offset: u32,
    /// The whole node, header included.
    pub bytes: &'a [u8],
}

impl<'a> Node<'a> {
    /// Reads the header at `offset`; the rule that it breaks where no walk can go on from there.
    pub(super) fn read(table: &'a [u8], offset: u32, index: u32) -> Result<Self, &'static Rule> {
        let start = usize::try_from(offset).map_err(|_| &rule::E_COUNT_OVERRUN)?;
        let rest = table.get(start..).filter(|rest| !rest.is_empty()).ok_or(&rule::E_COUNT_OVERRUN)?;
        let header: NodeHeader = read::record(rest, 0).ok_or(&rule::E_NODE_HDR_TRUNC)?;
        let bytes = match header.length.get() {
            0 => return Err(&rule::E_NODE_LEN_ZERO),
            1..16 => return Err(&rule::E_NODE_LEN_SHORT),
            length => rest.get(..usize::from(length)).ok_or(&rule::E_NODE_LEN_OOB)?,
        };
        Ok(Self {
            index,
            offset,
            kind: header.node_type.into(),
            revision: header.revision,
            identifier: header.identifier.get(),
            mapping_count: header.mapping_count.get(),
            mapping_offset: header.mapping_offset.get(),
            bytes,
        })
    }

    /// Length of the node in bytes.
    #[must_use]
    pub const fn length(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// Tells whether the node holds all fields of its type and revision. A node that does not is never read further.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.length() >= self.kind.fixed_bytes(self.revision)
    }

    /// The mapping array, where it is inside the node and behind its fixed part.
    pub(super) fn mapping_array(&self) -> Option<&'a [IdMapping]> {
        if self.mapping_count == 0 {
            return Some(&[]);
        }
        let behind = self.is_whole() && self.mapping_offset >= self.kind.fixed_bytes(self.revision);
        behind.then(|| read::array(self.bytes, self.mapping_offset, self.mapping_count)).flatten()
    }

    /// ID mappings; none where the array is not inside the node. Nodes of unknown type have none that mean anything.
    pub fn mappings(&self) -> impl ExactSizeIterator<Item = Mapping> + Clone + use<'a> {
        let array = match self.kind {
            NodeKind::Unknown(_) => &[],
            _ => self.mapping_array().unwrap_or_default(),
        };
        array.iter().map(Mapping::from)
    }

    /// Offset of mapping `index` from the start of the table.
    pub(super) fn mapping_at(&self, index: usize) -> usize {
        (self.offset as usize)
            .saturating_add(self.mapping_offset as usize)
            .saturating_add(index.saturating_mul(size_of::<IdMapping>()))
    }

    /// Index of the mapping that gives an SMMUv3's *own* DeviceID for its MSIs and is no stream mapping, where the node
    /// says that it has one. Revision 0 has none; up to revision 4 it is in force unless every interrupt is wired;
    /// since revision 5 a flag says so (IORT E.e).
    #[must_use]
    pub fn device_id_mapping(&self) -> Option<u32> {
        if self.kind != NodeKind::SmmuV3 || !self.is_whole() || self.revision == 0 {
            return None;
        }
        let fixed: layout::SmmuV3 = read::record(self.bytes, 0)?;
        let tail: layout::SmmuV3Tail = read::record(self.bytes, size_of::<layout::SmmuV3>())?;
        let gsivs = [fixed.event_gsiv, fixed.pri_gsiv, fixed.gerror_gsiv, fixed.sync_gsiv];
        let in_force = match self.revision {
            0..5 => gsivs.iter().any(|gsiv| gsiv.get() == 0),
            5.. => fixed.flags.get() & 1 << 4 != 0,
        };
        in_force.then(|| tail.id_mapping_index.get())
    }
}

/// One ID mapping (IORT E.f).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First input ID.
    pub input_base: u32,
    /// Number of IDs minus one.
    pub id_count: u32,
    /// Output ID of the first input ID.
    pub output_base: u32,
    /// Offset of the node that takes the output, from the start of the table.
    pub output_reference: u32,
    /// Bit 0: single mapping.
    pub flags: u32,
}

impl From<&IdMapping> for Mapping {
    fn from(raw: &IdMapping) -> Self {
        Self {
            input_base: raw.input_base.get(),
            id_count: raw.id_count.get(),
            output_base: raw.output_base.get(),
            output_reference: raw.output_reference.get(),
            flags: raw.flags.get(),
        }
    }
}

impl Mapping {
    /// Tells whether the input ID is ignored and the output ID is `output_base`.
    #[must_use]
    pub const fn is_single(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Last input ID; cut at 32 bits, which is a finding of its own.
    #[must_use]
    pub const fn input_last(&self) -> u32 {
        self.input_base.saturating_add(self.id_count)
    }

    /// Last output ID; cut at 32 bits, which is a finding of its own.
    #[must_use]
    pub const fn output_last(&self) -> u32 {
        self.output_base.saturating_add(self.id_count)
    }

    /// Output ID of `input` as a range mapping; `None` outside the range, or where the output would pass 32 bits.
    #[must_use]
    pub fn output(&self, input: u32) -> Option<u32> {
        let distance = input.checked_sub(self.input_base).filter(|distance| *distance <= self.id_count)?;
        self.output_base.checked_add(distance)
    }
}
