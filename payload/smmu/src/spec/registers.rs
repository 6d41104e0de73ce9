//! Register offsets and fields (IHI 0070, chapter 6). Page 1 registers carry their page in the offset.

#![expect(missing_docs, reason = "field names are the architecture's")]

use bitfield_struct::bitfield;

pub const IDR0: u32 = 0x00;
pub const IDR1: u32 = 0x04;
pub const IDR2: u32 = 0x08;
pub const IDR3: u32 = 0x0C;
pub const IDR4: u32 = 0x10;
pub const IDR5: u32 = 0x14;
pub const IIDR: u32 = 0x18;
pub const AIDR: u32 = 0x1C;
pub const CR0: u32 = 0x20;
pub const CR0ACK: u32 = 0x24;
pub const CR1: u32 = 0x28;
pub const CR2: u32 = 0x2C;
pub const GBPA: u32 = 0x44;
pub const IRQ_CTRL: u32 = 0x50;
pub const IRQ_CTRLACK: u32 = 0x54;
pub const GERROR: u32 = 0x60;
pub const GERRORN: u32 = 0x64;
pub const GERROR_IRQ_CFG0: u32 = 0x68;
pub const STRTAB_BASE: u32 = 0x80;
pub const STRTAB_BASE_CFG: u32 = 0x88;
pub const CMDQ_BASE: u32 = 0x90;
pub const CMDQ_PROD: u32 = 0x98;
pub const CMDQ_CONS: u32 = 0x9C;
pub const EVENTQ_BASE: u32 = 0xA0;
pub const EVENTQ_IRQ_CFG0: u32 = 0xB0;
pub const PRIQ_BASE: u32 = 0xC0;
pub const PRIQ_IRQ_CFG0: u32 = 0xD0;
pub const EVENTQ_PROD: u32 = 0x1_00A8;
pub const EVENTQ_CONS: u32 = 0x1_00AC;
pub const PRIQ_PROD: u32 = 0x1_00C8;
pub const PRIQ_CONS: u32 = 0x1_00CC;

/// Registers of 64 bits, which may be written in halves: each holds an address.
pub const LONG: [u32; 7] =
    [STRTAB_BASE, CMDQ_BASE, EVENTQ_BASE, PRIQ_BASE, GERROR_IRQ_CFG0, EVENTQ_IRQ_CFG0, PRIQ_IRQ_CFG0];

/// Name of the register at `offset`.
#[must_use]
pub const fn name(offset: u32) -> &'static str {
    match offset {
        IDR0 => "IDR0",
        IDR1 => "IDR1",
        IDR2 => "IDR2",
        IDR3 => "IDR3",
        IDR4 => "IDR4",
        IDR5 => "IDR5",
        IIDR => "IIDR",
        AIDR => "AIDR",
        CR0 => "CR0",
        CR0ACK => "CR0ACK",
        CR1 => "CR1",
        CR2 => "CR2",
        GBPA => "GBPA",
        IRQ_CTRL => "IRQ_CTRL",
        IRQ_CTRLACK => "IRQ_CTRLACK",
        GERROR => "GERROR",
        GERRORN => "GERRORN",
        GERROR_IRQ_CFG0 => "GERROR_IRQ_CFG0",
        STRTAB_BASE => "STRTAB_BASE",
        STRTAB_BASE_CFG => "STRTAB_BASE_CFG",
        CMDQ_BASE => "CMDQ_BASE",
        CMDQ_PROD => "CMDQ_PROD",
        CMDQ_CONS => "CMDQ_CONS",
        EVENTQ_BASE => "EVENTQ_BASE",
        EVENTQ_IRQ_CFG0 => "EVENTQ_IRQ_CFG0",
        PRIQ_BASE => "PRIQ_BASE",
        PRIQ_IRQ_CFG0 => "PRIQ_IRQ_CFG0",
        EVENTQ_PROD => "EVENTQ_PROD",
        EVENTQ_CONS => "EVENTQ_CONS",
        PRIQ_PROD => "PRIQ_PROD",
        PRIQ_CONS => "PRIQ_CONS",
        _ => "?",
    }
}

/// SMMU_IDR0 (6.3.1).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Idr0 {
    pub s2p: bool,
    pub s1p: bool,
    #[bits(2)]
    pub ttf: u8,
    pub cohacc: bool,
    pub btm: bool,
    #[bits(2)]
    pub httu: u8,
    pub dormhint: bool,
    pub hyp: bool,
    pub ats: bool,
    pub ns1ats: bool,
    pub asid16: bool,
    pub msi: bool,
    pub sev: bool,
    pub atos: bool,
    pub pri: bool,
    pub vmw: bool,
    pub vmid16: bool,
    pub cd2l: bool,
    pub vatos: bool,
    #[bits(2)]
    pub ttendian: u8,
    pub atsrecerr: bool,
    #[bits(2)]
    pub stall_model: u8,
    pub term_model: bool,
    /// 1: two-level stream tables.
    #[bits(2)]
    pub st_level: u8,
    #[bits(3)]
    __: u8,
}

/// SMMU_IDR1 (6.3.2).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Idr1 {
    #[bits(6)]
    pub sidsize: u8,
    #[bits(5)]
    pub ssidsize: u8,
    #[bits(5)]
    pub priqs: u8,
    #[bits(5)]
    pub eventqs: u8,
    #[bits(5)]
    pub cmdqs: u8,
    pub attr_perms_ovr: bool,
    pub attr_types_ovr: bool,
    pub rel: bool,
    pub queues_preset: bool,
    pub tables_preset: bool,
    pub ecmdq: bool,
}

/// SMMU_IDR5 (6.3.6).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Idr5 {
    /// 0..=6: 32, 36, 40, 42, 44, 48, 52 bits; 7: 56.
    #[bits(3)]
    pub oas: u8,
    #[bits(1)]
    __: u8,
    pub gran4k: bool,
    pub gran16k: bool,
    pub gran64k: bool,
    pub ds: bool,
    pub d128: bool,
    #[bits(1)]
    __: u8,
    #[bits(2)]
    pub vax: u8,
    #[bits(4)]
    __: u8,
    pub stall_max: u16,
}

/// SMMU_CR0 and SMMU_CR0ACK (6.3.9).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Cr0 {
    pub smmuen: bool,
    pub priqen: bool,
    pub eventqen: bool,
    pub cmdqen: bool,
    pub atschk: bool,
    #[bits(1)]
    __: u8,
    #[bits(3)]
    pub vmw: u8,
    #[bits(1)]
    __: u8,
    pub dpt_walk_en: bool,
    #[bits(21)]
    __: u32,
}

/// SMMU_CR2 (6.3.12).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Cr2 {
    pub e2h: bool,
    pub recinvsid: bool,
    pub ptm: bool,
    pub rec_cfg_ats: bool,
    #[bits(28)]
    __: u32,
}

/// SMMU_GBPA (6.3.14).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Gbpa {
    #[bits(4)]
    pub memattr: u8,
    pub mtcfg: bool,
    #[bits(3)]
    __: u8,
    #[bits(4)]
    pub alloccfg: u8,
    #[bits(2)]
    pub shcfg: u8,
    #[bits(2)]
    __: u8,
    #[bits(2)]
    pub privcfg: u8,
    #[bits(2)]
    pub instcfg: u8,
    pub abort: bool,
    #[bits(10)]
    __: u16,
    pub update: bool,
}

/// SMMU_IRQ_CTRL (6.3.17).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct IrqCtrl {
    pub gerror: bool,
    pub priq: bool,
    pub eventq: bool,
    #[bits(29)]
    __: u32,
}

/// SMMU_GERROR and SMMU_GERRORN (6.3.19): an error is active where the two differ.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Gerror {
    pub cmdq_err: bool,
    #[bits(1)]
    __: u8,
    pub eventq_abt_err: bool,
    pub priq_abt_err: bool,
    pub msi_cmdq_abt_err: bool,
    pub msi_eventq_abt_err: bool,
    pub msi_priq_abt_err: bool,
    pub msi_gerror_abt_err: bool,
    pub sfm_err: bool,
    pub cmdqp_err: bool,
    pub dpt_err: bool,
    #[bits(21)]
    __: u32,
}

/// SMMU_STRTAB_BASE (6.3.24).
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct StrtabBase {
    #[bits(6)]
    __: u8,
    #[bits(50)]
    pub addr_55_6: u64,
    #[bits(6)]
    __: u8,
    pub ra: bool,
    #[bits(1)]
    __: u8,
}

impl StrtabBase {
    /// Address of the stream table or its first level.
    #[must_use]
    pub const fn addr(self) -> u64 {
        self.addr_55_6() << 6
    }

    /// With the table at `address`.
    #[must_use]
    pub const fn with_addr(self, address: u64) -> Self {
        self.with_addr_55_6(address >> 6)
    }
}

/// SMMU_STRTAB_BASE_CFG (6.3.25).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct StrtabBaseCfg {
    #[bits(6)]
    pub log2size: u8,
    /// 6, 8 or 10.
    #[bits(5)]
    pub split: u8,
    #[bits(5)]
    __: u8,
    /// 0 linear, 1 two-level.
    #[bits(2)]
    pub fmt: u8,
    #[bits(14)]
    __: u16,
}

/// SMMU_CMDQ_BASE and SMMU_EVENTQ_BASE (6.3.26, 6.3.29): bit 62 is RA for the one and WA for the other.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct QueueBase {
    #[bits(5)]
    pub log2size: u8,
    #[bits(51)]
    pub addr_55_5: u64,
    #[bits(6)]
    __: u8,
    pub allocate: bool,
    #[bits(1)]
    __: u8,
}

impl QueueBase {
    /// Address of the queue.
    #[must_use]
    pub const fn addr(self) -> u64 {
        self.addr_55_5() << 5
    }

    /// With the queue at `address`, a multiple of its size and of 32.
    #[must_use]
    pub const fn with_addr(self, address: u64) -> Self {
        self.with_addr_55_5(address >> 5)
    }
}
