extern crate std;

use super::{
    ENABLE, MOST_WIDE, Refused, Register,
    Register::{Control, Identity, OffsetHigh, OffsetLow, Refresh},
    Registers, arm, disarm, refresh,
};
use std::{vec, vec::Vec};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Access {
    Read(Register),
    Write(Register, u32),
    Barrier,
}

/// A watchdog that forgets what was not ordered: until a barrier a write stays under way, and an enable overtakes it.
struct Fake {
    iidr: u32,
    /// Nothing is stored: no watchdog is there.
    is_deaf: bool,
    under_way: Vec<(Register, u32)>,
    offset: u64,
    /// Ticks until it bites; `None`: disabled.
    bites_in: Option<u64>,
    log: Vec<Access>,
}

fn fake(revision: u32) -> Fake {
    Fake { iidr: revision << 16 | 0x43b, is_deaf: false, under_way: vec![], offset: 0, bites_in: None, log: vec![] }
}

impl Fake {
    fn land(&mut self) {
        for (register, value) in std::mem::take(&mut self.under_way) {
            match register {
                OffsetLow => self.offset = self.offset & !0xffff_ffff | u64::from(value),
                // Bits 63:48 are reserved.
                OffsetHigh => self.offset = self.offset & 0xffff_ffff | u64::from(value & 0xffff) << 32,
                _ => {}
            }
        }
    }
}

impl Registers for Fake {
    fn read(&mut self, register: Register) -> u32 {
        self.log.push(Access::Read(register));
        match register {
            _ if self.is_deaf => u32::MAX,
            Identity => self.iidr,
            OffsetLow => self.under_way.iter().find(|write| write.0 == OffsetLow).map_or(0, |write| write.1),
            Control => self.bites_in.map_or(0, |_| ENABLE),
            other => panic!("{other:?} is not read"),
        }
    }

    fn write(&mut self, register: Register, value: u32) {
        self.log.push(Access::Write(register, value));
        match register {
            Control => self.bites_in = (value & ENABLE != 0).then_some(2 * self.offset),
            OffsetHigh => {
                assert_ne!(self.iidr >> 16 & 0xf, 0, "a reserved register of revision 0 is written");
                self.under_way.push((register, value));
            }
            OffsetLow => {
                assert_eq!(self.bites_in, None, "the count of an armed watchdog is changed");
                self.under_way.push((register, value));
            }
            Refresh => assert!(self.under_way.is_empty(), "the refresh passes a store"),
            Identity => panic!("W_IIDR is written"),
        }
    }

    fn barrier(&mut self) {
        self.log.push(Access::Barrier);
        self.land();
    }
}

#[test]
fn offsets_are_the_architectures() {
    assert_eq!([Refresh, Control, OffsetLow, OffsetHigh, Identity].map(Register::offset), [0, 0, 8, 0xc, 0xfcc]);
}

#[test]
fn the_count_is_there_before_it_is_enabled() {
    let mut watchdog = fake(1);
    assert_eq!(arm(&mut watchdog, 0x12_3456_789a, 100), Ok(0x12_3456_789a));
    assert_eq!(watchdog.bites_in, Some(0x12_3456_789a));
    let (low, high) = (0x1a2b_3c4d, 0x9);
    let wanted = [
        Access::Write(Control, 0),
        Access::Barrier,
        Access::Read(Identity),
        Access::Write(OffsetLow, low),
        Access::Write(OffsetHigh, high),
        Access::Read(OffsetLow),
        Access::Barrier,
        Access::Write(Control, ENABLE),
        Access::Read(Control),
    ];
    assert_eq!(watchdog.log, wanted);
}

#[test]
fn a_count_of_32_bits_ends_sooner_or_is_refused() {
    let most = 2 * u64::from(u32::MAX);
    let mut watchdog = fake(0);
    assert_eq!(arm(&mut watchdog, 1 << 40, most), Ok(most));
    assert_eq!(watchdog.bites_in, Some(most));
    let mut watchdog = fake(0);
    assert_eq!(arm(&mut watchdog, 1 << 40, most + 1), Err(Refused::TooShort { most }));
    assert_eq!(watchdog.bites_in, None);
    assert_eq!(arm(&mut fake(1), u64::MAX, 1 << 40), Ok(2 * MOST_WIDE));
}

#[test]
fn what_does_not_answer_is_none() {
    let mut nothing = Fake { is_deaf: true, ..fake(1) };
    assert_eq!(arm(&mut nothing, 1 << 20, 100), Err(Refused::NotOne(u32::MAX)));
    assert_eq!(nothing.bites_in, None);
}

#[test]
fn a_refresh_waits_for_what_was_done_before() {
    let mut watchdog = fake(1);
    refresh(&mut watchdog);
    assert_eq!(watchdog.log, [Access::Barrier, Access::Write(Refresh, 0)]);
    watchdog.log.clear();
    disarm(&mut watchdog);
    assert_eq!(watchdog.log, [Access::Write(Control, 0), Access::Barrier]);
}
