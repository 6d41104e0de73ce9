//! Exception vectors of both images, and what becomes of an exception.
//!
//! A synchronous abort of a probe's own load is an answer. An SError or external abort while the takeover runs is
//! evidence: recorded with its step, and the run goes on. Everything else ends the run through the lost handler.

use crate::{alive, cpu};
use aarch64_cpu::registers::{VBAR_EL2, Writeable};
use core::{
    arch::global_asm,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering},
};

/// Aborts that are kept one by one; more are counted.
pub const KEPT: usize = 8;

/// An exception, in the registers' own terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exception {
    /// ESR_EL2.
    pub esr: u64,
    /// ELR_EL2.
    pub elr: u64,
    /// FAR_EL2.
    pub far: u64,
    /// It came through the SError vector.
    pub serror: bool,
    /// The step in force.
    pub step: &'static str,
}

impl Exception {
    /// ESR_EL2.EC in words.
    #[must_use]
    pub fn class(&self) -> &'static str {
        if self.serror {
            return "SError";
        }
        match self.esr >> 26 & 0x3f {
            0x00 => "unknown reason",
            0x07 => "access to FP or SIMD",
            0x0e => "illegal execution state",
            0x15 => "SVC",
            0x16 => "HVC",
            0x18 => "trapped system register access",
            0x20 | 0x21 => "instruction abort",
            0x22 => "PC alignment fault",
            0x24 | 0x25 => "data abort",
            0x26 => "SP alignment fault",
            0x3c => "BRK",
            _ => "exception of another class",
        }
    }

    /// ESR_EL2.{DFSC, IFSC} of an abort in words.
    #[must_use]
    pub fn fault(&self) -> &'static str {
        if self.serror || !matches!(self.esr >> 26 & 0x3f, 0x20 | 0x21 | 0x24 | 0x25) {
            return "";
        }
        match self.esr & 0x3f {
            0x00..=0x03 => "address size fault",
            0x04..=0x07 => "translation fault",
            0x08..=0x0b => "access flag fault",
            0x0c..=0x0f => "permission fault",
            0x10 => "external abort",
            0x13..=0x17 => "external abort on a table walk",
            0x18 | 0x1b..=0x1f => "parity or ECC error",
            0x21 => "alignment fault",
            _ => "other fault",
        }
    }

    fn is_data_abort(&self) -> bool {
        !self.serror && self.esr >> 26 & 0x3f == 0x25
    }

    fn is_external(&self) -> bool {
        // External aborts, and parity or ECC errors on the access or a table walk.
        self.is_data_abort() && matches!(self.esr & 0x3f, 0x10 | 0x13..=0x18 | 0x1b..=0x1f)
    }
}

/// Prints why the image cannot go on, and ends it.
pub type LostHandler = fn(&Exception) -> !;

static LOST: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static EVIDENCE: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static STEP_TEXT: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
static STEP_LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Words of each kept abort: ESR, ELR, FAR, SError, step text, step length.
static WORDS: [[AtomicUsize; 6]; KEPT] = [const { [const { AtomicUsize::new(0) }; 6] }; KEPT];

/// Installs the vectors and routes SErrors here.
pub fn install(lost: LostHandler) {
    LOST.store(lost as *mut (), Ordering::Relaxed);
    VBAR_EL2.set((&raw const exception_vectors).addr() as u64);
    cpu::route_exceptions_here();
}

/// From here on SErrors and external aborts are recorded, and the run goes on.
pub fn record_aborts(on: bool) {
    EVIDENCE.store(on, Ordering::Relaxed);
}

/// Forgets the aborts of an earlier cycle.
pub fn clear() {
    COUNT.store(0, Ordering::Relaxed);
}

/// Names the step that begins, after taking what is pending from the one that ends.
pub fn step(name: &'static str) {
    cpu::take_pending_serror();
    STEP_LENGTH.store(0, Ordering::Relaxed);
    STEP_TEXT.store(name.as_ptr().cast_mut(), Ordering::Relaxed);
    STEP_LENGTH.store(name.len(), Ordering::Relaxed);
    alive::step(name);
}

/// How many aborts were recorded since [`clear`].
#[must_use]
pub fn recorded() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// Recorded abort `index`, below the smaller of [`recorded`] and [`KEPT`].
#[must_use]
pub fn record(index: usize) -> Option<Exception> {
    let words = WORDS.get(index).filter(|_| index < recorded())?;
    let word = |at: usize| words[at].load(Ordering::Relaxed);
    Some(Exception {
        esr: word(0) as u64,
        elr: word(1) as u64,
        far: word(2) as u64,
        serror: word(3) != 0,
        // SAFETY: pointer and length were stored from one `&'static str` by `step`.
        step: unsafe { text(core::ptr::with_exposed_provenance(word(4)), word(5)) },
    })
}

/// What a probe returns in x0 and x1.
#[repr(C)]
struct Probed {
    value: u64,
    answered: u64,
}

impl Probed {
    fn get(self) -> Option<u64> {
        (self.answered != 0).then_some(self.value)
    }
}

unsafe extern "C" {
    static exception_vectors: u8;
    static probe_refused: u8;
    // Each begins with its load, which the handler finds by its address: nothing is stored to announce a probe.
    fn probe_load64(at: u64) -> Probed;
    fn probe_load32(at: u64) -> Probed;
    fn probe_copy(at: u64, into: *mut u64, count: u64) -> Probed;
    static probe_copy_load: u8;
}

/// Reads a word where perhaps nothing answers: `None` for a translation fault or an external abort.
#[must_use]
pub fn probe_read64(at: u64) -> Option<u64> {
    // SAFETY: the handler leaves the load when it aborts; the caller only asks for aligned addresses of memory.
    unsafe { probe_load64(at) }.get()
}

/// Reads neighbouring words where perhaps nothing answers, one load each; the address of the first that aborted.
///
/// # Errors
/// That address.
pub fn probe_read_words(at: u64, into: &mut [u64]) -> Result<(), u64> {
    // SAFETY: as above; as many words are written as `into` has.
    let probed = unsafe { probe_copy(at, into.as_mut_ptr(), into.len() as u64) };
    if probed.answered != 0 { Ok(()) } else { Err(probed.value) }
}

/// Reads a register where perhaps nothing answers.
#[must_use]
pub fn probe_read32(at: u64) -> Option<u32> {
    // SAFETY: the handler leaves the load when it aborts; the caller only asks for aligned addresses that tables name,
    // and whose reads have no effect if they are what the tables say.
    unsafe { probe_load32(at) }.get().map(|value| value as u32)
}

/// # Safety
/// `pointer` and `length` come from one `&'static str`, or `length` is 0.
unsafe fn text(pointer: *const u8, length: usize) -> &'static str {
    if length == 0 {
        return "";
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { core::slice::from_raw_parts(pointer, length) };
    core::str::from_utf8(bytes).unwrap_or("")
}

/// What the vectors saved, as far as Rust looks at it.
#[repr(C)]
struct Frame {
    elr: u64,
    spsr: u64,
    esr: u64,
    far: u64,
}

/// Called by the vectors with the frame on the stack; returning resumes at `frame.elr`.
#[unsafe(no_mangle)]
extern "C" fn exception_taken(frame: &mut Frame, kind: u64) {
    // SAFETY: `step` stores pointer and length of one `&'static str`, the length last and cleared first.
    let step = unsafe { text(STEP_TEXT.load(Ordering::Relaxed), STEP_LENGTH.load(Ordering::Relaxed)) };
    let taken = Exception { esr: frame.esr, elr: frame.elr, far: frame.far, serror: kind == KIND_SERROR, step };
    let is_probe =
        [(probe_load64 as *const ()).addr(), (probe_load32 as *const ()).addr(), (&raw const probe_copy_load).addr()]
            .contains(&(taken.elr as usize));
    if kind == KIND_SYNC && taken.is_data_abort() && is_probe {
        frame.elr = (&raw const probe_refused).addr() as u64;
        return;
    }
    if EVIDENCE.load(Ordering::Relaxed) && (taken.serror || kind == KIND_SYNC && taken.is_external()) {
        let index = COUNT.fetch_add(1, Ordering::Relaxed);
        if let Some(words) = WORDS.get(index) {
            let values = [
                taken.esr as usize,
                taken.elr as usize,
                taken.far as usize,
                usize::from(taken.serror),
                step.as_ptr().expose_provenance(),
                step.len(),
            ];
            for (word, value) in words.iter().zip(values) {
                word.store(value, Ordering::Relaxed);
            }
        }
        if !taken.serror {
            frame.elr += 4;
        }
        return;
    }
    let lost = LOST.load(Ordering::Relaxed);
    if !lost.is_null() {
        // SAFETY: only `install` stores here, and only a `LostHandler`.
        let lost: LostHandler = unsafe { core::mem::transmute(lost) };
        lost(&taken);
    }
    loop {
        core::hint::spin_loop();
    }
}

const KIND_SYNC: u64 = 0;
const KIND_SERROR: u64 = 3;

// Saved per exception: x0..x18, x29, x30, ELR, SPSR, ESR, FAR, and on the UEFI target, whose code may hold values in
// them, q0..q31, FPCR and FPSR.
#[cfg(target_os = "uefi")]
macro_rules! fp {
    (save) => {
        "stp q0, q1, [sp, #208]\n stp q2, q3, [sp, #240]\n stp q4, q5, [sp, #272]\n stp q6, q7, [sp, #304]\n
         stp q8, q9, [sp, #336]\n stp q10, q11, [sp, #368]\n stp q12, q13, [sp, #400]\n stp q14, q15, [sp, #432]\n
         stp q16, q17, [sp, #464]\n stp q18, q19, [sp, #496]\n stp q20, q21, [sp, #528]\n stp q22, q23, [sp, #560]\n
         stp q24, q25, [sp, #592]\n stp q26, q27, [sp, #624]\n stp q28, q29, [sp, #656]\n stp q30, q31, [sp, #688]\n
         mrs x2, fpcr\n mrs x3, fpsr\n add x4, sp, #720\n stp x2, x3, [x4]\n"
    };
    (restore) => {
        "add x4, sp, #720\n ldp x2, x3, [x4]\n msr fpcr, x2\n msr fpsr, x3\n ldp q0, q1, [sp, #208]\n
         ldp q2, q3, [sp, #240]\n ldp q4, q5, [sp, #272]\n ldp q6, q7, [sp, #304]\n ldp q8, q9, [sp, #336]\n
         ldp q10, q11, [sp, #368]\n ldp q12, q13, [sp, #400]\n ldp q14, q15, [sp, #432]\n ldp q16, q17, [sp, #464]\n
         ldp q18, q19, [sp, #496]\n ldp q20, q21, [sp, #528]\n ldp q22, q23, [sp, #560]\n ldp q24, q25, [sp, #592]\n
         ldp q26, q27, [sp, #624]\n ldp q28, q29, [sp, #656]\n ldp q30, q31, [sp, #688]\n"
    };
}
#[cfg(not(target_os = "uefi"))]
macro_rules! fp {
    ($which:ident) => {
        ""
    };
}

global_asm!(
    ".macro exception_entry kind",
    ".balign 128",
    "sub sp, sp, #736",
    "stp x0, x1, [sp, #32]",
    "mov x1, #\\kind",
    "b exception_common",
    ".endm",
    ".balign 2048",
    ".global exception_vectors",
    "exception_vectors:",
    // Current EL with SP_EL0: never used, and told apart by kind.
    "exception_entry 4",
    "exception_entry 5",
    "exception_entry 6",
    "exception_entry 7",
    // Current EL with SP_ELx.
    "exception_entry 0",
    "exception_entry 1",
    "exception_entry 2",
    "exception_entry 3",
    // Lower EL, AArch64 and AArch32.
    "exception_entry 8",
    "exception_entry 9",
    "exception_entry 10",
    "exception_entry 11",
    "exception_entry 12",
    "exception_entry 13",
    "exception_entry 14",
    "exception_entry 15",
    ".balign 128",
    "exception_common:",
    "stp x2, x3, [sp, #48]",
    "stp x4, x5, [sp, #64]",
    "stp x6, x7, [sp, #80]",
    "stp x8, x9, [sp, #96]",
    "stp x10, x11, [sp, #112]",
    "stp x12, x13, [sp, #128]",
    "stp x14, x15, [sp, #144]",
    "stp x16, x17, [sp, #160]",
    "stp x18, x29, [sp, #176]",
    "str x30, [sp, #192]",
    fp!(save),
    "mrs x2, elr_el2",
    "mrs x3, spsr_el2",
    "stp x2, x3, [sp]",
    "mrs x2, esr_el2",
    "mrs x3, far_el2",
    "stp x2, x3, [sp, #16]",
    "mov x0, sp",
    "bl exception_taken",
    "ldp x2, x3, [sp]",
    "msr elr_el2, x2",
    "msr spsr_el2, x3",
    fp!(restore),
    "ldp x2, x3, [sp, #48]",
    "ldp x4, x5, [sp, #64]",
    "ldp x6, x7, [sp, #80]",
    "ldp x8, x9, [sp, #96]",
    "ldp x10, x11, [sp, #112]",
    "ldp x12, x13, [sp, #128]",
    "ldp x14, x15, [sp, #144]",
    "ldp x16, x17, [sp, #160]",
    "ldp x18, x29, [sp, #176]",
    "ldr x30, [sp, #192]",
    "ldp x0, x1, [sp, #32]",
    "add sp, sp, #736",
    "eret",
    // Probes. x0: address; back in x0 the value, in x1 whether something answered. Called like a C function.
    ".balign 4",
    ".global probe_load64",
    "probe_load64:",
    "ldr x0, [x0]",
    "mov x1, #1",
    "ret",
    ".global probe_load32",
    "probe_load32:",
    "ldr w0, [x0]",
    "mov x1, #1",
    "ret",
    // x0: address, x1: where the words go, x2: how many. x0 keeps the address of a load that aborts.
    ".global probe_copy",
    "probe_copy:",
    "cbz x2, 2f",
    ".global probe_copy_load",
    "probe_copy_load:",
    "ldr x3, [x0], #8",
    "str x3, [x1], #8",
    "sub x2, x2, #1",
    "cbnz x2, probe_copy_load",
    "2:",
    "mov x1, #1",
    "ret",
    ".global probe_refused",
    "probe_refused:",
    "mov x1, #0",
    "ret",
);
