//! Why a mutant has no effect, where it has none. Whatever is not listed here must be caught.

use model::Mutation;

/// Steps in which what is written is set up behind a disable, so that its order does not matter before the enable.
const BEHIND_A_DISABLE: [&str; 6] =
    ["adopt.cmdq", "reset.attributes", "reset.strtab", "reset.cmdq", "reset.evtq", "reset.priq"];

/// The reason, if there is one.
pub(crate) fn reason(action: &str, mutation: Mutation) -> Option<&'static str> {
    let (step, what) = action.split_once(": ")?;
    let (name, value) = what.split_once(' ').unwrap_or((what, ""));
    match mutation {
        Mutation::Double => Some("the same value again"),
        Mutation::Swap => swapped(step, name),
        Mutation::Drop => match (step, name, value) {
            ("adopt.enable", "CR0", _) => Some("the value that is in force already"),
            ("adopt.gerror", "GERRORN", "0x4") => Some("an EVENTQ_ABT_ERR stays active, and the queue is off"),
            (_, "CMD", "0x0") => Some("fresh memory holds zeroes"),
            ("reset.new-table", "STE", "0x1") => Some("V=0 blocks as well, with an event"),
            ("reset.new-table", "publish-structure", _) => Some("the doorbell's barrier comes before SMMUEN too"),
            _ => None,
        },
        Mutation::Alter(_) => match (step, name, value) {
            (_, "CMD", "0x0") => Some("a word that the command does not use"),
            (_, "CMD", "0x1f") => Some("a range of 2^24 StreamIDs or more: all that there are"),
            (_, "IRQ_CTRL", _) => Some("bits that do not exist"),
            (_, "CR0", "0x1" | "0x9" | "0xd") => Some("PRIQEN, where IDR0.PRI is 0"),
            ("reset.new-table", "STE", "0x1") => Some("V=0 and Config 0b001 block as well"),
            ("reset.new-table", "L1STD", _) => Some("half of the level 2, which holds all streams"),
            _ => None,
        },
    }
}

/// Done after the access that follows: harmless where nothing between here and the next wait depends on it.
fn swapped(step: &str, name: &str) -> Option<&'static str> {
    Some(match name {
        "CR0" | "IRQ_CTRL" => "one poll later, and the poll waits for it",
        "CMDQ_PROD" if step.ends_with("invalidate") => "one poll later, and the poll waits for it",
        "CMD" => "still before the doorbell",
        "GERRORN" => "still before CMDQEN",
        "GERROR_IRQ_CFG0" | "EVENTQ_IRQ_CFG0" | "PRIQ_IRQ_CFG0" => "still before the interrupt is enabled",
        "STE" | "L1STD" | "publish-structure" if step == "reset.new-table" => "the table is not live yet",
        _ if BEHIND_A_DISABLE.contains(&step) => "still before the enable",
        _ => return None,
    })
}
