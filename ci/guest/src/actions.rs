//! What a kernel may do beside a takeover: awkward accesses, calls of firmware, other CPUs.

use crate::{board::Board, classes, console::say, others, stores, takeover, vectors::attempt, words::Words};
use addr::{PhysAddr, StreamId};
use alloc::{format, string::String, vec::Vec};
use arch::{bus::Smmus, cpu, mmio, power::Conduit};
use core::{arch::asm, fmt::Debug};
use smccc::Hvc;
use smmu::access::SmmuIndex;

/// Functions of firmware (DEN 0022, 5; DEN 0054, 5).
pub(crate) const PSCI_VERSION: u32 = 0x8400_0000;
pub(crate) const PSCI_SYSTEM_RESET: u32 = 0x8400_0009;
pub(crate) const PSCI_CPU_ON: u32 = 0xC400_0003;
const SDEI_VERSION: u32 = 0xC400_0020;

/// EVENTQ_PROD and EVENTQ_CONS, in page 1 (IHI 0070, 6.2).
const EVENTQ_INDICES: [u64; 2] = [0x1_00A8, 0x1_00AC];
/// STRTAB_BASE (6.3.24), and a level-1 descriptor that leads nowhere.
const STRTAB_BASE: u64 = 0x80;
const UNUSED: u64 = 200;
/// CR0, and IDR0, whose neighbour is IDR1.
const CR0: u64 = 0x20;

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Every kind of store to STEs that are not in use, of the table in force.
    Stores,
    /// Every class of instructions that EL2 may trap.
    Classes,
    /// A load from memory that nobody may map.
    Hidden,
    /// IDR0 is read by a byte, a halfword, a pair, with write-back, by 16 bytes, at an odd address.
    FrameByte,
    FrameHalf,
    FramePair,
    FrameWriteBack,
    FrameWide,
    FrameUnaligned,
    /// CR0 is written by a byte, with what it has.
    FrameByteStore,
    /// Indices of the event queue are written, with what they have.
    EventQueue,
    /// HVC, which nobody answers.
    Hvc,
    /// A call of SDEI.
    Sdei,
    /// CPU 1 is turned on, and goes off again.
    CpuOn,
    /// CPU 1 writes to the console from here on, and never ends.
    Talk,
    /// CPUs 1 and 2 reach for the same places at the same time, where nobody has been before.
    Race,
    /// CPUs 0 and 1 count up a word of such an STE at the same time.
    Count,
    /// A store of two words, to the last of a page with a table, and to what nobody may write to.
    StoreHidden,
    /// A loop of exclusives at such an STE that reads a register in between, which no architecture promises to come to an end.
    Endless,
    /// CR0 is written by an atomic, with what it has; and read by an exclusive.
    FrameAtomic,
    FrameExclusive,
    /// What AT leaves in PAR_EL1 is read behind accesses that trap.
    Translated,
}

impl Action {
    /// All of them, by name.
    pub(crate) const ALL: [(&'static str, Self); 22] = [
        ("stores", Self::Stores),
        ("classes", Self::Classes),
        ("hidden", Self::Hidden),
        ("frame-byte", Self::FrameByte),
        ("frame-half", Self::FrameHalf),
        ("frame-pair", Self::FramePair),
        ("frame-write-back", Self::FrameWriteBack),
        ("frame-wide", Self::FrameWide),
        ("frame-unaligned", Self::FrameUnaligned),
        ("frame-byte-store", Self::FrameByteStore),
        ("event-queue", Self::EventQueue),
        ("hvc", Self::Hvc),
        ("sdei", Self::Sdei),
        ("cpu-on", Self::CpuOn),
        ("talk", Self::Talk),
        ("race", Self::Race),
        ("count", Self::Count),
        ("store-hidden", Self::StoreHidden),
        ("endless", Self::Endless),
        ("frame-atomic", Self::FrameAtomic),
        ("frame-exclusive", Self::FrameExclusive),
        ("translated", Self::Translated),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }
}

/// What came of it.
pub(crate) fn run(action: Action, words: &Words, board: &Board, hw: &mut Smmus) -> Result<String, &'static str> {
    let frame = || board.smmus().first().map(|smmu| smmu.base.0).ok_or("no SMMU");
    /// One access of the frame by an instruction; x1 and x2 are told.
    macro_rules! access {
        ($code:literal, $offset:expr) => {{
            let at = frame()? + $offset;
            attempted(|| {
                let (mut low, mut high) = (0_u64, 0_u64);
                // SAFETY: a register that is mapped, and that has this value already where it is written.
                unsafe { asm!($code, inout("x0") at => _, inout("x1") low, inout("x2") high, options(nostack)) }
                (low, high)
            })
        }};
    }
    Ok(match action {
        Action::Stores => {
            let at = spare_stes(words, board, hw)?;
            // SAFETY: STEs of streams that no device has, in a table that is mapped; 8 × 64 bytes at a multiple of that.
            let tried = unsafe { stores::try_all(at.0) };
            board.end_visits();
            tried.iter().for_each(tell_store);
            format!("{} tried at {at}", tried.len())
        }
        Action::Classes => format!("{} exceptions", classes::run_all()),
        Action::Hidden => {
            let at = board.hidden().ok_or("nothing is hidden")?;
            // SAFETY: reads of memory have no effect. The block may be mapped or not.
            attempted(|| unsafe { mmio::read64(at.0) })
        }
        Action::FrameByte => access!("ldrb w1, [x0]", 0),
        Action::FrameHalf => access!("ldrh w1, [x0]", 0),
        Action::FramePair => access!("ldp w1, w2, [x0]", 0),
        Action::FrameWriteBack => access!("ldr w1, [x0], #4", 0),
        // LDR Q0, [X0]; FMOV X1, D0.
        Action::FrameWide => access!(".inst 0x3dc00000\n .inst 0x9e660001", 0),
        Action::FrameUnaligned => access!("ldur w1, [x0, #2]", 0),
        Action::FrameByteStore => access!("ldr w1, [x0]\n strb w1, [x0]", CR0),
        Action::EventQueue => {
            let both = EVENTQ_INDICES.map(|offset| Ok::<u64, &str>(frame()? + offset));
            for at in both {
                let at = at?;
                // SAFETY: a register of page 1.
                let value = unsafe { mmio::read32(at) };
                // SAFETY: the same, with what it has.
                unsafe { mmio::write32(at, value) }
            }
            "done".into()
        }
        Action::Hvc if board.conduit == Conduit::Hvc => "answered as PSCI".into(),
        Action::Hvc => attempted(|| <Hvc as smccc::Call>::call64(PSCI_VERSION, [0; 17])[0]),
        Action::Sdei => attempted(|| board.call(SDEI_VERSION, [0; 3])),
        Action::CpuOn => others::cpu_on(board)?,
        Action::Talk => others::talk(board)?,
        Action::Race => others::race(board)?,
        Action::Count => {
            let at = spare_stes(words, board, hw)?.plus(56);
            // SAFETY: the last word of an STE, which has no fields, of a stream that no device has.
            unsafe { others::count(board, at) }?
        }
        Action::StoreHidden => {
            let hidden = board.hidden().ok_or("nothing is hidden")?.0;
            // A level-1 descriptor of 64 STEs, for streams that no device has, makes the page before it one that is watched.
            // SAFETY: a register of page 0.
            let table = unsafe { mmio::read64(frame()? + STRTAB_BASE) } & 0x000F_FFFF_FFFF_FFC0;
            // SAFETY: one of its descriptors, which leads nowhere.
            unsafe { mmio::write64(table + 8 * UNUSED, (hidden - 4096) | 7) }
            cpu::dsb();
            // SAFETY: the first word is stored as it is; the second is not stored.
            attempted(|| unsafe {
                asm!("ldr {word}, [{at}]", "stp {word}, xzr, [{at}]", at = in(reg) hidden - 8, word = out(reg) _, options(nostack));
            })
        }
        Action::Endless => {
            let at = spare_stes(words, board, hw)?;
            // SAFETY: a word of such STEs is stored as it is. The register in between is only read.
            attempted(|| unsafe {
                let mut refused = 0_u64;
                asm!(
                    "2: ldxr {word}, [{at}]", "mrs {status}, midr_el1", "stxr {status:w}, {word}, [{at}]",
                    "add {refused}, {refused}, {status}", "cbnz {status:w}, 2b",
                    at = in(reg) at.0, word = out(reg) _, status = out(reg) _, refused = inout(reg) refused, options(nostack)
                );
                refused
            })
        }
        Action::FrameAtomic => access!(".arch_extension lse\n ldadd wzr, w1, [x0]", CR0),
        Action::FrameExclusive => access!("ldxr w1, [x0]", CR0),
        Action::Translated => {
            let at = spare_stes(words, board, hw)?;
            let frame = frame()?;
            let (before, after): (u64, u64);
            // SAFETY: an STE is written by a pair, with what it has, and a register is read.
            unsafe {
                asm!(
                    "at s1e1r, {at}", "isb", "mrs {before}, par_el1", "ldp {low}, {high}, [{at}]", "stp {low}, {high}, [{at}], #0",
                    "ldr {low:w}, [{frame}]", "mrs {after}, par_el1",
                    at = in(reg) at.0, frame = in(reg) frame, low = out(reg) _, high = out(reg) _, before = out(reg) before,
                    after = out(reg) after, options(nostack)
                );
            }
            let verdict = if before == after { "kept" } else { "lost" };
            format!("{verdict} ({before:#x}, {after:#x})")
        }
    })
}

/// With an end, by which is seen that it is whole.
fn tell_store(stores::Tried { name, is_right, changes }: &stores::Tried) {
    let verdict = if *is_right { "right" } else { "wrong" };
    let changes: Vec<_> = changes.iter().map(|(at, old, new)| format!("{at:#x} {old:#x} {new:#x}")).collect();
    say!("store {name}: {verdict}: {}.", changes.join(", "));
}

/// The last eight STEs of the level-2 table that has the stream's.
fn spare_stes(words: &Words, board: &Board, hw: &mut Smmus) -> Result<PhysAddr, &'static str> {
    let last = StreamId(words.stream().0 | 0xF8);
    takeover::ste(words, board, SmmuIndex(0), last, hw).ok_or("no such STEs")
}

fn attempted<T: Debug>(job: impl FnOnce() -> T) -> String {
    match attempt(job) {
        Ok(value) => format!("{value:x?}"),
        Err(syndrome) => format!("exception {syndrome:#x}"),
    }
}
