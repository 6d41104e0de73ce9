//! From an SMMU as firmware left it to one that translates, and back (IHI 0070, 3.11).

mod adopt;
mod control;
mod error;
mod identify;
mod identity;
mod marking;
mod options;

use crate::access::{Access, SmmuIndex};
use crate::frames::Frames;
use crate::queue::{CommandQueue, output_queue};
use crate::spec::cd::CD_BYTES;
use crate::spec::command::{CFGI_ALL, Command, TLBI_EL2_ALL, TLBI_NSNH_ALL, tlbi_nh_asid, tlbi_s12_vmall};
use crate::spec::event::EVENT_BYTES;
use crate::spec::registers::{self as reg, Cr0, Cr2, Gbpa, Idr0, Idr1, QueueBase};
use crate::spec::ste::Ste;
use crate::table::{
    StreamTable, TableOptions, bypass_ste, context_descriptor, stage1_ste, stage2_ste, updating, write_cd,
};
use crate::takeover::Identifiers;
use crate::translation::{Geometry, Httu, Identifier, Translation};
use addr::StreamId;
pub use adopt::NotAdopted;
use control::Control;
pub use error::BringUpError;
use identify::identify;
pub use options::Options;

/// SMMU_CR1 (6.3.11) for a coherent SMMU: tables and queues inner and outer write-back, inner shareable.
const CR1_COHERENT: u32 = 0xD75;
/// Non-coherent: non-cacheable, which is outer shareable.
const CR1_NON_COHERENT: u32 = 2 << 10 | 2 << 4;

/// What was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// SMMU_CR0.
    pub cr0: Cr0,
    /// SMMU_GBPA.
    pub gbpa: Gbpa,
}

impl Found {
    fn read(hw: &mut dyn Access, smmu: SmmuIndex) -> Self {
        Self { cr0: hw.read32(smmu, reg::CR0).into(), gbpa: Gbpa::from(hw.read32(smmu, reg::GBPA)).with_update(false) }
    }
}

/// A translation, for one stream or for several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    /// In no other domain of the SMMU.
    pub id: Identifier,
    /// The STE that leads to it, at stage 1 by its CD.
    pub ste: Ste,
    /// Its tables.
    pub tables: Translation,
}

/// An SMMU in our hands.
#[derive(Clone, Debug)]
pub struct Unit {
    control: Control,
    idr0: Idr0,
    idr1: Idr1,
    geometry: Geometry,
    coherent: bool,
    /// CR2.E2H is to be set.
    e2h: bool,
    found: Found,
    table: StreamTable,
    commands: CommandQueue,
    eventq: QueueBase,
    next_id: u16,
    domains: u16,
    /// The command queue is there, and what changes must be invalidated.
    is_started: bool,
    /// In use by streams of firmware's table, where that was kept.
    reserved: Option<Identifiers>,
}

impl Unit {
    /// [`Unit::prepare`] and [`Unit::start`]: every StreamID aborts.
    ///
    /// # Errors
    /// [`BringUpError`]. Memory is taken before the first register is written.
    pub fn bring_up(
        hw: &mut dyn Access,
        smmu: SmmuIndex,
        options: &Options,
        frames: &mut dyn Frames,
    ) -> Result<Self, BringUpError> {
        let mut unit = Self::prepare(hw, smmu, options, frames)?;
        unit.start(hw)?;
        Ok(unit)
    }

    /// Looks at `smmu`, and makes a table in which every StreamID aborts, and queues. No register is written: until
    /// [`Unit::start`] firmware's setting holds, and streams that must not be cut off are attached before that.
    ///
    /// # Errors
    /// [`BringUpError`]: nothing that can be driven, or no memory.
    pub fn prepare(
        hw: &mut dyn Access,
        smmu: SmmuIndex,
        options: &Options,
        frames: &mut dyn Frames,
    ) -> Result<Self, BringUpError> {
        hw.step("smmu.identify");
        let control = Control { smmu, timeout_us: options.timeout_us };
        let (idr0, idr1, geometry) = identify(hw, smmu, options.base, options.stage)?;
        let found = Found::read(hw, smmu);
        let coherent = idr0.cohacc() || options.coherent_override;

        let table_options = TableOptions { format: options.format, largest: options.largest, unknown: options.unknown };
        let table = StreamTable::build(hw, smmu, idr0, idr1, table_options, frames)?;
        let commands = CommandQueue::new(smmu, frames, idr1, options.cmdq_log2, options.timeout_us)
            .map_err(|error| BringUpError::Queue { step: "queue memory", error })?;
        let eventq = output_queue(frames, idr1.eventqs(), options.eventq_log2, EVENT_BYTES)
            .map_err(|error| BringUpError::Queue { step: "queue memory", error })?;

        let next_id = options.first_id.saturating_sub(1) % Identifier::largest(options.stage, idr0) + 1;
        let e2h = options.e2h && idr0.hyp();
        let is_started = false;
        Ok(Self {
            control,
            idr0,
            idr1,
            geometry,
            coherent,
            e2h,
            found,
            table,
            commands,
            eventq,
            next_id,
            domains: 0,
            is_started,
            reserved: None,
        })
    }

    /// Takes the SMMU over from firmware and enables it with its table.
    ///
    /// Found disabled, GBPA is left as it is, as Linux leaves it: firmware's own setting holds until SMMUEN. Found
    /// enabled, GBPA aborts from before SMMUEN goes to 0.
    ///
    /// # Errors
    /// [`BringUpError`]; the SMMU is then disabled, and GBPA as it was found.
    pub fn start(&mut self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        self.is_started = true;
        let started = self.enable_with_table(hw);
        if started.is_err() {
            // Nothing of ours may stay in force; the first error is the one to report.
            let Self { control, found, .. } = *self;
            let _ = control.disable(hw).and_then(|()| control.set_gbpa(hw, found.gbpa));
        }
        started
    }

    /// From any state to a live table.
    fn enable_with_table(&mut self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        let Self { control, coherent, found, .. } = *self;
        let smmu = control.smmu;
        hw.step("smmu.disable");
        let acknowledged = Cr0::from(hw.read32(smmu, reg::CR0ACK));
        if found.cr0.smmuen() || acknowledged.smmuen() {
            control.abort_when_disabled(hw)?;
        }
        control.disable(hw)?;

        hw.step("smmu.program");
        // 6.3.11, 6.3.12: only while SMMUEN and all queue enables are 0.
        hw.write32(smmu, reg::CR1, if coherent { CR1_COHERENT } else { CR1_NON_COHERENT });
        // Faults of unknown StreamIDs are recorded, TLB maintenance of the CPUs is not for this SMMU.
        let cr2 = Cr2::new().with_ptm(true).with_recinvsid(true).with_e2h(self.e2h);
        hw.write32(smmu, reg::CR2, cr2.into());
        hw.write64(smmu, reg::STRTAB_BASE, self.table.strtab_base().into());
        hw.write32(smmu, reg::STRTAB_BASE_CFG, self.table.strtab_base_cfg().into());
        self.start_commands_and_invalidate(hw)?;
        self.enable(hw)
    }

    /// Which SMMU it is.
    #[must_use]
    pub const fn smmu(&self) -> SmmuIndex {
        self.control.smmu
    }

    /// What was there before.
    #[must_use]
    pub const fn found(&self) -> Found {
        self.found
    }

    /// Its stream table.
    #[must_use]
    pub const fn table(&self) -> &StreamTable {
        &self.table
    }

    /// Consumes all events so far, and acknowledges an overflow (7.4), as a kernel does that is at work: what a device did
    /// before it was armed is nobody's evidence.
    pub fn discard_events(&self, hw: &mut dyn Access) {
        let smmu = self.control.smmu;
        let prod = hw.read32(smmu, reg::EVENTQ_PROD);
        hw.write32(smmu, reg::EVENTQ_CONS, prod);
    }

    /// Its event queue.
    #[must_use]
    pub const fn eventq(&self) -> QueueBase {
        self.eventq
    }

    /// Tables and queues are read through the CPUs' caches.
    #[must_use]
    pub const fn coherent(&self) -> bool {
        self.coherent
    }

    /// Its command queue, for invalidations of the caller's own.
    pub const fn commands(&mut self) -> &mut CommandQueue {
        &mut self.commands
    }

    /// An empty translation with an identifier of its own.
    ///
    /// # Errors
    /// [`BringUpError::Map`], [`BringUpError::OutOfMemory`], [`BringUpError::NoIdentifier`].
    pub fn new_domain(&mut self, hw: &mut dyn Access, frames: &mut dyn Frames) -> Result<Domain, BringUpError> {
        self.check_identifiers()?;
        let tables = Translation::new(self.control.smmu, self.geometry, frames)?;
        self.domain(hw, frames, tables, None)
    }

    /// There is an identifier for one more domain.
    fn check_identifiers(&self) -> Result<(), BringUpError> {
        let largest = Identifier::largest(self.geometry.stage(), self.idr0);
        if self.domains < largest { Ok(()) } else { Err(BringUpError::NoIdentifier { domains: self.domains }) }
    }

    /// A domain of these tables, whose flags hardware updates where `httu` says so.
    fn domain(
        &mut self,
        hw: &mut dyn Access,
        frames: &mut dyn Frames,
        tables: Translation,
        httu: Option<Httu>,
    ) -> Result<Domain, BringUpError> {
        let (smmu, geometry) = (self.control.smmu, tables.geometry());
        let largest = Identifier::largest(geometry.stage(), self.idr0);
        // 0 is left to nobody: the adoption series refuses a table that uses it, and VMID 0 is that of stage 1 alone.
        // In 32 bits: the sum of two identifiers may need 17.
        let from_next = (0..u32::from(largest))
            .map(|skipped| ((u32::from(self.next_id) - 1 + skipped) % u32::from(largest) + 1) as u16);
        let reserved = self.reserved.as_ref().map(|reserved| reserved.of(geometry.stage()));
        let is_free = |id: &u16| reserved.is_none_or(|reserved| !reserved.contains(*id));
        let value = { from_next }.find(is_free).ok_or(BringUpError::NoIdentifier { domains: self.domains })?;
        self.next_id = value % largest + 1;
        let id = Identifier::new(geometry.stage(), value);
        let ste = match id {
            Identifier::Asid(asid) => {
                let at = frames
                    .allocate(CD_BYTES, CD_BYTES)
                    .ok_or(BringUpError::OutOfMemory { what: "a context descriptor", bytes: CD_BYTES })?;
                let cd = context_descriptor(&tables, asid, self.idr0, self.coherent);
                write_cd(hw, smmu, at, &httu.map_or(cd, |httu| updating(cd, httu)));
                stage1_ste(at, self.coherent)
            }
            Identifier::Vmid(vmid) => stage2_ste(self.idr1, tables.root(), geometry, vmid, self.coherent),
        };
        self.domains += 1;
        Ok(Domain { id, ste, tables })
    }

    /// Translates `stream_id` through `domain` from now on.
    ///
    /// # Errors
    /// [`BringUpError::Table`].
    pub fn attach(
        &mut self,
        hw: &mut dyn Access,
        frames: &mut dyn Frames,
        stream_id: StreamId,
        domain: &Domain,
    ) -> Result<(), BringUpError> {
        self.install(hw, frames, stream_id, &domain.ste)
    }

    /// Passes `stream_id` untranslated from now on.
    ///
    /// # Errors
    /// [`BringUpError::Table`].
    pub fn attach_bypass(
        &mut self,
        hw: &mut dyn Access,
        frames: &mut dyn Frames,
        stream_id: StreamId,
    ) -> Result<(), BringUpError> {
        self.install(hw, frames, stream_id, &bypass_ste(self.idr1))
    }

    /// Aborts `stream_id` from now on.
    ///
    /// # Errors
    /// [`BringUpError::Table`].
    pub fn detach(&mut self, hw: &mut dyn Access, stream_id: StreamId) -> Result<(), BringUpError> {
        let commands = self.is_started.then_some(&mut self.commands);
        Ok(self.table.abort(hw, commands, stream_id)?)
    }

    fn install(
        &mut self,
        hw: &mut dyn Access,
        frames: &mut dyn Frames,
        stream_id: StreamId,
        ste: &Ste,
    ) -> Result<(), BringUpError> {
        let commands = self.is_started.then_some(&mut self.commands);
        Ok(self.table.write_ste(hw, commands, frames, stream_id, ste)?)
    }

    /// Drops cached translations of `domain`, after pages of it were unmapped.
    ///
    /// # Errors
    /// [`BringUpError::Queue`].
    pub fn invalidate(&mut self, hw: &mut dyn Access, domain: &Domain) -> Result<(), BringUpError> {
        match domain.id {
            Identifier::Asid(asid) => self.command(hw, "TLBI_NH_ASID", tlbi_nh_asid(0, asid)),
            Identifier::Vmid(vmid) => self.command(hw, "TLBI_S12_VMALL", tlbi_s12_vmall(vmid)),
        }
    }

    /// Disables the SMMU, whoever had it last: GBPA aborts, SMMUEN and queues off, nothing left in its caches.
    ///
    /// Nothing is assumed of its registers, since a crash kernel may have taken it over in between. Afterwards the unit is
    /// only good for [`Self::restore_gbpa`].
    ///
    /// # Errors
    /// [`BringUpError`].
    pub fn shut_down(&mut self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        hw.step("smmu.shut-down");
        self.control.abort_when_disabled(hw)?;
        self.disable(hw)
    }

    /// [`Self::shut_down`], and GBPA as it was found.
    ///
    /// # Errors
    /// [`BringUpError`]: it may still use its tables.
    pub fn give_back(&mut self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        self.shut_down(hw)?;
        self.restore_gbpa(hw)
    }

    /// SMMUEN and queues off, nothing left in its caches.
    fn disable(&mut self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        let smmu = self.control.smmu;
        self.control.disable(hw)?;
        // SMMUEN 1 -> 0 invalidates nothing, and commands are still consumed (6.3.9); the queue is our own again.
        hw.write32(smmu, reg::CR1, if self.coherent { CR1_COHERENT } else { CR1_NON_COHERENT });
        self.start_commands_and_invalidate(hw)?;
        self.control.set_cr0(hw, "queues off", Cr0::new())
    }

    /// Gives GBPA the value that was found. Where the SMMU was found enabled it meant nothing: then it aborts, so that streams
    /// that firmware translated are not let through at other addresses.
    ///
    /// # Errors
    /// [`BringUpError::TimedOut`].
    pub fn restore_gbpa(&self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        let Found { cr0, gbpa } = self.found;
        self.control.set_gbpa(hw, if cr0.smmuen() { gbpa.with_abort(true) } else { gbpa })
    }

    /// Command queue on, then everything Non-secure out of the configuration caches and TLBs, in the order of Linux.
    /// The content of either is unknown after reset, and survives SMMUEN=0.
    fn start_commands_and_invalidate(&mut self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        self.commands.program(hw);
        self.control.set_cr0(hw, "command queue", Cr0::new().with_cmdqen(true))?;
        self.command(hw, "CFGI_ALL", CFGI_ALL)?;
        if self.idr0.hyp() {
            self.command(hw, "TLBI_EL2_ALL", TLBI_EL2_ALL)?;
        }
        self.command(hw, "TLBI_NSNH_ALL", TLBI_NSNH_ALL)
    }

    /// Records events from now on, in a queue of ours; `cr0` is what is on beside that.
    fn enable_events(&self, hw: &mut dyn Access, cr0: Cr0) -> Result<Cr0, BringUpError> {
        let smmu = self.control.smmu;
        hw.write64(smmu, reg::EVENTQ_BASE, self.eventq.into());
        hw.write32(smmu, reg::EVENTQ_PROD, 0);
        hw.write32(smmu, reg::EVENTQ_CONS, 0);
        let cr0 = cr0.with_eventqen(true);
        self.control.set_cr0(hw, "event queue", cr0)?;
        Ok(cr0)
    }

    fn enable(&self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        hw.step("smmu.enable");
        let mut cr0 = self.enable_events(hw, Cr0::new().with_cmdqen(true))?;
        if self.idr0.ats() {
            // Translated transactions are checked against STE.EATS, which is 0 everywhere: they abort.
            cr0 = cr0.with_atschk(true);
            self.control.set_cr0(hw, "ATS check", cr0)?;
        }
        self.control.set_cr0(hw, "SMMUEN", cr0.with_smmuen(true))?;
        self.control.check_errors(hw)
    }

    fn command(&mut self, hw: &mut dyn Access, step: &'static str, command: Command) -> Result<(), BringUpError> {
        self.commands.issue_and_sync(hw, &[command]).map_err(|error| BringUpError::Queue { step, error })
    }
}

#[cfg(test)]
mod tests;
