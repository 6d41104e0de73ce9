//! The kernel's other CPUs: they begin at a door of the witness's own, and are off before the way back.
//!
//! ```text
//! CPU_ON ──▶ a seat, PSCI ──▶ come_up: EL2's registers, ERET … traps … CPU_OFF, or the end: registers back, off
//! CPU_OFF of the first CPU ──▶ it waits at EL2, and is off for the kernel, until CPU_ON of it or the end
//! the end, on any CPU ──▶ stage 2 is closed, all are woken ──▶ the first CPU waits until PSCI says that the others are off
//! ```

use crate::{
    attention::Attention,
    kernel::has_gic_registers,
    registers,
    share::{self, Left, Shared},
    telling::note,
    watch::ask_firmware,
};
use alloc::{boxed::Box, format, string::String, vec, vec::Vec};
use arch::{
    cpu,
    el1::Vcpu,
    jump::{self, Context},
    lost,
    power::{self, Conduit},
    timer,
};
use core::{
    arch::asm,
    sync::atomic::{AtomicBool, AtomicPtr, Ordering},
};
use handover::boot::Boot;

/// CPUs of a kernel, with the first.
const MOST: usize = 8;
/// Bytes of a stack: an access carried out, and a line of text.
const STACK_BYTES: usize = 64 << 10;
/// How long a CPU may take to leave the kernel and go off: firmware at EL3 may put a cluster to sleep.
const OFF_US: u64 = 5_000_000;
/// Time between two looks at that.
const STEP_US: u64 = 200;

/// AFFINITY_INFO, of which bit 30 is the width, and what it answers of a CPU that is off (DEN 0022, 5.7).
const AFFINITY_INFO: u64 = 0xC400_0004;
const IS_64: u32 = 1 << 30;
const OFF: i64 = 1;
/// And of one that is on its way.
const PENDING: i64 = 2;
// What CPU_ON answers (5.6, 5.2.2).
const SUCCESS: i64 = 0;
const DENIED: i64 = -3;
const ALREADY_ON: i64 = -4;
const ON_PENDING: i64 = -5;

/// What the CPUs share, for those that come up.
static SHARED: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
/// The first CPU has left the kernel.
static FIRST_IS_BACK: AtomicBool = AtomicBool::new(false);

/// Of one other CPU, for good.
struct Seat {
    affinity: u64,
    stack_top: u64,
    context: Box<Context>,
    /// Where the kernel wants it, and with what in x0.
    start: (u64, u64),
}

/// What the kernel has of the first CPU, which is never off: it tells, and hands back.
enum First {
    On,
    Off,
    /// The kernel wants it there, and with what in x0.
    Starting(u64, u64),
}

/// All CPUs of the kernel.
pub(crate) struct Cpus {
    /// EL2 as it is without a kernel.
    context: Context,
    /// The one that the kernel was started on, which tells and hands back.
    first: u64,
    first_is: First,
    console: u64,
    most: usize,
    seats: Vec<Seat>,
    is_refusal_told: bool,
}

impl Cpus {
    /// The running one. Of a kernel that is not watched there is no other: nothing would bring that back.
    pub(crate) fn new(boot: &Boot, attention: Attention) -> Self {
        let (context, first, console) = (Context::entering(come_up, 0), cpu::affinity(), boot.console.base.0);
        let most = if attention == Attention::Watched { MOST } else { 1 };
        let (first_is, seats) = (First::On, Vec::new());
        Self { context, first, first_is, console, most, seats, is_refusal_told: false }
    }

    /// The running one is the first.
    pub(crate) fn is_first(&self) -> bool {
        cpu::affinity() == self.first
    }

    /// More than one has been started.
    pub(crate) const fn are_several(&self) -> bool {
        !self.seats.is_empty()
    }

    /// Affinity of each but the running one.
    pub(crate) fn others(&self) -> impl Iterator<Item = u64> + '_ {
        let all = self.seats.iter().map(|seat| seat.affinity).chain([self.first]);
        all.filter(|affinity| *affinity != cpu::affinity())
    }

    /// The console's page, which the kernel may write to, too.
    pub(crate) fn console(&self) -> Option<u64> {
        (self.console != 0).then_some(self.console)
    }

    /// The first CPU is off, as far as the kernel knows.
    pub(crate) const fn first_goes_off(&mut self) {
        self.first_is = First::Off;
    }

    /// The first CPU begins anew, if the kernel has turned it on again.
    pub(crate) fn first_comes_on(&mut self) -> Option<Vcpu> {
        let First::Starting(entry, context) = self.first_is else { return None };
        self.first_is = First::On;
        Some(Vcpu::starting(entry, context))
    }

    /// The answer to AFFINITY_INFO of the first CPU, of which firmware does not know.
    pub(crate) fn info(&self, function: u32, target: u64, level: u64) -> Option<i64> {
        // Of a call for 32 bits the upper halves mean nothing (DEN 0028, 2.5.3).
        let kept = if function & IS_64 != 0 { u64::MAX } else { 0xFFFF_FFFF };
        let is_info = u64::from(function | IS_64) == AFFINITY_INFO && target & kept == self.first && level & kept == 0;
        match self.first_is {
            First::Off if is_info => Some(OFF),
            First::Starting(..) if is_info => Some(PENDING),
            _ => None,
        }
    }

    /// CPU_ON; the answer.
    pub(crate) fn start(&mut self, target: u64, entry: u64, context: u64) -> i64 {
        if target == self.first {
            return match self.first_is {
                First::On => ALREADY_ON,
                First::Starting(..) => ON_PENDING,
                First::Off => {
                    self.first_is = First::Starting(entry, context);
                    wake([target].into_iter());
                    SUCCESS
                }
            };
        }
        let mut x = [0; 18];
        (x[0], x[1]) = (AFFINITY_INFO, target);
        ask_firmware(&mut x);
        // Of a CPU that is on, the seat is in use.
        match i64::from(x[0] as i32) {
            OFF => {}
            PENDING => return ON_PENDING,
            error if error < 0 => return error,
            _ => return ALREADY_ON,
        }
        let Some(seat) = self.seat(target) else {
            if !core::mem::replace(&mut self.is_refusal_told, true) {
                let most = self.most;
                let text = format!(
                    "CPU_ON of {target:#x} was answered DENIED: {most} CPU(s) can be carried; give nr_cpus={most}"
                );
                note("too-many-cpus", &text);
            }
            return DENIED;
        };
        seat.start = (entry, context);
        // SAFETY: context and stack are never freed, and no other CPU's.
        let started = unsafe { jump::start_cpu(Conduit::Smc, target, &seat.context) };
        started.map_or_else(|code| code, |()| SUCCESS)
    }

    /// The seat of a CPU that is off; a new one if there is room.
    fn seat(&mut self, affinity: u64) -> Option<&mut Seat> {
        let known = self.seats.iter().position(|seat| seat.affinity == affinity);
        let index = known.unwrap_or(self.seats.len());
        if known.is_none() {
            if self.seats.len() + 1 >= self.most {
                return None;
            }
            if self.seats.is_empty() {
                note(
                    "several-cpus",
                    "the kernel runs on several CPUs: what they do stands in the order of their traps, which need not be that in \
                     which they would have done it alone",
                );
            }
            let stack: &mut [u128] = vec![0; STACK_BYTES / size_of::<u128>()].leak();
            let stack_top = stack.as_ptr_range().end.addr() as u64;
            let context = Box::new(self.context.on_stack(stack_top));
            self.seats.push(Seat { affinity, stack_top, context, start: (0, 0) });
        }
        let seat = self.seats.get_mut(index)?;
        *seat.context = self.context.on_stack(seat.stack_top);
        Some(seat)
    }

    /// The running CPU as the kernel wants it.
    fn starting(&self) -> Option<Vcpu> {
        let seat = self.seats.iter().find(|seat| seat.affinity == cpu::affinity())?;
        Some(Vcpu::starting(seat.start.0, seat.start.1))
    }
}

/// CPUs may come up.
pub(crate) fn open_door(shared: &Shared<'_, '_>) {
    FIRST_IS_BACK.store(false, Ordering::Relaxed);
    SHARED.store((&raw const *shared).cast_mut().cast(), Ordering::Release);
}

/// The first CPU is back: the others go off.
///
/// # Errors
/// One line that names a CPU that does not.
pub(crate) fn all_off(shared: &Shared<'_, '_>) -> Result<(), String> {
    FIRST_IS_BACK.store(true, Ordering::Release);
    let others: Vec<u64> = share::lock(shared).cpus.others().collect();
    for affinity in others {
        if !wakes_until(affinity, &|| power::is_off(Conduit::Smc, affinity)) {
            return Err(format!("CPU {affinity:#x} does not leave the kernel"));
        }
    }
    Ok(())
}

/// Wakes CPUs that sleep, in the kernel or in EL2: by an event, and by an interrupt that a kernel has enabled which sleeps. With a
/// GICv2 none sleeps in EL2 but for events, and WFI traps.
pub(crate) fn wake(affinities: impl Iterator<Item = u64>) {
    cpu::send_event();
    for affinity in affinities.filter(|_| has_gic_registers()) {
        let level = |shift: u32| affinity >> shift & 0xFF;
        // ICC_SGI1R_EL1: Aff3, RS, Aff2, Aff1, TargetList; INTID 0 (IHI 0069, 12.2.18).
        let target = level(32) << 48 | level(0) >> 4 << 44 | level(16) << 32 | level(8) << 16 | 1 << (level(0) & 0xF);
        // SAFETY: an interrupt for a CPU that is not to go on.
        unsafe {
            asm!("dsb ish", "msr icc_sgi1r_el1, {0}", "isb", in(reg) target, options(nostack, preserves_flags));
        }
    }
}

/// Wakes a CPU until something is done; whether it was.
fn wakes_until(affinity: u64, is_done: &dyn Fn() -> bool) -> bool {
    let deadline = timer::now() + timer::ticks_of_us(OFF_US);
    while !is_done() {
        if timer::now() >= deadline {
            return false;
        }
        wake([affinity].into_iter());
        timer::sleep_us(STEP_US);
    }
    true
}

/// Another CPU's way from PSCI to the kernel and back.
extern "C" fn come_up() -> ! {
    let shared = SHARED.load(Ordering::Acquire).cast::<Shared<'static, 'static>>();
    // SAFETY: stored before any CPU was started, and never freed. What it borrows is there until the kernel has ended, and not used
    // from then on.
    let shared = unsafe { &*shared };
    let watch = share::lock(shared);
    let (starting, first, map) = (watch.cpus.starting(), watch.cpus.first, watch.map.registers());
    drop(watch);
    if let Some(mut vcpu) = starting {
        let plan = Attention::Watched.plan(&registers::ids(), cpu::is_e2h());
        // SAFETY: as for the first CPU.
        let before = unsafe { registers::enter(&plan, map, |_| {}) };
        // SAFETY: it was just set up so.
        let left = unsafe { share::run(shared, &mut vcpu) };
        if left == Left::End && !wakes_until(first, &|| FIRST_IS_BACK.load(Ordering::Acquire)) {
            lost::because(format_args!("the kernel ended, but CPU {first:#x} does not leave it"));
        }
        if has_gic_registers() {
            // SAFETY: no interrupt is this CPU's any more (DEN 0022, 5.5.2).
            unsafe { asm!("msr icc_igrpen1_el1, xzr", "isb", options(nostack, preserves_flags)) }
        }
        before.restore();
    }
    power::cpu_off(Conduit::Smc)
}
