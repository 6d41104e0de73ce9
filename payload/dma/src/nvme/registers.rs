//! Registers, commands and data structures, as far as the driver uses them. Numbers in brackets are sections of NVM Express
//! 1.4; those of the Base Specification 2.0 that differ are named with it.

/// Controller capabilities, low half: MQES 15:0, TO 31:24 (3.1.1).
pub(super) const CAP_LOW: u64 = 0x00;
/// High half: DSTRD 3:0, CSS 12:5, MPSMIN 19:16.
pub(super) const CAP_HIGH: u64 = 0x04;
/// The NVM command set is there: bit 37 of CAP.
pub(super) const CAP_HIGH_CSS_NVM: u32 = 1 << 5;
/// Interrupt mask set (3.1.3).
pub(super) const INTMS: u64 = 0x0c;
/// Controller configuration (3.1.5).
pub(super) const CC: u64 = 0x14;
pub(super) const CC_EN: u32 = 1 << 0;
/// NVM command set, 4 KiB pages, round robin; submission entries of 2^6 bytes, completion entries of 2^4.
pub(super) const CC_ENTRY_SIZES: u32 = 6 << 16 | 4 << 20;
/// Controller status (3.1.6).
pub(super) const CSTS: u64 = 0x1c;
pub(super) const CSTS_RDY: u32 = 1 << 0;
/// Controller fatal status.
pub(super) const CSTS_CFS: u32 = 1 << 1;
/// Admin queue attributes: sizes less one, submission 11:0, completion 27:16 (3.1.8).
pub(super) const AQA: u64 = 0x24;
/// Admin submission queue base.
pub(super) const ASQ: u64 = 0x28;
/// Admin completion queue base.
pub(super) const ACQ: u64 = 0x30;
/// First doorbell (3.1.16): submission tail and completion head of each queue, `4 << DSTRD` bytes apart.
pub(super) const DOORBELLS: u64 = 0x1000;

/// Bytes of a submission entry (4.2).
pub(super) const COMMAND_BYTES: u64 = 64;
/// Bytes of a completion entry (4.6).
pub(super) const COMPLETION_BYTES: u64 = 16;

// Admin opcodes (5).
pub(super) const CREATE_SUBMISSION_QUEUE: u8 = 0x01;
pub(super) const CREATE_COMPLETION_QUEUE: u8 = 0x05;
pub(super) const IDENTIFY: u8 = 0x06;
pub(super) const SET_FEATURES: u8 = 0x09;
pub(super) const ASYNCHRONOUS_EVENT_REQUEST: u8 = 0x0c;
/// The only opcode that any I/O queue is ever given (NVM Command Set 1.0, 3.2.4).
pub(super) const READ: u8 = 0x02;

/// CNS of Identify (5.15.1): the namespace.
pub(super) const CNS_NAMESPACE: u32 = 0;
/// The controller.
pub(super) const CNS_CONTROLLER: u32 = 1;
/// The list of active namespaces.
pub(super) const CNS_ACTIVE: u32 = 2;
/// Feature: number of queues (5.21.1.7).
pub(super) const FEATURE_QUEUES: u32 = 7;
/// Queue creation: physically contiguous (5.3, 5.4). IEN of a completion queue stays 0: no interrupt.
pub(super) const CONTIGUOUS: u32 = 1;

/// Identify controller (5.15.2.2): MDTS, a power of two of the least page size; 0: no limit.
pub(super) const MDTS: u64 = 77;
/// CNTRLTYPE: 0 where it is not said, 1 for one that has I/O queues.
pub(super) const CNTRLTYPE: u64 = 111;
/// Identify namespace (5.15.2.1): NSZE; NLBAF, and FLBAS after it; the first LBA format.
pub(super) const NSZE: u64 = 0;
pub(super) const NLBAF: u64 = 25;
pub(super) const LBAF0: u64 = 128;
