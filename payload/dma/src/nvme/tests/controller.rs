//! A controller for the tests: registers, queues in memory, and reads that end with time.

extern crate std;
use super::super::*;
use crate::fake::*;
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

/// A pair of queues, as the controller sees it.
#[derive(Clone, Default)]
pub(super) struct Pair {
    submissions: u64,
    completions: u64,
    entries: u64,
    head: u64,
    tail: u64,
    posted: u64,
    phase: u16,
    completion_head: u64,
}

/// A controller with one namespace that ends a read each `every_us`, and knows itself what became of the completions.
pub(super) struct Controller {
    pub(super) cap: u64,
    pub(super) cc: u32,
    pub(super) csts: u32,
    pub(super) admin: (u32, u64, u64),
    pub(super) pairs: Vec<Pair>,
    /// Reads that were fetched: queue and identifier.
    pub(super) reads: VecDeque<(usize, u16)>,
    pub(super) events_armed: usize,
    pub(super) every_us: u64,
    pub(super) due_us: u64,
    /// Reads end in another order than they came.
    pub(super) shuffles: bool,
    /// A refused completion raises CFS and is tried again, as QEMU does; else it is gone, as a posted write is.
    pub(super) retries: bool,
    pub(super) is_stuck: bool,
    /// Commands are taken and never answered.
    pub(super) is_mute: bool,
    pub(super) is_still: bool,
    pub(super) blocks: u64,
    pub(super) format: u32,
    pub(super) mdts: u8,
    pub(super) namespaces: Vec<u32>,
    pub(super) granted: u32,
    pub(super) opcodes: Vec<u8>,
    pub(super) pages_read: usize,
    pub(super) truth: Truth,
    pub(super) refused: u64,
}

#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub(super) struct Truth {
    pub(super) delivered: u64,
    pub(super) mis_steered: u64,
}

impl Controller {
    pub(super) fn new() -> Self {
        Self {
            cap: 1 << 37 | 1 << 24 | 2047,
            cc: 0,
            csts: 0,
            admin: (0, 0, 0),
            pairs: Vec::new(),
            reads: VecDeque::new(),
            events_armed: 0,
            every_us: 500,
            due_us: 0,
            shuffles: false,
            retries: false,
            is_stuck: false,
            is_mute: false,
            is_still: false,
            blocks: 1 << 20,
            format: 9 << 16,
            mdts: 5,
            namespaces: vec![7],
            granted: 0x0003_0003,
            opcodes: Vec::new(),
            pages_read: 0,
            truth: Truth::default(),
            refused: 0,
        }
    }

    pub(super) fn reset(&mut self) {
        let kept = (self.cap, self.truth, core::mem::take(&mut self.opcodes));
        let (pairs, csts) = (Vec::new(), if self.is_stuck { self.csts } else { 0 });
        (self.pairs, self.csts, self.reads, self.events_armed) = (pairs, csts, VecDeque::new(), 0);
        (self.cap, self.truth, self.opcodes) = kept;
    }

    fn enable(&mut self) {
        let entries = u64::from(self.admin.0 & 0xfff) + 1;
        let (submissions, completions) = (self.admin.1, self.admin.2);
        self.pairs = vec![Pair { submissions, completions, entries, phase: 1, ..Pair::default() }];
        self.csts = if self.is_stuck { 0 } else { CSTS_RDY };
    }

    fn fetch(&mut self, fabric: &mut Fabric, queue: usize) {
        while self.pairs[queue].head != self.pairs[queue].tail {
            let pair = &mut self.pairs[queue];
            let command: [u8; 64] = fabric.read(pair.submissions + pair.head * 64);
            let is_refused = command == [0; 64];
            if is_refused && self.retries {
                self.csts = CSTS_CFS;
                return;
            }
            pair.head = (pair.head + 1) % pair.entries;
            if is_refused {
                continue;
            }
            let identifier = u16::from_le_bytes([command[2], command[3]]);
            if queue == 0 {
                self.opcodes.push(command[0]);
                self.administer(fabric, &command, identifier);
            } else {
                assert!(command[0] == READ, "an opcode other than Read: {:#x}", command[0]);
                assert!(!self.reads.contains(&(queue, identifier)), "two reads under way have one identifier");
                self.reads.push_back((queue, identifier));
            }
        }
    }

    fn administer(&mut self, fabric: &mut Fabric, command: &[u8; 64], identifier: u16) {
        let dword = |index: usize| u32::from_le_bytes(command[4 * index..][..4].try_into().unwrap());
        let prp = u64::from(dword(6)) | u64::from(dword(7)) << 32;
        let mut result = 0;
        if self.is_mute {
            return;
        }
        match command[0] {
            IDENTIFY => {
                let mut page = [0; 4096];
                match dword(10) {
                    CNS_CONTROLLER => page[MDTS as usize] = self.mdts,
                    CNS_ACTIVE => self.namespaces.iter().zip(page.chunks_mut(4)).for_each(|(namespace, slot)| {
                        slot.copy_from_slice(&namespace.to_le_bytes());
                    }),
                    _ => {
                        let is_there = self.namespaces.contains(&dword(1));
                        page[..8].copy_from_slice(&(if is_there { self.blocks } else { 0 }).to_le_bytes());
                        page[NLBAF as usize + 1] = 2;
                        page[LBAF0 as usize + 8..][..4].copy_from_slice(&self.format.to_le_bytes());
                    }
                }
                fabric.write(prp, &page);
            }
            SET_FEATURES => result = self.granted,
            CREATE_COMPLETION_QUEUE => {
                assert_eq!(dword(11), CONTIGUOUS, "no interrupts");
                assert_eq!(dword(10) & 0xffff, self.pairs.len() as u32);
                let entries = u64::from(dword(10) >> 16) + 1;
                self.pairs.push(Pair { completions: prp, entries, phase: 1, ..Pair::default() });
            }
            CREATE_SUBMISSION_QUEUE => {
                let pair = self.pairs.last_mut().unwrap();
                assert_eq!(u64::from(dword(10) >> 16) + 1, pair.entries);
                pair.submissions = prp;
            }
            ASYNCHRONOUS_EVENT_REQUEST => {
                self.events_armed += 1;
                return;
            }
            other => panic!("admin opcode {other:#x}"),
        }
        self.complete(fabric, 0, identifier, result, 0);
    }

    /// Posts a completion; `false` where it is to be tried again.
    fn complete(&mut self, fabric: &mut Fabric, queue: usize, identifier: u16, result: u32, status: u16) -> bool {
        let pair = &mut self.pairs[queue];
        let mut entry = [0; 16];
        entry[..4].copy_from_slice(&result.to_le_bytes());
        entry[12..14].copy_from_slice(&identifier.to_le_bytes());
        entry[14..].copy_from_slice(&(status << 1 | pair.phase).to_le_bytes());
        let at = pair.completions + pair.posted * 16;
        assert_ne!((pair.posted + 1) % pair.entries, pair.completion_head, "the completion queue is never full");
        let landed = fabric.write(at, &entry);
        if !landed {
            self.refused += 1;
            if self.retries {
                self.csts = CSTS_CFS;
                return false;
            }
        }
        pair.posted = (pair.posted + 1) % pair.entries;
        pair.phase ^= u16::from(pair.posted == 0);
        let is_identity = (RMR.0..RMR.0 + 0x1_0000).contains(&at);
        match fabric.mode {
            _ if queue == 0 || !landed => {}
            Mode::Bypass if !is_identity => self.truth.mis_steered += 1,
            _ => self.truth.delivered += 1,
        }
        true
    }

    /// Data of a read, by its PRPs. The command is where the controller found it.
    fn move_data(&mut self, fabric: &mut Fabric, queue: usize) {
        let command: [u8; 64] = fabric.read(self.pairs[queue].submissions);
        let quad = |at: usize| u64::from_le_bytes(command[at..at + 8].try_into().unwrap());
        let bytes = (u64::from(u16::from_le_bytes([command[48], command[49]])) + 1) << (self.format >> 16 & 0xff);
        let pages = bytes.div_ceil(4096);
        assert!(self.mdts == 0 || pages <= 1 << self.mdts);
        self.pages_read = pages as usize;
        for page in 0..pages.min(8) {
            let at = match (page, pages) {
                (0, _) => quad(24),
                (_, 2) => quad(32),
                _ => u64::from_le_bytes(fabric.read(quad(32) + 8 * (page - 1))),
            };
            if at != 0 {
                fabric.write(at, &[0; 512]);
            }
        }
    }
}

impl Device for Controller {
    fn read(&mut self, _fabric: &mut Fabric, offset: u64, _bytes: u8) -> u32 {
        match offset {
            CAP_LOW => self.cap as u32,
            CAP_HIGH => (self.cap >> 32) as u32,
            CC => self.cc,
            CSTS => self.csts,
            _ => panic!("read of {offset:#x}"),
        }
    }

    fn write(&mut self, fabric: &mut Fabric, offset: u64, _bytes: u8, value: u32) {
        let half =
            |base: u64, high: bool| if high { base & 0xffff_ffff | u64::from(value) << 32 } else { value.into() };
        match offset {
            INTMS => assert_eq!(value, u32::MAX),
            CC => {
                let was_on = core::mem::replace(&mut self.cc, value) & CC_EN != 0;
                match (was_on, value & CC_EN != 0) {
                    (false, true) => self.enable(),
                    (true, false) => self.reset(),
                    _ => {}
                }
            }
            AQA => self.admin.0 = value,
            ASQ => self.admin.1 = half(self.admin.1, false),
            0x2c => self.admin.1 = half(self.admin.1, true),
            ACQ => self.admin.2 = half(self.admin.2, false),
            0x34 => self.admin.2 = half(self.admin.2, true),
            _ => {
                let stride = 4 << (self.cap >> 32 & 0xf);
                let doorbell = (offset - DOORBELLS) / stride;
                let (queue, value) = ((doorbell / 2) as usize, u64::from(value));
                assert!(value < self.pairs[queue].entries);
                if doorbell % 2 == 1 {
                    self.pairs[queue].completion_head = value;
                } else {
                    self.pairs[queue].tail = value;
                    self.fetch(fabric, queue);
                }
            }
        }
    }

    fn advance(&mut self, fabric: &mut Fabric, now_us: u64) {
        if self.is_still || self.csts == 0 || self.pairs.len() < 2 {
            self.due_us = now_us + self.every_us;
            return;
        }
        while self.due_us <= now_us {
            self.due_us += self.every_us;
            let at = if self.shuffles { self.reads.len() / 3 } else { 0 };
            let Some((queue, identifier)) = self.reads.remove(at) else { continue };
            self.move_data(fabric, queue);
            if !self.complete(fabric, queue, identifier, 0, 0) {
                self.reads.push_front((queue, identifier));
            }
        }
    }
}
