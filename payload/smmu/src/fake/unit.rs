//! One SMMU of the fake: its registers and what they do.

use crate::spec::command::{Command, opcode};
use crate::spec::registers::{self as reg, Cr0, Gbpa, Gerror, Idr0, Idr1};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// One SMMU. The ID registers are those of QEMU 10; change them before use.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Everything that has no behaviour, and the ID registers; a 64-bit register is two words.
    pub registers: BTreeMap<u32, u32>,
    /// Every command consumed, in order.
    pub commands: Vec<Command>,
    /// CR0ACK keeps its value for ever.
    pub freeze_cr0ack: bool,
    /// IRQ_CTRLACK keeps its value for ever.
    pub freeze_irq_ctrlack: bool,
    /// GBPA.Update never reads 0 after a write.
    pub freeze_gbpa: bool,
    /// The command queue consumes nothing.
    pub freeze_cmdq: bool,
    /// STRTAB_BASE ignores writes while SMMUEN is 1 (6.3.24), as from SMMUv3.2 on.
    pub guards_strtab: bool,
    /// GBPA.Update reads 1 so many times after a write.
    pub gbpa_delay: u32,
    gbpa_pending: Option<(u32, u32)>,
}

impl Default for Unit {
    fn default() -> Self {
        let registers = BTreeMap::from([
            (reg::IDR0, 0x0D44_101B),
            (reg::IDR1, 0x0273_0010),
            (reg::IDR3, 0x1414),
            (reg::IDR5, 0x74),
            (reg::AIDR, 1),
            (reg::GBPA, 0x1000),
        ]);
        Self {
            registers,
            commands: Vec::new(),
            freeze_cr0ack: false,
            freeze_irq_ctrlack: false,
            freeze_gbpa: false,
            freeze_cmdq: false,
            guards_strtab: false,
            gbpa_delay: 0,
            gbpa_pending: None,
        }
    }
}

impl Unit {
    /// The value of a register, without side effects.
    #[must_use]
    pub fn get(&self, offset: u32) -> u32 {
        self.registers.get(&offset).copied().unwrap_or(0)
    }

    /// Sets a register, without side effects.
    pub fn set(&mut self, offset: u32, value: u32) {
        self.registers.insert(offset, value);
    }

    /// The value of a 64-bit register, without side effects.
    #[must_use]
    pub fn get64(&self, offset: u32) -> u64 {
        u64::from(self.get(offset)) | u64::from(self.get(offset + 4)) << 32
    }

    /// Sets a 64-bit register, without side effects.
    pub fn set64(&mut self, offset: u32, value: u64) {
        self.set(offset, value as u32);
        self.set(offset + 4, (value >> 32) as u32);
    }

    /// SMMU_IDR0.
    #[must_use]
    pub fn idr0(&self) -> Idr0 {
        Idr0::from(self.get(reg::IDR0))
    }

    /// Changes SMMU_IDR0.
    pub fn edit_idr0(&mut self, edit: impl FnOnce(Idr0) -> Idr0) {
        let edited = edit(self.idr0());
        self.set(reg::IDR0, edited.into());
    }

    pub(super) fn idr1(&self) -> Idr1 {
        Idr1::from(self.get(reg::IDR1))
    }

    pub(super) fn read(&mut self, offset: u32) -> u32 {
        if offset == reg::GBPA
            && let Some((value, left)) = self.gbpa_pending
        {
            if self.freeze_gbpa || left > 0 {
                self.gbpa_pending = Some((value, left.saturating_sub(1)));
                return self.get(offset) | u32::from(Gbpa::new().with_update(true));
            }
            self.gbpa_pending = None;
            self.set(reg::GBPA, value);
        }
        self.get(offset)
    }

    pub(super) fn write(&mut self, offset: u32, value: u32) {
        match offset {
            reg::CR0 => {
                self.set(offset, value);
                if !self.freeze_cr0ack {
                    self.set(reg::CR0ACK, value & self.implemented_cr0());
                }
            }
            reg::IRQ_CTRL => {
                self.set(offset, value);
                if !self.freeze_irq_ctrlack {
                    self.set(reg::IRQ_CTRLACK, value & 7);
                }
            }
            // 6.3.14: without Update a write has no effect; the attributes change when Update has returned to 0.
            reg::GBPA if Gbpa::from(value).update() => {
                self.gbpa_pending = Some((Gbpa::from(value).with_update(false).into(), self.gbpa_delay));
            }
            reg::GBPA | reg::CR0ACK | reg::IRQ_CTRLACK | reg::GERROR | reg::IDR0..=reg::AIDR => {}
            _ => self.set(offset, value),
        }
    }

    fn implemented_cr0(&self) -> u32 {
        let idr0 = self.idr0();
        Cr0::new()
            .with_smmuen(true)
            .with_eventqen(true)
            .with_cmdqen(true)
            .with_priqen(idr0.pri())
            .with_atschk(idr0.ats())
            .with_vmw(if idr0.vmw() { 7 } else { 0 })
            .into()
    }

    /// GERROR bits that are active now.
    #[must_use]
    pub fn active_errors(&self) -> Gerror {
        Gerror::from(self.get(reg::GERROR) ^ self.get(reg::GERRORN))
    }

    /// Makes global errors active that are not yet.
    pub fn raise(&mut self, errors: Gerror) {
        let fresh = u32::from(errors) & !u32::from(self.active_errors());
        self.set(reg::GERROR, self.get(reg::GERROR) ^ fresh);
    }

    pub(super) fn refuses(&self, command: Command) -> bool {
        let known = match command[0] as u8 {
            0x01..=0x06 | 0x10..=0x13 | 0x28 | 0x2A | opcode::TLBI_NSNH_ALL | opcode::SYNC => true,
            0x20..=0x23 => self.idr0().hyp(),
            0x40 => self.idr0().ats(),
            0x41 => self.idr0().pri(),
            _ => false,
        };
        !known
    }
}
