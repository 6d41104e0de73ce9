use super::*;
use crate::fake::{Fake, FakeFrames, RAM};
use crate::spec::command::{CFGI_ALL, TLBI_EL2_ALL, TLBI_NSNH_ALL, cfgi_ste};
use addr::StreamId;
use alloc::vec::Vec;

const SMMU: SmmuIndex = SmmuIndex(0);

fn enabled(cap: u8) -> (Fake, CommandQueue) {
    let mut fake = Fake::default();
    let idr1 = Idr1::from(fake.read32(SMMU, reg::IDR1));
    let mut queue = CommandQueue::new(SMMU, &mut FakeFrames::default(), idr1, cap, 1000).expect("the fake has memory");
    queue.program(&mut fake);
    fake.write32(SMMU, reg::CR0, 8);
    (fake, queue)
}

#[test]
fn size_is_capped_and_aligned() {
    let (_, queue) = enabled(8);
    assert_eq!(queue.base().log2size(), 8);
    assert!(PhysAddr(queue.base().addr()).is_aligned(256 * COMMAND_BYTES));
    assert!(queue.base().allocate());
    let empty = &mut FakeFrames { free: 0..0 };
    let refused = CommandQueue::new(SMMU, empty, Idr1::new().with_cmdqs(8), 19, 1).map(|_| ());
    assert_eq!(refused, Err(QueueError::NoMemory { bytes: 4096 }));
}

#[test]
fn one_doorbell_hands_over_command_and_sync() {
    let (mut fake, mut queue) = enabled(4);
    queue.issue_and_sync(&mut fake, &[CFGI_ALL]).expect("consumed");
    assert_eq!(fake.unit(SMMU).get(reg::CMDQ_PROD), 2);
    assert_eq!(fake.unit(SMMU).commands, [CFGI_ALL, SYNC]);
}

#[test]
fn indices_wrap_with_the_wrap_bit() {
    let (mut fake, mut queue) = enabled(2);
    let mut sent = Vec::new();
    for stream in 0..50 {
        let command = cfgi_ste(StreamId(stream), true);
        queue.issue_and_sync(&mut fake, &[command]).expect("consumed");
        sent.extend([command, SYNC]);
        assert_eq!(fake.unit(SMMU).get(reg::CMDQ_PROD), (stream + 1) * 2 % 8);
    }
    assert_eq!(fake.unit(SMMU).commands, sent);
}

#[test]
fn more_commands_than_entries() {
    let (mut fake, mut queue) = enabled(2);
    let commands: Vec<_> = (0..23).map(|stream| cfgi_ste(StreamId(stream), false)).collect();
    queue.issue(&mut fake, &commands).expect("consumed");
    queue.sync(&mut fake).expect("consumed");
    assert_eq!(fake.unit(SMMU).commands.len(), 24);
    assert_eq!(fake.unit(SMMU).commands[..23], commands);
}

#[test]
fn silence_ends_at_the_deadline() {
    let (mut fake, mut queue) = enabled(4);
    fake.unit(SMMU).freeze_cmdq = true;
    let before = fake.ticks();
    let error = queue.issue_and_sync(&mut fake, &[CFGI_ALL]);
    assert_eq!(error, Err(QueueError::TimedOut { prod: 2, cons: 0, microseconds: 1000 }));
    assert!((1000..1200).contains(&(fake.ticks() - before)));
}

#[test]
fn illegal_command_is_told_at_once() {
    let (mut fake, mut queue) = enabled(4);
    let error = queue.issue_and_sync(&mut fake, &[CFGI_ALL, TLBI_EL2_ALL]);
    assert_eq!(error, Err(QueueError::Refused { code: 1, cons: 0x0100_0001 }));
    assert_eq!(fake.unit(SMMU).commands, [CFGI_ALL]);
}

#[test]
fn a_stale_error_code_is_not_believed() {
    let (mut fake, mut queue) = enabled(4);
    fake.unit(SMMU).freeze_cmdq = true;
    fake.unit(SMMU).set(reg::CMDQ_CONS, 0x0100_0000);
    let error = queue.issue_and_sync(&mut fake, &[TLBI_NSNH_ALL]);
    assert!(matches!(error, Err(QueueError::TimedOut { .. })));
}

/// A dead queue of four events at the start of RAM.
fn event_queue(events: u64) -> Fake {
    let mut fake = Fake::default();
    let base = QueueBase::new().with_log2size(2).with_addr(RAM.start);
    fake.unit(SMMU).set64(reg::EVENTQ_BASE, base.into());
    for number in 0..events {
        fake.push_event(SMMU, [2, number, 0, 0]);
    }
    fake
}

fn numbers(queue: &mut EventQueue, fake: &mut Fake, limit: u32) -> (Vec<u64>, Drained) {
    let mut seen = Vec::new();
    let drained = queue.drain(fake, limit, &mut |event| seen.push(event[1]));
    (seen, drained)
}

#[test]
fn events_are_read_once_across_the_wrap() {
    let mut fake = event_queue(3);
    let mut queue = EventQueue::from_registers(&mut fake, SMMU);
    assert_eq!(
        numbers(&mut queue, &mut fake, 2),
        ([0, 1].into(), Drained { events: 2, left: 1, ..Drained::default() })
    );
    let (seen, drained) = numbers(&mut queue, &mut fake, 9);
    assert_eq!((seen, drained.events), ([2].into(), 1));
    queue.acknowledge(&mut fake, &drained);
    for number in 3..7 {
        fake.push_event(SMMU, [2, number, 0, 0]);
    }
    let (seen, drained) = numbers(&mut queue, &mut fake, 9);
    assert_eq!(seen, [3, 4, 5, 6]);
    assert!(!drained.overflowed && !drained.inconsistent);
    assert_eq!(numbers(&mut queue, &mut fake, 9).1, Drained::default());
}

#[test]
fn overflow_is_told_and_acknowledged() {
    let mut fake = event_queue(6);
    let mut queue = EventQueue::from_registers(&mut fake, SMMU);
    let (seen, drained) = numbers(&mut queue, &mut fake, 9);
    assert_eq!(seen, [0, 1, 2, 3]);
    assert!(drained.overflowed);
    queue.acknowledge(&mut fake, &drained);
    assert_eq!(fake.unit(SMMU).get(reg::EVENTQ_CONS), fake.unit(SMMU).get(reg::EVENTQ_PROD));
    assert!(!numbers(&mut queue, &mut fake, 9).1.overflowed);
}

#[test]
fn nonsense_in_the_registers_is_bounded() {
    let mut fake = event_queue(0);
    fake.unit(SMMU).set(reg::EVENTQ_PROD, 7);
    let mut queue = EventQueue::from_registers(&mut fake, SMMU);
    let (seen, drained) = numbers(&mut queue, &mut fake, u32::MAX);
    assert_eq!((seen.len(), drained.inconsistent), (4, true));

    fake.unit(SMMU).set64(reg::EVENTQ_BASE, 0x1000_0000 | 31);
    let mut queue = EventQueue::from_registers(&mut fake, SMMU);
    assert_eq!(queue.base().log2size(), 19);
    let (seen, drained) = numbers(&mut queue, &mut fake, u32::MAX);
    assert_eq!((seen.len(), drained.unbacked), (0, Some(PhysAddr(0x1000_0000))));
}

#[test]
fn draining_writes_no_register() {
    let mut fake = event_queue(3);
    let before = fake.unit(SMMU).registers.clone();
    let mut queue = EventQueue::from_registers(&mut fake, SMMU);
    numbers(&mut queue, &mut fake, 9);
    assert_eq!(fake.unit(SMMU).registers, before);
}
