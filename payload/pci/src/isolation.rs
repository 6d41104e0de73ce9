//! Is the path from a function to the SMMU isolated: does every request of it, and none of another's under its name, get there?

use crate::capability::express;
use crate::state::{Has, State, Word};
use addr::Bdf;

/// Access control services that isolate a path: Source Validation, P2P Request Redirect, P2P Completion Redirect, Upstream
/// Forwarding (PCI Express Base 6.0, 6.12.1; 7.7.11.2).
const NEEDED: [(u32, &str); 4] = [
    (1 << 0, "Source Validation"),
    (1 << 2, "P2P Request Redirect"),
    (1 << 3, "P2P Completion Redirect"),
    (1 << 4, "Upstream Forwarding"),
];

/// What a path lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A bridge to a conventional bus: its devices reach each other, and share a name above it.
    Conventional,
    /// Requests may turn round there: it has no access control services.
    NoAcs,
    /// They are there, and some that it takes are off: ACS Control bits.
    Off(u32),
    /// It leads nowhere that was seen.
    Unknown,
}

/// Where the path of a function is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// The function or port.
    pub at: Bdf,
    /// What it lacks.
    pub lack: Lack,
}

impl core::fmt::Display for Open {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let at = self.at;
        match self.lack {
            Lack::Conventional => write!(f, "{at}: conventional bus"),
            Lack::NoAcs => write!(f, "{at}: no ACS"),
            Lack::Unknown => write!(f, "{at}: no bridge leads there"),
            Lack::Off(bits) => {
                write!(f, "{at}: ACS off:")?;
                NEEDED.iter().filter(|(bit, _)| bits & bit != 0).try_for_each(|(_, name)| write!(f, " {name}"))
            }
        }
    }
}

/// Walks from `bdf` to its root bus. `all` are the functions that were found.
///
/// # Errors
/// The first place where the path is open.
pub fn isolation(all: &[(Bdf, State)], bdf: Bdf) -> Result<(), Open> {
    let mut at = bdf;
    // A path has no more bridges than there are bus numbers.
    for _ in 0..=u8::MAX {
        let open = |lack| Err(Open { at, lack });
        let Some((_, state)) = all.iter().find(|(known, _)| *known == at) else { return open(Lack::Unknown) };
        let Some(kind) = state.kind() else { return open(Lack::Conventional) };
        let is_asked = match u16::from(kind) {
            express::TYPE_ROOT_PORT | express::TYPE_DOWNSTREAM_PORT => true,
            express::TYPE_TO_PCI_BRIDGE | express::TYPE_FROM_PCI_BRIDGE => return open(Lack::Conventional),
            // Of a device with one function nothing can turn round in it.
            _ => state.is_multi_function(),
        };
        let is_port = matches!(u16::from(kind), express::TYPE_ROOT_PORT | express::TYPE_DOWNSTREAM_PORT);
        if is_asked {
            if !state.has().contains(Has::ACS) {
                return open(Lack::NoAcs);
            }
            let needed = NEEDED.iter().fold(0, |bits, (bit, _)| bits | bit);
            // What a function does not implement it need not do; a port must have them all (6.12.1.1).
            let (can, does) = (state.word(Word::Acs), state.word(Word::Acs) >> 16);
            let off = (if is_port { needed } else { needed & can }) & !does;
            if off != 0 {
                return open(Lack::Off(off));
            }
        }
        let above = all.iter().find(|(other, state)| {
            let leads = state.buses().is_some_and(|(secondary, _)| secondary == at.bus() && secondary > other.bus());
            leads && other.segment == at.segment
        });
        match above {
            Some((bridge, _)) => at = *bridge,
            None => return Ok(()),
        }
    }
    Err(Open { at, lack: Lack::Unknown })
}

#[cfg(test)]
mod tests;
