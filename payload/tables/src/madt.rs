//! MADT: the GIC and the CPUs behind it (ACPI 6.5, 5.2.12).

use crate::finding::{Finding, Sink, Unreadable};
use crate::sdt::Sdt;
use crate::{read, rule};
use addr::PhysAddr;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Signature of the table, which is not its name.
pub const SIGNATURE: [u8; 4] = *b"APIC";
/// ACPI header, local APIC address, flags.
const FIXED_BYTES: usize = 44;

/// GICC as far as ACPI 5.1 has it; later fields are not used here.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawGicc {
    header: [u8; 4],
    interface: U32,
    uid: U32,
    flags: U32,
    parking_version: U32,
    performance_gsiv: U32,
    parked: U64,
    base: U64,
    virtual_base: U64,
    hypervisor_base: U64,
    maintenance_gsiv: U32,
    redistributor: U64,
    mpidr: U64,
}
const _: () = assert!(size_of::<RawGicc>() == 76);

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawGicd {
    header: [u8; 4],
    id: U32,
    base: U64,
    vector_base: U32,
    version: u8,
    reserved: [u8; 3],
}
const _: () = assert!(size_of::<RawGicd>() == 24);

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawGicr {
    header: [u8; 4],
    base: U64,
    length: U32,
}
const _: () = assert!(size_of::<RawGicr>() == 16);

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawIts {
    header: [u8; 4],
    id: U32,
    base: U64,
    reserved: U32,
}
const _: () = assert!(size_of::<RawIts>() == 20);

/// A CPU interface (type 0x0b).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gicc {
    /// Affinity of the CPU, as in `MPIDR_EL1`.
    pub mpidr: u64,
    /// Bit 0 enabled, bit 3 online capable.
    pub flags: u32,
    /// `GICv2` CPU interface registers; zero where there are none.
    pub base: PhysAddr,
    /// This CPU's redistributor; zero where a GICR record describes it.
    pub redistributor: PhysAddr,
}

impl Gicc {
    /// Tells whether the CPU can be started.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.flags & 1 != 0
    }
}

/// The distributor (type 0x0c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gicd {
    /// Base of its registers.
    pub base: PhysAddr,
    /// GIC version 1 to 4; zero: not said, ask the hardware.
    pub version: u8,
}

/// A range of redistributors (type 0x0e).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gicr {
    /// First address.
    pub base: PhysAddr,
    /// Length in bytes.
    pub bytes: u32,
}

/// An interrupt translation service (type 0x0f).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Its {
    /// Identifier, to which IORT's ITS groups refer.
    pub id: u32,
    /// Base of its registers.
    pub base: PhysAddr,
}

/// One interrupt controller structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant holds the structure of its name")]
pub enum Record {
    Gicc(Gicc),
    Gicd(Gicd),
    Gicr(Gicr),
    Its(Its),
    /// `GICv2m` frames and other structures that the payload has no use for.
    Other(u8),
}

/// The table.
#[derive(Clone, Copy, Debug)]
pub struct Madt<'a> {
    table: &'a [u8],
}

impl<'a> Madt<'a> {
    /// Reads the table and checks its structures.
    ///
    /// # Errors
    /// The bytes hold no MADT.
    pub fn parse(bytes: &'a [u8], sink: &mut Sink<'_>) -> Result<Self, Unreadable> {
        let madt = Self { table: Sdt::parse(bytes, SIGNATURE, FIXED_BYTES, sink)?.bytes };
        let mut distributors = 0_u32;
        for (at, record) in madt.walk() {
            match record {
                Err(finding) => sink(finding),
                Ok(Record::Gicd(_)) => {
                    distributors += 1;
                    if distributors == 2 {
                        sink(finding(&rule::W_GIC_DISTRIBUTORS).at(at));
                    }
                }
                // Types up to 0x1f are those of ACPI 6.5 and later drafts; other architectures' among them.
                Ok(Record::Other(kind @ 0x20..)) => sink(finding(&rule::N_RECORD_TYPE).at(at).found(kind)),
                Ok(_) => {}
            }
        }
        if distributors == 0 {
            sink(finding(&rule::W_GIC_NO_DISTRIBUTOR));
        }
        Ok(madt)
    }

    /// Structures with their offsets. One that is too short for its type is an error and the walk goes on; one whose
    /// length is no length is an error and ends it, so that a zero-length structure cannot hold the walk for ever.
    fn walk(&self) -> impl Iterator<Item = (usize, Result<Record, Finding>)> + use<'a> {
        let (table, mut next) = (self.table, FIXED_BYTES);
        core::iter::from_fn(move || {
            let at = next;
            let rest = table.get(at..).filter(|rest| !rest.is_empty())?;
            next = table.len();
            let (kind, length) = match rest {
                [kind, length, ..] => (*kind, usize::from(*length)),
                _ => return Some((at, Err(finding(&rule::E_RECORD_OOB).at(at).against(table.len() as u64)))),
            };
            if length < 2 {
                let rule = if length == 0 { &rule::E_RECORD_LEN_ZERO } else { &rule::E_RECORD_SHORT };
                return Some((at, Err(finding(rule).at(at + 1).found(length as u64))));
            }
            let Some(bytes) = rest.get(..length) else {
                let cut = finding(&rule::E_RECORD_OOB).at(at + 1).found(length as u64);
                return Some((at, Err(cut.against(table.len() as u64))));
            };
            next = at + length;
            let short = finding(&rule::E_RECORD_SHORT).at(at + 1).found(length as u64);
            Some((at, record(kind, bytes).ok_or(short)))
        })
    }

    /// Structures that could be read, in table order.
    pub fn records(&self) -> impl Iterator<Item = Record> + use<'a> {
        self.walk().filter_map(|(_, record)| record.ok())
    }
}

/// The structure of type `kind`; `None` where `bytes` are too few for it.
fn record(kind: u8, bytes: &[u8]) -> Option<Record> {
    Some(match kind {
        0x0b => {
            let raw: RawGicc = read::record(bytes, 0)?;
            Record::Gicc(Gicc {
                mpidr: raw.mpidr.get(),
                flags: raw.flags.get(),
                base: PhysAddr(raw.base.get()),
                redistributor: PhysAddr(raw.redistributor.get()),
            })
        }
        0x0c => {
            let raw: RawGicd = read::record(bytes, 0)?;
            Record::Gicd(Gicd { base: PhysAddr(raw.base.get()), version: raw.version })
        }
        0x0e => {
            let raw: RawGicr = read::record(bytes, 0)?;
            Record::Gicr(Gicr { base: PhysAddr(raw.base.get()), bytes: raw.length.get() })
        }
        0x0f => {
            let raw: RawIts = read::record(bytes, 0)?;
            Record::Its(Its { id: raw.id.get(), base: PhysAddr(raw.base.get()) })
        }
        other => Record::Other(other),
    })
}

fn finding(rule: &'static rule::Rule) -> Finding {
    Finding::new(rule, SIGNATURE)
}
