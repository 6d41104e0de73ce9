//! Is a command legal for this hardware, on the Non-secure queue? (IHI 0070, chapter 4)

use super::found::Ids;
use super::rules::{self, Rule};
use crate::spec::command::{Command, opcode};
use alloc::format;
use alloc::string::String;

/// Bits of word 0 that every command has.
const OPCODE: u64 = 0xFF;
/// SSec: the command is about the Secure stream table.
const SSEC: u64 = 1 << 10;
const SSV: u64 = 1 << 11;
const SSID: u64 = 0xF_FFFF << 12;
const SID: u64 = 0xFFFF_FFFF << 32;
const VMID: u64 = 0xFFFF << 32;
const ASID: u64 = 0xFFFF << 48;
/// NUM and SCALE of a range (4.4.1).
const RANGE: u64 = 0x1F << 12 | 0x3F << 20;
const RESPONSE: u64 = 3 << 12;
/// Leaf, TTL, TG and address of a TLBI by address.
const TLBI_HIGH: u64 = 1 | 0xF << 8 | !0xFFF;
/// Bits of IDR3 (6.3.4).
const IDR3_MPAM: u32 = 1 << 7;
const IDR3_DPT: u32 = 1 << 15;
/// IDR0.STALL_MODEL: no stalls.
const NO_STALLS: u8 = 1;

/// Opcodes without a name in [`opcode`].
pub(super) mod more {
    pub(in super::super) const PREFETCH_ADDR: u8 = 0x02;
    pub(in super::super) const CFGI_VMS_PIDM: u8 = 0x07;
    pub(in super::super) const TLBI_EL2_FIRST: u8 = 0x20;
    pub(in super::super) const TLBI_EL2_LAST: u8 = 0x23;
    pub(in super::super) const TLBI_S2_IPA: u8 = 0x2A;
    pub(in super::super) const ATC_INV: u8 = 0x40;
    pub(in super::super) const PRI_RESP: u8 = 0x41;
    pub(in super::super) const RESUME: u8 = 0x44;
    pub(in super::super) const STALL_TERM: u8 = 0x45;
}

/// Opcode of a command.
pub(super) const fn opcode_of(command: Command) -> u8 {
    command[0] as u8
}

/// CFGI_STE_RANGE with Range 31.
pub(super) const fn is_cfgi_all(command: Command) -> bool {
    opcode_of(command) == opcode::CFGI_ALL && command[1] & 0x1F == 31
}

/// An invalidation, whose effect is known only behind a consumed CMD_SYNC.
pub(super) const fn is_invalidation(command: Command) -> bool {
    matches!(opcode_of(command), 0x03..=0x07 | 0x10..=0x13 | 0x20..=0x2A | 0x30 | 0x40)
}

/// Name of an opcode, for texts.
pub(super) const fn name(code: u8) -> &'static str {
    match code {
        opcode::PREFETCH_CONFIG => "PREFETCH_CONFIG",
        more::PREFETCH_ADDR => "PREFETCH_ADDR",
        opcode::CFGI_STE => "CFGI_STE",
        opcode::CFGI_ALL => "CFGI_STE_RANGE or CFGI_ALL",
        opcode::CFGI_CD => "CFGI_CD",
        opcode::CFGI_CD_ALL => "CFGI_CD_ALL",
        opcode::TLBI_NH_ALL => "TLBI_NH_ALL",
        opcode::TLBI_NH_ASID => "TLBI_NH_ASID",
        opcode::TLBI_EL2_ALL => "TLBI_EL2_ALL",
        0x21..=0x23 => "TLBI_EL2_*",
        opcode::TLBI_S12_VMALL => "TLBI_S12_VMALL",
        more::TLBI_S2_IPA => "TLBI_S2_IPA",
        opcode::TLBI_NSNH_ALL => "TLBI_NSNH_ALL",
        more::ATC_INV => "ATC_INV",
        more::PRI_RESP => "PRI_RESP",
        more::RESUME => "RESUME",
        more::STALL_TERM => "STALL_TERM",
        opcode::SYNC => "SYNC",
        _ => "command",
    }
}

/// Bits that a command has, word by word; `None` for an opcode that there is not.
const fn fields(code: u8) -> Option<[u64; 2]> {
    let (low, high) = match code {
        opcode::PREFETCH_CONFIG | more::PREFETCH_ADDR => (SSEC | SSV | SSID | SID, !0),
        opcode::CFGI_STE => (SSEC | SID, 1),
        opcode::CFGI_ALL => (SSEC | SID, 0x1F),
        opcode::CFGI_CD => (SSEC | SSV | SSID | SID, 1),
        opcode::CFGI_CD_ALL | more::STALL_TERM => (SSEC | SID, 0),
        more::CFGI_VMS_PIDM => (VMID | SSEC, 0),
        opcode::TLBI_NH_ALL | opcode::TLBI_S12_VMALL => (VMID, 0),
        opcode::TLBI_NH_ASID => (VMID | ASID, 0),
        0x12 => (RANGE | VMID | ASID, TLBI_HIGH),
        0x13 | more::TLBI_S2_IPA => (RANGE | VMID, TLBI_HIGH),
        opcode::TLBI_EL2_ALL | opcode::TLBI_NSNH_ALL => (0, 0),
        0x21 => (ASID, 0),
        0x22 => (RANGE | ASID, TLBI_HIGH),
        0x23 => (RANGE, TLBI_HIGH),
        more::ATC_INV => (1 << 9 | SSEC | SSV | SSID | SID, 0x3F | !0xFFF),
        more::PRI_RESP => (SSEC | SSV | SSID | SID, 0x1FF | RESPONSE),
        more::RESUME => (RESPONSE | SSEC | SID, 0xFFFF),
        opcode::SYNC => (3 << 12 | 3 << 22 | 0xF << 24 | 0xFFFF_FFFF << 32, 0x00FF_FFFF_FFFF_FFFC),
        0x70 | 0x73 => (!0, !0),
        _ => return None,
    };
    Some([low | OPCODE, high])
}

/// The first rule that a command breaks on this hardware.
pub(super) fn judge(command: Command, ids: &Ids) -> Option<(&'static Rule, String)> {
    let code = opcode_of(command);
    let breaks = |rule, why: &str| Some((rule, format!("{} ({code:#04x}) {why}", name(code))));
    if matches!(code, 0x18 | 0x1A | 0x50..=0x60) {
        return breaks(&rules::COMMAND_SECURE, "is for the Secure state");
    }
    let Some([low, high]) = fields(code) else { return breaks(&rules::COMMAND_OPCODE, "is no command") };
    let lacks = match code {
        more::TLBI_EL2_FIRST..=more::TLBI_EL2_LAST if !ids.idr0.hyp() => Some((&rules::COMMAND_HYP, "IDR0.Hyp is 0")),
        opcode::TLBI_S12_VMALL | more::TLBI_S2_IPA if !ids.idr0.s2p() => Some((&rules::COMMAND_S2, "IDR0.S2P is 0")),
        more::ATC_INV if !ids.idr0.ats() => Some((&rules::COMMAND_ATS, "IDR0.ATS is 0")),
        more::PRI_RESP if !ids.idr0.pri() => Some((&rules::COMMAND_PRI, "IDR0.PRI is 0")),
        more::RESUME | more::STALL_TERM if ids.idr0.stall_model() == NO_STALLS => {
            Some((&rules::COMMAND_STALL, "IDR0.STALL_MODEL has no stalls"))
        }
        more::CFGI_VMS_PIDM if ids.idr3 & IDR3_MPAM == 0 => Some((&rules::COMMAND_DOUBTFUL, "IDR3.MPAM is 0")),
        0x70 | 0x73 if ids.idr3 & IDR3_DPT == 0 => Some((&rules::COMMAND_DOUBTFUL, "IDR3.DPT is 0")),
        0x10..=0x13 if !ids.idr0.s1p() => Some((&rules::COMMAND_DOUBTFUL, "IDR0.S1P is 0")),
        _ => None,
    };
    if let Some((rule, why)) = lacks {
        return breaks(rule, why);
    }
    if low & SSEC != 0 && code < 0x70 && command[0] & SSEC != 0 {
        return breaks(&rules::COMMAND_SECURE, "has SSec");
    }
    let reserved = [command[0] & !low, command[1] & !high];
    if reserved != [0, 0] {
        return breaks(&rules::COMMAND_RESERVED, &format!("has reserved bits {:#x}, {:#x}", reserved[0], reserved[1]));
    }
    let value = match code {
        opcode::SYNC | more::RESUME => command[0] >> 12 & 3,
        more::PRI_RESP => command[1] >> 12 & 3,
        _ => 0,
    };
    if value == 3 {
        return breaks(&rules::COMMAND_RESERVED, "has the reserved value 3 in bits 13:12");
    }
    None
}
