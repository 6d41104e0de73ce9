//! Other CPUs of the kernel: they run with their MMU off, and in registers alone.

use crate::{actions::PSCI_CPU_ON, board::Board, console};
use addr::PhysAddr;
use alloc::{format, string::String};
use arch::{cache, cpu, mmio, timer};
use core::{
    arch::{asm, naked_asm},
    sync::atomic::{AtomicU64, Ordering},
};

/// One is on within this time, or not at all.
const ON_US: u64 = 200_000;
/// And a race is over.
const RACE_US: u64 = 2_000_000;

/// A line of memory that others store to, past the caches.
#[repr(align(64))]
struct Line([AtomicU64; 8]);

static PLACE: Line = Line([const { AtomicU64::new(0) }; 8]);

impl Line {
    fn at(&self) -> PhysAddr {
        PhysAddr((&raw const *self).addr() as u64)
    }

    /// Empties it for others.
    fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        cache::clean_invalidate(self.at(), size_of::<Self>() as u64);
    }

    /// Waits until `is_done` of its words, for `us` microseconds at most; the words.
    fn wait(&self, us: u64, is_done: impl Fn(&[u64; 8]) -> bool) -> [u64; 8] {
        let deadline = timer::now() + timer::ticks_of_us(us);
        loop {
            cache::refetch_line(self.at());
            let words = self.0.each_ref().map(|word| word.load(Ordering::Relaxed));
            if is_done(&words) || timer::now() > deadline {
                return words;
            }
            core::hint::spin_loop();
        }
    }
}

/// Has PSCI start a CPU; its answer.
fn start(board: &Board, affinity: u64, entry: unsafe extern "C" fn(), x0: u64) -> u64 {
    let entry = (entry as *const ()).addr() as u64;
    cache::clean_invalidate(PhysAddr(entry & !63), 256);
    board.call(PSCI_CPU_ON, [affinity, entry, x0])
}

/// CPU 1 says where it came in: its exception level, and its affinity.
pub(crate) fn cpu_on(board: &Board) -> Result<String, &'static str> {
    PLACE.clear();
    let answer = start(board, 1, says, PLACE.at().0);
    let came = PLACE.wait(ON_US, |words| words[0] != 0)[0];
    cpu::dsb();
    Ok(format!("answer {answer:#x}, EL{} at {:#x}", came >> 62, came & 0xFF_FFFF))
}

/// CPU 1 talks.
pub(crate) fn talk(board: &Board) -> Result<String, &'static str> {
    match console::base() {
        0 => Err("no console"),
        base => Ok(format!("answer {:#x}", start(board, 1, talks, base))),
    }
}

/// CPUs 1 and 2 load from PCI Express's window beyond 512 GiB, one place in each GiB: where no device is, all bits are set.
pub(crate) fn race(board: &Board) -> Result<String, &'static str> {
    PLACE.clear();
    let answers = [1, 2].map(|affinity| start(board, affinity, races, PLACE.at().0));
    let [first, second, wrong, more, ..] =
        PLACE.wait(RACE_US, |[first, second, ..]| (*first, *second) == (ROUNDS + 1, ROUNDS + 1));
    if answers != [0, 0] || first != second {
        return Err("they did not run to the end");
    }
    Ok(format!("{ROUNDS} loads by each, {} not as they ought to be", wrong + more))
}

/// CPU 1 and this one count up a word of a table by exclusives, both at the same time.
///
/// # Safety
/// The word at `at` is in use by nobody; it has what it had afterwards.
pub(crate) unsafe fn count(board: &Board, at: PhysAddr) -> Result<String, &'static str> {
    PLACE.clear();
    PLACE.0[1].store(at.0, Ordering::Relaxed);
    cache::clean_invalidate(PLACE.at(), size_of::<Line>() as u64);
    // SAFETY: the caller's promise.
    let before = unsafe { mmio::read64(at.0) };
    let answer = start(board, 1, counts, PLACE.at().0);
    if answer != 0 || PLACE.wait(ON_US, |words| words[0] != 0)[0] == 0 {
        return Err("the other does not begin");
    }
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "2: ldaxr {word}, [{at}]", "add {word}, {word}, #1", "stlxr {status:w}, {word}, [{at}]", "cbnz {status:w}, 2b",
            "sub {left}, {left}, #1", "cbnz {left}, 2b",
            at = in(reg) at.0, left = inout(reg) COUNTS => _, word = out(reg) _, status = out(reg) _, options(nostack)
        );
    }
    if PLACE.wait(RACE_US, |words| words[0] == 2)[0] != 2 {
        return Err("the other does not end");
    }
    // SAFETY: as above.
    let after = unsafe { mmio::read64(at.0) };
    // SAFETY: as above.
    unsafe { mmio::write64(at.0, before) }
    Ok(format!("{} of {}", after.wrapping_sub(before), 2 * COUNTS))
}

/// How far each counts.
const COUNTS: u64 = 64;

/// How many GiB are tried.
const ROUNDS: u64 = 256;

macro_rules! cpu_off {
    () => {
        // PSCI CPU_OFF, by whatever instruction reaches it: the other is not implemented, or changes nothing.
        "mov w0, #2\n movk w0, #0x8400, lsl #16\n smc #0\n 9: wfi\n b 9b"
    };
}

/// Stores CurrentEL and affinity at x0, and turns itself off.
#[unsafe(naked)]
unsafe extern "C" fn says() {
    naked_asm!(
        "mrs x1, CurrentEL",
        "lsl x1, x1, #60",
        "mrs x2, mpidr_el1",
        "and x2, x2, #0xffffff",
        "orr x1, x1, x2",
        "orr x1, x1, #(1 << 32)",
        "str x1, [x0]",
        "dsb sy",
        cpu_off!()
    )
}

/// Writes to the data register at x0, a line of 64 letters at a time, with pauses.
#[unsafe(naked)]
unsafe extern "C" fn talks() {
    naked_asm!(
        "2: mov w1, #64",
        "3: mov w2, #'t'",
        "str w2, [x0]",
        "mov w3, #2000",
        "4: subs w3, w3, #1",
        "b.ne 4b",
        "subs w1, w1, #1",
        "b.ne 3b",
        "mov w2, #'\\n'",
        "str w2, [x0]",
        "b 2b",
    )
}

/// Counts up the word whose address is the second of x0; the first says that it has begun, and that it has ended.
#[unsafe(naked)]
unsafe extern "C" fn counts() {
    naked_asm!(
        "ldr x1, [x0, #8]",
        "mov x2, #{counts}",
        "mov x5, #1",
        "str x5, [x0]",
        "dsb sy",
        "2: ldaxr x3, [x1]",
        "add x3, x3, #1",
        "stlxr w4, x3, [x1]",
        "cbnz w4, 2b",
        "sub x2, x2, #1",
        "cbnz x2, 2b",
        "mov x5, #2",
        "str x5, [x0]",
        "dsb sy",
        cpu_off!(),
        counts = const COUNTS,
    )
}

/// In each round both wait for each other at two words of x0, and load from the next GiB. The words after these are for how many loads
/// were wrong.
#[unsafe(naked)]
unsafe extern "C" fn races() {
    naked_asm!(
        "mrs x1, mpidr_el1",
        "and x1, x1, #0xff",
        "sub x1, x1, #1",
        "eor x2, x1, #1",
        "add x3, x0, x1, lsl #3",
        "add x4, x0, x2, lsl #3",
        "mov x5, #0",
        "mov x6, #0",
        "mov x7, #(1 << 39)",
        "mov x8, #(1 << 30)",
        "2: add x5, x5, #1",
        "str x5, [x3]",
        "dsb sy",
        "3: ldr x9, [x4]",
        "cmp x9, x5",
        "b.lo 3b",
        "ldr w10, [x7]",
        "cmn w10, #1",
        "cinc x6, x6, ne",
        "add x7, x7, x8",
        "cmp x5, #{rounds}",
        "b.lo 2b",
        "str x6, [x3, #16]",
        "dsb sy",
        "add x5, x5, #1",
        "str x5, [x3]",
        "dsb sy",
        cpu_off!(),
        rounds = const ROUNDS,
    )
}
