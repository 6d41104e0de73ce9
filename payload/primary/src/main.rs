//! The image that crashes: a UEFI application at EL2.
//!
//! `firmware` takes what UEFI has, `platform` reads the tables, `machine` takes the hardware, `endpoints` finds who will
//! work, and `session` runs cycle after cycle of arming, crashing and cleaning up.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "takes over a machine: memory by address, another image, the end of boot services")]

extern crate alloc;

mod acpi_tables;
mod arm;
mod cycle;
mod damage;
mod dying;
mod endpoints;
mod firmware;
mod firmware_smmu;
mod kdump_image;
mod machine;
mod notes;
mod options;
mod others;
mod platform;
mod refuse;
mod region;
mod rmr_checks;
mod session;
mod streams;

use alloc::string::String;
use arch::{jump, lost, power};
use core::panic::PanicInfo;
use kdump_image::KdumpImage;
use machine::{ConsoleAt, Machine, Memory};
use notes::Notes;
use region::Places;
use scenario::Plant;
use session::Session;
use uefi::{Status, boot::MemoryType, entry};
use wire::{Record, record::VERSION};

/// The primary's own objects: tables, records, maps.
const HEAP_BYTES: u64 = 24 << 20;
/// SMMU structures and DMA windows.
const ARENA_BYTES: u64 = 32 << 20;

#[entry]
fn main() -> Status {
    let el = arch::cpu::current_el();
    if el != 2 {
        let reason = "started at EL1, but the payload needs EL2 (QEMU: virtualization=on)";
        return refuse::refuse("started-at-el1", reason);
    }
    match prepare() {
        Ok(mut session) => {
            session.run();
            power::off(session.machine.conduit)
        }
        Err(reason) => refuse::refuse("cannot-start", &reason),
    }
}

/// Everything up to the first run. Errors come only while the firmware still has its console.
fn prepare() -> Result<Session, String> {
    let heap = firmware::reserve("the heap", HEAP_BYTES, 4096, u64::MAX, MemoryType::LOADER_DATA)?;
    // SAFETY: just allocated for this, and never freed.
    unsafe { arch::heap::give(heap.start, heap.bytes) };
    let mut notes = Notes::default();
    let kdump = KdumpImage::embedded()?;
    let firmware = firmware::collect()?;
    let image = firmware.image;
    let options = options::read(&firmware, &mut notes)?;
    if options.e2h && !arch::cpu::has_vhe() {
        return Err("option e2h=1: this CPU has no FEAT_VHE".into());
    }
    if options.plant == Some(Plant::StaleOracle) && options.cycles < 2 {
        return Err("option plant=stale-oracle: it takes cycles=2 or more, for the oracle of the cycle before".into());
    }
    let described = platform::describe(firmware, &options, &mut notes)?;
    let console = ConsoleAt::choose(described.platform.console, &options).ok_or(
        "no console: SPCR and DBG2 name no PL011, SBSA UART or 16550; give console=pl011:ADDRESS or 16550:ADDRESS",
    )?;
    let arena = firmware::reserve("DMA windows", ARENA_BYTES, 0x1_0000, platform::BELOW_4G, MemoryType::LOADER_DATA)?;
    let region = firmware::reserve("the kdump image", region::BYTES, 2 << 20, u64::MAX, MemoryType::RESERVED)?;
    let places = Places::new(region, &kdump, described.iort.as_ref().map_or(0, |iort| iort.bytes.len()))?;

    let map = firmware::leave();
    let rmrs = described.rmr_ranges.clone();
    let memory = Memory { ram: firmware::ram(&map), image, arena, kdump: region, rmrs };
    // SAFETY: boot services ended two lines above.
    let mut machine = unsafe { Machine::take(described, memory, console, &mut notes) };
    say_hello(options.e2h);
    if let Some(iort) = &machine.iort {
        arch::console::record(&Record::Iort {
            origin: iort.origin,
            firmware_sha256: iort.firmware_sha256,
            sha256: iort.sha256(),
            bytes: iort.bytes.len() as u32,
        });
    }
    endpoints::describe_rmrs(&machine);
    let candidates = endpoints::find(&mut machine, &mut notes);
    if options.firmware_smmu {
        firmware_smmu::play_for_good(&mut machine, &candidates, &options, &mut notes);
    }
    rmr_checks::places(&mut machine, &mut notes);
    machine.describe_smmus();
    machine.set_dma_coherent(candidates.iter().all(|candidate| candidate.is_coherent));
    notes.say();
    let prepared = places.prepare(&machine, &kdump, &options);
    let prepared = prepared.unwrap_or_else(|reason| lost::because(format_args!("{reason}")));
    Ok(Session { machine, candidates, options, prepared, places })
}

fn say_hello(e2h: bool) {
    let version = env!("CARGO_PKG_VERSION");
    let counter_hz = arch::timer::frequency();
    arch::console::record(&Record::Hello { wire: VERSION, version, image: "primary", el: 2, e2h, counter_hz });
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if jump::is_crashing() {
        jump::take_over(jump::Cause::Panic);
    }
    lost::because(format_args!("panic in the primary image: {info}"))
}
