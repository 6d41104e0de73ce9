//! What the values of single fields mean, and where the architecture defines each register and structure.

/// What `value` of a register's field means; `None` where the number says it, or is not worth more.
pub fn of(name: &str, field: &str, value: u64) -> Option<&'static str> {
    let pick = |words: &[&'static str]| usize::try_from(value).ok().and_then(|at| words.get(at)).copied();
    match (name, field) {
        ("GBPA", "ABORT") => pick(&["bypass", "abort"]),
        ("GBPA" | "STE1", "SHCFG") if value > 0 => pick(&["", "use incoming", "outer", "inner"]),
        ("STRTAB_BASE_CFG", "FMT") => pick(&["linear", "two-level", "reserved", "reserved"]),
        ("CMDQ_CONS", "ERR") => pick(&["no error", "illegal command", "fetch abort", "ATC invalidate timeout"]),
        ("CR1", "QUEUE_IC" | "QUEUE_OC" | "TABLE_IC" | "TABLE_OC") | ("STE1", "S1CIR" | "S1COR") => {
            pick(&["non-cacheable", "write-back", "write-through", "write-back, no read-allocate"])
        }
        ("CR1", "QUEUE_SH" | "TABLE_SH") | ("STE1", "S1CSH") | ("CD0", "SH0" | "SH1") => {
            pick(&["non-shareable", "reserved", "outer", "inner"])
        }
        ("STE0", "CONFIG") => pick(&[
            "abort",
            "abort",
            "abort",
            "abort",
            "bypass",
            "stage 1 translates",
            "stage 2 translates",
            "both stages translate",
        ]),
        ("STE0", "S1FMT") => pick(&["linear CDs", "4 KiB leaves", "64 KiB leaves", "reserved"]),
        ("STE1", "S1DSS") if value > 0 => pick(&["", "bypass", "substream 0"]),
        ("STE1", "STRW") if value > 0 => pick(&["", "reserved", "EL2"]),
        ("STE1", "EATS") if value > 0 => pick(&["", "full ATS", "split-stage ATS"]),
        ("CD0", "TG0") => pick(&["4 KiB", "64 KiB", "16 KiB", "reserved"]),
        ("CD0", "IPS") | ("STE2", "S2PS") | ("IDR5", "OAS") => {
            pick(&["32 bits", "36 bits", "40 bits", "42 bits", "44 bits", "48 bits", "52 bits", "56 bits"])
        }
        ("IDR0", "TTF") => pick(&["reserved", "AArch32 tables", "AArch64 tables", "AArch32 and AArch64 tables"]),
        ("IDR0", "HTTU") if value > 0 => pick(&["", "access flag", "access flag and dirty state"]),
        ("IDR0", "TTENDIAN") => pick(&["both endians", "reserved", "little-endian", "big-endian"]),
        ("IDR0", "STALL_MODEL") => pick(&["stall and terminate", "terminate only", "stall forced", "reserved"]),
        ("IDR0", "ST_LEVEL") => pick(&["linear stream table only", "two-level stream table"]),
        ("IDR0", feature) if value > 0 => feature_of_idr0(feature),
        ("IDR1", "SIDSIZE" | "SSIDSIZE") if value > 0 => Some("bits"),
        ("IDR1", "CMDQS" | "EVENTQS" | "PRIQS") if value > 0 => Some("log2 of entries"),
        ("IDR1", "TABLES_PRESET" | "QUEUES_PRESET") if value > 0 => Some("the address is fixed"),
        ("IDR3", "BBML") => pick(&["break-before-make", "level 1", "level 2", "reserved"]),
        ("IDR3", feature) if value > 0 => feature_of_idr3(feature),
        ("IDR5", "VAX") if value > 0 => Some("52-bit input addresses"),
        ("IIDR", "IMPLEMENTER") if value == ARM => Some("Arm"),
        _ => None,
    }
}

/// JEP106 code of Arm, as SMMU_IIDR has it.
pub const ARM: u64 = 0x43B;

/// Arm's products by SMMU_IIDR.ProductID.
pub fn product(implementer: u64, product: u64) -> Option<&'static str> {
    (implementer == ARM).then_some(())?;
    match product {
        0x483 => Some("MMU-600"),
        0x487 => Some("MMU-700"),
        0x48A => Some("MMU-L1"),
        0x498 => Some("MMU-S3"),
        _ => None,
    }
}

fn feature_of_idr0(feature: &str) -> Option<&'static str> {
    Some(match feature {
        "S1P" => "stage 1",
        "S2P" => "stage 2",
        "COHACC" => "coherent walks",
        "BTM" => "broadcast TLB maintenance",
        "HYP" => "EL2 streams",
        "ATS" => "PCIe ATS",
        "ASID16" => "16-bit ASIDs",
        "VMID16" => "16-bit VMIDs",
        "MSI" => "message-signalled interrupts",
        "PRI" => "page requests",
        "CD2L" => "two-level CD tables",
        "TERM_MODEL" => "termination aborts",
        _ => return None,
    })
}

fn feature_of_idr3(feature: &str) -> Option<&'static str> {
    Some(match feature {
        "HAD" => "hierarchical attributes can be off",
        "XNX" => "EL0/EL1 execute control in stage 2",
        "MPAM" => "MPAM",
        "FWB" => "stage-2 forced write-back",
        "STT" => "small translation tables",
        "RIL" => "invalidation by range",
        "DPT" => "device permission table",
        _ => return None,
    })
}

/// Section of IHI 0070 that defines a register or structure.
pub fn clause(name: &str) -> &'static str {
    match name {
        "IDR0" => "6.3.1",
        "IDR1" => "6.3.2",
        "IDR3" => "6.3.4",
        "IDR5" => "6.3.6",
        "IIDR" => "6.3.7",
        "AIDR" => "6.3.8",
        "CR0" => "6.3.9",
        "CR0ACK" => "6.3.10",
        "CR1" => "6.3.11",
        "CR2" => "6.3.12",
        "GBPA" => "6.3.14",
        "IRQ_CTRL" | "IRQ_CTRLACK" => "6.3.17",
        "GERROR" => "6.3.19",
        "GERRORN" => "6.3.20",
        "GERROR_IRQ_CFG0" => "6.3.21",
        "STRTAB_BASE" => "6.3.24",
        "STRTAB_BASE_CFG" => "6.3.25",
        "CMDQ_BASE" => "6.3.26",
        "CMDQ_PROD" => "6.3.27",
        "CMDQ_CONS" => "6.3.28",
        "EVENTQ_BASE" => "6.3.29",
        "EVENTQ_PROD" => "6.3.30",
        "EVENTQ_CONS" => "6.3.31",
        "L1STD" => "5.1",
        "STE" => "5.2",
        "L1CD" => "5.3",
        "CD" => "5.4",
        "CMD" => "4",
        "EVENT" => "7.3",
        "publish-structure" => "3.21.3",
        _ => "",
    }
}
