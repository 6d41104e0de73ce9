//! The deferred attach: a stream goes on under the dead kernel's translation until the driver of its device starts it again,
//! and then moves to a domain of the taker's own, while all others stay where they are.
//!
//! Order and commands as measured on a real kernel (facts: adopting-kernel.md 5): CD, then word 1 of the STE where it differs,
//! then word 0 with one store, each with its invalidation, a prefetch, and no CMD_TLBI. The identifier is what an allocator
//! gives that knows nothing but the reserved ones: where nothing was reserved it is one that the dead kernel used.
//!
//! The new domain is at the stage of the old one. At stage 2 two words of the STE change, VMID and tables, and there is no way
//! but through V=0 (3.21.3): break before make. With the VMID that the stream had it is one word, and no break.

use super::attach::{Attach, Domain};
use super::common::Features;
use super::validate::look_again;
use super::{IdSet, Site, Taken, TakeoverError};
use crate::access::{Access, SmmuIndex, Structure};
use crate::queue::QueueError;
use crate::spec::cd::Cd0;
use crate::spec::registers::Idr1;
use crate::spec::ste::{Config, STE_WORDS, Ste, Ste0, Ste2};
use crate::translation::{Attributes, Identifier, Memory, Stage};
use addr::{Iova, PhysAddr};

/// STE.S1DSS: ignored where S1CDMax is 0 (5.2).
const S1DSS: u64 = 3;

/// What the driver of a device asks for.
#[derive(Clone, Copy, Debug)]
pub struct NewDomain<'a> {
    /// The stream, and what firmware reserves for it.
    pub attach: &'a Attach,
    /// What the driver maps: address for the device, pages, length.
    pub window: (Iova, PhysAddr, u64),
    /// For a device that snoops or does not.
    pub memory: Memory,
    /// Domains that an allocator, which counts from 1, made before.
    pub earlier: u16,
}

/// An attach that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Of the new domain.
    pub id: Identifier,
    /// Of the domain that the stream had, where it had one of one stage.
    pub old: Option<Identifier>,
    /// Where its STE is.
    pub ste_at: PhysAddr,
    /// The first command that failed; the reference kernel passes over it.
    pub ignored: Option<QueueError>,
}

/// Moves one stream of an adopted table to a domain of its own. Its device is stopped, as its driver does that.
///
/// # Errors
/// [`TakeoverError::Domain`] where no domain can be made, or the stream cannot be found in the table any more.
pub fn attach_deferred(
    hw: &mut dyn Access,
    site: &mut Site<'_>,
    taken: &mut Taken,
    wanted: &NewDomain<'_>,
) -> Result<Attached, TakeoverError> {
    hw.step("attach.deferred");
    let (smmu, stream) = (site.smmu, wanted.attach.stream);
    let failed = TakeoverError::Domain { stream };
    let features = Features::read(hw, site);
    let ste_at = look_again(hw, smmu, &site.own, stream).ok().flatten().ok_or(failed)?;
    let (old, old_id) = found(hw, smmu, ste_at).ok_or(failed)?;
    let stage = if matches!(old_id, Some(Identifier::Vmid(_))) { Stage::Two } else { Stage::One };
    let geometry = features.geometry(stage).ok_or(failed)?;
    let largest = Identifier::largest(stage, features.idr0);
    let id = allocate(taken.reserved.of(stage), wanted.earlier, largest).ok_or(failed)?;

    hw.step("attach.domain");
    let domain = Domain::new(hw, site, &features, geometry, wanted.attach, id)?;
    let (iova, pages, bytes) = wanted.window;
    let attributes = Attributes { memory: wanted.memory, ..Attributes::default() };
    domain.tables.map_over(hw, site.frames, iova, pages, bytes, attributes).map_err(|_| failed)?;

    hw.step("attach.install");
    let commands = taken.commands.as_mut().ok_or(failed)?;
    let breaks = needs_break(&old, &domain.ste, features.idr1);
    let ignored = domain.install(hw, smmu, commands, ste_at, breaks, Some(&old));
    Ok(Attached { id: domain.id, old: old_id, ste_at, ignored })
}

/// The STE as it is, and its VMID, or the ASID of its CD: so that the log shows what is given up.
fn found(hw: &mut dyn Access, smmu: SmmuIndex, at: PhysAddr) -> Option<(Ste, Option<Identifier>)> {
    let mut ste = [0; STE_WORDS];
    for (word, offset) in ste.iter_mut().zip((0..).step_by(8)) {
        *word = hw.load(smmu, Structure::Ste, at.plus(offset)).ok()?;
    }
    let ste0 = Ste0::from(ste[0]);
    let id = match Config(ste0.config()) {
        _ if !ste0.v() => None,
        Config::S1 if ste0.s1cdmax() == 0 => {
            let cd = hw.load(smmu, Structure::Cd, PhysAddr(ste0.s1contextptr())).ok().map(Cd0::from);
            cd.filter(|cd| cd.v()).map(|cd| Identifier::Asid(cd.asid()))
        }
        // Once more: of the loads before, the log keeps the value of the first.
        Config::S2 => {
            let word = hw.load(smmu, Structure::Ste, at.plus(16)).ok()?;
            Some(Identifier::Vmid(Ste2::from(word).s2vmid()))
        }
        _ => None,
    };
    Some((ste, id))
}

/// The identifier that comes after `earlier` others, without those that are reserved.
fn allocate(reserved: &IdSet, earlier: u16, largest: u16) -> Option<u16> {
    (1..=largest).filter(|id| !reserved.contains(*id)).nth(earlier.into())
}

/// More than one word that the SMMU uses would change under it: only V=0 is a state between both.
fn needs_break(old: &Ste, new: &Ste, idr1: Idr1) -> bool {
    let ste0 = Ste0::from(old[0]);
    let config = Config(ste0.config());
    // Abort uses word 0 alone, and bypass too without overridden attributes.
    let is_alone = config.is_abort() || (config == Config::BYPASS && !idr1.attr_types_ovr());
    if !ste0.v() || is_alone {
        return false;
    }
    let ignored = |word| if word == 1 && ste0.s1cdmax() == 0 { S1DSS } else { 0 };
    (0..STE_WORDS).filter(|word| (old[*word] ^ new[*word]) & !ignored(*word) != 0).count() > 1
}
