//! A kernel that a test knows all of: some instructions, and memory beside the tables.

use super::*;
use std::collections::BTreeMap;

/// The kernel.
pub(super) struct Machine {
    /// From [`PC`] on.
    pub(super) program: Vec<u32>,
    pub(super) cleaned: Vec<u64>,
    /// Stores beside the tables, and bytes that were changed there.
    pub(super) neighbours: Vec<(u64, u8, u64)>,
    memory: BTreeMap<u64, u8>,
    pub(super) vectors: [u128; 32],
    pub(super) hidden: Range<u64>,
    /// Where EL2 has nothing.
    pub(super) unmapped: Range<u64>,
    pub(super) is_watching_loads: bool,
    /// Instructions that it executes by itself before something else brings it back.
    pub(super) steps: u32,
    /// Somebody else's stores beside the tables: before so many steps are left.
    pub(super) others: Vec<(u32, u64, u8)>,
}

impl Machine {
    pub(super) fn with(program: &[u32]) -> Self {
        Self {
            program: program.to_vec(),
            cleaned: Vec::new(),
            neighbours: Vec::new(),
            memory: BTreeMap::new(),
            vectors: core::array::from_fn(|register| {
                0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100 ^ (register as u128) << 60
            }),
            hidden: 0..0,
            unmapped: 0..0,
            is_watching_loads: false,
            steps: 1000,
            others: Vec::new(),
        }
    }

    fn byte(&self, at: u64) -> u8 {
        self.memory.get(&at).copied().unwrap_or(at as u8 ^ 0xFF)
    }

    fn write(&mut self, at: PhysAddr, bytes: u8, value: u64) {
        let each = value.to_le_bytes().into_iter().take(bytes.into());
        self.memory.extend((at.0..).zip(each));
    }
}

impl Kernel for Machine {
    fn instruction(&mut self, pc: u64) -> Option<u32> {
        self.program.get(pc.checked_sub(PC)? as usize / 4).copied()
    }
    fn translate(&mut self, address: u64) -> Option<u64> {
        address.checked_sub(HIGH).filter(|low| *low < 1 << 40)
    }
    fn is_hidden(&self, at: PhysAddr) -> bool {
        self.hidden.contains(&at.0)
    }
    fn is_watching_loads(&self) -> bool {
        self.is_watching_loads
    }
    fn load(&mut self, at: PhysAddr, bytes: u8) -> Option<u64> {
        let value = (0..bytes).rev().fold(0, |value, byte| value << 8 | u64::from(self.byte(at.0 + u64::from(byte))));
        (!self.unmapped.contains(&at.0)).then_some(value)
    }
    fn store(&mut self, at: PhysAddr, bytes: u8, value: u64) -> bool {
        if self.unmapped.contains(&at.0) {
            return false;
        }
        self.neighbours.push((at.0, bytes, value));
        self.write(at, bytes, value);
        true
    }
    fn replace(&mut self, at: PhysAddr, bytes: u8, old: u64, new: u64) -> bool {
        let is_there = self.load(at, bytes) == Some(old);
        if is_there {
            self.store(at, bytes, new);
        }
        is_there
    }
    fn vector(&mut self, register: u8) -> u128 {
        self.vectors[usize::from(register)]
    }
    fn set_vector(&mut self, register: u8, value: u128) {
        self.vectors[usize::from(register)] = value;
    }
    fn block_bytes(&self) -> u64 {
        64
    }
    /// ADD X<d>, X<n>, #imm; CBNZ W<t>, label; NOP.
    fn step(&mut self, registers: &mut Registers) -> bool {
        let Some(left) = self.steps.checked_sub(1) else { return false };
        self.steps = left;
        for (when, at, value) in self.others.clone() {
            if when == left {
                self.write(PhysAddr(at), 1, value.into());
            }
        }
        let word = self.instruction(registers.pc).expect("an instruction");
        let register = |lowest: u32| (word >> lowest & 31) as u8;
        match word >> 24 {
            0x91 => registers.set(register(0), registers.get(register(5)) + u64::from(word >> 10 & 0xFFF)),
            0x35 if registers.get(register(0)) as u32 != 0 => {
                let offset = (i64::from(word as i32) << 40 >> 45) * 4;
                registers.pc = registers.pc.wrapping_add_signed(offset - 4);
            }
            0x35 | 0xD5 => {}
            _ => panic!("{word:#x} is beyond this machine"),
        }
        registers.step_over();
        true
    }
    fn step_in(&mut self, _: PhysAddr, _: &mut Registers) -> bool {
        false
    }
    fn clean(&mut self, at: PhysAddr) {
        self.cleaned.push(at.0);
    }
}
