//! PCI functions of the machine, and which of them are put to work.

use crate::{errors, machine::Machine, notes::Notes, rmr_checks};
use addr::{Bdf, PhysAddr, StreamId};
use alloc::{format, string::ToString, vec::Vec};
use arch::timer;
use dma::Endpoint;
use handover::oracle::MAX_STREAMS;
use pci::{BusRange, Command, Fault, FaultKind, Found, Function, State};
use scenario::{Hands, options::RunOptions};
use wire::{Record, record::Severity};

/// More functions than this are not looked at.
const MOST_FUNCTIONS: usize = 4096;

/// A function that a driver puts to work behind an SMMU.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) bdf: Bdf,
    pub(crate) driver: &'static dyn Endpoint,
    pub(crate) registers: PhysAddr,
    pub(crate) smmu: usize,
    pub(crate) stream_id: StreamId,
    /// An RMR node names the stream.
    pub(crate) is_rmr: bool,
    /// First address and length of its RMR range, where it has one that is ours and no other stream's.
    pub(crate) rmr: Option<(PhysAddr, u64)>,
    /// Its accesses snoop the CPU's caches.
    pub(crate) is_coherent: bool,
}

/// Root buses of the windows and those that the IORT names.
fn roots(machine: &Machine) -> Vec<BusRange> {
    let windows = machine.platform.ecam.iter();
    let windows: Vec<BusRange> = windows
        .map(|region| BusRange { segment: region.segment, first: region.first_bus, last: region.last_bus })
        .collect();
    let mut roots = windows.clone();
    if let Some(iort) = &machine.platform.iort {
        iort.each_root_bus(&mut |segment, bus| roots.extend(pci::root_at(&windows, segment, bus)));
    }
    roots
}

/// All functions of the machine, in bus order.
pub(crate) fn functions(machine: &mut Machine) -> Vec<Found> {
    let roots = roots(machine);
    pci::functions(&mut machine.config, &roots, MOST_FUNCTIONS)
}

/// Looks at all functions, says what each is, and maps the registers of those that will work. `masters` were bus mastering
/// before the firmware's end, where it could be asked.
pub(crate) fn find(
    machine: &mut Machine,
    options: &RunOptions,
    masters: Option<&[Bdf]>,
    notes: &mut Notes,
) -> Vec<Candidate> {
    let functions = functions_and_faults(machine, &options.hands, notes);
    errors::find(machine, &functions, notes);
    if let Some(iort) = machine.platform.iort {
        rmr_checks::devices(iort, functions.iter().map(|found| found.requester), notes);
    }
    let mut candidates: Vec<Candidate> = Vec::new();
    for found in functions {
        let Found { bdf, identity, requester, .. } = found;
        let stream = machine.stream_of(requester);
        let denied = machine.denied.contains(&bdf);
        let driver = dma::driver_for(&identity).filter(|_| !denied);
        // Two functions behind one bridge are one stream: the first has it.
        let is_shared = |known: &Candidate| Some((known.smmu, known.stream_id)) == stream;
        let mut candidate = match candidates.iter().find(|known| is_shared(known)).map(|known| known.bdf) {
            Some(first) if driver.is_some() => {
                let text = format!("{bdf} has the StreamID of {first}, which is at work; it is not armed");
                notes.add(Severity::Warning, "PCI", "stream-shared", text);
                None
            }
            None if driver.is_some() && candidates.len() == MAX_STREAMS => {
                let text = format!("{bdf} is not armed: {MAX_STREAMS} streams are at work");
                notes.add(Severity::Warning, "PCI", "too-many-streams", text);
                None
            }
            _ => driver.and_then(|driver| candidate(machine, &found, driver, stream, notes)),
        };
        if let Some(candidate) = &mut candidate {
            // A driver uses a range from its first byte on: two streams would overwrite each other.
            let is_taken = |known: &Candidate| known.rmr.is_some() && known.rmr == candidate.rmr;
            candidate.rmr = candidate.rmr.filter(|_| !candidates.iter().any(is_taken));
        }
        let function = Function::any(&mut machine.config, bdf);
        let (bus_master, state) = function.map_or((false, State::default()), |mut function| {
            (function.command().contains(Command::BUS_MASTER), State::read(&mut function))
        });
        arch::console::record(&Record::Endpoint {
            bdf: &bdf.to_string(),
            vendor: identity.vendor,
            device: identity.device,
            class: identity.class,
            smmu: stream.map(|(smmu, _)| smmu as u8),
            stream_id: stream.map(|(_, stream_id)| stream_id.0),
            driver: driver.map_or("", |driver| driver.name()),
            bus_master_before_exit: masters.map(|masters| masters.contains(&bdf)),
            bus_master,
            armed: candidate.is_some(),
            denied,
        });
        arch::console::record(&Record::PcieFunction {
            bdf: &bdf.to_string(),
            requester: &requester.to_string(),
            state: state.bytes(),
        });
        if let Some(candidate) = candidate {
            let at = candidates.partition_point(|before| before.driver.rank() >= candidate.driver.rank());
            candidates.insert(at, candidate);
        }
    }
    machine.put_map_in_force();
    candidates
}

/// All functions, which of them nobody may touch, and what is wrong with them. A function that is not ready is given the time that it may take (PCI Express
/// Base 6.0, 6.6.1), once.
fn functions_and_faults(machine: &mut Machine, hands: &Hands, notes: &mut Notes) -> Vec<Found> {
    /// Of one kind after the other; a broken machine may have thousands.
    const MOST_FAULTS: usize = 64;
    const READY_US: u64 = 1_000_000;
    let roots = roots(machine);
    let Machine { config, memory, denied, .. } = machine;
    let mut faults: Vec<Fault> = Vec::new();
    let tell = |faults: &mut Vec<Fault>, fault| {
        if faults.len() < MOST_FAULTS {
            faults.push(fault);
        }
    };
    let mut found = pci::functions_and_faults(config, &roots, MOST_FUNCTIONS, &mut |fault| tell(&mut faults, fault));
    if faults.iter().any(|fault| fault.kind == FaultKind::NotReady) {
        timer::sleep_us(READY_US);
        // Told again where it still is not.
        faults.clear();
        found = pci::functions_and_faults(config, &roots, MOST_FUNCTIONS, &mut |fault| tell(&mut faults, fault));
    }
    let is_ram =
        |first, last| memory.ram.iter().any(|ram| last >= ram.start.0 && first < ram.start.0.saturating_add(ram.bytes));
    *denied = hands.denied(&found);
    pci::audit(config, &found, denied, &is_ram, &mut |fault| tell(&mut faults, fault));
    faults.iter().for_each(|fault| notes.pci(fault));
    found
}

/// Sees whether a function with a driver can be put to work; why not is a finding.
fn candidate(
    machine: &mut Machine,
    found: &Found,
    driver: &'static dyn Endpoint,
    stream: Option<(usize, StreamId)>,
    notes: &mut Notes,
) -> Option<Candidate> {
    let bdf = found.bdf;
    let mut leave_out = |id, text| notes.add(Severity::Warning, "PCI", id, text);
    let Some((smmu, stream_id)) = stream else {
        leave_out(
            "endpoint-without-smmu",
            format!("{bdf}: the IORT leads it to no SMMU that answers; it is not armed"),
        );
        return None;
    };
    let Some((registers, bytes)) = registers(machine, found, driver.bar()) else {
        leave_out("endpoint-without-bar", format!("{bdf}: BAR {} is not set up; it is not armed", driver.bar()));
        return None;
    };
    machine.map_device(registers, bytes.max(4096));
    let rmr = machine.rmr_of(smmu, stream_id, driver.rmr_bytes());
    let is_rmr = machine.rmrs_of(smmu, stream_id).next().is_some();
    let is_coherent = machine.is_coherent(bdf);
    Some(Candidate { bdf, driver, registers, smmu, stream_id, is_rmr, rmr, is_coherent })
}

/// Address and length of a BAR, where it has an address.
fn registers(machine: &mut Machine, found: &Found, bar: u8) -> Option<(PhysAddr, u64)> {
    if let Some(physical) = found.physical {
        return pci::sriov::virtual_registers(&mut machine.config, physical, bar).ok()?;
    }
    let mut function = Function::new(&mut machine.config, found.bdf)?;
    let bar = function.memory_bar(bar).ok()?.filter(|bar| bar.address.0 != 0)?;
    Some((bar.address, function.memory_bar_bytes(&bar)))
}

/// Says which RMRs the IORT in force has.
pub(crate) fn describe_rmrs(machine: &Machine) {
    /// One record for each stream; a node may name 65,536 of them.
    const MOST_STREAMS: u32 = 64;
    for range in &machine.platform.rmrs {
        let last = range.last.0.min(range.first.0.saturating_add(MOST_STREAMS - 1));
        for stream_id in range.first.0..=last {
            arch::console::record(&Record::Rmr {
                base: range.base.0,
                bytes: range.bytes,
                smmu: Some(range.smmu as u8),
                stream_id,
                flags: range.flags.0,
            });
        }
    }
}
