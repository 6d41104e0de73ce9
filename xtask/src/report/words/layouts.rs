//! Registers whose fields only a reader of reports needs, so that `smmu::spec` has no type for them.

use bitfield_struct::bitfield;

/// SMMU_IDR3 (IHI 0070, 6.3.4).
#[bitfield(u32)]
pub struct Idr3 {
    #[bits(2)]
    __: u8,
    pub had: bool,
    pub pbha: bool,
    pub xnx: bool,
    pub pps: bool,
    #[bits(1)]
    __: u8,
    pub mpam: bool,
    pub fwb: bool,
    pub stt: bool,
    pub ril: bool,
    #[bits(2)]
    pub bbml: u8,
    pub e0pd: bool,
    pub ptwnnc: bool,
    pub dpt: bool,
    #[bits(16)]
    __: u16,
}

/// SMMU_IIDR (6.3.7).
#[bitfield(u32)]
pub struct Iidr {
    #[bits(12)]
    pub implementer: u16,
    #[bits(4)]
    pub revision: u8,
    #[bits(4)]
    pub variant: u8,
    #[bits(12)]
    pub productid: u16,
}

/// SMMU_AIDR (6.3.8).
#[bitfield(u32)]
pub struct Aidr {
    #[bits(4)]
    pub archminorrev: u8,
    #[bits(4)]
    pub archmajorrev: u8,
    #[bits(24)]
    __: u32,
}

/// SMMU_CR1 (6.3.11).
#[bitfield(u32)]
pub struct Cr1 {
    #[bits(2)]
    pub queue_ic: u8,
    #[bits(2)]
    pub queue_oc: u8,
    #[bits(2)]
    pub queue_sh: u8,
    #[bits(2)]
    pub table_ic: u8,
    #[bits(2)]
    pub table_oc: u8,
    #[bits(2)]
    pub table_sh: u8,
    #[bits(20)]
    __: u32,
}

/// SMMU_CMDQ_PROD (6.3.27).
#[bitfield(u32)]
pub struct CmdqProd {
    #[bits(20)]
    pub wr: u32,
    #[bits(12)]
    __: u16,
}

/// SMMU_CMDQ_CONS (6.3.28).
#[bitfield(u32)]
pub struct CmdqCons {
    #[bits(20)]
    pub rd: u32,
    #[bits(4)]
    __: u8,
    #[bits(7)]
    pub err: u8,
    #[bits(1)]
    __: u8,
}

/// SMMU_EVENTQ_PROD and SMMU_PRIQ_PROD (6.3.30).
#[bitfield(u32)]
pub struct EventqProd {
    #[bits(20)]
    pub wr: u32,
    #[bits(11)]
    __: u16,
    pub ovflg: bool,
}

/// SMMU_EVENTQ_CONS and SMMU_PRIQ_CONS (6.3.31).
#[bitfield(u32)]
pub struct EventqCons {
    #[bits(20)]
    pub rd: u32,
    #[bits(11)]
    __: u16,
    pub ovackflg: bool,
}

/// SMMU_GERROR_IRQ_CFG0 and SMMU_EVENTQ_IRQ_CFG0 (6.3.21).
#[bitfield(u64)]
pub struct IrqCfg0 {
    #[bits(2)]
    __: u8,
    #[bits(54)]
    pub addr_55_2: u64,
    #[bits(8)]
    __: u8,
}
