extern crate std;

use crate::{
    HandoverError,
    boot::{Boot, Ecam, MAX_ECAM, MAX_SMMUS, Region, Smmu, Watchdog},
    bundle::{ALIGNMENT, Bundle},
    crash_note::CrashNote,
    crc64,
    oracle::{
        Counts, FunctionLeft, MAX_BYTES, MAX_FUNCTIONS, MAX_SMMUS as MOST_SMMUS, MAX_STREAMS, OracleMut, OracleView,
        SmmuLeft, Stream, Window,
    },
    report::{Ended, Report},
};
use addr::{Bdf, Iova, PhysAddr, StreamId};
use proptest::prelude::*;
use std::{vec, vec::Vec};
use zerocopy::{FromBytes, IntoBytes};

/// Memory at a multiple of 8.
fn memory(bytes: usize) -> Vec<u64> {
    vec![0xA5A5_A5A5_A5A5_A5A5; bytes.div_ceil(8)]
}

/// A block whose 32-bit word n holds n, so that a golden copy shows where every field lies.
fn counted<T: FromBytes + IntoBytes>() -> T {
    let words: Vec<u8> = (0..size_of::<T>() as u32 / 4).flat_map(u32::to_le_bytes).collect();
    T::read_from_bytes(&words).unwrap()
}

fn boot() -> Boot {
    let mut boot = Boot { smmu_count: 2, ecam_count: 1, crash_tick: 7, ..counted() };
    boot.seal();
    boot
}

#[test]
fn crc64_is_the_catalogued_one() {
    assert_eq!(crc64(b"123456789"), 0x995d_c9bb_df19_39fa);
}

#[test]
fn boot_layout_does_not_drift() {
    let counted: Boot = counted();
    assert_eq!(size_of::<Boot>(), 944);
    let pair = |low: u64| low | (low + 1) << 32;
    let region = |low| Region { base: PhysAddr(pair(low)), bytes: pair(low + 2) };
    assert_eq!((counted.run, counted.cycle), (6, 7));
    assert_eq!(counted.region, region(8));
    assert_eq!((counted.image.base, counted.image.entry), (PhysAddr(pair(12)), PhysAddr(pair(18))));
    assert_eq!(counted.image.digest, pair(16));
    assert_eq!((counted.stack_top, counted.heap), (PhysAddr(pair(20)), region(22)));
    assert_eq!((counted.translation.ttbr, counted.translation.sctlr), (pair(26), pair(32)));
    assert_eq!((counted.e2h, counted.psci), (34, 35));
    assert_eq!((counted.console.base, counted.console.kind), (PhysAddr(pair(36)), 38));
    assert_eq!((counted.console.register_width, counted.console.stride), (39, 0));
    assert_eq!((counted.tables.iort, counted.tables.devicetree), (region(40), region(68)));
    assert_eq!((counted.options, counted.gic.redistributor), (region(72), PhysAddr(pair(78))));
    assert_eq!((counted.timer_interrupt, counted.next_sequence, counted.crash_tick), (80, 81, pair(82)));
    assert_eq!((counted.way_back.entry, counted.way_back.report), (PhysAddr(pair(84)), PhysAddr(pair(88))));
    assert_eq!((counted.oracle, counted.smmu_count, counted.ecam_count), (region(90), 94, 95));
    assert_eq!(counted.smmus[MAX_SMMUS - 1], Smmu { base: PhysAddr(pair(156)), flags: 158, reserved: 159 });
    let last = Ecam { base: PhysAddr(pair(188)), segment: 190, first_bus: 0, last_bus: 0, reserved: 191 };
    assert_eq!(counted.ecam[MAX_ECAM - 1], last);
    assert_eq!((counted.boot_cpu, counted.crash_note), (pair(192), PhysAddr(pair(194))));
    let watchdog = Watchdog { refresh: PhysAddr(pair(196)), control: PhysAddr(pair(198)) };
    assert_eq!((counted.watchdog, counted.last_words), (watchdog, PhysAddr(pair(200))));
    assert_eq!((counted.guest.bundle, counted.guest.usable), (region(202), region(206)));
    assert_eq!((counted.guest.efi.map, counted.guest.hidden[3]), (region(212), region(232)));
    let counted: CrashNote = self::counted();
    assert_eq!((counted.cause, counted.esr, counted.elr, counted.far), (pair(0), pair(2), pair(4), pair(6)));
    assert_eq!((counted.spins, counted.rings), (pair(8), pair(10)));
}

#[test]
fn sealed_boot_has_golden_bytes() {
    let mut boot = Boot { run: 1, cycle: 2, next_sequence: 0x30, ..Boot::default() };
    boot.seal();
    let head: [u8; 32] = [
        0x69,
        0x6e,
        0x66,
        0x6c,
        0x62,
        0x6f,
        0x6f,
        0x74,
        5,
        0,
        0,
        0,
        0xb0,
        3,
        0,
        0, //
        BOOT_CRC[0],
        BOOT_CRC[1],
        BOOT_CRC[2],
        BOOT_CRC[3],
        BOOT_CRC[4],
        BOOT_CRC[5],
        BOOT_CRC[6],
        BOOT_CRC[7], //
        1,
        0,
        0,
        0,
        2,
        0,
        0,
        0,
    ];
    assert_eq!(boot.as_bytes()[..32], head);
    assert_eq!(boot.as_bytes()[81 * 4], 0x30);
    assert_eq!(boot.verify(), Ok(()));
}

const BOOT_CRC: [u8; 8] = [0xd8, 0x6e, 0x0a, 0x36, 0x93, 0xd3, 0x9a, 0x7f];

#[test]
fn what_is_wrong_with_a_boot_block_is_named() {
    let good = boot();
    assert_eq!(Boot::find(good.as_bytes()).copied(), Ok(good));
    assert_eq!((good.smmus().len(), good.ecam().len()), (2, 1));

    let mut bad = good;
    bad.header.magic = 1;
    assert!(matches!(bad.verify(), Err(HandoverError::Magic { block: "boot", found: 1, .. })));
    let mut bad = good;
    bad.header.version = 9;
    assert_eq!(bad.verify(), Err(HandoverError::Version { block: "boot", found: 9, expected: 5 }));
    for stated in [0, 23, 24, 943, 945, u32::MAX] {
        let mut bad = good;
        bad.header.bytes = stated;
        let wrong = HandoverError::Length { block: "boot", found: u64::from(stated), expected: 944 };
        assert_eq!(bad.verify(), Err(wrong));
    }
    let mut bad = good;
    bad.crash_tick ^= 1;
    assert!(matches!(bad.verify(), Err(HandoverError::Crc { .. })));
    let mut bad = Boot { smmu_count: 17, ..good };
    bad.seal();
    assert_eq!(bad.verify(), Err(HandoverError::Count { block: "boot", found: 17, expected: 16 }));
    assert_eq!(bad.smmus().len(), MAX_SMMUS);
    let mut bad = Boot { ecam_count: 9, ..good };
    bad.seal();
    assert_eq!(bad.verify(), Err(HandoverError::Count { block: "boot", found: 9, expected: 8 }));
    assert_eq!(bad.ecam().len(), MAX_ECAM);

    assert!(matches!(Boot::find(&good.as_bytes()[..943]), Err(HandoverError::Length { found: 943, .. })));
    let mut shifted = memory(1024);
    shifted.as_mut_bytes()[4..948].copy_from_slice(good.as_bytes());
    assert_eq!(Boot::find(&shifted.as_bytes()[4..]), Err(HandoverError::Misaligned { block: "boot" }));
}

#[test]
fn report_has_golden_bytes() {
    let mut report = Report {
        run: 1,
        cycle: 2,
        outcome: Ended::FAIL,
        next_sequence: 4,
        checks: 5,
        failed: 6,
        crash_to_kdump: 7,
        takeover: 8,
        hold: 9,
        watch: 10,
        counted: 11,
        end_tick: 12,
        ..Report::default()
    };
    assert!(report.verify().is_err(), "an unsealed report is none");
    report.seal();
    assert_eq!(report.verify(), Ok(()));
    let mut golden: Vec<u8> = Vec::new();
    golden.extend(b"inflback");
    golden.extend([2, 0, 0, 0, 96, 0, 0, 0]);
    golden.extend(REPORT_CRC);
    for word in [1u32, 2, 2, 4, 5, 6] {
        golden.extend(word.to_le_bytes());
    }
    for word in 7u64..=12 {
        golden.extend(word.to_le_bytes());
    }
    assert_eq!(report.as_bytes(), golden);
}

const REPORT_CRC: [u8; 8] = [0xd1, 0x2e, 0x7b, 0xad, 0xba, 0x0d, 0xe4, 0x64];

fn stream() -> Stream {
    let window = |n: u64| Window { iova: Iova(n), target: PhysAddr(n + 1), canary: PhysAddr(n + 2), bytes: n + 3 };
    let counts = |n: u64| Counts { attempted: n, delivered: n + 1, mis_steered: n + 2 };
    Stream {
        bdf: Bdf { segment: 1, rid: 2 },
        stream_id: StreamId(3),
        smmu: 4,
        driver: 5,
        flags: 6,
        asid: 7,
        registers: PhysAddr(8),
        window: window(9),
        rmr: window(13),
        state: [17, 18, 19, 20, 21, 22, 23, 24],
        totals: counts(25),
        at_crash: counts(28),
        ste: [31, 32, 33, 34, 35, 36, 37, 38],
    }
}

fn smmu() -> SmmuLeft {
    SmmuLeft {
        base: PhysAddr(1),
        strtab_base: 2,
        strtab_base_cfg: 3,
        eventq_base: 4,
        level1_digest: 5,
        level2_digest: 6,
        contexts_digest: 7,
        digest_bytes: 8,
        flags: 9,
    }
}

/// Words of a function: 4 of its places, 18 of its state.
fn function() -> FunctionLeft {
    counted()
}

fn sealed_oracle(memory: &mut [u8]) -> usize {
    let mut oracle = OracleMut::create(memory, 1, 1, 1).unwrap();
    oracle.header.run = 1;
    oracle.header.cycle = 2;
    oracle.header.armed_tick = 3;
    oracle.header.crash_tick = 4;
    oracle.header.plant = 5;
    oracle.streams[0] = stream();
    oracle.smmus[0] = smmu();
    oracle.functions[0] = function();
    oracle.seal();
    oracle.header.header.bytes as usize
}

#[test]
fn oracle_has_golden_bytes() {
    let mut memory = memory(MAX_BYTES);
    let used = sealed_oracle(memory.as_mut_bytes());
    let mut golden: Vec<u8> = Vec::new();
    golden.extend(b"inflorac");
    golden.extend([3, 0, 0, 0]);
    golden.extend((used as u32).to_le_bytes());
    golden.extend(ORACLE_CRC);
    golden.extend([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    golden.extend([5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    golden.extend([1, 0, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0]);
    golden.extend((8u64..=38).chain(1..=9).flat_map(u64::to_le_bytes));
    golden.extend((0u32..22).flat_map(u32::to_le_bytes));
    assert_eq!(used, golden.len());
    assert_eq!(memory.as_bytes()[..used], golden);
    // Beyond the used part nothing is touched.
    assert!(memory.as_bytes()[used..].iter().all(|byte| *byte == 0xA5));
}

const ORACLE_CRC: [u8; 8] = [0x6b, 0x2e, 0x83, 0x00, 0x4e, 0x4c, 0x0b, 0x49];

#[test]
fn oracle_reads_what_was_sealed_and_opens_for_more() {
    let mut memory = memory(MAX_BYTES);
    sealed_oracle(memory.as_mut_bytes());
    let view = OracleView::find(memory.as_bytes()).unwrap();
    assert_eq!((view.header.run, view.header.cycle, view.header.plant), (1, 2, 5));
    assert_eq!((view.streams, view.smmus), (&[stream()][..], &[smmu()][..]));
    assert_eq!(view.functions, &[function()][..]);

    let oracle = OracleMut::open(memory.as_mut_bytes()).unwrap();
    oracle.streams[0].totals.delivered = 99;
    assert!(matches!(OracleView::find(memory.as_bytes()), Err(HandoverError::Crc { block: "oracle", .. })));
    assert!(OracleMut::open(memory.as_mut_bytes()).is_err());
}

#[test]
fn an_oracle_of_the_largest_size_fits_and_no_larger_one() {
    let mut memory = memory(MAX_BYTES);
    let mut oracle = OracleMut::create(memory.as_mut_bytes(), MAX_STREAMS, MOST_SMMUS, MAX_FUNCTIONS).unwrap();
    // Counts that someone wrote over do not outlive the seal.
    oracle.header.stream_count = 1;
    oracle.seal();
    assert_eq!(oracle.header.header.bytes as usize, MAX_BYTES);
    assert_eq!(OracleView::find(memory.as_bytes()).unwrap().streams.len(), MAX_STREAMS);
    let wrong = |streams, smmus, memory: &mut [u64]| OracleMut::create(memory.as_mut_bytes(), streams, smmus, 0).err();
    let many = OracleMut::create(memory.as_mut_bytes(), 0, 0, 257).err();
    assert!(matches!(many, Some(HandoverError::Count { found: 257, .. })));
    assert!(matches!(wrong(129, 0, &mut memory), Some(HandoverError::Count { found: 129, .. })));
    assert!(matches!(wrong(0, 17, &mut memory), Some(HandoverError::Count { found: 17, .. })));
    assert!(matches!(wrong(usize::MAX, 0, &mut memory), Some(HandoverError::Count { .. })));
    assert!(matches!(wrong(1, 1, &mut memory[..8]), Some(HandoverError::Length { found: 64, .. })));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_block_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut memory = memory(2000);
        memory.as_mut_bytes()[..bytes.len()].copy_from_slice(&bytes);
        prop_assert!(Boot::find(&memory.as_bytes()[..bytes.len()]).is_err());
        prop_assert!(OracleView::find(&memory.as_bytes()[..bytes.len()]).is_err());
        if let Ok((report, _)) = Report::read_from_prefix(&bytes) {
            prop_assert!(report.verify().is_err());
        }
    }

    #[test]
    fn counts_that_lie_are_refused(streams in any::<u32>(), smmus in any::<u32>(), stated in 0u32..4000) {
        prop_assume!((streams, smmus) != (1, 1));
        let mut memory = memory(MAX_BYTES);
        sealed_oracle(memory.as_mut_bytes());
        let bytes = memory.as_mut_bytes();
        bytes[52..56].copy_from_slice(&streams.to_le_bytes());
        bytes[56..60].copy_from_slice(&smmus.to_le_bytes());
        bytes[12..16].copy_from_slice(&stated.to_le_bytes());
        // With the CRC made right again only the counts can give the lie away.
        if stated >= 24 {
            let crc = crate::seal::crc(&bytes[..stated as usize]);
            bytes[16..24].copy_from_slice(&crc.to_le_bytes());
        }
        if let Ok(view) = OracleView::find(bytes) {
            let lists = size_of_val(view.streams) + size_of_val(view.smmus) + size_of_val(view.functions);
            prop_assert_eq!(64 + lists, stated as usize);
            prop_assert_eq!((view.streams.len(), view.smmus.len()), (streams as usize, smmus as usize));
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed(bit in 0usize..944 * 8) {
        let mut memory = memory(944);
        memory.as_mut_bytes().copy_from_slice(boot().as_bytes());
        memory.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Boot::find(memory.as_bytes()).is_err());
    }

    #[test]
    fn every_flipped_bit_of_an_oracle_is_noticed(bit in 0usize..496 * 8) {
        let mut memory = memory(MAX_BYTES);
        let used = sealed_oracle(memory.as_mut_bytes());
        let bit = bit % (used * 8);
        memory.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(OracleView::find(memory.as_bytes()).is_err());
    }

    #[test]
    fn every_flipped_bit_of_a_report_is_noticed(bit in 0usize..88 * 8) {
        let mut report: Report = counted();
        report.seal();
        report.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(report.verify().is_err());
    }
}

#[test]
fn a_bundle_holds_its_parts_apart_and_tells_what_is_not_its_own() {
    let mut bundle = Bundle::of_lengths([100, 8192, 0, 7]);
    let ends: Vec<u64> = bundle.parts_mut().iter().map(|part| part.offset + part.bytes).collect();
    let starts: Vec<u64> = bundle.parts_mut().iter().map(|part| part.offset).collect();
    assert!(starts.iter().all(|start| start.is_multiple_of(ALIGNMENT) && *start != 0));
    assert!(ends.iter().zip(&starts[1..]).all(|(end, next)| end <= next));
    assert_eq!(bundle.file_bytes, ends[3]);
    (bundle.kernel.digest, bundle.flags) = (5, crate::bundle::WATCH_READS);
    bundle.seal();
    let mut file = memory(bundle.file_bytes as usize + 8);
    let bytes = file.as_mut_bytes();
    bytes[..size_of::<Bundle>()].copy_from_slice(bundle.as_bytes());
    assert_eq!(Bundle::find(bytes), Ok(&bundle));
    assert!(matches!(Bundle::find(&bytes[..bundle.file_bytes as usize - 1]), Err(HandoverError::Length { .. })));
    assert!(matches!(Bundle::find(&bytes[..16]), Err(HandoverError::Length { .. })));
    for at in 0..size_of::<Bundle>() {
        bytes[at] ^= 0x10;
        assert!(Bundle::find(bytes).is_err(), "byte {at}");
        bytes[at] ^= 0x10;
    }
    // Sealed, and yet impossible.
    let mut wrong = Bundle { initrd: crate::bundle::Part { offset: u64::MAX, bytes: 2, digest: 0 }, ..bundle };
    wrong.seal();
    bytes[..size_of::<Bundle>()].copy_from_slice(wrong.as_bytes());
    assert!(matches!(Bundle::find(bytes), Err(HandoverError::Length { .. })));
}
