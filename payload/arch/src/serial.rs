//! What a character costs on each kind of UART: which register, which bit, how far apart. No access is made here.
//!
//! Data and status registers only: baud rate and line control stay as firmware left them.

/// Kind of a UART.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PL011, or SBSA Generic UART, which is a part of one.
    Pl011,
    /// 16550 with its registers so many bytes apart.
    Ns16550 {
        /// Bytes from one register to the next.
        stride: u8,
    },
}

/// Where a UART is, and how its registers are accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// First register.
    pub base: u64,
    /// Kind.
    pub kind: Kind,
    /// Bytes of an access: 1, 2 or 4. A PL011 takes no less than 2.
    pub access_bytes: u8,
}

impl At {
    /// A UART by the width of its registers in bits and, of a 16550, their distance in bytes; zero: a PL011.
    #[must_use]
    pub const fn new(base: u64, register_width: u32, stride: u32) -> Self {
        let kind = match stride {
            0 => Kind::Pl011,
            stride => Kind::Ns16550 { stride: stride as u8 },
        };
        Self { base, kind, access_bytes: (register_width / 8) as u8 }
    }
}

/// Registers of a UART, by their distance from the first.
pub trait Registers {
    /// Reads one.
    fn read(&mut self, offset: u64) -> u32;
    /// Writes one.
    fn write(&mut self, offset: u64, value: u32);
    /// Tells whether a wait that began with the last [`Registers::begin_wait`] may go on.
    fn is_patient(&mut self) -> bool;
    /// Begins a wait.
    fn begin_wait(&mut self);
}

/// PL011 (Arm DDI 0183): data, flags; transmit FIFO full, transmitting.
const DR: u64 = 0x00;
const FR: u64 = 0x18;
const FR_BUSY: u32 = 1 << 3;
const FR_TXFF: u32 = 1 << 5;
/// 16550: transmitter holding register, line status; holding register empty, transmitter empty.
const THR: u64 = 0;
const LSR: u64 = 5;
const LSR_THRE: u32 = 1 << 5;
const LSR_TEMT: u32 = 1 << 6;

/// A flag of a status register, and the value that it has when the wait is over.
struct Flag {
    offset: u64,
    mask: u32,
    wanted: u32,
}

impl Kind {
    /// For one more character there is room.
    const fn has_room(self) -> Flag {
        match self {
            Self::Pl011 => Flag { offset: FR, mask: FR_TXFF, wanted: 0 },
            Self::Ns16550 { stride } => Flag { offset: LSR * stride as u64, mask: LSR_THRE, wanted: LSR_THRE },
        }
    }

    /// All characters have left.
    const fn is_idle(self) -> Flag {
        match self {
            Self::Pl011 => Flag { offset: FR, mask: FR_BUSY, wanted: 0 },
            Self::Ns16550 { stride } => Flag { offset: LSR * stride as u64, mask: LSR_TEMT, wanted: LSR_TEMT },
        }
    }

    const fn data(self) -> u64 {
        match self {
            Self::Pl011 => DR,
            Self::Ns16550 { .. } => THR,
        }
    }

    /// Writes one character as soon as there is room, or once patience is over.
    pub fn put(self, registers: &mut impl Registers, byte: u8) {
        wait(registers, &self.has_room());
        registers.write(self.data(), u32::from(byte));
    }

    /// Waits until all characters have left, or patience is over.
    pub fn drain(self, registers: &mut impl Registers) {
        wait(registers, &self.is_idle());
    }
}

fn wait(registers: &mut impl Registers, flag: &Flag) {
    let is_there = |registers: &mut dyn Registers| registers.read(flag.offset) & flag.mask == flag.wanted;
    if is_there(registers) {
        return;
    }
    registers.begin_wait();
    while !is_there(registers) && registers.is_patient() {}
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{Kind, Registers};
    use std::{vec, vec::Vec};

    /// A UART whose status register is busy for some reads of each wait.
    struct Fake {
        busy: u32,
        ready: u32,
        polls: u32,
        patience: u32,
        log: Vec<(char, u64, u32)>,
    }

    impl Registers for Fake {
        fn read(&mut self, offset: u64) -> u32 {
            let value = if self.polls > 0 { self.busy } else { self.ready };
            self.polls = self.polls.saturating_sub(1);
            self.log.push(('r', offset, value));
            value
        }
        fn write(&mut self, offset: u64, value: u32) {
            self.log.push(('w', offset, value));
        }
        fn is_patient(&mut self) -> bool {
            self.patience = self.patience.saturating_sub(1);
            self.patience > 0
        }
        fn begin_wait(&mut self) {
            self.patience = 5;
        }
    }

    fn fake(busy: u32, ready: u32, polls: u32) -> Fake {
        Fake { busy, ready, polls, patience: 0, log: Vec::new() }
    }

    #[test]
    fn pl011_waits_while_its_fifo_is_full() {
        let mut registers = fake(1 << 5, 1 << 3, 2);
        Kind::Pl011.put(&mut registers, b'x');
        let full = ('r', 0x18, 1 << 5);
        assert_eq!(registers.log, [full, full, ('r', 0x18, 1 << 3), ('w', 0, 0x78)]);
        let mut registers = fake(1 << 3, 1 << 7, 1);
        Kind::Pl011.drain(&mut registers);
        assert_eq!(registers.log, [('r', 0x18, 1 << 3), ('r', 0x18, 1 << 7)]);
    }

    #[test]
    fn line_status_of_a_16550_is_five_strides_away() {
        for (stride, status) in [(1, 5), (2, 10), (4, 20), (8, 40)] {
            let kind = Kind::Ns16550 { stride };
            let mut registers = fake(1 << 6, 1 << 5, 1);
            kind.put(&mut registers, b'x');
            assert_eq!(registers.log, [('r', status, 1 << 6), ('r', status, 1 << 5), ('w', 0, 0x78)]);
            let mut registers = fake(1 << 5, 3 << 5, 1);
            kind.drain(&mut registers);
            assert_eq!(registers.log, [('r', status, 1 << 5), ('r', status, 3 << 5)]);
        }
    }

    #[test]
    fn a_uart_that_stays_full_costs_its_patience_and_no_more() {
        let mut registers = fake(0, 0, u32::MAX);
        Kind::Ns16550 { stride: 1 }.put(&mut registers, b'x');
        let mut expected = vec![('r', 5, 0); 6];
        expected.push(('w', 0, 0x78));
        assert_eq!(registers.log, expected);
    }
}
