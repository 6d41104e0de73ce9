//! A kernel for the tests of the witness: it takes an SMMU over at EL1 by one of the project's own policies, with a fault in it
//! where the command line names one, does what a kernel may do beside that, and ends as it is told to.
//!
//! It is entered as Linux is (arm64 `Image`, devicetree in x0), and takes memory, SMMUs and console from that devicetree alone.
//! Words of the command line that it does not know are Linux's. What it does it says on the console, one line each.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "a kernel: memory by address, registers of EL1, and accesses that no compiler makes")]

extern crate alloc;

#[path = "../../../payload/primary/src/bin/raw/entry.rs"]
mod entry;
#[path = "../../../payload/primary/src/bin/raw/first.rs"]
mod first;
#[path = "../../../payload/kdump/src/bin/witness/registers.rs"]
#[expect(dead_code, reason = "of the witness the plan's registers are used, one by one")]
mod registers;

mod actions;
mod board;
mod classes;
mod console;
mod fault;
mod hostile;
mod others;
mod stores;
mod takeover;
mod vectors;
mod words;

use addr::PhysAddr;
use alloc::string::ToString;
use arch::{bus::SmmuFrame, bus::Smmus, frames::FrameRange, timer};
use board::Board;
use console::say;
use core::panic::PanicInfo;
use first::Map;
use words::{End, Words};

unsafe extern "C" {
    static __heap_start: u8;
    static __heap_end: u8;
}

/// Half of the memory behind the image is for queues, tables and pages of new domains.
const FRAMES_SHARE: u64 = 2;

/// The first Rust code with the MMU on, called by the entry.
extern "C" fn raw_main(devicetree: PhysAddr, start: PhysAddr) -> ! {
    let at = |symbol: *const u8| PhysAddr(symbol.addr() as u64);
    let (heap, end) = (at(&raw const __heap_start), at(&raw const __heap_end));
    let frames = PhysAddr(end.0 - (end.0 - heap.0) / FRAMES_SHARE);
    // SAFETY: the linker set it apart, the boot protocol keeps it free (image_size), and the first map has it.
    unsafe { arch::heap::give(heap, frames.0 - heap.0) };
    // SAFETY: as above, the other half.
    let mut frames = unsafe { FrameRange::new(frames, end.0 - frames.0) };
    // SAFETY: the entry made it, and this is the only call.
    let mut map = unsafe { Map::in_force() };
    let is_el1 = arch::cpu::current_el() == 1;
    if is_el1 {
        vectors::install();
    }
    // SAFETY: what x0 held at the entry; the first map has it.
    let Some(board) = (unsafe { Board::at(devicetree, &mut map, start..end) }) else { arch::power::halt() };
    if !is_el1 {
        hostile::rounds(&board, devicetree);
    }
    let words = Words::read(board.arguments()).unwrap_or_else(|problem| panic!("{problem}"));
    if words.actions.contains(&actions::Action::StoreHidden)
        && let Some(hidden) = board.hidden()
    {
        // What no kernel has reason to do.
        map.memory(hidden, 4096).unwrap_or_else(|_| panic!("no table to map {hidden}"));
    }
    say!("image {start} to {end}, {} at EL{}", board.arguments(), arch::cpu::current_el());

    let frame = |smmu: &board::Smmu| SmmuFrame { base: smmu.base, coherent: smmu.coherent != Some(false) };
    // SAFETY: the devicetree names them, and the board has mapped both pages of each.
    let mut hw = unsafe { Smmus::new(board.smmus().iter().map(frame).collect()) };
    takeover::all(&words, &board, &mut hw, &mut frames);
    for action in &words.actions {
        let answer = actions::run(*action, &words, &board, &mut hw);
        say!("{}: {}", action.name(), answer.unwrap_or_else(|problem| problem.to_string()));
    }
    watch(&board, words.watch_us);
    finish(words.end, &board)
}

/// Lets time pass as a kernel that has other work: firmware is called now and then.
fn watch(board: &Board, us: u64) {
    const PAUSE_US: u64 = 500;
    let until = timer::now() + timer::ticks_of_us(us);
    while timer::now() < until {
        let pause = timer::now() + timer::ticks_of_us(PAUSE_US);
        while timer::now() < pause {
            core::hint::spin_loop();
        }
        board.call(actions::PSCI_VERSION, [0; 3]);
    }
}

fn finish(how: End, board: &Board) -> ! {
    match how {
        End::Off => arch::power::off(board.conduit),
        End::Reset | End::Restart => {
            if how == End::Restart {
                say!("reboot: Restarting system");
            }
            board.call(actions::PSCI_SYSTEM_RESET, [0; 3]);
        }
        End::Panic => panic!("as it was told to"),
        End::Hang => {}
        End::WfiHang => arch::power::halt(),
    }
    loop {
        core::hint::spin_loop();
    }
}

/// As Linux ends with `panic=1`.
#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    say!("Kernel panic - not syncing: {}", info.message());
    board::reset();
    arch::power::halt()
}
