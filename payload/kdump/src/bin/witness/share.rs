//! What the CPUs share is one CPU's at a time: while it handles a trap, and never while the kernel runs or a CPU sleeps.

use crate::{
    attention::Attention,
    early,
    kernel::{can_be_woken, has_interrupt, set_translated, translated},
    registers,
    watch::{Next, Watch, ask_firmware},
};
use arch::{cpu, el1::Vcpu, lost, timer};
use spin::{Mutex, MutexGuard};

/// Time between two looks of a CPU that is idle: others want the lock, too.
const PAUSE_US: u64 = 100;
/// Longest wait for another CPU's trap: it may tell on a slow console.
const LOCK_US: u64 = 30_000_000;

/// Why a CPU has left the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The kernel turned it off.
    Off,
    /// The kernel ended here.
    End,
    /// Or somewhere else.
    Over,
}

/// What all CPUs share.
pub(crate) type Shared<'a, 'c> = Mutex<Watch<'a, 'c>>;

/// Lets a CPU run in the kernel until it has to leave.
///
/// # Safety
/// Its EL2 is set up as the plan has it, with the map's stage 2.
pub(crate) unsafe fn run(shared: &Shared<'_, '_>, vcpu: &mut Vcpu) -> Left {
    loop {
        // SAFETY: the caller's promise; what the kernel reaches is set apart for it, or was never ours.
        let cause = unsafe { vcpu.run() };
        let par = translated();
        let mut watch = lock(shared);
        match watch.handle(vcpu, cause) {
            Next::GoOn => {}
            Next::Idle => {
                drop(watch);
                idle(shared, vcpu.pc);
            }
            Next::Forward => {
                drop(watch);
                // It may take until an interrupt comes.
                if let Some(x) = vcpu.x.first_chunk_mut() {
                    ask_firmware(x);
                }
            }
            Next::End(ended) => {
                watch.end(ended);
                return Left::End;
            }
            Next::Off if watch.cpus.is_first() => {
                drop(watch);
                match while_off(shared, vcpu.pc) {
                    Some(again) => *vcpu = again,
                    None => return Left::Over,
                }
            }
            Next::Off => return Left::Off,
            Next::Over => return Left::Over,
        }
        set_translated(par);
    }
}

/// Waits for the lock.
pub(crate) fn lock<'l, 'a, 'c>(shared: &'l Shared<'a, 'c>) -> MutexGuard<'l, Watch<'a, 'c>> {
    let deadline = timer::now() + timer::ticks_of_us(LOCK_US);
    loop {
        if let Some(watch) = shared.try_lock() {
            return watch;
        }
        if timer::now() >= deadline {
            lost::because(format_args!("a CPU of the kernel's does not come to the end of a trap"));
        }
        core::hint::spin_loop();
    }
}

/// The first CPU is off for the kernel, which turned it off at `pc`, and stays here: until the kernel has it begin anew, or has ended.
fn while_off(shared: &Shared<'_, '_>, pc: u64) -> Option<Vcpu> {
    registers::stop_timers(cpu::is_e2h());
    loop {
        let mut watch = lock(shared);
        if watch.is_over {
            return None;
        }
        if let Some(vcpu) = watch.cpus.first_comes_on() {
            let map = watch.map.registers();
            drop(watch);
            let plan = Attention::Watched.plan(&registers::ids(), cpu::is_e2h());
            // SAFETY: as when the kernel was started; what EL2 was before is kept since then. The kernel counts on the registers of a
            // CPU that was off.
            drop(unsafe { registers::enter(&plan, map, |_| {}) });
            return Some(vcpu);
        }
        let is_needed = watch.look_idle(pc);
        drop(watch);
        if !is_needed {
            // Whoever changes one of these sends an event, which is not lost if it comes before this (DDI 0487, D1.6.1).
            cpu::wait_for_event();
        }
        pause(&|| false);
    }
}

/// A short time, or until something is so.
fn pause(is_over: &dyn Fn() -> bool) {
    let next = timer::now() + timer::ticks_of_us(PAUSE_US);
    while !is_over() && timer::now() < next {
        core::hint::spin_loop();
    }
}

/// A CPU is idle until an interrupt comes, which is the kernel's. As long as devices are counted by their registers they are looked at
/// here.
fn idle(shared: &Shared<'_, '_>, pc: u64) {
    while !has_interrupt() {
        let mut watch = lock(shared);
        if watch.is_over {
            return;
        }
        let is_needed = watch.look_idle(pc);
        drop(watch);
        if !is_needed && can_be_woken() {
            early::sleep();
            return;
        }
        pause(&has_interrupt);
    }
}
