//! An SMMU found in firmware's hands: a first owner that adopts lets no live stream miss a transaction, and can serve new
//! streams beside them.

mod common;

use addr::{Iova, PhysAddr, StreamId};
use common::*;
use model::{Choices, FreshFrames, Function, Kind, Outcome, Stream, Window};
use smmu::bringup::{NotAdopted, Options, Unit};
use smmu::translation::{Attributes, Identifier};

/// Firmware's: stage 2 for two, stage 1 for one.
const FIRMWARE: [Stream; 4] = [
    Stream { id: 0x10, kind: Kind::Stage2 { vmid: 1 }, iova: IOVA, target: TARGET },
    Stream { id: 0x18, kind: Kind::Stage2 { vmid: 2 }, iova: IOVA, target: TARGET + 0x1000 },
    Stream { id: 0x20, kind: Kind::stage1(1), iova: IOVA, target: TARGET + 0x2000 },
    Stream { id: 0x28, kind: Kind::Abort, iova: IOVA, target: 0 },
];
const LIVE: usize = 3;
const PAGE: u64 = 0x1_0000;
const FROM: Iova = Iova(0xFFFF_0000);
const TO: PhysAddr = PhysAddr(0x4A00_0000);

fn options(largest: u32) -> Options {
    Options { timeout_us: 2000, ..Options::new(PhysAddr(0x0905_0000), StreamId(largest)) }
}

#[test]
fn adopting_firmwares_table_blocks_no_live_stream() {
    let (mut adopted, mut seen) = (0, 0);
    for (name, hardware) in hardware() {
        for seed in 0..40 {
            let streams: Vec<Stream> = FIRMWARE
                .into_iter()
                .filter(|stream| hardware.idr0.s2p() || !matches!(stream.kind, Kind::Stage2 { .. }))
                .collect();
            let live = LIVE - (FIRMWARE.len() - streams.len());
            let (mut machine, _) = crashed(hardware, Choices::seeded(seed), &streams);
            // One that firmware left aborting, one whose level 2 firmware never made where there are two levels.
            let wanted = if hardware.idr1.sidsize() > 9 { [0x28, 0x228] } else { [0x28, 0x29] };
            let mut frames = FreshFrames::default();
            let mut unit = match Unit::adopt(&mut machine, SMMU, &options(wanted[1]), &mut frames) {
                Ok(unit) => unit,
                // The only reason here: a walk that does not snoop.
                Err(NotAdopted::Refused(refusal)) => {
                    assert!(!hardware.idr0.cohacc(), "{name}, seed {seed}: {refusal}");
                    continue;
                }
                Err(error) => panic!("{name}, seed {seed}: {error}"),
            };
            adopted += 1;
            for id in wanted.map(StreamId) {
                let domain = unit.new_domain(&mut machine, &mut frames).expect("a domain");
                assert_ne!(domain.id, Identifier::Asid(1), "{name}, seed {seed}: firmware's own ASID");
                domain.tables.map(&mut machine, &mut frames, FROM, TO, PAGE, Attributes::default()).expect("a mapping");
                unit.attach(&mut machine, &mut frames, id, &domain).expect("an attach");
                machine.functions.push(Function::new(id, &[Window::new(FROM, TO)]));
                let outcome = machine.dma(machine.functions.len() - 1, 0);
                assert!(outcome.is_delivered(), "{name}, seed {seed}, {id}: {outcome:?}");
            }
            let rows = machine.record.rows();
            let of_live = rows.iter().filter(|row| row.function < live);
            assert!(of_live.clone().all(|row| row.outcome.is_delivered()), "{name}, seed {seed}");
            seen += of_live.count();
            assert_eq!(machine.units[0].violations, [], "{name}, seed {seed}");
        }
    }
    println!("{adopted} adopted, {seen} transactions of live streams");
    assert!(adopted >= 280 && seen > 10_000, "{adopted} {seen}");
}

/// The other way, behind GBPA.ABORT, is what the test above can tell from it.
#[test]
fn starting_afresh_does_block_them() {
    let hardware = hardware()[1].1;
    let (mut machine, _) = crashed(hardware, Choices::seeded(1), &FIRMWARE);
    Unit::bring_up(&mut machine, SMMU, &options(0x28), &mut FreshFrames::default()).expect("a bring-up");
    let blocked = |row: &&model::Seen| row.function < LIVE && matches!(row.outcome, Outcome::Blocked(_));
    assert!(machine.record.rows().iter().filter(blocked).count() > 10);
}
