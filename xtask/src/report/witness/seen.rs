//! The log of a kernel that was watched, as its checks look at it.

use smmu::access::{SmmuIndex, Structure};
use smmu::log::{Entry, Op, What};
use smmu::spec::command::{COMMAND_BYTES, opcode};
use smmu::spec::registers as reg;
use smmu::spec::ste::{Config, STE_BYTES, Ste0};

use super::symbols::Names;
use super::told::{FOUND, TRAPPED};
use crate::report::collect::Cycle;
use crate::report::model::Foreign;
use crate::report::protocol;

/// An access of the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its place in the log, as the checker counts.
    pub at: u64,
    pub entry: Entry,
    pub foreign: Option<&'a Foreign>,
}

/// A command that was announced.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    pub at: u64,
    pub smmu: SmmuIndex,
    pub word: u64,
}

impl Command {
    const fn opcode(&self) -> u8 {
        self.word as u8
    }

    const fn stream(&self) -> u32 {
        (self.word >> 32) as u32
    }
}

/// A stream that was given tables of the kernel's own.
#[derive(Clone, Copy, Debug)]
pub struct Attach {
    /// The store to its STE.
    pub at: u64,
    pub smmu: SmmuIndex,
    pub stream: u32,
    /// No command names the stream: of its StreamID only the place in a level-2 table is known.
    pub is_place: bool,
    /// When the first command or store of it was seen: from there on a device may follow either tables.
    pub begun: u64,
    /// When the SMMU had no more of the old STE, as far as the log shows; none where it may have it for ever.
    pub done: Option<u64>,
}

impl Attach {
    /// It is this stream's.
    pub const fn is_of(&self, stream: u32) -> bool {
        if self.is_place { stream % 256 == self.stream } else { stream == self.stream }
    }
}

/// A whole log.
pub struct Log<'a> {
    pub all: Vec<Seen<'a>>,
    pub commands: Vec<Command>,
    names: Option<Names<'a>>,
}

impl<'a> Log<'a> {
    /// Of one cycle.
    pub fn of(cycle: &'a Cycle, names: Option<Names<'a>>) -> Self {
        let foreign = |index: u32| cycle.kernel.as_ref()?.foreign.get(&index);
        let entries = (0..).zip(protocol::in_order(cycle));
        let all: Vec<Seen<'_>> =
            entries.map(|(at, (index, entry))| Seen { at, entry, foreign: foreign(index) }).collect();
        let words = all.iter().filter(|seen| seen.is(Structure::Command) && seen.entry.op == Op::Store);
        let firsts = words.filter(|seen| seen.entry.address.is_multiple_of(COMMAND_BYTES));
        let commands = firsts.map(|seen| Command { at: seen.at, smmu: seen.entry.smmu, word: seen.entry.value });
        Self { commands: commands.collect(), all, names }
    }

    /// Place in the log and instruction, for the end of a reason.
    pub fn place(&self, at: u64) -> String {
        let foreign = usize::try_from(at).ok().and_then(|at| self.all.get(at)?.foreign);
        let pc = foreign.map_or_else(String::new, |foreign| format!(", PC {}", self.pc(foreign.pc.0)));
        format!("log entry {at}{pc}")
    }

    /// An instruction's address, with its name where there is one.
    pub fn pc(&self, pc: u64) -> String {
        self.name(pc).map_or_else(|| format!("{pc:#x}"), |name| format!("{pc:#x} ({name})"))
    }

    /// `function+0x12`.
    pub fn name(&self, pc: u64) -> Option<String> {
        self.names?.of(pc)
    }

    /// SMMUs with an access.
    pub fn smmus(&self) -> Vec<SmmuIndex> {
        let mut all: Vec<_> = self.all.iter().filter(|seen| seen.is_access()).map(|seen| seen.entry.smmu).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Register writes to one SMMU, as offset and lower word.
    pub fn writes(&self, smmu: SmmuIndex, register: u32) -> impl Iterator<Item = &Seen<'a>> {
        self.all.iter().filter(move |seen| seen.entry.smmu == smmu && seen.is_write_of(register))
    }

    /// The write that ends a takeover: CR0 with SMMUEN, after interrupts were set up.
    pub fn taken_over(&self, smmu: SmmuIndex) -> Option<u64> {
        let interrupts = self.writes(smmu, reg::IRQ_CTRL).next()?.at;
        let enables = |seen: &&Seen<'_>| seen.at > interrupts && seen.entry.value & 1 != 0;
        self.writes(smmu, reg::CR0).find(enables).map(|seen| seen.at)
    }

    /// The last write to CR0, where it disables the SMMU and the takeover was over: what Linux does on its way out.
    pub fn shut_down(&self, smmu: SmmuIndex) -> Option<&Seen<'a>> {
        let end = self.taken_over(smmu)?;
        self.writes(smmu, reg::CR0).last().filter(|seen| seen.at > end && seen.entry.value & 1 == 0)
    }

    /// Stores to a stream table or CD that trapped.
    pub fn table_stores(&self) -> impl Iterator<Item = &Seen<'a>> {
        self.all.iter().filter(|seen| seen.is_table_store() && seen.is_trapped())
    }

    /// Streams whose STE was made to translate by the kernel's own tables, and when.
    pub fn attaches(&self) -> Vec<Attach> {
        let stored = self.table_stores().filter(|seen| seen.is_first_of_ste() && seen.is_new_pointer());
        let attach = |seen: &Seen<'_>| {
            let smmu = seen.entry.smmu;
            // The lower bits of a StreamID are the STE's place in a level-2 table of 2^8.
            let place = (seen.entry.address / STE_BYTES % 256) as u32;
            let of_it = |command: &&Command| {
                let is_ste = command.opcode() == opcode::CFGI_STE && command.smmu == smmu;
                command.at > seen.at && is_ste && command.stream() % 256 == place
            };
            let command = self.commands.iter().find(of_it);
            let stream = command.map_or(place, Command::stream);
            let done = command.and_then(|command| self.consumed(command));
            Attach { at: seen.at, smmu, stream, is_place: command.is_none(), begun: self.begun(seen, stream), done }
        };
        stored.map(attach).collect()
    }

    /// When a command was waited for, or was not waited for before the next one was.
    fn consumed(&self, command: &Command) -> Option<u64> {
        let mut announced = self.writes(command.smmu, reg::CMDQ_PROD).filter(|write| write.at > command.at);
        let end = announced.next()?.entry.value;
        let next = announced.next().map_or(u64::MAX, |write| write.at);
        let is_consumed = |later: &&Seen<'_>| {
            let is_read = later.at > command.at && later.is_read_of(reg::CMDQ_CONS);
            is_read && later.entry.smmu == command.smmu && (later.entry.value == end || later.at > next)
        };
        Some(self.all.iter().find(is_consumed)?.entry.ticks)
    }

    /// When an attach began of which this store is the one that counts: at the first word of its STE that was stored behind the
    /// takeover, or at the first invalidation for its stream.
    fn begun(&self, stored: &Seen<'_>, stream: u32) -> u64 {
        let smmu = stored.entry.smmu;
        let since = self.taken_over(smmu).unwrap_or(0);
        let is_of_attach = |at: u64, of: SmmuIndex| (since..=stored.at).contains(&at) && of == smmu;
        let is_own_ste = |seen: &&Seen<'_>| {
            seen.is(Structure::Ste) && seen.entry.address / STE_BYTES == stored.entry.address / STE_BYTES
        };
        let stores = self.table_stores().filter(is_own_ste).map(|seen| seen.at);
        let is_own = |command: &&Command| {
            matches!(command.opcode(), opcode::CFGI_STE | opcode::CFGI_CD) && command.stream() == stream
        };
        let commands = self.commands.iter().filter(is_own);
        let commands = commands.filter(|command| is_of_attach(command.at, command.smmu)).map(|command| command.at);
        let first = stores.filter(|at| is_of_attach(*at, smmu)).chain(commands).min().unwrap_or(stored.at);
        usize::try_from(first).ok().and_then(|at| self.all.get(at)).map_or(stored.entry.ticks, |seen| seen.entry.ticks)
    }
}

impl Seen<'_> {
    pub fn is(&self, structure: Structure) -> bool {
        self.entry.what == What::Structure(structure)
    }

    /// The kernel did it: no step, no barrier, and nothing that was there before.
    pub fn is_access(&self) -> bool {
        let is_before = self.entry.op == Op::Load && self.foreign.is_some_and(|foreign| foreign.how == FOUND);
        matches!(self.entry.what, What::Register | What::Structure(_)) && !is_before
    }

    pub fn is_register(&self) -> bool {
        self.entry.what == What::Register
    }

    fn is_write_of(&self, register: u32) -> bool {
        self.is_register() && self.entry.op.is_write() && self.entry.address == u64::from(register)
    }

    /// A register was read.
    pub fn is_read_of(&self, register: u32) -> bool {
        self.is_register() && !self.entry.op.is_write() && self.entry.address == u64::from(register)
    }

    pub fn is_trapped(&self) -> bool {
        self.foreign.is_some_and(|foreign| foreign.how == TRAPPED)
    }

    pub fn is_table_store(&self) -> bool {
        let is_table = [Structure::L1Std, Structure::Ste, Structure::L1Cd, Structure::Cd].iter().any(|it| self.is(*it));
        is_table && matches!(self.entry.op, Op::Store | Op::Fill)
    }

    /// What the word held before, where that is known.
    pub fn old(&self) -> Option<u64> {
        Some(self.foreign?.old?.0)
    }

    pub fn is_first_of_ste(&self) -> bool {
        self.is(Structure::Ste) && self.entry.address.is_multiple_of(STE_BYTES)
    }

    /// Word 0 of an STE begins to lead to other tables.
    fn is_new_pointer(&self) -> bool {
        let ste = Ste0::from(self.entry.value);
        let config = Config(ste.config());
        let translates = ste.v() && !config.is_abort() && config != Config::BYPASS;
        translates && self.old().is_none_or(|old| old != self.entry.value)
    }

    /// Word 0 of an STE whose tables are known by a VMID.
    pub fn is_stage2(&self) -> bool {
        let ste = Ste0::from(self.entry.value);
        self.is_first_of_ste() && ste.v() && Config(ste.config()).has_s2()
    }

    /// Word 0 of an STE lets DMA through untranslated.
    pub fn is_bypass(&self) -> bool {
        let ste = Ste0::from(self.entry.value);
        self.is_first_of_ste() && ste.v() && Config(ste.config()) == Config::BYPASS
    }
}
