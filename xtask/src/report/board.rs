//! What the registers say of the board, so that nobody needs a debugger for it.

use wire::Record;

use super::model::{Hex, Register, Smmu};
use super::words::{self, layouts::Aidr, layouts::Iidr, meaning};
use smmu::spec::registers::Gbpa;

/// An SMMU as its record tells it; `None` for another record.
pub fn smmu(record: &Record<'_>) -> Option<Smmu> {
    let Record::Smmu { index, base, idr0, idr1, idr3, idr5, iidr, aidr, cr0, gbpa, coherent } = *record else {
        return None;
    };
    let word = |value: u32| Hex(value.into());
    let named = [
        ("IDR0", idr0),
        ("IDR1", idr1),
        ("IDR3", idr3),
        ("IDR5", idr5),
        ("IIDR", iidr),
        ("AIDR", aidr),
        ("CR0", cr0),
        ("GBPA", gbpa),
    ];
    Some(Smmu {
        index,
        base: Hex(base),
        idr0: word(idr0),
        idr1: word(idr1),
        idr3: word(idr3),
        idr5: word(idr5),
        iidr: word(iidr),
        aidr: word(aidr),
        cr0: word(cr0),
        gbpa: word(gbpa),
        coherent,
        gbpa_reset: if Gbpa::from(gbpa).abort() { "abort" } else { "bypass" }.into(),
        architecture: architecture(aidr),
        product: product(iidr),
        words: named.map(|(name, value)| (name.into(), words::of(name, value.into()))).to_vec(),
    })
}

/// SMMU_AIDR in words: the major number counts from SMMUv3 (IHI 0070, 6.3.8).
fn architecture(aidr: u32) -> String {
    let aidr = Aidr::from(aidr);
    match aidr.archmajorrev() {
        0 => format!("SMMUv3.{}", aidr.archminorrev()),
        major => format!("unknown: major {major}, minor {}", aidr.archminorrev()),
    }
}

/// SMMU_IIDR in words, where its implementer is known.
fn product(iidr: u32) -> Option<String> {
    let iidr = Iidr::from(iidr);
    let (implementer, id) = (u64::from(iidr.implementer()), u64::from(iidr.productid()));
    let revision = format!("r{}p{}", iidr.variant(), iidr.revision());
    match meaning::product(implementer, id) {
        Some(name) => Some(format!("Arm {name} {revision}")),
        None if implementer == meaning::ARM => Some(format!("Arm, product {id:#x} {revision}")),
        None if iidr.into_bits() == 0 => None,
        None => Some(format!("implementer {implementer:#x}, product {id:#x} {revision}")),
    }
}

/// A register of a snapshot, with its fields and what changed.
pub fn register(smmu: u8, name: &str, before: u64, after: u64) -> Register {
    let (words, change) = (words::of(name, before), words::change(name, before, after));
    Register { smmu, name: name.into(), before: Hex(before), after: Hex(after), words, change }
}

#[cfg(test)]
mod tests;
