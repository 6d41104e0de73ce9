//! From the first instruction of an image to its work, and back to the image that crashed.

use crate::given::pointer;
use addr::PhysAddr;
use arch::{
    alive, console,
    frames::FrameRange,
    gic, jump, lost,
    power::{self, Conduit},
    serial::At,
    timer,
};
use core::{mem::offset_of, slice};
use handover::{
    boot::{self, Boot},
    last_words,
    report::Report,
};
use wire::{Record, record::VERSION};
use zerocopy::IntoBytes;

/// Half of the heap's region is for page frames.
const FRAMES_SHARE: u64 = 2;

/// Where the entry finds the registers of the first map in [`Boot`].
pub const TRANSLATION: usize = offset_of!(Boot, translation);
/// And its stack.
pub const STACK_TOP: usize = offset_of!(Boot, stack_top);

/// Makes a binary the image of this name: its first instructions, which end in `$work` (a [`Work`]), and its panic handler.
///
/// It is entered with the MMU off and the address of the boot block in x0. Nothing is stored before the MMU is on: some fabrics
/// refuse stores to DRAM with the MMU off.
#[macro_export]
macro_rules! image {
    ($name:literal, $work:path) => {
        /// Clobbers x1 to x6. HCR_EL2.E2H is as the primary set it; the translation registers fit it.
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".text.entry")]
        unsafe extern "C" fn kdump_entry() {
            core::arch::naked_asm!(
                "msr daifset, #0xf",
                "add x6, x0, #{translation}",
                "ldp x1, x2, [x6]",
                "ldp x3, x4, [x6, #16]",
                "msr ttbr0_el2, x1",
                "msr tcr_el2, x2",
                "msr mair_el2, x3",
                "isb",
                "tlbi alle2",
                "ic iallu",
                "dsb sy",
                "isb",
                "msr sctlr_el2, x4",
                "isb",
                "ldr x5, [x0, #{stack_top}]",
                "mov sp, x5",
                "mov x29, xzr",
                "mov x30, xzr",
                "b {main}",
                translation = const $crate::image::TRANSLATION,
                stack_top = const $crate::image::STACK_TOP,
                main = sym begin,
            )
        }

        extern "C" fn begin(boot: &'static handover::boot::Boot) -> ! {
            $crate::image::run(boot, $name, $work)
        }

        #[panic_handler]
        fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
            arch::lost::because(format_args!(concat!("panic in the ", $name, " image: {}"), info))
        }
    };
}

/// What an image does with its boot block, its page frames and the counter at its first instruction in Rust.
pub type Work = fn(&'static Boot, FrameRange, u64) -> Report;

/// Starts the image, has it do its work, and leaves.
pub fn run(boot: &'static Boot, name: &str, work: Work) -> ! {
    let entered = timer::now();
    let conduit = match boot.psci {
        boot::PSCI_SMC => Conduit::Smc,
        boot::PSCI_HVC => Conduit::Hvc,
        _ => Conduit::None,
    };
    let console = &boot.console;
    let at = At::new(console.base.0, console.register_width.into(), console.stride.into());
    // SAFETY: the page was mapped as Device memory by the primary, whose use of it ended with the crash.
    unsafe { console::init(at, boot.next_sequence) };
    lost::install(conduit);
    let verified = boot.verify();
    if let Err(error) = verified {
        lost::because(format_args!("the {name} image was given no boot block: {error}"));
    }
    // SAFETY: the primary mapped both frames and left them to this image.
    unsafe { alive::guard(boot.watchdog) };
    // SAFETY: the same of the place.
    unsafe { alive::keep(boot.last_words) };
    alive::phase(last_words::BLACKOUT, "hold");
    let frames_bytes = boot.heap.bytes / FRAMES_SHARE;
    let frames_at = boot.heap.base.plus(boot.heap.bytes - frames_bytes);
    // SAFETY: the region belongs to this image; the half is used for nothing else.
    unsafe { arch::heap::give(boot.heap.base, boot.heap.bytes - frames_bytes) };
    // SAFETY: as above, the other half.
    let frames = unsafe { FrameRange::new(frames_at, frames_bytes) };
    if boot.cycle == 0 {
        let (version, counter_hz) = (env!("CARGO_PKG_VERSION"), timer::frequency());
        let (el, e2h) = (arch::cpu::current_el(), arch::cpu::is_e2h());
        console::record(&Record::Hello { wire: VERSION, version, image: name, el, e2h, counter_hz });
    }
    wake_by_timer(boot);
    let mut report = work(boot, frames, entered);
    report.next_sequence = console::next_sequence();
    report.end_tick = timer::now();
    report.seal();
    leave(boot, &report, conduit)
}

/// Has the timer end waits; they poll where it does not.
pub fn wake_by_timer(boot: &Boot) {
    if boot.gic.redistributor.0 != 0 {
        let gic = gic::Gic {
            distributor: boot.gic.distributor.0,
            redistributor: boot.gic.redistributor.0,
            timer_intid: boot.timer_interrupt,
        };
        // SAFETY: both frames are mapped as Device memory, and nobody else runs.
        let _ = unsafe { gic::enable_timer_wake(&gic) };
    }
}

/// Hands back to the image that crashed, or powers off where there is no way back.
fn leave(boot: &Boot, report: &Report, conduit: Conduit) -> ! {
    if boot.way_back.entry.0 == 0 {
        power::off(conduit);
    }
    let at = boot.way_back.report;
    // SAFETY: the report's place is in this image's region, and nothing else is there.
    unsafe { slice::from_raw_parts_mut(pointer(at), size_of::<Report>()) }.copy_from_slice(report.as_bytes());
    arch::cache::clean_invalidate(at, size_of::<Report>() as u64);
    if arch::cpu::affinity() != boot.boot_cpu {
        // It goes off after the way back.
        gic::leave_cpu();
    }
    // SAFETY: 1. They are the boot block's. 2. The context was cleaned when it was written.
    unsafe { jump::hand_back(boot.way_back.entry, PhysAddr(boot.way_back.context)) }
}
