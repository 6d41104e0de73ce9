//! Commands (IHI 0070, chapter 4): 16 bytes, two words.

use addr::StreamId;

/// One command queue entry.
pub type Command = [u64; 2];
/// Bytes of one command.
pub const COMMAND_BYTES: u64 = 16;

/// Opcode, bits 7:0 of word 0.
pub mod opcode {
    #![expect(missing_docs, reason = "names are the architecture's")]
    pub const PREFETCH_CONFIG: u8 = 0x01;
    pub const CFGI_STE: u8 = 0x03;
    /// CFGI_STE_RANGE with Range 31.
    pub const CFGI_ALL: u8 = 0x04;
    pub const CFGI_CD: u8 = 0x05;
    pub const CFGI_CD_ALL: u8 = 0x06;
    pub const TLBI_NH_ALL: u8 = 0x10;
    pub const TLBI_NH_ASID: u8 = 0x11;
    pub const TLBI_EL2_ALL: u8 = 0x20;
    pub const TLBI_S12_VMALL: u8 = 0x28;
    pub const TLBI_NSNH_ALL: u8 = 0x30;
    pub const SYNC: u8 = 0x46;
}

const fn stream(opcode: u8, stream: StreamId) -> u64 {
    opcode as u64 | (stream.0 as u64) << 32
}

/// CMD_CFGI_ALL (4.3.2): every cached STE and CD.
pub const CFGI_ALL: Command = [opcode::CFGI_ALL as u64, 31];
/// CMD_TLBI_EL2_ALL (4.4.3): illegal without SMMU_IDR0.Hyp.
pub const TLBI_EL2_ALL: Command = [opcode::TLBI_EL2_ALL as u64, 0];
/// CMD_TLBI_NSNH_ALL (4.4.4): every Non-secure EL1 translation, both stages.
pub const TLBI_NSNH_ALL: Command = [opcode::TLBI_NSNH_ALL as u64, 0];
/// CMD_SYNC (4.7.3) with CS=SEV, MSH=ISH, MSIAttr=0xF: what Linux sends where it does not poll an MSI.
/// Completion is polled in SMMU_CMDQ_CONS, so the event signal is not needed.
pub const SYNC: Command = [opcode::SYNC as u64 | 2 << 12 | 3 << 22 | 0xF << 24, 0];

/// CMD_PREFETCH_CONFIG (4.2.1): a hint, for the stream without substreams.
#[must_use]
pub const fn prefetch_config(sid: StreamId) -> Command {
    [stream(opcode::PREFETCH_CONFIG, sid), 0]
}

/// CMD_CFGI_STE (4.3.1); `leaf` keeps cached level-1 descriptors.
#[must_use]
pub const fn cfgi_ste(sid: StreamId, leaf: bool) -> Command {
    [stream(opcode::CFGI_STE, sid), leaf as u64]
}

/// CMD_CFGI_CD (4.3.3); `leaf` keeps cached level-1 descriptors. A SubstreamID has 20 bits, more are dropped.
#[must_use]
pub const fn cfgi_cd(sid: StreamId, substream: u32, leaf: bool) -> Command {
    [stream(opcode::CFGI_CD, sid) | ((substream & 0xF_FFFF) as u64) << 12, leaf as u64]
}

/// CMD_CFGI_CD_ALL (4.3.4).
#[must_use]
pub const fn cfgi_cd_all(sid: StreamId) -> Command {
    [stream(opcode::CFGI_CD_ALL, sid), 0]
}

/// CMD_TLBI_NH_ASID (4.4.2).
#[must_use]
pub const fn tlbi_nh_asid(vmid: u16, asid: u16) -> Command {
    [opcode::TLBI_NH_ASID as u64 | (vmid as u64) << 32 | (asid as u64) << 48, 0]
}

/// CMD_TLBI_S12_VMALL (4.4.3): both stages of a VMID; illegal without SMMU_IDR0.S2P.
#[must_use]
pub const fn tlbi_s12_vmall(vmid: u16) -> Command {
    [opcode::TLBI_S12_VMALL as u64 | (vmid as u64) << 32, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fixed_commands_are_those_of_linux() {
        assert_eq!(SYNC, [0x0FC0_2046, 0]);
        assert_eq!(CFGI_ALL, [0x4, 0x1F]);
        assert_eq!(TLBI_NSNH_ALL, [0x30, 0]);
        assert_eq!(TLBI_EL2_ALL, [0x20, 0]);
    }

    proptest! {
        #[test]
        fn fields_are_where_the_architecture_has_them(sid: u32, ssid in 0_u32..1 << 20, leaf: bool, vmid: u16, asid: u16) {
            let sid64 = u64::from(sid) << 32;
            prop_assert_eq!(prefetch_config(StreamId(sid)), [0x01 + sid64, 0]);
            prop_assert_eq!(cfgi_ste(StreamId(sid), leaf), [0x03 + sid64, u64::from(leaf)]);
            let expected = [0x05 + sid64 + u64::from(ssid) * 0x1000, u64::from(leaf)];
            prop_assert_eq!(cfgi_cd(StreamId(sid), ssid, leaf), expected);
            prop_assert_eq!(cfgi_cd_all(StreamId(sid)), [0x06 + sid64, 0]);
            let [low, high] = tlbi_nh_asid(vmid, asid);
            prop_assert_eq!((low as u8, low >> 8 & 0xFF_FFFF, high), (0x11, 0, 0));
            prop_assert_eq!((low >> 32 & 0xFFFF, low >> 48), (u64::from(vmid), u64::from(asid)));
            prop_assert_eq!(tlbi_s12_vmall(vmid), [0x28 + (u64::from(vmid) << 32), 0]);
        }
    }
}
