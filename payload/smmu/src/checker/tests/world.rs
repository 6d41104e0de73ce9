//! SMMUs as they are found, and the logs of the policies on the fake.

use super::*;
pub(super) use crate::fake::crashed::crashed;
use crate::fake::{self, Fake, FakeFrames, crashed};
use crate::log::{Log, Logged};
use crate::observe::Registers;
use crate::spec::registers as reg;
use crate::takeover::plant::{Plant, Sabotaged};
use crate::takeover::{Policy, Site, take_over};
use addr::{PhysAddr, StreamId};

pub(super) const SMMU: SmmuIndex = SmmuIndex(0);
/// Level 1 of the live table; its descriptor 0 leads to [`L2`].
pub(super) const L1: u64 = crashed::L1.0;
pub(super) const L2: u64 = crashed::L2.0;

/// Disabled after reset, as QEMU has it: version 3.1, stage 1 and 2, no Hyp, ATS, PRI, MSI and stalls.
pub(super) fn off() -> Found {
    Found { idr0: 0x0D44_101B, idr1: 0x0273_0010, idr3: 0x1414, aidr: 1, gbpa: 0x1000, ..Found::default() }
}

/// Enabled, with a two-level table and a command queue at 0x50000000 of 256 entries that is empty.
pub(super) fn enabled() -> Found {
    Found {
        cr0: 0xD,
        cr0ack: 0xD,
        cr1: 0xD75,
        cr2: 6,
        irq_ctrl: 5,
        irq_ctrlack: 5,
        strtab_base: 1 << 62 | L1,
        strtab_base_cfg: 0x1_0210,
        cmdq_base: 0x5000_0008,
        ..off()
    }
}

/// The fakes on which the policies run: every feature that adds or removes accesses.
pub(super) fn variants() -> Vec<(&'static str, Fake)> {
    let edited = |edit: &dyn Fn(&mut Fake)| {
        let mut fake = crashed();
        edit(&mut fake);
        fake
    };
    vec![
        ("QEMU", crashed()),
        ("Hyp", edited(&|fake| fake.unit(SMMU).edit_idr0(|idr0| idr0.with_hyp(true)))),
        (
            "Hyp, ATS, PRI",
            edited(&|fake| {
                fake.unit(SMMU).edit_idr0(|idr0| idr0.with_hyp(true).with_ats(true).with_pri(true));
                fake.unit(SMMU).set(reg::IDR1, 0x0273_0010 | 4 << 11);
                fake.unit(SMMU).set(reg::CR0, 0x1F);
                fake.unit(SMMU).set(reg::CR0ACK, 0x1F);
            }),
        ),
        (
            "linear",
            edited(&|fake| {
                fake.unit(SMMU).set(reg::STRTAB_BASE_CFG, 8);
                fake.unit(SMMU).set64(reg::STRTAB_BASE, L2);
            }),
        ),
        (
            "one level only",
            edited(&|fake| {
                fake.unit(SMMU).edit_idr0(|idr0| idr0.with_st_level(0));
                fake.unit(SMMU).set(reg::IDR1, 0x0273_0008);
                fake.unit(SMMU).set(reg::STRTAB_BASE_CFG, 8);
                fake.unit(SMMU).set64(reg::STRTAB_BASE, L2);
            }),
        ),
        ("attributes", edited(&|fake| fake.unit(SMMU).set(reg::IDR1, 0x0273_0010 | 1 << 27))),
        ("version 3.2", edited(&|fake| fake.unit(SMMU).set(reg::AIDR, 2))),
        ("slow GBPA", edited(&|fake| fake.unit(SMMU).gbpa_delay = 3)),
    ]
}

/// A policy on a fake: what was found, and its log.
pub(super) fn taken(policy: Policy, mut fake: Fake, plant: Option<Plant>) -> (Found, Vec<Entry>) {
    let found = Found::from(&Registers::read(&mut fake, SMMU));
    let mut log = Log::with_capacity(4096);
    let mut frames = FakeFrames::default();
    let rmr = [StreamId(0x18), StreamId(0x28)];
    let own = PhysAddr(frames.free.start)..PhysAddr(frames.free.end);
    let site = Site { cpu_is_vhe: true, rmr_streams: &rmr, ..fake::site(SMMU, own, &mut frames) };
    let mut logged = Logged::new(&mut fake, &mut log);
    let result = match plant {
        None => take_over(policy, &mut logged, site),
        Some(plant) => take_over(policy, &mut Sabotaged::new(&mut logged, SMMU, plant), site),
    };
    drop(result);
    assert!(!log.overflowed());
    (found, log.entries().to_vec())
}

/// An adoption of [`crashed`].
pub(super) fn adopted() -> (Found, Vec<Entry>) {
    taken(Policy::Adopt, crashed(), None)
}
