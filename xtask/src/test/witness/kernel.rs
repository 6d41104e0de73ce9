//! A kernel that was watched, against QEMU's trace: each of its register accesses, in order, with value and size.

use std::ops::Range;

use serde_json::Value;

use super::claim::hex;
use super::trace::{Entry, Reg};

/// Offset of SMMU_CR0, as in the parent.
const CR0: u64 = super::CR0;

/// A register access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    is_write: bool,
    register: Reg,
}

/// What is claimed of a kernel.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    /// All of its register accesses, each of a poll by itself.
    pub accesses: Vec<Access>,
    /// Of these, up to the end of its takeover.
    pub taken_over: usize,
}

/// Places in the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// From the kernel's first access to the end of its takeover.
    pub blackout: Range<usize>,
    /// From there until it turned the SMMU off, or to its last access.
    pub after: Range<usize>,
}

impl Kernel {
    /// Reads the run of a report; nothing where no kernel was watched.
    pub fn from_run(run: &Value) -> Result<Option<Self>, String> {
        let Some(witness) = run.get("witness") else { return Ok(None) };
        let end = witness["taken_over"].as_u64();
        let mut kernel = Self::default();
        for access in run["access_log"].as_array().ok_or("the report has no access_log")? {
            let count = access["count"].as_u64().ok_or("an access has no count")?;
            let one = one(access)?;
            kernel.accesses.extend(one.into_iter().flat_map(|one| (0..count).map(move |_| one)));
            if access["index"].as_u64() == end {
                kernel.taken_over = kernel.accesses.len();
            }
        }
        Ok(Some(kernel))
    }

    /// Finds the accesses in a trace, where they must stand one behind the other; the error is the first that differs.
    pub fn find(&self, trace: &[Entry]) -> Result<Places, String> {
        let seen: Vec<(usize, Access)> =
            trace.iter().enumerate().filter_map(|(at, it)| Some((at, seen(it)?))).collect();
        if self.accesses.is_empty() {
            return Err("the access log has no register access of the kernel".into());
        }
        let agrees = |start: usize| {
            let pairs = seen[start..].iter().zip(&self.accesses);
            pairs.take_while(|((_, seen), logged)| seen == *logged).count()
        };
        let best = (0..seen.len()).max_by_key(|start| agrees(*start)).ok_or("the trace has no register access")?;
        let same = agrees(best);
        if same < self.accesses.len() {
            let told = |access: Option<&Access>| access.map_or_else(|| "nothing".to_owned(), Access::words);
            let (seen, logged) = (seen.get(best + same).map(|(_, seen)| seen), self.accesses.get(same));
            let (seen, logged, all) = (told(seen), told(logged), self.accesses.len());
            return Err(format!(
                "access {same} of the kernel, of {all}: the trace has {seen}, the access log {logged}"
            ));
        }
        let place = |access: usize| seen.get(best + access).map_or(trace.len(), |(at, _)| *at);
        let taken = self.taken_over.max(1) - 1;
        let off = self.accesses.iter().enumerate().skip(taken + 1).find(|(_, access)| access.turns_off());
        let end = off.map_or(self.accesses.len() - 1, |(index, _)| index);
        let middle = place(taken) + 1;
        Ok(Places { blackout: place(0)..middle, after: middle..place(end).max(middle) })
    }
}

impl Access {
    const fn turns_off(&self) -> bool {
        self.is_write && self.register.offset == CR0 && self.register.value & 1 == 0
    }

    fn words(&self) -> String {
        let Reg { offset, value, bytes } = self.register;
        let kind = if self.is_write { "write" } else { "read" };
        format!("a {kind} of {bytes} bytes at {offset:#x}, {value:#x}")
    }
}

fn seen(entry: &Entry) -> Option<Access> {
    match *entry {
        Entry::Read(register) => Some(Access { is_write: false, register }),
        Entry::Write(register) => Some(Access { is_write: true, register }),
        Entry::Dma { .. } => None,
    }
}

/// An entry of the log, where it is a register access.
fn one(access: &Value) -> Result<Option<Access>, String> {
    let (is_write, bytes) = match access["kind"].as_str().ok_or("an access has no kind")? {
        "read32" => (false, 4),
        "read64" => (false, 8),
        "write32" => (true, 4),
        "write64" => (true, 8),
        _ => return Ok(None),
    };
    if access["smmu"] != 0 {
        return Err(format!("SMMU {}: QEMU's trace does not tell one SMMU from another", access["smmu"]));
    }
    let offset = hex(&access["address"])? & !super::trace::PAGE_1;
    Ok(Some(Access { is_write, register: Reg { offset, value: hex(&access["value"])?, bytes } }))
}
