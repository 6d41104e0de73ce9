//! The event queue (IHI 0070, 7.2 to 7.4).

use super::Unit;
use crate::bus::Bus;
use crate::choice::Freedom;
use addr::PhysAddr;
use smmu::spec::event::{EVENT_BYTES, Event};
use smmu::spec::registers::{self as reg, Gerror, QueueBase};

/// Events that the SMMU holds before it has to write one; more are lost as if the queue were full.
const MOST_BUFFERED: usize = 8;

impl Unit {
    /// A transaction of `bytes` bytes caused an event.
    pub(crate) fn record(&mut self, bus: &mut Bus, event: Event, bytes: u64) {
        if !self.effective.eventqen() {
            return;
        }
        self.quiet = false;
        if self.hardware.personality.is_qemu() {
            // One event for each 4 bytes of the transaction (qemu.md 5.1).
            for _ in 0..bytes.div_ceil(4) {
                self.commit(bus, event);
            }
            return;
        }
        if self.buffered.len() == MOST_BUFFERED {
            self.flush_event(bus);
        }
        self.buffered.push_back(event);
    }

    pub(super) fn advance_events(&mut self, bus: &mut Bus) {
        while !self.buffered.is_empty() {
            let slowest = self.hardware.slowest;
            if self.events_put_off < slowest && bus.choices.pick(Freedom::EventWrite, 2) == 1 {
                self.events_put_off += 1;
                return;
            }
            self.events_put_off = 0;
            self.flush_event(bus);
        }
    }

    fn flush_event(&mut self, bus: &mut Bus) {
        if let Some(event) = self.buffered.pop_front()
            && self.effective.eventqen()
        {
            self.commit(bus, event);
        }
    }

    /// Writes an event to the queue, or loses it.
    fn commit(&mut self, bus: &mut Bus, event: Event) {
        if self.active_errors().eventq_abt_err() {
            self.events_lost += 1;
            return;
        }
        let base = QueueBase::from(self.get64(reg::EVENTQ_BASE));
        let size = 1_u32 << base.log2size().min(self.hardware.idr1.eventqs()).min(19);
        let mask = 2 * size - 1;
        let (prod, cons) = (self.get(reg::EVENTQ_PROD), self.get(reg::EVENTQ_CONS));
        if prod.wrapping_sub(cons) & mask >= size {
            self.events_lost += 1;
            if self.hardware.personality.is_qemu() {
                self.raise(Gerror::new().with_eventq_abt_err(true));
            } else if (prod ^ cons) >> 31 == 0 {
                // 7.4: OVFLG toggles once, until OVACKFLG follows.
                self.set(reg::EVENTQ_PROD, prod ^ 1 << 31);
            }
            return;
        }
        let at = self.base_address(reg::EVENTQ_BASE, base.addr()) + u64::from(prod & (size - 1)) * EVENT_BYTES;
        for (word, offset) in event.iter().zip((0..).step_by(8)) {
            if !bus.deposit(PhysAddr(at + offset), *word) {
                self.events_lost += 1;
                self.raise(Gerror::new().with_eventq_abt_err(true));
                return;
            }
        }
        self.events_written += 1;
        self.set(reg::EVENTQ_PROD, prod & 1 << 31 | prod.wrapping_add(1) & mask);
    }
}
