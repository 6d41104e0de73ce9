use super::*;
use crate::spec::registers::Gerror;

/// Runs `adopt` on a crashed SMMU that `damage` was done to, and expects the fallback.
#[track_caller]
fn refused(options: &Options, damage: impl FnOnce(&mut Fake)) -> (Refusal, Vec<String>) {
    let mut fake = crashed();
    damage(&mut fake);
    let old = fake.memory().clone();
    let (taken, trace) = take(Policy::Adopt, &mut fake, options);
    let taken = taken.expect("reset runs instead");
    assert_eq!(taken.did, Policy::Reset);
    assert_eq!(taken.reserved, Identifiers::default(), "reservations are undone");
    assert!(old.iter().all(|(at, word)| fake.peek(PhysAddr(*at)) == *word), "the old table was written");
    (taken.refusal.expect("a reason"), trace)
}

#[track_caller]
fn register(rule: Rule, offset: u32, value: u64, damage: impl FnOnce(&mut Fake)) {
    assert_eq!(refused(&PLAIN, damage).0, Refusal { rule, place: Place::Register(offset), value });
}

#[track_caller]
fn memory(rule: Rule, at: PhysAddr, value: u64) {
    let refusal = refused(&PLAIN, |fake| fake.poke(at, value)).0;
    assert_eq!(refusal, Refusal { rule, place: Place::Memory(at), value });
}

fn config(value: u32) -> impl FnOnce(&mut Fake) {
    move |fake| fake.unit(SMMU).set(reg::STRTAB_BASE_CFG, value)
}

/// facts: adopting-kernel.md §7, fallback trace.
#[test]
fn fallback_is_the_reset_of_an_adopting_kernel() {
    let bad = L2.0 | 5;
    let (refusal, trace) = refused(&PLAIN, |fake| fake.poke(L1.plus(200 * 8), bad));
    assert_eq!(format!("{refusal}"), format!("l1-span: 0x40254640 holds {bad:#x}"));
    let expected = [
        PROBE,
        "
        R CR0 0xd
        R GERROR 0x0
        R GERRORN 0x0
        R STRTAB_BASE_CFG 0x10210
        R64 STRTAB_BASE 0x4000000040254000
        L L1STD 0x40254000 x201
        B publish-structure
        R CR0 0xd
        R GBPA 0x1000
        W GBPA 0x80101000
        R GBPA 0x101000
        W CR0 0x0
        R CR0ACK 0x0
        W CR1 0xd75
        W CR2 0x6
        W64 STRTAB_BASE 0x4000000050004000
        W STRTAB_BASE_CFG 0x10210
        R GERROR 0x0
        R GERRORN 0x0
        W64 CMDQ_BASE 0x4000000050000008
        W CMDQ_PROD 0x0
        W CMDQ_CONS 0x0
        W CR0 0x8
        R CR0ACK 0x8
        ",
        &command(0, CFGI_ALL),
        &command(2, TLBI_NSNH_ALL),
        "
        W IRQ_CTRL 0x0
        R IRQ_CTRLACK 0x0
        W64 GERROR_IRQ_CFG0 0x0
        W64 EVENTQ_IRQ_CFG0 0x0
        W IRQ_CTRL 0x1
        R IRQ_CTRLACK 0x1
        W CR0 0x9
        R CR0ACK 0x9
        ",
    ];
    assert_trace(&trace, &expected.concat());
}

#[test]
fn fallback_installs_rmr_bypass_and_acknowledges_errors() {
    let options = Options { rmr: &[StreamId(0x18)], ..PLAIN };
    let (_, trace) = refused(&options, |fake| {
        config(0x1_0190)(fake);
        fake.unit(SMMU).raise(Gerror::new().with_cmdq_err(true));
    });
    assert!(trace.contains(&"S STE 0x50008600 0x9".into()));
    assert_eq!(written(&trace, "GERRORN"), ["0x1"]);
}

#[test]
fn eligibility() {
    register(Rule::SmmuDisabled, reg::CR0, 0, |fake| fake.unit(SMMU).set(reg::CR0, 0));
    register(Rule::NotCoherent, reg::IDR0, 0x0D44_100B, |fake| {
        fake.unit(SMMU).edit_idr0(|idr0| idr0.with_cohacc(false));
    });
    register(Rule::ServiceFailure, reg::GERROR, 0x100, |fake| {
        fake.unit(SMMU).raise(Gerror::new().with_sfm_err(true));
    });
}

#[test]
fn the_firmware_has_the_last_word_on_coherency() {
    let (refusal, trace) = refused(&Options { coherent: Some(false), ..PLAIN }, |_| {});
    assert_eq!(refusal.rule, Rule::NotCoherent);
    assert!(!trace.iter().any(|row| row.contains("R STRTAB")));

    let mut fake = crashed();
    fake.unit(SMMU).edit_idr0(|idr0| idr0.with_cohacc(false));
    let (taken, _) = take(Policy::Adopt, &mut fake, &Options { coherent: Some(true), ..PLAIN });
    assert_eq!(taken.map(|taken| taken.did), Ok(Policy::Adopt));
}

#[test]
fn table_registers() {
    for (rule, value) in [
        (Rule::StrtabFormat, 0x2_0210),
        (Rule::StrtabFormat, 0x3_0210),
        (Rule::StrtabSplit, 0x1_0190),
        (Rule::StrtabSplit, 0x1_0290),
        (Rule::StrtabLog2size, 0x1_0207),
        (Rule::StrtabLog2size, 0x1_0211),
        (Rule::StrtabLog2size, 0x1_023F),
        (Rule::StrtabLog2size, 0x0_0011),
        (Rule::StrtabLog2size, 0x0_003F),
    ] {
        register(rule, reg::STRTAB_BASE_CFG, value.into(), config(value));
    }
    register(Rule::TwoLevelUnsupported, reg::STRTAB_BASE_CFG, 0x1_0210, |fake| {
        fake.unit(SMMU).edit_idr0(|idr0| idr0.with_st_level(0));
    });
    for value in [0x1_021A, 0x1A] {
        register(Rule::StrtabSize, reg::STRTAB_BASE_CFG, value.into(), |fake| {
            fake.unit(SMMU).set(reg::IDR1, 0x0273_0020);
            config(value)(fake);
        });
    }
}

#[test]
fn table_alignment() {
    let base = STRTAB_BASE + 0x40;
    register(Rule::StrtabAlignment, reg::STRTAB_BASE, base, |fake| fake.unit(SMMU).set64(reg::STRTAB_BASE, base));
    // Revision 7 adopted this one: FMT=0 over a two-level table.
    register(Rule::StrtabAlignment, reg::STRTAB_BASE, STRTAB_BASE, config(16));
    // Where chance has aligned its level 1, the descriptor itself tells.
    let level1 = PhysAddr(0x4080_0000);
    let refusal = refused(&PLAIN, |fake| {
        fake.poke(level1, L2.0 | 9);
        fake.unit(SMMU).set64(reg::STRTAB_BASE, level1.0);
        config(16)(fake);
    });
    assert_eq!(refusal.0, Refusal { rule: Rule::StrtabFormat, place: Place::Memory(level1), value: L2.0 | 9 });
}

#[test]
fn level_1_descriptors() {
    for span in [1, 5, 8, 10, 11, 12, 31] {
        memory(Rule::L1Span, L1, L2.0 | span);
    }
    memory(Rule::L2Null, L1.plus(0x7F8), 9);
    memory(Rule::L2Alignment, L1.plus(8), (L2.0 + 0x2000) | 9);
}

#[test]
fn pointers_into_nothing_refuse_and_do_not_fault() {
    let nothing = PhysAddr(0x0B00_0000);
    let unbacked = Refusal { rule: Rule::Unbacked, place: Place::Memory(nothing), value: 0 };
    assert_eq!(refused(&PLAIN, |fake| fake.poke(L1.plus(8), nothing.0 | 9)).0, unbacked);
    assert_eq!(refused(&PLAIN, |fake| fake.unit(SMMU).set64(reg::STRTAB_BASE, nothing.0)).0, unbacked);
    assert_eq!(refused(&PLAIN, |fake| fake.poke(ste(3), 0b1011 | nothing.0)).0, unbacked);
}

/// Revision 10 vets no address: what the crash kernel itself keeps there would be taken for STEs, and could be adopted.
#[test]
fn pointers_into_our_own_memory_refuse() {
    let own = OWN.start;
    let refusal = Refusal { rule: Rule::OwnMemory, place: Place::Memory(own), value: 0 };
    assert_eq!(refused(&PLAIN, |fake| fake.poke(L1.plus(8), own.0 | 9)).0, refusal);
    assert_eq!(refused(&PLAIN, |fake| fake.unit(SMMU).set64(reg::STRTAB_BASE, own.0)).0, refusal);
    assert_eq!(refused(&PLAIN, |fake| fake.poke(ste(3), 0b1011 | own.0)).0, refusal);
    // Up to the last word.
    let last = PhysAddr(OWN.end.0 - 64);
    let refusal = Refusal { place: Place::Memory(last), ..refusal };
    assert_eq!(refused(&PLAIN, |fake| fake.poke(ste(3), 0b1011 | last.0)).0, refusal);
    let after = OWN.end;
    let mut fake = crashed();
    fake.poke(ste(3), 0b1011 | after.0);
    assert_eq!(take(Policy::Adopt, &mut fake, &PLAIN).0.map(|taken| taken.did), Ok(Policy::Adopt));
}

#[test]
fn stream_table_entries() {
    for reserved in [0b0011, 0b0101, 0b0111] {
        memory(Rule::SteConfig, ste(7), reserved);
    }
    memory(Rule::CdTableNull, ste(7), 0b1011);
    memory(Rule::CdTableSize, ste(7), 0b1011 | CDS.0 | 1 << 59);
    for format in [1, 3] {
        memory(Rule::CdTableFormat, ste(7), 0b1011 | CDS.0 | format << 4);
    }
}

#[test]
fn names_are_distinct() {
    let rules = [
        Rule::SmmuDisabled,
        Rule::NotCoherent,
        Rule::ServiceFailure,
        Rule::StrtabFormat,
        Rule::TwoLevelUnsupported,
        Rule::StrtabSplit,
        Rule::StrtabLog2size,
        Rule::StrtabSize,
        Rule::StrtabAlignment,
        Rule::L1Span,
        Rule::L2Null,
        Rule::L2Alignment,
        Rule::Unbacked,
        Rule::OwnMemory,
        Rule::SteConfig,
        Rule::CdTableNull,
        Rule::CdTableSize,
        Rule::CdTableFormat,
        Rule::CdTableAlignment,
        Rule::CdLeaf,
        Rule::Asid,
        Rule::Vmid,
        Rule::ScanTooLong,
    ];
    let mut names: Vec<_> = rules.iter().map(|rule| rule.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rules.len());
}
