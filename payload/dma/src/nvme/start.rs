//! From a controller found in any state to queues full of reads, and back to one that is off.

use super::admin::{self, Admin};
use super::*;
use crate::poll::{Pace, poll32};

/// How long CSTS.RDY may take to follow CC.EN: CAP.TO, in units of 500 ms (3.1.1).
fn ready_pace(cap_low: u32) -> Pace {
    let deadline_us = (u64::from(cap_low >> 24).max(1) * 500_000).min(LONGEST_READY_US);
    Pace { every_us: 100, deadline_us }
}

/// Stops the controller: queues and outstanding commands are gone, and nothing lands after that (7.3.2).
pub(super) fn disable(bus: &mut dyn Bus, at: PhysAddr) -> Result<(), DmaError> {
    let (cap, cc) = (bus.read32(at.plus(CAP_LOW)), bus.read32(at.plus(CC)));
    if cap == u32::MAX && cc == u32::MAX {
        return Err(DmaError::Unsupported("registers read all ones"));
    }
    let pace = ready_pace(cap);
    let status = at.plus(CSTS);
    if cc & CC_EN != 0 {
        // One that is on its way up must arrive first (3.1.5, EN); one that never does is cut short.
        let _ = poll32(bus, "NVMe CSTS.RDY", status, pace, |csts| csts & (CSTS_RDY | CSTS_CFS) != 0);
        bus.write32(at.plus(CC), cc & !CC_EN);
    }
    poll32(bus, "NVMe CSTS.RDY", status, pace, |csts| csts & CSTS_RDY == 0)
}

/// Everything between a function found in any state and queues full of reads.
pub(super) fn start(function: &mut Function<'_>, bus: &mut dyn Bus, stream: &mut Stream) -> Result<(), DmaError> {
    let at = stream.registers;
    disable(bus, at)?;
    let (low, high) = (bus.read32(at.plus(CAP_LOW)), bus.read32(at.plus(CAP_HIGH)));
    if high & CAP_HIGH_CSS_NVM == 0 {
        return Err(DmaError::Unsupported("no NVM command set"));
    }
    if high >> 16 & 0xf != 0 {
        return Err(DmaError::Unsupported("CAP.MPSMIN is above 4 KiB"));
    }
    let pairs = if stream.rmr.bytes == 0 { 1 } else { 2 };
    let most = (u64::from(low & 0xffff) + 1).min(ENTRIES / pairs as u64);
    let entries = 1 << most.ilog2();
    let shape = Shape { entries, pairs, stride: 4 << (high & 0xf) };
    let bar = function.memory_bar(0)?.map_or(0, |bar| function.memory_bar_bytes(&bar));
    if entries < 2 || shape.doorbell(pairs as u64 + 1) > bar {
        return Err(DmaError::Unsupported("CAP.MQES or CAP.DSTRD leave no room for a queue"));
    }
    stream.totals = Default::default();
    stream.state = [0; 8];
    stream.state[STATE_SHAPE] = entries | (pairs as u64) << 16 | u64::from(high & 0xf) << 24;

    let mut admin = Admin::lay_out(bus, stream, shape);
    // No interrupt by pin (the function's own mask is set) or by message of the basic kind; there are no others (3.1.3).
    bus.write32(at.plus(INTMS), u32::MAX);
    admin.program(bus);
    bus.before_doorbell();
    function.set_bus_master(true);
    bus.write32(at.plus(CC), CC_ENTRY_SIZES | CC_EN);
    // A controller that cannot come up says so by CFS.
    poll32(bus, "NVMe CSTS.RDY", at.plus(CSTS), ready_pace(low), |csts| csts & (CSTS_RDY | CSTS_CFS) != 0)?;
    let status = bus.read32(at.plus(CSTS));
    if status & CSTS_CFS != 0 || status & CSTS_RDY == 0 {
        return Err(DmaError::Unsupported("it comes up with CSTS.CFS"));
    }
    let most_pages = admin.most_pages(bus)?;
    let disk = admin.find_disk(bus)?;
    admin.ask_for_queues(bus, pairs)?;
    for pair in 0..pairs {
        lay_out_reads(bus, stream, shape, pair, disk.read(most_pages));
        admin.create_pair(bus, pair)?;
    }
    stream.state[STATE_TAIL_AND_WAIT] = admin.leave_event_request(bus);
    let all = shape.owed();
    hand_over(bus, stream, shape, [all, if pairs == 2 { all } else { 0 }]);
    Ok(())
}

/// A read of a disk: namespace, blocks, and the pages that they fill.
#[derive(Clone, Copy)]
pub(super) struct Read {
    pub(super) namespace: u32,
    pub(super) blocks: u16,
    pub(super) pages: u64,
}

/// A queue full of the same read, its PRP list, and its poisoned targets.
fn lay_out_reads(bus: &mut dyn Bus, stream: &Stream, shape: Shape, pair: usize, read: Read) {
    let list = Place::new(&stream.window, LISTS_AT + pair as u64 * PAGE);
    let page = |index| data_place(stream, pair, index).iova.0;
    for index in 1..read.pages {
        list.plus(8 * (index - 1)).publish(bus, &page(index).to_le_bytes());
    }
    // The second entry names the second page, or a list of all but the first (4.3).
    let second = match read.pages {
        1 => 0,
        2 => page(1),
        _ => list.iova.0,
    };
    let mut command = admin::Command::new(READ, read.namespace);
    command.put(24, &page(0).to_le_bytes());
    command.put(32, &second.to_le_bytes());
    // From block 0 on; their number less one.
    command.put(48, &u32::from(read.blocks - 1).to_le_bytes());
    for slot in 0..shape.entries {
        command.put(2, &identifier(slot).to_le_bytes());
        command_place(stream, shape, pair, slot).publish(bus, &command.0);
    }
    completion_place(stream, pair, 0).poison(bus, shape.entries * COMPLETION_BYTES);
    data_place(stream, pair, 0).poison(bus, DATA_PAGES * PAGE);
}

/// Hands so many reads over on each queue, a few of one and of the other in turn: so they alternate also where a controller,
/// as QEMU does, works them off in the order in which it saw the doorbells.
pub(super) fn hand_over(bus: &mut dyn Bus, stream: &Stream, shape: Shape, reads: [u64; 2]) {
    /// Reads at once.
    const FEW: u64 = 2;
    /// QEMU looks at a doorbell when its main loop comes round.
    const SEEN_US: u64 = 100;
    bus.before_doorbell();
    let most = if shape.pairs == 1 { ENTRIES } else { FEW };
    let mut done = 0;
    while done < reads[0].max(reads[1]) {
        if done != 0 {
            bus.sleep_us(SEEN_US);
        }
        for (pair, count) in reads.into_iter().enumerate().filter(|(_, count)| done < *count) {
            // The reads are counted as ended, and the last tail is one before the head.
            let tail = stream.state[STATE_POSTED[pair]] + shape.owed() - count + (done + most).min(count);
            bus.write32(stream.registers.plus(shape.doorbell(pair as u64 + 1)), shape.slot(tail) as u32);
        }
        done += most;
    }
}
