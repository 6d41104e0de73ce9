//! The other CPUs: brought up for a crash that takes more than one, and off again before the next.
//!
//! A CPU starts by PSCI at the door by which the primary comes back (`arch::jump`), with this CPU's map, vectors and E2H.
//! What it does is fixed by where its context lets it in; the one thing that it is told later is to leave.

use crate::{machine::Machine, streams::Live};
use addr::PhysAddr;
use alloc::{boxed::Box, format, string::String, vec::Vec};
use arch::{
    cpu,
    jump::{self, Cause, Context, Taker},
    lost, mmio, power, timer,
};
use core::{
    mem::offset_of,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};
use dma::{Bus, Doorbell};
use handover::crash_note::CrashNote;
use scenario::Crash;

/// Bytes of another CPU's stack: a loop or a jump, and an exception's frame.
const STACK_WORDS: usize = 1024;
/// How long a CPU may take to come up or go off: firmware at EL3 may wake a cluster.
const PSCI_US: u64 = 1_000_000;
/// What the taker does beside its bounded waits: it prints its report, at 115,200 baud on some consoles.
const TAKER_US: u64 = 30_000_000;
/// Rounds of a spinning CPU between two doorbells: some microseconds on silicon, and under QEMU so few device writes that
/// they keep nobody from the bus.
const ROUNDS_PER_RING: u64 = 16_384;

// Orders for the other CPUs.
const STAY: u32 = 0;
const DIE: u32 = 1;
const LEAVE: u32 = 2;
static ORDER: AtomicU32 = AtomicU32::new(STAY);
/// Other CPUs that have come up, and have counted something if they are there to count.
static UP: AtomicU32 = AtomicU32::new(0);
/// The taker has handed back to the CPU that crashed.
static IS_BACK: AtomicBool = AtomicBool::new(false);
/// Where they count, and what they ring.
static NOTE: AtomicU64 = AtomicU64::new(0);
static BELL: AtomicU64 = AtomicU64::new(0);
static BELL_VALUE: AtomicU64 = AtomicU64::new(0);
static BELL_IS_16_BITS: AtomicBool = AtomicBool::new(false);

/// Stack and context of one other CPU.
struct Seat {
    stack: [u128; STACK_WORDS],
    /// How it comes in: from PSCI, and later from the taker.
    context: Context,
}

/// The other CPUs of one crash.
pub(crate) struct Others {
    /// Affinity and seat of those that were started. A seat is the other CPU's until that is off.
    started: Vec<(u64, *mut Seat)>,
}

/// Affinities of the CPUs that the MADT calls enabled, without the running one.
pub(crate) fn affinities(machine: &Machine) -> impl Iterator<Item = u64> + '_ {
    let enabled = machine.platform.gic.cpus.iter().filter(|cpu| cpu.is_enabled);
    enabled.map(|cpu| cpu.mpidr & cpu::AFFINITY).filter(|affinity| *affinity != cpu::affinity())
}

impl Others {
    /// Starts what the crash kind takes; `note` is where they count.
    ///
    /// # Errors
    /// One line: no CPU, no doorbell, or firmware refuses. Those already started were stopped.
    pub(crate) fn start(machine: &mut Machine, live: &[Live], crash: Crash, note: PhysAddr) -> Result<Self, String> {
        let mut others = Self { started: Vec::new() };
        if !crash.needs_second_cpu() {
            return Ok(others);
        }
        ORDER.store(STAY, Ordering::Relaxed);
        UP.store(0, Ordering::Relaxed);
        IS_BACK.store(false, Ordering::Relaxed);
        NOTE.store(note.0, Ordering::Relaxed);
        let all: Vec<u64> = affinities(machine).take(2).collect();
        let mains: &[extern "C" fn() -> !] = match (crash, all.len()) {
            (Crash::OtherCpu, _) => &[die],
            (_, 1) => &[spin_and_ring],
            _ => &[spin, ring],
        };
        let mut started = match crash {
            _ if all.is_empty() => Err("the MADT names no other CPU".into()),
            Crash::HungCpu => choose_bell(machine, live),
            _ => Ok(()),
        };
        for (affinity, main) in all.into_iter().zip(mains) {
            started = started.and_then(|()| others.bring_up(affinity, *main));
        }
        match started {
            Ok(()) => Ok(others),
            Err(reason) => Err(others.stop().err().unwrap_or(reason)),
        }
    }

    fn bring_up(&mut self, affinity: u64, main: extern "C" fn() -> !) -> Result<(), String> {
        let seat = Box::into_raw(Box::new(Seat { stack: [0; STACK_WORDS], context: Context::new() }));
        // SAFETY: just made, and nobody else's until the CPU starts below.
        let to = unsafe { &mut *seat };
        to.context = Context::entering(main, top_of(seat));
        let conduit = lost::conduit();
        let up = UP.load(Ordering::Relaxed);
        // SAFETY: the seat is freed by `stop` once the CPU is off, else never.
        if let Err(code) = unsafe { jump::start_cpu(conduit, affinity, &to.context) } {
            // SAFETY: made above, and the CPU was not started.
            drop(unsafe { Box::from_raw(seat) });
            return Err(format!("CPU_ON of CPU {affinity:#x}: PSCI error {code}"));
        }
        self.started.push((affinity, seat));
        let is_up = within(PSCI_US, &|| UP.load(Ordering::Acquire) != up);
        is_up.then_some(()).ok_or_else(|| format!("CPU {affinity:#x} does not come up"))
    }

    /// The CPU that the crash is on, and what the taker gives it on the way back; `None`: the running one.
    pub(crate) fn dying(&self, crash: Crash) -> Option<(u64, u64)> {
        let (affinity, seat) = *self.started.first().filter(|_| crash == Crash::OtherCpu)?;
        // SAFETY: the CPU came in by this context and is done with it; it uses its stack.
        let context = unsafe { &mut (*seat).context };
        *context = Context::entering(came_back, top_of(seat));
        Some((affinity, context.publish()))
    }

    /// Has every CPU turn itself off, and waits until PSCI says that it is.
    ///
    /// # Errors
    /// One line that names a CPU that is still on.
    pub(crate) fn stop(self) -> Result<(), String> {
        ORDER.store(LEAVE, Ordering::Release);
        let mut on = None;
        for (affinity, seat) in self.started {
            if within(PSCI_US, &|| power::is_off(lost::conduit(), affinity)) {
                // SAFETY: made by `Box::into_raw`, and its CPU is off.
                drop(unsafe { Box::from_raw(seat) });
            } else {
                on = Some(affinity);
            }
        }
        on.map_or(Ok(()), |affinity| Err(format!("CPU {affinity:#x} does not go off")))
    }
}

/// First stack pointer.
fn top_of(seat: *mut Seat) -> u64 {
    seat.addr() as u64 + (offset_of!(Seat, stack) + size_of::<[u128; STACK_WORDS]>()) as u64
}

/// Crashes on the CPU of [`Others::dying`] and stays parked until the taker hands back to it.
///
/// # Safety
/// As for [`jump::crash`]. A taker that does not come back in `limit_us` and the time for its report is lost.
pub(crate) unsafe fn crash(affinity: u64, taker: Taker, limit_us: u64) {
    // SAFETY: the caller's promise; the other CPU's code, stack and contexts are identity-mapped.
    unsafe { jump::sentence(affinity, taker) }
    ORDER.store(DIE, Ordering::Release);
    if !within(limit_us + TAKER_US, &|| IS_BACK.load(Ordering::Acquire)) {
        lost::because(format_args!("the kdump image on CPU {affinity:#x} does not come back"));
    }
}

/// Waits until `done`, at most `limit_us`.
fn within(limit_us: u64, done: &dyn Fn() -> bool) -> bool {
    let deadline = timer::now() + timer::ticks_of_us(limit_us);
    while !done() {
        if timer::now() >= deadline {
            return false;
        }
        timer::sleep_us(100);
    }
    true
}

/// A doorbell that starts nothing with the value that it has.
///
/// Not CMDQ_PROD of the dead kernel's queue, though a real CPU may be about to write it: the register is the taker's as
/// soon as it has put its own queue there, and an old index then makes the SMMU consume entries that nobody wrote (IHI 0070,
/// 4.1, 6.3.27). No taker can keep a CPU from it that no interrupt reaches, so that no policy could pass.
fn choose_bell(machine: &mut Machine, live: &[Live]) -> Result<(), String> {
    let live = live.iter().rev().find(|live| live.is_started).ok_or("no endpoint with a doorbell works")?;
    let (base, bus) = (live.stream.registers, &mut machine.bus);
    let (at, value) = match live.candidate.driver.doorbell() {
        Doorbell::Wide16(offset) => (base.plus(offset), u64::from(bus.read16(base.plus(offset)))),
        Doorbell::Wide32(offset) => (base.plus(offset), u64::from(bus.read32(base.plus(offset)))),
        // 32 bits are written.
        Doorbell::Kept32 { at, state } => (base.plus(at), live.stream.state.get(state).copied().unwrap_or(0)),
    };
    BELL.store(at.0, Ordering::Relaxed);
    BELL_VALUE.store(value, Ordering::Relaxed);
    BELL_IS_16_BITS.store(matches!(live.candidate.driver.doorbell(), Doorbell::Wide16(_)), Ordering::Relaxed);
    Ok(())
}

extern "C" fn spin() -> ! {
    hang(true, false)
}

extern "C" fn ring() -> ! {
    hang(false, true)
}

extern "C" fn spin_and_ring() -> ! {
    hang(true, true)
}

/// Counts rounds, doorbells or both until told to leave. Exceptions are masked since the CPU came up.
fn hang(spins: bool, rings: bool) -> ! {
    let (note, bell, value) =
        (NOTE.load(Ordering::Relaxed), BELL.load(Ordering::Relaxed), BELL_VALUE.load(Ordering::Relaxed));
    let mut rounds = 0;
    while ORDER.load(Ordering::Relaxed) != LEAVE {
        rounds += 1;
        if spins {
            // SAFETY: a word of the crash note, which only this CPU writes.
            unsafe { mmio::write64(note + offset_of!(CrashNote, spins) as u64, rounds) }
        }
        if rounds % ROUNDS_PER_RING != 0 {
            continue;
        }
        if rings {
            if BELL_IS_16_BITS.load(Ordering::Relaxed) {
                // SAFETY: a mapped device register, and the value that it has.
                unsafe { mmio::write16(bell, value as u16) }
            } else {
                // SAFETY: as above.
                unsafe { mmio::write32(bell, value as u32) }
            }
            // SAFETY: a word of the crash note, which only this CPU writes.
            unsafe { mmio::write64(note + offset_of!(CrashNote, rings) as u64, rounds / ROUNDS_PER_RING) }
        }
        if rounds == ROUNDS_PER_RING {
            UP.fetch_add(1, Ordering::Release);
        }
    }
    power::cpu_off(lost::conduit())
}

/// Crashes when told to.
extern "C" fn die() -> ! {
    UP.fetch_add(1, Ordering::Release);
    loop {
        match ORDER.load(Ordering::Acquire) {
            STAY => core::hint::spin_loop(),
            DIE if jump::is_crashing() => jump::take_over(Cause::Call),
            _ => power::cpu_off(lost::conduit()),
        }
    }
}

/// Entered from the taker, on the CPU that crashed.
extern "C" fn came_back() -> ! {
    IS_BACK.store(true, Ordering::Release);
    power::cpu_off(lost::conduit())
}
