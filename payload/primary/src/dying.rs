//! The last moments before the crash, and the ways to die.

use crate::{
    cycle::{NoCrash, Setting, complete},
    damage, oracle,
    others::{self, Others},
    streams::{self, Live},
};
use addr::PhysAddr;
use arch::{
    console,
    frames::FramePool,
    jump::{self, Cause, Context, Taker},
    mmio, timer,
};
use handover::{boot::Boot, oracle::SmmuLeft};
use scenario::{Crash, crash::FAULT_ADDRESS};

/// The last moments: the oracle, the boot block, and the jump, on this CPU or another. Returns when the taker has handed
/// back.
pub(crate) fn die(
    setting: &mut Setting<'_>,
    frames: &mut FramePool,
    live: &mut [Live],
    others: &Others,
    boot: &mut Boot,
    left: &mut [SmmuLeft],
    armed_tick: u64,
) -> Result<(), NoCrash> {
    let mut context = Context::new();
    complete(boot, setting, &context);
    let dying = others.dying(setting.crash);
    if let Some((affinity, way_back)) = dying {
        boot.way_back.context = way_back;
        boot.gic.redistributor = PhysAddr(setting.machine.redistributor_of(affinity).unwrap_or(0));
    }
    streams::sample(setting.machine, live);
    let crash_tick = timer::now();
    // What may refuse DMA is done after the cut.
    if !setting.damage.is_adopted() {
        damage::mark(left, &damage::apply(setting.machine, frames, setting.damage)?);
    }
    oracle::write(setting, live, left, armed_tick, crash_tick)?;
    boot.crash_tick = crash_tick;
    boot.next_sequence = console::next_sequence();
    boot.seal();
    let argument = setting.places.publish(setting.prepared, boot);
    let note = setting.places.note();
    let taker = Taker { entry: boot.image.entry, argument, e2h: boot.e2h != 0, note };
    let die = match setting.crash {
        Crash::Jump | Crash::HungCpu | Crash::OtherCpu => die_by_jump,
        Crash::Panic => die_by_panic,
        Crash::Fault => die_by_fault,
    };
    let limit_us = u64::from(setting.options.hold_us) + u64::from(setting.options.watch_us);
    match dying {
        // SAFETY: as below; `others` holds the CPU's stack and contexts.
        Some((affinity, _)) => unsafe { others::crash(affinity, taker, limit_us) },
        // SAFETY: 1. `publish` cleaned the region. 2. The kdump image writes its region, the windows that it re-poisons
        // and SMMU registers. 3. Exceptions are masked since `Machine::take`, and all is identity-mapped. 4. No way to
        // die holds anything.
        None => unsafe { jump::crash(&mut context, taker, die) },
    }
    Ok(())
}

extern "C" fn die_by_jump() -> ! {
    jump::take_over(Cause::Call)
}

extern "C" fn die_by_fault() -> ! {
    // SAFETY: nothing is mapped there, so that the load has no effect but its abort, whose handler is the crash.
    let _ = unsafe { mmio::read64(FAULT_ADDRESS) };
    // Something answers: the note will say that this was no fault.
    jump::take_over(Cause::Call)
}

extern "C" fn die_by_panic() -> ! {
    panic!("crash kind panic");
}
