//! Register layout (Intel High Definition Audio 1.0a, 3.3) and the verbs used (7.3).

/// Global Capabilities, 16 bits: ISS 11:8, 64OK 0.
pub(crate) const GCAP: u64 = 0x00;
pub(crate) const GCAP_64OK: u16 = 1 << 0;
/// Global Control.
pub(crate) const GCTL: u64 = 0x08;
/// 0: the controller is held in reset.
pub(crate) const GCTL_CRST: u32 = 1 << 0;
/// State Change Status, 16 bits: a bit for each codec that answered.
pub(crate) const STATESTS: u64 = 0x0e;
pub(crate) const INTCTL: u64 = 0x20;
pub(crate) const CORBLBASE: u64 = 0x40;
pub(crate) const CORBUBASE: u64 = 0x44;
pub(crate) const CORBWP: u64 = 0x48;
pub(crate) const CORBRP: u64 = 0x4a;
pub(crate) const CORBRP_RST: u16 = 1 << 15;
pub(crate) const CORBCTL: u64 = 0x4c;
pub(crate) const CORBCTL_RUN: u8 = 1 << 1;
pub(crate) const CORBSIZE: u64 = 0x4e;
pub(crate) const RIRBLBASE: u64 = 0x50;
pub(crate) const RIRBUBASE: u64 = 0x54;
pub(crate) const RIRBWP: u64 = 0x58;
pub(crate) const RIRBWP_RST: u16 = 1 << 15;
pub(crate) const RINTCNT: u64 = 0x5a;
pub(crate) const RIRBCTL: u64 = 0x5c;
pub(crate) const RIRBCTL_RINTCTL: u8 = 1 << 0;
pub(crate) const RIRBCTL_DMAEN: u8 = 1 << 1;
pub(crate) const RIRBSTS: u64 = 0x5d;
pub(crate) const RIRBSTS_ALL: u8 = 1 << 2 | 1 << 0;
pub(crate) const RIRBSIZE: u64 = 0x5e;
/// Two low bits of CORBSIZE and RIRBSIZE: 256 entries; bit 6 tells that this is possible.
pub(crate) const RING_256: u8 = 2;
pub(crate) const RING_256_CAPABLE: u8 = 1 << 6;
/// Immediate Command Output, Input, Status (3.4).
pub(crate) const ICW: u64 = 0x60;
pub(crate) const IRR: u64 = 0x64;
/// 16 bits.
pub(crate) const ICS: u64 = 0x68;
pub(crate) const ICS_ICB: u16 = 1 << 0;
pub(crate) const ICS_IRV: u16 = 1 << 1;
/// DMA Position Lower and Upper Base.
pub(crate) const DPLBASE: u64 = 0x70;
pub(crate) const DPLBASE_ENABLE: u32 = 1 << 0;
pub(crate) const DPUBASE: u64 = 0x74;

/// Stream descriptor 0: the first input stream wherever there is one (3.3.35: input streams come first).
pub(crate) const SD0: u64 = 0x80;
pub(crate) const SD_BYTES: u64 = 0x20;
/// Control in 23:0, status in 31:24.
pub(crate) const SD_CTL: u64 = SD0;
pub(crate) const SD_CTL_RUN: u32 = 1 << 1;
pub(crate) const SD_CTL_STREAM_SHIFT: u32 = 20;
pub(crate) const SD_LPIB: u64 = SD0 + 0x04;
pub(crate) const SD_CBL: u64 = SD0 + 0x08;
pub(crate) const SD_LVI: u64 = SD0 + 0x0c;
pub(crate) const SD_FMT: u64 = SD0 + 0x12;
pub(crate) const SD_BDPL: u64 = SD0 + 0x18;
pub(crate) const SD_BDPU: u64 = SD0 + 0x1c;

/// 48 kHz base, no multiple, no divisor, 16 bits, two channels (3.7.1).
pub(crate) const FORMAT_48K_16_STEREO: u16 = 0x0011;

pub(crate) const VERB_GET_PARAMETER: u32 = 0xf00;
pub(crate) const VERB_SET_POWER_STATE: u32 = 0x705;
pub(crate) const VERB_SET_STREAM_CHANNEL: u32 = 0x706;
/// A verb of 4 bits with 16 bits of payload.
pub(crate) const VERB4_SET_FORMAT: u32 = 0x2;

/// First node 23:16, how many 7:0.
pub(crate) const PARAMETER_SUBORDINATES: u32 = 0x04;
pub(crate) const PARAMETER_GROUP_TYPE: u32 = 0x05;
pub(crate) const GROUP_AUDIO: u32 = 0x01;
/// Type 23:20, digital 9, format override 4.
pub(crate) const PARAMETER_WIDGET: u32 = 0x09;
pub(crate) const WIDGET_AUDIO_INPUT: u32 = 0x1;
pub(crate) const WIDGET_DIGITAL: u32 = 1 << 9;
pub(crate) const WIDGET_FORMAT_OVERRIDE: u32 = 1 << 4;
/// Sizes: 16 bits is bit 17; rates: 48 kHz is bit 6.
pub(crate) const PARAMETER_PCM: u32 = 0x0a;
pub(crate) const PCM_48K_16: u32 = 1 << 17 | 1 << 6;
