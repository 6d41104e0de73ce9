//! Register layout (xHCI 1.2, chapter 5) and TRB fields (chapter 6).

// Capability registers (5.3).
/// CAPLENGTH in 7:0.
pub(crate) const CAPLENGTH: u64 = 0x00;
/// MaxSlots 7:0, MaxPorts 31:24.
pub(crate) const HCSPARAMS1: u64 = 0x04;
/// Max Scratchpad Buffers: high part 25:21, low part 31:27.
pub(crate) const HCSPARAMS2: u64 = 0x08;
/// AC64 0, CSZ 2, xECP 31:16 in 32-bit words.
pub(crate) const HCCPARAMS1: u64 = 0x10;
pub(crate) const AC64: u32 = 1 << 0;
pub(crate) const CSZ: u32 = 1 << 2;
pub(crate) const DBOFF: u64 = 0x14;
pub(crate) const RTSOFF: u64 = 0x18;

// Operational registers (5.4), from CAPLENGTH on.
pub(crate) const USBCMD: u64 = 0x00;
pub(crate) const USBCMD_RS: u32 = 1 << 0;
pub(crate) const USBCMD_HCRST: u32 = 1 << 1;
/// INTE, HSEE, EWE: what would raise an interrupt or an event that nobody asked for.
pub(crate) const USBCMD_NOISE: u32 = 1 << 2 | 1 << 3 | 1 << 10;
pub(crate) const USBSTS: u64 = 0x04;
pub(crate) const USBSTS_HCH: u32 = 1 << 0;
/// HSE and HCE: the controller has given up.
pub(crate) const USBSTS_GIVEN_UP: u32 = 1 << 2 | 1 << 12;
pub(crate) const USBSTS_CNR: u32 = 1 << 11;
/// Bit n: pages of 2^(12+n) bytes.
pub(crate) const PAGESIZE: u64 = 0x08;
pub(crate) const CRCR: u64 = 0x18;
pub(crate) const CRCR_RCS: u64 = 1;
pub(crate) const DCBAAP: u64 = 0x30;
/// MaxSlotsEn 7:0.
pub(crate) const CONFIG: u64 = 0x38;
/// Of port 1; ports follow 16 bytes apart.
pub(crate) const PORTSC: u64 = 0x400;
pub(crate) const PORTSC_CCS: u32 = 1 << 0;
/// Writing 1 disables the port.
pub(crate) const PORTSC_PED: u32 = 1 << 1;
pub(crate) const PORTSC_PR: u32 = 1 << 4;
pub(crate) const PORTSC_PP: u32 = 1 << 9;
/// CSC, PEC, WRC, OCC, PRC, PLC, CEC: cleared by writing 1.
pub(crate) const PORTSC_CHANGES: u32 = 0x7f << 17;
/// LWS and WPR: writing 1 acts.
pub(crate) const PORTSC_ACTS: u32 = 1 << 16 | 1 << 31;

// Interrupter 0 (5.5.2), from RTSOFF on.
pub(crate) const IMAN: u64 = 0x20;
pub(crate) const IMAN_IE: u32 = 1 << 1;
pub(crate) const ERSTSZ: u64 = 0x28;
pub(crate) const ERSTBA: u64 = 0x30;
pub(crate) const ERDP: u64 = 0x38;
/// Event Handler Busy, cleared by writing 1.
pub(crate) const ERDP_EHB: u64 = 1 << 3;
/// Bytes of the runtime registers up to the end of interrupter 0.
pub(crate) const RUNTIME_BYTES: u64 = 0x40;

// USB Legacy Support Capability (7.1).
pub(crate) const LEGACY_ID: u32 = 1;
pub(crate) const LEGACY_BIOS_OWNED: u32 = 1 << 16;
pub(crate) const LEGACY_OS_OWNED: u32 = 1 << 24;
pub(crate) const LEGACY_CONTROL: u64 = 4;
/// The SMI enables: 0, 4, 15:13.
pub(crate) const LEGACY_SMI_ENABLES: u32 = 1 << 0 | 1 << 4 | 7 << 13;
/// Cleared by writing 1.
pub(crate) const LEGACY_SMI_EVENTS: u32 = 7 << 29;

// TRB control word (6.4): cycle bit 0, type 15:10.
pub(crate) const TRB_C: u32 = 1 << 0;
pub(crate) const TRB_IOC: u32 = 1 << 5;
pub(crate) const TRB_IDT: u32 = 1 << 6;
/// Data and Status Stage: the device sends.
pub(crate) const TRB_DIR_IN: u32 = 1 << 16;
/// Setup Stage: an IN Data Stage follows.
pub(crate) const TRB_TRT_IN: u32 = 3 << 16;

/// TRB type as it stands in the control word (table 6-91).
pub(crate) const fn kind(number: u32) -> u32 {
    number << 10
}
pub(crate) const NORMAL: u32 = kind(1);
pub(crate) const SETUP_STAGE: u32 = kind(2);
pub(crate) const DATA_STAGE: u32 = kind(3);
pub(crate) const STATUS_STAGE: u32 = kind(4);
pub(crate) const LINK: u32 = kind(6);
pub(crate) const ENABLE_SLOT: u32 = kind(9);
pub(crate) const DISABLE_SLOT: u32 = kind(10);
pub(crate) const ADDRESS_DEVICE: u32 = kind(11);
pub(crate) const CONFIGURE_ENDPOINT: u32 = kind(12);
pub(crate) const EVALUATE_CONTEXT: u32 = kind(13);
pub(crate) const TRANSFER_EVENT: u32 = kind(32);
pub(crate) const COMMAND_COMPLETION: u32 = kind(33);
pub(crate) const KIND_MASK: u32 = kind(0x3f);

/// Completion codes (table 6-90).
pub(crate) const SUCCESS: u32 = 1;
pub(crate) const SHORT_PACKET: u32 = 13;
