//! Decoding and counting of event queue entries (IHI 0070, 7.3).

use crate::spec::event::{Event, Event0, Event1, id};
use addr::{Iova, PhysAddr, StreamId};
use alloc::vec::Vec;

/// Name of an event number.
#[must_use]
pub const fn name(event: u8) -> &'static str {
    match event {
        id::F_UUT => "F_UUT",
        id::C_BAD_STREAMID => "C_BAD_STREAMID",
        id::F_STE_FETCH => "F_STE_FETCH",
        id::C_BAD_STE => "C_BAD_STE",
        id::F_BAD_ATS_TREQ => "F_BAD_ATS_TREQ",
        id::F_STREAM_DISABLED => "F_STREAM_DISABLED",
        id::F_TRANSL_FORBIDDEN => "F_TRANSL_FORBIDDEN",
        id::C_BAD_SUBSTREAMID => "C_BAD_SUBSTREAMID",
        id::F_CD_FETCH => "F_CD_FETCH",
        id::C_BAD_CD => "C_BAD_CD",
        id::F_WALK_EABT => "F_WALK_EABT",
        id::F_TRANSLATION => "F_TRANSLATION",
        id::F_ADDR_SIZE => "F_ADDR_SIZE",
        id::F_ACCESS => "F_ACCESS",
        id::F_PERMISSION => "F_PERMISSION",
        id::F_TLB_CONFLICT => "F_TLB_CONFLICT",
        id::F_CFG_CONFLICT => "F_CFG_CONFLICT",
        id::E_PAGE_REQUEST => "E_PAGE_REQUEST",
        id::F_VMS_FETCH => "F_VMS_FETCH",
        0xE0..=0xEF => "IMPLEMENTATION_DEFINED",
        _ => "UNKNOWN",
    }
}

/// What the SMMU was looking at when it found the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Fetch of a CD.
    Cd,
    /// Fetch of a translation table descriptor.
    TableDescriptor,
    /// The device's own address.
    Input,
    /// Reserved encoding.
    Reserved,
}

/// An event in words. Fields that its number does not have are `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Event number.
    pub id: u8,
    /// Stream that caused it.
    pub stream: StreamId,
    /// SubstreamID, where valid.
    pub substream: Option<u32>,
    /// The device's address.
    pub input_address: Option<Iova>,
    /// The device's direction.
    pub read: Option<bool>,
    /// An instruction fetch.
    pub instruction: bool,
    /// A privileged access.
    pub privileged: bool,
    /// Stage 2 faulted.
    pub stage2: bool,
    /// Kind of access that faulted.
    pub class: Option<Class>,
    /// Stall tag: the transaction waits for CMD_RESUME.
    pub stall: Option<u16>,
    /// Where a structure was to be fetched.
    pub fetch_address: Option<PhysAddr>,
    /// Intermediate address of a stage-2 fault.
    pub ipa: Option<u64>,
}

impl Decoded {
    /// Name of the event.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        name(self.id)
    }
}

/// Decodes an entry; every combination of bits has a meaning here, known or not.
#[must_use]
pub fn decode(event: Event) -> Decoded {
    let (w0, w1) = (Event0::from(event[0]), Event1::from(event[1]));
    let id = w0.id();
    let translation = matches!(id, id::F_TRANSLATION..=id::F_PERMISSION);
    let directed =
        translation || matches!(id, id::F_UUT | id::F_TRANSL_FORBIDDEN | id::F_WALK_EABT | id::F_TLB_CONFLICT);
    let addressed = directed || matches!(id, id::F_BAD_ATS_TREQ | id::E_PAGE_REQUEST);
    let fetched = matches!(id, id::F_STE_FETCH | id::F_CD_FETCH | id::F_WALK_EABT | id::F_VMS_FETCH);
    let staged = translation || matches!(id, id::F_WALK_EABT | id::F_TLB_CONFLICT);
    Decoded {
        id,
        stream: StreamId(w0.stream_id()),
        substream: w0.ssv().then(|| w0.substream_id()),
        input_address: addressed.then_some(Iova(event[2])),
        read: directed.then(|| w1.rnw()),
        instruction: directed && w1.ind(),
        privileged: directed && w1.pnu(),
        stage2: staged && w1.s2(),
        class: (translation || id == id::F_WALK_EABT).then(|| match w1.class() {
            0 => Class::Cd,
            1 => Class::TableDescriptor,
            2 => Class::Input,
            _ => Class::Reserved,
        }),
        stall: (translation && w1.stall()).then(|| w1.stag()),
        fetch_address: fetched.then_some(PhysAddr(event[3] & 0x000F_FFFF_FFFF_FFF8)),
        ipa: (staged && id != id::F_WALK_EABT && w1.s2()).then_some(event[3] & 0x000F_FFFF_FFFF_F000),
    }
}

/// Events of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Event number.
    pub id: u8,
    /// Stream that caused them.
    pub stream: StreamId,
    /// 4 KiB page of the input address.
    pub page: Option<Iova>,
    /// The device's direction.
    pub read: Option<bool>,
    /// How many; stays at its maximum.
    pub count: u32,
}

/// Counts events by number, stream, page and direction: one DMA can make thousands.
#[derive(Clone, Debug)]
pub struct Counts {
    rows: Vec<Row>,
    capacity: usize,
    total: u64,
    unlisted: u64,
}

impl Counts {
    /// Empty, for at most `capacity` rows, allocated now.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { rows: Vec::with_capacity(capacity), capacity, total: 0, unlisted: 0 }
    }

    /// Counts one entry of an event queue.
    pub fn add(&mut self, event: Event) {
        let event = decode(event);
        let page = event.input_address.map(|address| Iova(address.0 & !0xFFF));
        let fresh = Row { id: event.id, stream: event.stream, page, read: event.read, count: 1 };
        self.total = self.total.saturating_add(1);
        // From the back: a run of events for one transfer is the rule.
        let known = self.rows.iter_mut().rev().find(|row| Row { count: 1, ..**row } == fresh);
        if let Some(row) = known {
            row.count = row.count.saturating_add(1);
        } else if self.rows.len() < self.capacity {
            self.rows.push(fresh);
        } else {
            self.unlisted = self.unlisted.saturating_add(1);
        }
    }

    /// The rows, in order of first appearance.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// All events, listed or not.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Events that found no room for a row.
    #[must_use]
    pub const fn unlisted(&self) -> u64 {
        self.unlisted
    }
}

#[cfg(test)]
mod tests;
