//! Byte layouts of the IO Remapping Table (IORT E.f): offsets only, no behaviour.
#![expect(missing_docs, reason = "field names are the specification's")]

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

macro_rules! layout {
    ($(#[$doc:meta])* $name:ident, $bytes:literal { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
        #[repr(C)]
        pub struct $name {
            $(pub $field: $type,)*
        }
        const _: () = assert!(size_of::<$name>() == $bytes);
    };
}

/// Header Length of the table: the ACPI header and the IORT fields behind it.
pub const TABLE_BYTES: u32 = 48;
/// First table revision from which Linux takes RMR nodes (IORT E.d).
pub const RMR_TABLE_REVISION: u8 = 5;
/// Granule of a reserved memory range.
pub const RMR_GRANULE: u64 = 0x1_0000;

layout! {
    /// Behind the ACPI header, at 36.
    TableFields, 12 {
        node_count: U32,
        node_offset: U32,
        reserved: U32,
    }
}

layout! {
    /// Node header. The identifier was a reserved word before table revision 3.
    NodeHeader, 16 {
        node_type: u8,
        length: U16,
        revision: u8,
        identifier: U32,
        mapping_count: U32,
        mapping_offset: U32,
    }
}

layout! {
    /// ID mapping. `id_count` is the number of IDs minus one.
    IdMapping, 20 {
        input_base: U32,
        id_count: U32,
        output_base: U32,
        output_reference: U32,
        flags: U32,
    }
}

layout! {
    /// ITS group, up to its identifiers.
    ItsGroup, 20 {
        header: NodeHeader,
        count: U32,
    }
}

layout! {
    /// Memory access properties.
    MemoryProperties, 8 {
        cca: U32,
        hints: u8,
        reserved: U16,
        flags: u8,
    }
}

layout! {
    /// Named component, up to its object name.
    NamedComponent, 29 {
        header: NodeHeader,
        flags: U32,
        memory: MemoryProperties,
        address_limit: u8,
    }
}

layout! {
    /// Root complex at revision 0. The address limit (8 bits) follows at revision 1; PASID capabilities (16 bits, in what
    /// was reserved), 8 reserved bits and flags (32 bits) at revision 4.
    RootComplex, 32 {
        header: NodeHeader,
        memory: MemoryProperties,
        ats: U32,
        segment: U32,
    }
}

layout! {
    /// The start that SMMUv1/v2 and SMMUv3 nodes have in common.
    AnySmmu, 24 {
        header: NodeHeader,
        base: U64,
    }
}

layout! {
    /// SMMUv1 or v2, up to its interrupts. Offsets of arrays are from the start of the node.
    SmmuV1V2, 60 {
        header: NodeHeader,
        base: U64,
        span: U64,
        model: U32,
        flags: U32,
        global_offset: U32,
        context_count: U32,
        context_offset: U32,
        pmu_count: U32,
        pmu_offset: U32,
    }
}

layout! {
    /// Interrupt of an SMMUv1 or v2.
    Interrupt, 8 {
        gsiv: U32,
        flags: U32,
    }
}

layout! {
    /// SMMUv3 at revision 0; proximity domain and DeviceID mapping index follow at revision 1.
    SmmuV3, 60 {
        header: NodeHeader,
        base: U64,
        flags: U32,
        reserved: U32,
        vatos: U64,
        model: U32,
        event_gsiv: U32,
        pri_gsiv: U32,
        gerror_gsiv: U32,
        sync_gsiv: U32,
    }
}

layout! {
    /// Behind [`SmmuV3`] since revision 1.
    SmmuV3Tail, 8 {
        proximity: U32,
        id_mapping_index: U32,
    }
}

layout! {
    /// PMCG at revision 0; the base of page 1 follows at revision 1.
    Pmcg, 32 {
        header: NodeHeader,
        page0: U64,
        overflow_gsiv: U32,
        node_reference: U32,
    }
}

layout! {
    /// Interrupt wire bridge, up to its object name.
    Iwb, 26 {
        header: NodeHeader,
        base: U64,
        index: U16,
    }
}

layout! {
    /// RMR node since revision 1.
    Rmr, 28 {
        header: NodeHeader,
        flags: U32,
        count: U32,
        offset: U32,
    }
}

layout! {
    /// RMR node of the first draft, revision 0: it has no flags word.
    RmrDraft, 24 {
        header: NodeHeader,
        count: U32,
        offset: U32,
    }
}

layout! {
    /// Memory range descriptor.
    RmrDescriptor, 20 {
        base: U64,
        length: U64,
        reserved: U32,
    }
}
