use super::*;

/// As QEMU 10 has them, with another IIDR, AIDR and GBPA.
fn seen(iidr: u32, aidr: u32, gbpa: u32) -> Smmu {
    let (idr0, idr1, idr3, idr5) = (0x0D44_101B, 0x0273_0010, 0x1414, 0x74);
    let record =
        Record::Smmu { index: 0, base: 0x905_0000, idr0, idr1, idr3, idr5, iidr, aidr, cr0: 0, gbpa, coherent: true };
    smmu(&record).unwrap()
}

#[test]
fn the_reset_state_is_abort_or_bypass_as_found() {
    assert_eq!(seen(0, 1, 0x1000).gbpa_reset, "bypass");
    assert_eq!(seen(0, 1, 1 << 20 | 0x1000).gbpa_reset, "abort");
    let json = serde_json::to_value(seen(0, 1, 1 << 20)).unwrap();
    assert_eq!((&json["gbpa_reset"], &json["architecture"]), (&"abort".into(), &"SMMUv3.1".into()));
}

#[test]
fn version_and_product_are_told_by_name() {
    assert_eq!(seen(0, 2, 0).architecture, "SMMUv3.2");
    assert!(seen(0, 0x10, 0).architecture.starts_with("unknown"));
    assert_eq!(seen(0x4873_143B, 1, 0).product.as_deref(), Some("Arm MMU-700 r3p1"));
    assert_eq!(seen(0x4830_043B, 1, 0).product.as_deref(), Some("Arm MMU-600 r0p0"));
    assert_eq!(seen(0x1230_043B, 1, 0).product.as_deref(), Some("Arm, product 0x123 r0p0"));
    assert_eq!(seen(0x4873_1036, 1, 0).product.as_deref(), Some("implementer 0x36, product 0x487 r3p1"));
    assert_eq!(seen(0, 1, 0).product, None);
}

#[test]
fn features_are_told_field_by_field() {
    let smmu = seen(0, 1, 0);
    let words = |register| smmu.words.iter().find(|(name, _)| *name == register).unwrap().1.as_str();
    assert!(words("IDR0").contains("COHACC 1 (coherent walks)") && words("IDR0").contains("two-level stream table"));
    assert!(!words("IDR0").contains("ATS 1"), "{}", words("IDR0"));
    assert!(words("IDR1").starts_with("SIDSIZE 16 (bits)"), "{}", words("IDR1"));
    assert!(words("IDR3").contains("RIL 1 (invalidation by range)"), "{}", words("IDR3"));
    assert!(words("IDR5").starts_with("OAS 4 (44 bits), GRAN4K 1, GRAN16K 1, GRAN64K 1"), "{}", words("IDR5"));
}
