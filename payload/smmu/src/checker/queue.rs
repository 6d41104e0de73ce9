//! The command queue: what software wrote, announced, and knows to be complete.

use super::command::{is_invalidation, judge, name, opcode_of};
use super::found::Found;
use super::rules;
use super::unit::Context;
use crate::log::Entry;
use crate::spec::command::{COMMAND_BYTES, Command, opcode};
use crate::spec::registers::QueueBase;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::vec::Vec;

/// Words of commands that were stored and not announced yet; a queue of 2^15 entries, twice what Linux takes.
const MAX_WORDS: usize = 1 << 16;
/// Words that one fill may write and still be known.
const MAX_FILLED: u32 = 1 << 12;
/// Commands whose completion is awaited.
const MAX_SENT: usize = 1 << 16;

/// A command that was announced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) command: Command,
    /// Log entry of the CMDQ_PROD write.
    pub(super) at: u64,
    /// Its entry was seen written; else `command` means nothing.
    known: bool,
}

/// A command queue.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    base: QueueBase,
    pub(super) prod: u32,
    pub(super) cons: u32,
    /// Values and log entries of stored words.
    words: BTreeMap<u64, (u64, u64)>,
    /// Something was forgotten: nothing is called unwritten any more.
    forgetful: bool,
    /// Announced, consumption not seen.
    sent: VecDeque<Sent>,
    /// Consumed, without a CMD_SYNC behind them yet.
    consumed: Vec<Sent>,
}

impl Queue {
    pub(super) fn new(found: &Found) -> Self {
        Self {
            base: found.cmdq_base.into(),
            prod: found.cmdq_prod,
            cons: found.cmdq_cons & 0xF_FFFF,
            words: BTreeMap::new(),
            forgetful: false,
            sent: VecDeque::new(),
            consumed: Vec::new(),
        }
    }

    /// 6.3.26: a larger LOG2SIZE behaves as IDR1.CMDQS.
    fn log2size(&self, cx: &Context<'_>) -> u32 {
        u32::from(self.base.log2size().min(cx.ids.idr1.cmdqs()).min(19))
    }

    /// Index bits and wrap bit.
    pub(super) fn mask(&self, cx: &Context<'_>) -> u32 {
        (2 << self.log2size(cx)) - 1
    }

    /// A word is stored, or a whole queue is filled.
    pub(super) fn store(&mut self, entry: &Entry, at: u64) {
        if entry.count > MAX_FILLED {
            self.words.clear();
            self.forgetful = true;
            return;
        }
        for step in 0..u64::from(entry.count) {
            self.word(entry.address.wrapping_add(step * u64::from(entry.stride)), entry.value, at);
        }
    }

    fn word(&mut self, address: u64, value: u64, at: u64) {
        if self.words.len() >= MAX_WORDS && !self.words.contains_key(&address) {
            self.words.clear();
            self.forgetful = true;
        }
        self.words.insert(address, (value, at));
    }

    /// A new base: what was sent through the old queue is nobody's any more.
    pub(super) fn rebase(&mut self, base: u64) {
        self.base = base.into();
        self.sent.clear();
        self.consumed.clear();
    }

    /// Sets PROD or CONS of a queue that is off.
    pub(super) fn reset_index(&mut self, prod: Option<u32>, cons: Option<u32>) {
        (self.prod, self.cons) = (prod.unwrap_or(self.prod), cons.unwrap_or(self.cons & 0xF_FFFF));
        self.sent.clear();
        self.consumed.clear();
    }

    /// PROD moves to `prod`: the entries before it are announced, and judged. Returns them.
    pub(super) fn announce(&mut self, cx: &mut Context<'_>, prod: u32) -> Vec<Sent> {
        let mask = self.mask(cx);
        let count = prod.wrapping_sub(self.prod) & mask;
        let size = mask / 2 + 1;
        let mut fresh = Vec::new();
        for step in 0..count.min(size) {
            let index = self.prod.wrapping_add(step) & (size - 1);
            let at = self.base.addr().wrapping_add(u64::from(index) * COMMAND_BYTES);
            fresh.push(self.take(cx, at));
        }
        self.prod = prod & mask;
        for sent in &fresh {
            if self.sent.len() < MAX_SENT {
                self.sent.push_back(*sent);
            }
        }
        fresh
    }

    fn take(&mut self, cx: &mut Context<'_>, at: u64) -> Sent {
        let words = [self.words.remove(&at), self.words.remove(&at.wrapping_add(8))];
        let [Some((low, low_at)), Some((high, high_at))] = words else {
            if cx.coverage.commands && !self.forgetful {
                cx.add(
                    &rules::COMMAND_UNWRITTEN,
                    &[],
                    format!("CMDQ_PROD announces an entry at {at:#x} that nobody wrote"),
                );
            }
            return Sent { command: [0; 2], at: cx.index, known: false };
        };
        let (command, stored) = ([low, high], low_at.max(high_at));
        if cx.coverage.barriers && cx.barriers.any.is_none_or(|barrier| barrier < stored) {
            let text = format!("no barrier between the {} at {at:#x} and CMDQ_PROD", name(opcode_of(command)));
            cx.add(&rules::COMMAND_BARRIER, &[Some(stored)], text);
        }
        if let Some((rule, text)) = judge(command, cx.ids) {
            cx.add(rule, &[Some(low_at), Some(high_at)], text);
        }
        Sent { command, at: cx.index, known: true }
    }

    /// CMDQ_CONS was read: returns the commands that a consumed CMD_SYNC says complete (4.7.3).
    pub(super) fn consume(&mut self, cx: &Context<'_>, cons: u32) -> Vec<Sent> {
        let mask = self.mask(cx);
        let count = cons.wrapping_sub(self.cons) & mask;
        let mut complete = Vec::new();
        // An index that was never announced is not this queue's: of another agent, or read before it was set up.
        if count as usize <= self.sent.len() {
            self.cons = cons & mask;
            for sent in self.sent.drain(..count as usize).filter(|sent| sent.known) {
                if opcode_of(sent.command) == opcode::SYNC {
                    complete.append(&mut self.consumed);
                } else if self.consumed.len() < MAX_SENT {
                    self.consumed.push(sent);
                }
            }
        }
        complete
    }

    /// The first invalidation that is not known to be complete.
    pub(super) fn incomplete(&self) -> Option<Sent> {
        let all = self.consumed.iter().chain(&self.sent);
        all.filter(|sent| sent.known && is_invalidation(sent.command)).copied().next()
    }

    /// Everything announced was consumed.
    pub(super) fn is_drained(&self) -> bool {
        self.sent.is_empty()
    }
}
