//! Default domains, as the driver core attaches them once the SMMU is registered: an empty translation for every function
//! that was found, and in it the ranges that firmware reserves for the stream, mapped to themselves.
//!
//! Order and commands as measured on a real kernel (first attach, from abort and from bypass). What it leaves out is left
//! out here: no CMD_TLBI, and no CMD_SYNC after the prefetch. Not so a new level-2 table: the kernel links it with a store
//! alone, where 3.21.3 asks for a barrier before and 5.1.1 for CMD_CFGI_STE with Leaf=0 after.

use super::common::Features;
use super::fresh::{FreshTable, InForce};
use super::{Site, Taken, TakeoverError};
use crate::access::{Access, Barrier, SmmuIndex, Structure};
use crate::queue::{CommandQueue, QueueError};
use crate::spec::cd::{CD_BYTES, Cd};
use crate::spec::command::{Command, cfgi_cd, cfgi_ste, prefetch_config};
use crate::spec::ste::Ste;
use crate::table::{context_descriptor, stage1_ste, stage2_ste};
use crate::translation::{Attributes, Geometry, Identifier, Stage, Translation};
use addr::{Iova, PhysAddr, StreamId};
use alloc::vec::Vec;

/// A stream that gets a default domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    /// Which.
    pub stream: StreamId,
    /// First address and length of each range that firmware reserves for it.
    pub identity: Vec<(PhysAddr, u64)>,
}

/// Attaches one domain after the other; ASIDs count from 1, as an empty allocator gives them.
pub(super) fn run(
    hw: &mut dyn Access,
    site: &mut Site<'_>,
    features: &Features,
    table: &mut FreshTable,
    mut taken: Taken,
) -> Result<Taken, TakeoverError> {
    hw.step("attach.domains");
    let geometry = features.geometry(Stage::One);
    let (Some(geometry), Some(mut commands)) = (geometry, taken.commands.take()) else { return Ok(taken) };
    for (asid, attach) in (1_u16..).zip(site.attach) {
        let live = InForce { commands: &mut commands, failed: &mut taken.ignored.invalidation };
        let Some(at) = table.ste(hw, site, attach.stream, Some(live))? else { continue };
        let error = domain(hw, site, features, geometry, attach, asid, at, &mut commands)?;
        if let Some(error) = error {
            taken.ignored.invalidation.get_or_insert(error);
        }
    }
    taken.last_ack_ticks = hw.ticks();
    Ok(Taken { commands: Some(commands), ..taken })
}

/// Makes and attaches one domain. The first command that fails is told, and passed over.
#[expect(clippy::too_many_arguments, reason = "one caller; each is a different thing")]
fn domain(
    hw: &mut dyn Access,
    site: &mut Site<'_>,
    features: &Features,
    geometry: Geometry,
    attach: &Attach,
    asid: u16,
    at: PhysAddr,
    commands: &mut CommandQueue,
) -> Result<Option<QueueError>, TakeoverError> {
    let domain = Domain::new(hw, site, features, geometry, attach, asid)?;
    // A bypass STE that overrides shareability uses word 1 too: then there is no way but through V=0.
    let breaks = features.idr1.attr_types_ovr() && site.rmr_streams.contains(&attach.stream);
    Ok(domain.install(hw, site.smmu, commands, at, breaks, None))
}

/// A translation for one stream, and what is going to lead to it.
pub(super) struct Domain {
    stream: StreamId,
    pub(super) id: Identifier,
    pub(super) tables: Translation,
    /// At stage 1.
    cd: Option<(PhysAddr, Cd)>,
    pub(super) ste: Ste,
}

impl Domain {
    /// Maps what firmware reserves for the stream to itself. Of CD and STE nothing is stored yet.
    pub(super) fn new(
        hw: &mut dyn Access,
        site: &mut Site<'_>,
        features: &Features,
        geometry: Geometry,
        attach: &Attach,
        id: u16,
    ) -> Result<Self, TakeoverError> {
        let stream = attach.stream;
        let failed = TakeoverError::Domain { stream };
        let tables = Translation::new(site.smmu, geometry, site.frames).map_err(|_| failed)?;
        for (base, bytes) in &attach.identity {
            // Two nodes may reserve the same range: it is mapped twice, to the same.
            let mapped = tables.map_over(hw, site.frames, Iova(base.0), *base, *bytes, Attributes::default());
            mapped.map_err(|_| failed)?;
        }
        let id = Identifier::new(geometry.stage(), id);
        let (cd, ste) = match id {
            Identifier::Asid(asid) => {
                let at = site.frames.allocate(CD_BYTES, CD_BYTES).ok_or(failed)?;
                let ste = stage1_ste(at, features.coherent);
                (Some((at, context_descriptor(&tables, asid, features.idr0, features.coherent))), ste)
            }
            Identifier::Vmid(vmid) => {
                (None, stage2_ste(features.idr1, tables.root(), geometry, vmid, features.coherent))
            }
        };
        Ok(Self { stream, id, tables, cd, ste })
    }

    /// Writes the CD, then the STE at `at`, each step followed by its invalidation and CMD_SYNC. `breaks`: through V=0, as
    /// 3.21.3 has it for words that the SMMU uses; else the last store is the one that counts. Words of `old` that are
    /// right already are not written. Returns the first command that failed.
    pub(super) fn install(
        &self,
        hw: &mut dyn Access,
        smmu: SmmuIndex,
        commands: &mut CommandQueue,
        at: PhysAddr,
        breaks: bool,
        old: Option<&Ste>,
    ) -> Option<QueueError> {
        let Self { stream, cd, ste, .. } = self;
        let mut error = None;
        let mut sync = |hw: &mut dyn Access, command: Command| {
            hw.barrier(Barrier::PublishStructure);
            if let Err(failure) = commands.issue_and_sync(hw, &[command]) {
                error.get_or_insert(failure);
            }
        };
        if let Some((cd_at, cd)) = cd {
            for word in [1_u64, 3] {
                hw.store(smmu, Structure::Cd, cd_at.plus(word * 8), cd[word as usize]);
            }
            sync(hw, cfgi_cd(*stream, 0, true));
            hw.store(smmu, Structure::Cd, *cd_at, cd[0]);
            sync(hw, cfgi_cd(*stream, 0, true));
        }
        if breaks {
            hw.store(smmu, Structure::Ste, at, 0);
            sync(hw, cfgi_ste(*stream, true));
        }
        let mut is_changed = false;
        for (word, value) in (1_u64..).zip(&ste[1..]) {
            // Of a table that was just made only the word that has something is not 0 yet.
            let is_right = old.map_or(word != 1, |old| old[word as usize] == *value);
            if !is_right {
                hw.store(smmu, Structure::Ste, at.plus(word * 8), *value);
                is_changed = true;
            }
        }
        if is_changed {
            sync(hw, cfgi_ste(*stream, true));
        }
        // Between domains of stage 2 word 0 may stay as it is.
        if breaks || old.is_none_or(|old| old[0] != ste[0]) {
            hw.store(smmu, Structure::Ste, at, ste[0]);
            sync(hw, cfgi_ste(*stream, true));
        }
        if let Err(failure) = commands.issue(hw, &[prefetch_config(*stream)]) {
            error.get_or_insert(failure);
        }
        error
    }
}
