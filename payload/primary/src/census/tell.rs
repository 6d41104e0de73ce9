//! What a census saw, as records: who, what of it, and by which name.

use super::{Recorded, Seen, note};
use crate::machine::Machine;
use addr::StreamId;
use alloc::{
    format,
    string::{String, ToString},
};
use arch::console;
use pci::{Command, Found, Function};
use smmu::{
    census::{Census, Mark, Watched},
    event,
};
use wire::Record;

/// The functions that a StreamID belongs to: several behind a bridge may share one.
fn functions_of<'a>(machine: &'a Machine, functions: &'a [Found], seen: &Seen) -> impl Iterator<Item = &'a Found> {
    let key = seen.stream_id.map(|stream_id| (usize::from(seen.smmu), stream_id));
    functions.iter().filter(move |found| key.is_some() && machine.stream_of(found.requester) == key)
}

/// The first of them.
fn function_of<'a>(machine: &'a Machine, functions: &'a [Found], seen: &Seen) -> Option<&'a Found> {
    functions_of(machine, functions, seen).next()
}

/// Its address as text; empty where there is none.
fn bdf_of(machine: &Machine, functions: &[Found], smmu: u8, stream_id: Option<StreamId>) -> String {
    let key = Seen { smmu, stream_id, first: 0, last: 0, events: 0 };
    function_of(machine, functions, &key).map_or_else(String::new, |found| found.bdf.to_string())
}

pub(super) fn name_of(machine: &Machine, functions: &[Found], seen: &Seen) -> String {
    let Seen { smmu, stream_id, .. } = seen;
    let mut names = String::new();
    for found in functions_of(machine, functions, seen) {
        names += if names.is_empty() { "" } else { " or " };
        names += &found.bdf.to_string();
    }
    match stream_id {
        Some(stream_id) if names.is_empty() => format!("StreamID {stream_id} of SMMU {smmu}, which is no function's,"),
        Some(stream_id) => format!("{names} (StreamID {stream_id})"),
        None => format!("a StreamID of SMMU {smmu} that has no tables of its own"),
    }
}

/// Records for every function, every stranger, and every kind of event.
pub(super) fn requesters(
    machine: &mut Machine,
    functions: &[Found],
    watched: &[Watched],
    recorded: &Recorded,
    (run, cycle, began): (u32, u32, u64),
) {
    for found in functions {
        let key = machine.stream_of(found.requester);
        let is_pooled = key.is_some_and(|(smmu, stream_id)| {
            let census = watched.get(smmu).and_then(Watched::census);
            census.is_some_and(|census| !census.knows(stream_id))
        });
        if is_pooled {
            console::record(&Record::Pooled { run, cycle, bdf: &found.bdf.to_string() });
        }
        let function = Function::new(&mut machine.config, found.bdf);
        let bus_master = function.is_some_and(|mut function| function.command().contains(Command::BUS_MASTER));
        let is_own = |seen: &&Seen| key.is_some() && key == seen.stream_id.map(|id| (usize::from(seen.smmu), id));
        let seen = recorded.seen.iter().find(is_own);
        console::record(&Record::Requester {
            run,
            cycle,
            bdf: &found.bdf.to_string(),
            requester: &found.requester.to_string(),
            bus_master,
            answers: true,
            first_dma: None,
            last_dma: None,
            first_attempt: seen.map(|seen| seen.first.saturating_sub(began)),
            last_attempt: seen.map(|seen| seen.last.saturating_sub(began)),
            stopped: None,
        });
    }
    for seen in &recorded.seen {
        if function_of(machine, functions, seen).is_none() {
            let Seen { smmu, stream_id: Some(StreamId(stream_id)), first, last, events } = *seen else { continue };
            let (first, last) = (first.saturating_sub(began), last.saturating_sub(began));
            console::record(&Record::Stranger { run, cycle, smmu, stream_id, first, last, events });
        }
    }
    for (smmu, watched) in (0_u8..).zip(watched) {
        for row in watched.refused().rows() {
            let bdf = bdf_of(machine, functions, smmu, Some(row.stream));
            console::record(&Record::Event {
                run,
                cycle,
                smmu,
                id: row.id,
                name: event::name(row.id),
                stream_id: row.stream.0,
                bdf: &bdf,
                input_address: row.page.map_or(0, |page| page.0),
                read: row.read.unwrap_or(false),
                count: u64::from(row.count),
            });
        }
    }
}

/// Records for every block that was used; and whose it was is added to what was seen.
pub(super) fn marks(
    machine: &Machine,
    functions: &[Found],
    watched: &[Watched],
    recorded: &mut Recorded,
    (run, cycle, began): (u32, u32, u64),
) {
    for (smmu, watched) in (0..).zip(watched) {
        for mark in watched.census().into_iter().flat_map(Census::marks) {
            let Mark { stream, address, bytes, written, first, last, scans } = *mark;
            let bdf = bdf_of(machine, functions, smmu, stream);
            recorded.is_lossy |= !note(&mut recorded.seen, Seen { smmu, stream_id: stream, first, last, events: 0 });
            console::record(&Record::Mark {
                run,
                cycle,
                smmu,
                stream_id: stream.map(|stream| stream.0),
                bdf: &bdf,
                address: address.0,
                bytes,
                written,
                first: first.saturating_sub(began),
                last: last.saturating_sub(began),
                scans,
            });
        }
    }
}
