use super::*;

#[test]
fn a_changed_register_is_told_by_its_fields() {
    assert_eq!(change("CR0", 0b1101, 0b1000).unwrap(), "CR0: SMMUEN 1→0, EVENTQEN 1→0");
    assert_eq!(change("CR0", 0b1101, 0b1101), None);
    assert_eq!(change("GBPA", 0, 1 << 20).unwrap(), "GBPA: ABORT 0→1 (bypass to abort)");
    assert_eq!(change("STRTAB_BASE_CFG", 0x1_0210, 0x1_0190).unwrap(), "STRTAB_BASE_CFG: SPLIT 8→6");
    assert_eq!(change("STRTAB_BASE", 0x4000_0040, 0x4000_0080).unwrap(), "STRTAB_BASE: ADDR 0x40000040→0x40000080");
    assert_eq!(change("IDR2", 1, 2).unwrap(), "IDR2: 0x1→0x2", "no layout: the numbers");
}

#[test]
fn bits_that_no_field_holds_are_not_lost() {
    assert_eq!(change("CR0", 0, 1 << 31 | 1).unwrap(), "CR0: SMMUEN 0→1, bits without a name 0x0→0x80000000");
}

#[test]
fn every_register_of_a_snapshot_has_a_layout_but_those_of_no_use() {
    use smmu::access::SmmuIndex;
    let registers = smmu::observe::Registers::read(&mut smmu::fake::Fake::default(), SmmuIndex(0));
    let unknown: Vec<_> = registers.iter().map(|(name, _)| name).filter(|name| fields(name, 0).is_none()).collect();
    // Of IDR2 and IDR4 nothing that matters here is architected.
    assert_eq!(unknown, ["IDR2", "IDR4"]);
    for (name, _) in registers.iter() {
        assert!(["IDR2", "IDR4"].contains(&name) || !meaning::clause(name).is_empty(), "{name} has no clause");
    }
}

#[test]
fn values_are_told_with_their_meaning() {
    assert_eq!(of("CR0", 0), "all fields 0");
    assert_eq!(of("GBPA", 0), "ABORT 0 (bypass)");
    assert_eq!(of("STRTAB_BASE_CFG", 0x1_0210), "LOG2SIZE 16, SPLIT 8, FMT 1 (two-level)");
    assert_eq!(of("CMDQ_CONS", 1 << 24 | 5), "RD 5, ERR 1 (illegal command)");
    assert_eq!(of("IIDR", 0x4873_143B), "IMPLEMENTER 1083 (Arm), REVISION 1, VARIANT 3, PRODUCTID 1159");
    let [idr3, cr1] = [of("IDR3", 1 << 10 | 1 << 11), of("CR1", 0xD75)];
    assert_eq!(idr3, "RIL 1 (invalidation by range), BBML 1 (level 1)");
    assert!(cr1.starts_with("QUEUE_IC 1 (write-back), QUEUE_OC 1 (write-back), QUEUE_SH 3 (inner)"), "{cr1}");
}

#[test]
fn log_entries_name_the_word_of_the_structure() {
    assert_eq!(access("CR0", 0x20, 9), "SMMUEN 1, CMDQEN 1");
    let ste = access("STE", 0x4000_0040, 0xB);
    assert_eq!(ste, "word 0: V 1, CONFIG 5 (stage 1 translates), S1FMT 0 (linear CDs)");
    assert_eq!(access("STE", 0x4000_0078, 0), "word 7: 0");
    assert_eq!(access("STE", 0x4000_0078, 8), "word 7");
    assert_eq!(access("CD", 0x4000_0048, 0x4567_8000), "word 1: TTB0 0x45678000");
    assert_eq!(access("L1STD", 0x4000_0000, 0x4001_8009), "SPAN 9, L2PTR 0x40018000");
    assert_eq!(access("CMD", 0x4000_0000, 0x10_0000_0003), "CFGI_STE StreamID 16");
    assert_eq!(access("CMD", 0x4000_0010, 0x0007_0003_0000_0011), "TLBI_NH_ASID VMID 3, ASID 7");
    assert_eq!(access("CMD", 0x4000_0018, 1), "second half");
    assert_eq!(access("publish-structure", 0, 0), "");
}

#[test]
fn a_reasons_numbers_are_told_in_words() {
    let told = |text| reason(text).unwrap_or_default();
    let ste = "0000:00:03.0: STE word 0 was 0x100000b, is 0x9";
    let wanted = "STE0: CONFIG 5→4 (stage 1 translates to bypass), S1CONTEXTPTR 0x1000000→0x0";
    assert_eq!(told(ste), wanted);
    assert_eq!(told("CR0 was written with 0x8 out of order"), "CR0: CMDQEN 1");
    assert_eq!(told("SMMU 0: GBPA was written with 0x80000000: wrong"), "GBPA: ABORT 0 (bypass), UPDATE 1");
    assert_eq!(told("errors 0x1 were not acknowledged before CMDQEN"), "GERROR: CMDQ_ERR 1");
    assert_eq!(told("l1-span: 0x78b107f8 holds 0x7ab00005"), "L1STD: SPAN 5, L2PTR 0x7ab00000");
    assert_eq!(told("vmid: 0x7ab03fd0 holds 0x0"), "STE: word 2: 0");
    assert_eq!(told("smmu-disabled: CR0 holds 0xc"), "CR0: EVENTQEN 1, CMDQEN 1");
    assert_eq!(reason("unbacked: 0xfffffffc000 holds 0x0"), None, "what was there is not known");
    assert_eq!(reason("nothing delivered after the takeover"), None);
    assert_eq!(reason("the key was written with 0x8"), None, "not a register");
}
