//! What a kernel may do beside a takeover: awkward accesses, calls of firmware, other CPUs.

use crate::{board::Board, classes, console::say, others, stores, takeover, vectors::attempt, words::Words};
use addr::{PhysAddr, StreamId};
use alloc::{format, string::String};
use arch::{bus::Smmus, mmio, power::Conduit};
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
    /// A store over the border of two words of such an STE.
    StoreCrossing,
}

impl Action {
    /// All of them, by name.
    pub(crate) const ALL: [(&'static str, Self); 17] = [
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
        ("store-crossing", Self::StoreCrossing),
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
            let tried = unsafe { stores::try_all(at.0, |name| say!("store {name}: wrong")) };
            format!("{tried} tried at {at}")
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
        Action::StoreCrossing => {
            let at = spare_stes(words, board, hw)?;
            // SAFETY: as above.
            attempted(|| unsafe { asm!("stur xzr, [{}, #3]", in(reg) at.0, options(nostack)) })
        }
    })
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
