//! Questions to the access log of one SMMU.

use smmu::{
    access::{SmmuIndex, Structure},
    log::{Entry, Op, What},
    spec::{
        command::opcode,
        registers::{CMDQ_CONS, CMDQ_PROD, CR0, CR0ACK, Cr0},
    },
};

/// The log as one SMMU saw it.
#[derive(Clone, Copy)]
pub(super) struct Trace<'a> {
    log: &'a [Entry],
    smmu: SmmuIndex,
}

/// A register access: its place in the log, offset, value.
#[derive(Clone, Copy)]
pub(super) struct Register {
    pub(super) place: usize,
    pub(super) is_write: bool,
    pub(super) offset: u64,
    pub(super) value: u64,
}

/// Index bits of a command queue with its wrap bit (IHI 0070, 6.3.27).
const INDEX: u64 = 0xF_FFFF;

impl<'a> Trace<'a> {
    pub(super) const fn new(log: &'a [Entry], smmu: SmmuIndex) -> Self {
        Self { log, smmu }
    }

    /// Accesses to registers, in order.
    pub(super) fn registers(self) -> impl Iterator<Item = Register> + use<'a> {
        self.log.iter().enumerate().filter(move |(_, entry)| entry.smmu == self.smmu).filter_map(|(place, entry)| {
            let is_write = matches!(entry.op, Op::RegWrite32 | Op::RegWrite64);
            let is_register = entry.what == What::Register;
            is_register.then_some(Register { place, is_write, offset: entry.address, value: entry.value })
        })
    }

    /// Writes to a register, in order. `bytes` is its size: a 64-bit register may be written in halves.
    pub(super) fn writes(self, offset: u32, bytes: u64) -> impl Iterator<Item = Register> + use<'a> {
        let start = u64::from(offset);
        self.registers().filter(move |access| access.is_write && (start..start + bytes).contains(&access.offset))
    }

    /// Tells whether a register was written.
    pub(super) fn wrote(self, offset: u32, bytes: u64) -> bool {
        self.writes(offset, bytes).next().is_some()
    }

    /// Reads of a register, in order.
    pub(super) fn reads(self, offset: u32) -> impl Iterator<Item = Register> + use<'a> {
        self.registers().filter(move |access| !access.is_write && access.offset == u64::from(offset))
    }

    /// Writes of CR0, in order, with their places.
    pub(super) fn cr0_writes(self) -> impl Iterator<Item = (usize, Cr0)> + use<'a> {
        self.writes(CR0, 4).map(|access| (access.place, Cr0::from(access.value as u32)))
    }

    /// Tells whether CR0ACK was read between two places with the fields of `wanted` that `mask` names.
    pub(super) fn acknowledged(self, from: usize, to: usize, wanted: Cr0, mask: u32) -> bool {
        self.reads(CR0ACK).any(|access| {
            from < access.place && access.place < to && (access.value as u32 ^ wanted.into_bits()) & mask == 0
        })
    }

    /// Stores to structures, in order.
    pub(super) fn stores(self) -> impl Iterator<Item = (usize, Structure, &'a Entry)> + use<'a> {
        self.log.iter().enumerate().filter_map(move |(place, entry)| match entry.what {
            What::Structure(structure) if matches!(entry.op, Op::Store | Op::Fill) && entry.smmu == self.smmu => {
                Some((place, structure, entry))
            }
            _ => None,
        })
    }

    /// Tells whether every configuration was invalidated between two places, and the unit said so: CFGI_ALL, with a
    /// CMD_SYNC after it that was consumed (IHI 0070, 4.3, 4.7.3).
    pub(super) fn configuration_invalidated(self, from: usize, to: usize) -> bool {
        self.cfgi_all(from, to).is_some_and(|command| self.completed(command, to))
    }

    /// The same of every translation, by TLBI_NSNH_ALL (4.4). With old configuration cached it would be cached again, so
    /// that CFGI_ALL, where there is one, comes before.
    pub(super) fn translation_invalidated(self, from: usize, to: usize) -> bool {
        let from = self.cfgi_all(from, to).unwrap_or(from);
        self.command(opcode::TLBI_NSNH_ALL, from, to).is_some_and(|command| self.completed(command, to))
    }

    /// Tells whether the EL2 regime was invalidated between two places in the same way.
    pub(super) fn el2_invalidated(self, from: usize, to: usize) -> bool {
        self.command(opcode::TLBI_EL2_ALL, from, to).is_some_and(|command| self.completed(command, to))
    }

    /// Place of the first CMD_CFGI_ALL: CMD_CFGI_STE_RANGE has the same opcode, and another Range in word 1 (4.3.2).
    fn cfgi_all(self, from: usize, to: usize) -> Option<usize> {
        const RANGE: u64 = 0x1f;
        let all = |at: u64, place: usize| {
            let mut words = self.stores().filter(|(other, ..)| (place..to).contains(other));
            words.find(|(.., entry)| entry.address == at + 8).is_some_and(|(.., word)| word.value & RANGE == RANGE)
        };
        self.stores()
            .filter(|(place, ..)| (from..to).contains(place))
            .find(|(place, structure, entry)| {
                *structure == Structure::Command
                    && entry.address % 16 == 0
                    && entry.value as u8 == opcode::CFGI_ALL
                    && all(entry.address, *place)
            })
            .map(|(place, ..)| place)
    }

    /// Place of the first command with this opcode between two places. Entries are two words; the first is at a multiple
    /// of 16 and holds the opcode.
    fn command(self, opcode: u8, from: usize, to: usize) -> Option<usize> {
        self.stores()
            .filter(|(place, ..)| (from..to).contains(place))
            .find(|(_, structure, entry)| {
                *structure == Structure::Command && entry.address % 16 == 0 && entry.value as u8 == opcode
            })
            .map(|(place, ..)| place)
    }

    /// Tells whether a CMD_SYNC after the command at `from` was handed over and consumed before `to`.
    fn completed(self, from: usize, to: usize) -> bool {
        let Some(sync) = self.command(opcode::SYNC, from, to) else { return false };
        let Some(doorbell) = self.writes(CMDQ_PROD, 4).find(|access| access.place > sync && access.place < to) else {
            return false;
        };
        // An ERR field means something only while CMDQ_ERR is active (6.3.28), and then consumption stops short of PROD.
        self.reads(CMDQ_CONS).any(|access| {
            doorbell.place < access.place && access.place < to && (access.value ^ doorbell.value) & INDEX == 0
        })
    }
}
