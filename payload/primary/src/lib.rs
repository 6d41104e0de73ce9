//! The image that crashes, at EL2. Two front ends start it: `bin/uefi` under firmware, `bin/raw` without.
//!
//! `firmware` is what they give, `platform` reads the tables, `machine` takes the hardware, `endpoints` finds who will
//! work, and `session` runs cycle after cycle of arming, crashing and cleaning up.

#![no_std]
#![expect(unsafe_code, reason = "takes over a machine: memory by address, another image, the end of boot services")]

extern crate alloc;

mod arm;
mod census;
mod cycle;
mod damage;
mod dying;
mod endpoints;
mod errors;
pub mod firmware;
mod firmware_smmu;
mod guest;
mod kdump_image;
mod last_words;
mod machine;
mod notes;
mod options;
mod oracle;
mod others;
mod pci_setup;
mod plant;
mod platform;
mod quiesce;
pub mod refusal;
mod region;
mod rmr_checks;
mod session;
mod streams;
mod virtual_functions;

use addr::PhysAddr;
use alloc::{format, string::String};
use arch::{exceptions, jump, lost, power};
use core::{convert::Infallible, panic::PanicInfo};
use firmware::{Firmware, Given, Purpose, Reserved};
use guest::Brought;
use handover::boot;
use kdump_image::KdumpImage;
use machine::{ConsoleAt, Machine, Memory};
use notes::Notes;
use region::Places;
use scenario::{Plant, Work, options::REGION_GRANULE};
use session::Session;
use wire::{
    Record,
    record::{Severity, VERSION},
};

/// The primary's own objects, given to the heap before anything here is called: tables, records, maps.
pub const HEAP_BYTES: u64 = 24 << 20;
/// SMMU structures and DMA windows: as many streams as an oracle holds take 36 MiB.
const ARENA_BYTES: u64 = 40 << 20;

/// Does all the work of a boot, and turns the machine off. Comes back only where it cannot start, while the firmware still has
/// its console.
///
/// # Errors
/// One line that says why.
pub fn run(firmware: &mut dyn Firmware, given: Given) -> Result<Infallible, String> {
    let mut session = prepare(firmware, given)?;
    session.run(firmware);
    power::off(session.machine.conduit)
}

/// The kdump image's memory at the address that was asked for.
fn region_at(firmware: &mut dyn Firmware, at: PhysAddr) -> Result<Reserved, String> {
    let mib = region::BYTES >> 20;
    firmware
        .reserve_at(at, region::BYTES)
        .map_err(|why| format!("option region={at}: {mib} MiB are not free there: {why}"))
}

/// Everything up to the first run.
fn prepare(firmware: &mut dyn Firmware, mut given: Given) -> Result<Session, String> {
    let mut notes = Notes::default();
    let kdump = KdumpImage::embedded()?;
    let (image, heap) = (given.image, given.heap);
    let options_of = last_words::whose(&given);
    let made_by = given.made_by.take();
    let options = options::read(&given, &mut notes)?;
    let mut kept = None;
    if options.watchdog_s != 0 {
        firmware.watch(options.watchdog_s);
        kept = firmware.kept();
    }
    if options.e2h && !arch::cpu::has_vhe() {
        return Err("option e2h=1: this CPU has no FEAT_VHE".into());
    }
    if options.plant == Some(Plant::StaleOracle) && options.cycles < 2 {
        return Err("option plant=stale-oracle: it takes cycles=2 or more".into());
    }
    let is_witness = |work: &Work| matches!(work, Work::Witness { .. });
    // Nobody reads this where none is asked for.
    let no_file = Err(String::new());
    let file = if options.scenarios.iter().any(is_witness) { firmware.bundle(options.guest) } else { no_file };
    let mut described = platform::describe(firmware, given, &options, &mut notes)?;
    let console = ConsoleAt::choose(described.platform.console, &options).ok_or(
        "no console: the firmware names no PL011, SBSA UART or 16550; give console=pl011:ADDRESS or 16550:ADDRESS",
    )?;
    // Where a board says where, before anything else can lie there.
    let wished = options.region.map(|at| region_at(firmware, at)).transpose()?;
    let arena = platform::reserve_low(firmware, "DMA windows", ARENA_BYTES, Purpose::Own, &mut notes)?;
    let region = match wished {
        Some(region) => region,
        None => firmware.reserve("the kdump image", region::BYTES, REGION_GRANULE, u64::MAX, Purpose::Kept)?,
    };
    // Last of all: without it the other scenarios still run.
    let mut brought = file.and_then(|file| Brought::new(firmware, file, &options));
    let image_bytes = brought.as_ref().map_or(0, |brought| brought.image.memory_bytes()).max(kdump.memory_bytes());
    let places = Places::new(region, image_bytes, &described)?;

    let masters = firmware.bus_masters();
    let mut left = firmware.leave();
    if options.watchdog_s == 0 {
        // Nobody calls them.
        left.runtime.clear();
    }
    if let Ok(brought) = &mut brought {
        brought.complete(&mut left, [Reserved { start: image.start, bytes: image.bytes }, heap]);
    }
    let windows = core::mem::take(&mut described.windows);
    let rmrs = described.rmr_ranges.clone();
    let memory = Memory { ram: left.ram, image, arena, kdump: region, rmrs, runtime: left.runtime };
    // SAFETY: the firmware's own work ended two lines above.
    let mut machine = unsafe { Machine::take(described, memory, console, &mut notes) };
    take_pending_aborts("before the payload", &mut notes);
    say_hello(options.e2h);
    if let Some((vendor, revision)) = &made_by {
        arch::console::record(&Record::Firmware { vendor, revision: *revision });
    }
    let first = match options.watchdog_s {
        0 => 0,
        _ => last_words::begin(firmware, &machine, &places, &options, kept, options_of, &mut notes),
    };
    if let Some(iort) = &machine.iort {
        arch::console::record(&Record::Iort {
            origin: iort.origin,
            firmware_sha256: iort.firmware_sha256,
            sha256: iort.sha256(),
            bytes: iort.bytes.len() as u32,
        });
    }
    endpoints::describe_rmrs(&machine);
    pci_setup::assign(&mut machine, &windows, &mut notes);
    virtual_functions::enable(&mut machine, &options, &mut notes);
    let candidates = endpoints::find(&mut machine, &options, masters.as_deref(), &mut notes);
    // Some root complexes answer for absent functions with an SError.
    take_pending_aborts("looking for PCI functions", &mut notes);
    if options.firmware_smmu {
        firmware_smmu::play_for_good(&mut machine, &candidates, &options, &mut notes);
    }
    rmr_checks::places(&mut machine, &mut notes);
    machine.describe_smmus();
    machine.set_dma_coherent(candidates.iter().all(|candidate| candidate.is_coherent));
    notes.say();
    let prepare = |image, guest| {
        let prepared = places.prepare(&machine, image, guest, &options);
        prepared.unwrap_or_else(|reason| lost::because(format_args!("{reason}")))
    };
    let prepared = prepare(kdump, boot::Guest::default());
    let witness = brought.map(|brought| prepare(brought.image, brought.block));
    Ok(Session { machine, candidates, options, prepared, witness, places, deadline: None, first })
}

/// What is pending is nobody's evidence; left alone it would end the image at its next step.
fn take_pending_aborts(what: &'static str, notes: &mut Notes) {
    exceptions::clear();
    exceptions::record_aborts(true);
    exceptions::step(what);
    exceptions::record_aborts(false);
    if let Some(abort) = exceptions::record(0) {
        let (count, esr) = (exceptions::recorded(), abort.esr);
        let text = format!("{count} SErrors pending from {what}, the first with ESR {esr:#x}");
        notes.add(Severity::Warning, "CPU", "serror-pending", text);
    }
    exceptions::clear();
    exceptions::step("");
}

fn say_hello(e2h: bool) {
    let version = env!("CARGO_PKG_VERSION");
    let counter_hz = arch::timer::frequency();
    arch::console::record(&Record::Hello { wire: VERSION, version, image: "primary", el: 2, e2h, counter_hz });
}

/// A panic where the primary is to die is the crash itself.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if jump::is_crashing() {
        jump::take_over(jump::Cause::Panic);
    }
    lost::because(format_args!("panic in the primary image: {info}"))
}
