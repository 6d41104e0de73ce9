//! What a census saw, as records: who, what of it, and by which name.

use super::{Recorded, Seen, Watched, note};
use crate::machine::Machine;
use addr::StreamId;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use arch::console;
use pci::{Command, Found, Function};
use smmu::{
    census::{Census, Mark},
    event,
};
use wire::Record;

/// The function that a StreamID belongs to.
fn function_of<'a>(machine: &Machine, functions: &'a [Found], seen: &Seen) -> Option<&'a Found> {
    let key = (usize::from(seen.smmu), seen.stream_id?);
    functions.iter().find(|found| machine.stream_of(found.requester) == Some(key))
}

/// Its address as text; empty where there is none.
fn bdf_of(machine: &Machine, functions: &[Found], smmu: u8, stream_id: Option<StreamId>) -> String {
    let key = Seen { smmu, stream_id, first: 0, last: 0, events: 0 };
    function_of(machine, functions, &key).map_or_else(String::new, |found| found.bdf.to_string())
}

pub(super) fn name_of(machine: &Machine, functions: &[Found], seen: &Seen) -> String {
    let Seen { smmu, stream_id, .. } = seen;
    match (function_of(machine, functions, seen), stream_id) {
        (Some(found), Some(stream_id)) => format!("{} (StreamID {stream_id})", found.bdf),
        (_, Some(stream_id)) => format!("StreamID {stream_id} of SMMU {smmu}, which is no function's,"),
        (_, None) => format!("a StreamID of SMMU {smmu} that is no function's"),
    }
}

/// Records for every function, every stranger, and every kind of event.
pub(super) fn requesters(
    machine: &mut Machine,
    functions: &[Found],
    recorded: &Recorded,
    (run, cycle, began): (u32, u32, u64),
) {
    for found in functions {
        let function = Function::new(&mut machine.config, found.bdf);
        let bus_master = function.is_some_and(|mut function| function.command().contains(Command::BUS_MASTER));
        let is_own = |seen: &&Seen| function_of(machine, functions, seen).is_some_and(|own| own.bdf == found.bdf);
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
    for (smmu, counts) in (0_u8..).zip(&recorded.counts) {
        for row in counts.rows() {
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

/// Records for every block that was used; and whose it was is put into `seen`.
pub(super) fn marks(
    machine: &Machine,
    functions: &[Found],
    watched: &[Watched],
    seen: &mut Vec<Seen>,
    (run, cycle, began): (u32, u32, u64),
) {
    for (smmu, (_, census)) in (0..).zip(watched) {
        for mark in census.iter().flat_map(Census::marks) {
            let Mark { stream, address, bytes, written, first, last, scans } = *mark;
            let bdf = bdf_of(machine, functions, smmu, stream);
            // At most as many streams as domains: there is room.
            note(seen, Seen { smmu, stream_id: stream, first, last, events: 0 });
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
