//! What an SMMU may hold: configuration structures by StreamID, translations by VMID and ASID.
//!
//! Nothing leaves by itself but by eviction, which is the walk's choice; SMMUEN 1 to 0 invalidates nothing (3.3).

use addr::PhysAddr;
use smmu::spec::cd::Cd;
use smmu::spec::command::Command;
use smmu::spec::ste::Ste;

/// Translations held; the oldest goes first.
const MOST_TRANSLATIONS: usize = 64;
/// Structures of each kind held.
const MOST_STRUCTURES: usize = 64;

/// Whose translations (5.2, STRW).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// NS-EL1, with stage 2 or without: tagged with a VMID.
    El1,
    /// NS-EL2 or EL2-E2H.
    El2,
}

/// One translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlbEntry {
    /// Translation regime.
    pub regime: Regime,
    /// VMID; 0 without stage 2.
    pub vmid: u16,
    /// ASID; `None` for a global page, and for stage 2 alone.
    pub asid: Option<u16>,
    /// Stage 2 alone: the input is an intermediate address.
    pub stage2_only: bool,
    /// First input address.
    pub input: u64,
    /// First output address.
    pub output: u64,
    /// Length, a power of two.
    pub bytes: u64,
    /// Writes are allowed.
    pub writable: bool,
    /// Writes will be, once the descriptor is marked dirty (3.13.3.1).
    pub clean: bool,
}

/// The caches of one SMMU.
#[derive(Clone, Debug, Default)]
pub struct Caches {
    /// Level-1 stream table descriptors by index.
    pub(crate) l1std: Vec<(u32, u64)>,
    /// STEs by StreamID, valid or not, and where they were.
    pub(crate) ste: Vec<(u32, (PhysAddr, Ste))>,
    /// CDs by StreamID and SubstreamID, valid or not, and where they were.
    pub(crate) cd: Vec<((u32, u32), (PhysAddr, Cd))>,
    /// Translations.
    pub(crate) tlb: Vec<TlbEntry>,
}

/// Puts `value` under `key`, in the place of an older one.
pub(crate) fn put<K: PartialEq, V>(cache: &mut Vec<(K, V)>, key: K, value: V) {
    if let Some(entry) = cache.iter_mut().find(|(known, _)| *known == key) {
        entry.1 = value;
        return;
    }
    if cache.len() == MOST_STRUCTURES {
        cache.remove(0);
    }
    cache.push((key, value));
}

impl Caches {
    /// Holds nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.l1std.is_empty() && self.ste.is_empty() && self.cd.is_empty() && self.tlb.is_empty()
    }

    /// Fills the caches with what nobody wrote, as an SMMU may leave reset (3.11): bypass STEs for `streams`, and the page
    /// at `input` translated to `output` under each of `asids`.
    pub fn fill_with_junk(&mut self, streams: &[u32], asids: &[u16], input: u64, output: u64) {
        for stream in streams {
            put(&mut self.ste, *stream, (PhysAddr(0), [0b1001, 1 << 44, 0, 0, 0, 0, 0, 0]));
        }
        for asid in asids {
            let (regime, asid) = (Regime::El1, Some(*asid));
            self.add(TlbEntry {
                regime,
                vmid: 0,
                asid,
                stage2_only: false,
                input,
                output,
                bytes: 4096,
                writable: true,
                clean: false,
            });
        }
    }

    /// The STE that is held for a stream.
    #[must_use]
    pub fn ste(&self, stream: u32) -> Option<Ste> {
        self.ste.iter().find(|(known, _)| *known == stream).map(|(_, (_, ste))| *ste)
    }

    /// Translations held.
    #[must_use]
    pub fn translations(&self) -> &[TlbEntry] {
        &self.tlb
    }

    pub(crate) fn add(&mut self, entry: TlbEntry) {
        if self.tlb.len() == MOST_TRANSLATIONS {
            self.tlb.remove(0);
        }
        self.tlb.push(entry);
    }

    /// Carries an invalidation out.
    pub(crate) fn invalidate(&mut self, command: Command, split: u32) {
        let [low, high] = command;
        let sid = (low >> 32) as u32;
        let ssid = (low >> 12 & 0xF_FFFF) as u32;
        let (vmid, asid) = ((low >> 32) as u16, (low >> 48) as u16);
        let leaf = high & 1 == 1;
        match low as u8 {
            0x03 => {
                self.ste.retain(|(known, _)| *known != sid);
                // Taken as: the CDs of the stream go with its STE (4.3.1).
                self.cd.retain(|((known, _), _)| *known != sid);
                if !leaf {
                    self.l1std.retain(|(index, _)| *index != sid >> split);
                }
            }
            0x04 => {
                let bits = (high & 31) as u32 + 1;
                let covered = |known: u32| bits > 31 || known >> bits == sid >> bits;
                self.ste.retain(|(known, _)| !covered(*known));
                self.cd.retain(|((known, _), _)| !covered(*known));
                self.l1std.retain(|(index, _)| !covered(index.wrapping_shl(split)));
            }
            0x05 => self.cd.retain(|(known, _)| *known != (sid, ssid)),
            0x06 => self.cd.retain(|((known, _), _)| *known != sid),
            opcode => self.tlb.retain(|entry| !hits(entry, opcode, low, high, vmid, asid)),
        }
    }
}

/// A TLB invalidation (4.4) covers the entry.
fn hits(entry: &TlbEntry, opcode: u8, low: u64, high: u64, vmid: u16, asid: u16) -> bool {
    let el1 = entry.regime == Regime::El1;
    let same_vmid = el1 && entry.vmid == vmid;
    let same_asid = entry.asid == Some(asid);
    let address = high & !0xFFF;
    // RIL: NUM, SCALE and TG give a range; without TG one page of any size (4.4.1.1).
    let bytes = match high >> 10 & 3 {
        0 => 1,
        tg => {
            let granule = [0, 12, 14, 16][tg as usize];
            ((low >> 12 & 0x1F) + 1) << (low >> 20 & 0x3F).min(39) << granule
        }
    };
    let last = address.saturating_add(bytes - 1);
    let overlaps = entry.input <= last && address <= entry.input.saturating_add(entry.bytes - 1);
    let stage1 = !entry.stage2_only;
    match opcode {
        0x10 => same_vmid && stage1,
        0x11 => same_vmid && stage1 && same_asid,
        0x12 => same_vmid && stage1 && overlaps && (same_asid || entry.asid.is_none()),
        0x13 => same_vmid && stage1 && overlaps,
        0x20 => !el1,
        0x21 => !el1 && same_asid,
        0x22 => !el1 && overlaps && (same_asid || entry.asid.is_none()),
        0x23 => !el1 && overlaps,
        0x28 => same_vmid,
        0x2A => same_vmid && entry.stage2_only && overlaps,
        0x30 => el1,
        _ => false,
    }
}
