//! Registers and structure words in words: field names and values, what changed between two, what a reason's numbers say.
//!
//! The layouts are `smmu::spec`'s own; their fields are read from what `Debug` of a bit field shows, so that no second
//! list of names and places exists. No image carries any of this.

pub mod layouts;
pub mod meaning;

use layouts::{Aidr, CmdqCons, CmdqProd, Cr1, EventqCons, EventqProd, Idr3, Iidr, IrqCfg0};
use smmu::spec::cd::{Cd0, Cd1, Cd2, L1Cd};
use smmu::spec::command::opcode;
use smmu::spec::event::{Event0, Event1};
use smmu::spec::registers::{Cr0, Cr2, Gbpa, Gerror, Idr0, Idr1, Idr5, IrqCtrl, QueueBase, StrtabBase, StrtabBaseCfg};
use smmu::spec::ste::{L1Std, Ste0, Ste1, Ste2, Ste3};

/// Bytes of an STE and of a CD: a word's address tells which word it is.
const WORDS: u64 = 8;

/// A field of a register or structure word.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: String,
    value: u64,
    is_address: bool,
}

impl Field {
    fn shown(&self, value: u64) -> String {
        if self.is_address || value > 0xFFFF { format!("{value:#x}") } else { value.to_string() }
    }

    /// With what the value means.
    fn explained(&self, of: &str) -> String {
        let meaning = meaning::of(of, &self.name, self.value).map_or_else(String::new, |words| format!(" ({words})"));
        format!("{} {}{meaning}", self.name, self.shown(self.value))
    }
}

/// What `Debug` of a bit field shows; the register's width is that of its type.
fn shown(name: &str, value: u64) -> Option<String> {
    let low = value as u32;
    Some(match name {
        "IDR0" => format!("{:?}", Idr0::from(low)),
        "IDR1" => format!("{:?}", Idr1::from(low)),
        "IDR3" => format!("{:?}", Idr3::from(low)),
        "IDR5" => format!("{:?}", Idr5::from(low)),
        "IIDR" => format!("{:?}", Iidr::from(low)),
        "AIDR" => format!("{:?}", Aidr::from(low)),
        "CR0" | "CR0ACK" => format!("{:?}", Cr0::from(low)),
        "CR1" => format!("{:?}", Cr1::from(low)),
        "CR2" => format!("{:?}", Cr2::from(low)),
        "GBPA" => format!("{:?}", Gbpa::from(low)),
        "IRQ_CTRL" | "IRQ_CTRLACK" => format!("{:?}", IrqCtrl::from(low)),
        "GERROR" | "GERRORN" => format!("{:?}", Gerror::from(low)),
        "STRTAB_BASE" => format!("{:?}", StrtabBase::from(value)),
        "STRTAB_BASE_CFG" => format!("{:?}", StrtabBaseCfg::from(low)),
        "CMDQ_BASE" | "EVENTQ_BASE" | "PRIQ_BASE" => format!("{:?}", QueueBase::from(value)),
        "CMDQ_PROD" => format!("{:?}", CmdqProd::from(low)),
        "CMDQ_CONS" => format!("{:?}", CmdqCons::from(low)),
        "EVENTQ_PROD" | "PRIQ_PROD" => format!("{:?}", EventqProd::from(low)),
        "EVENTQ_CONS" | "PRIQ_CONS" => format!("{:?}", EventqCons::from(low)),
        "GERROR_IRQ_CFG0" | "EVENTQ_IRQ_CFG0" => format!("{:?}", IrqCfg0::from(value)),
        "L1STD" => format!("{:?}", L1Std::from(value)),
        "L1CD" => format!("{:?}", L1Cd::from(value)),
        "STE0" => format!("{:?}", Ste0::from(value)),
        "STE1" => format!("{:?}", Ste1::from(value)),
        "STE2" => format!("{:?}", Ste2::from(value)),
        "STE3" => format!("{:?}", Ste3::from(value)),
        "CD0" => format!("{:?}", Cd0::from(value)),
        "CD1" => format!("{:?}", Cd1::from(value)),
        "CD2" => format!("{:?}", Cd2::from(value)),
        "EVENT0" => format!("{:?}", Event0::from(value)),
        "EVENT1" => format!("{:?}", Event1::from(value)),
        _ => return None,
    })
}

/// The fields of `value`, lowest first; `None` where no layout is known.
fn fields(name: &str, value: u64) -> Option<Vec<Field>> {
    let shown = shown(name, value)?;
    let inside = shown.split_once('{')?.1.trim_end_matches('}');
    inside.split(',').map(str::trim).filter(|part| !part.is_empty()).map(field).collect()
}

/// `smmuen: true` or `addr_55_6: 4096`: a name that ends in two bit numbers is the upper part of an address.
fn field(part: &str) -> Option<Field> {
    let (name, value) = part.split_once(": ")?;
    let value = match value {
        "true" => 1,
        "false" => 0,
        number => number.parse().ok()?,
    };
    let mut ends = name.rsplitn(3, '_');
    let lowest = ends.next().and_then(|low| low.parse::<u32>().ok());
    let highest = ends.next().and_then(|high| high.parse::<u32>().ok());
    Some(match (lowest, highest, ends.next()) {
        (Some(lowest), Some(_), Some(name)) => {
            Field { name: name.to_uppercase(), value: value << lowest, is_address: true }
        }
        _ => Field { name: name.to_uppercase(), value, is_address: false },
    })
}

/// The fields of `value` that are not 0, or whose 0 means something.
pub fn of(name: &str, value: u64) -> String {
    let Some(fields) = fields(name, value) else { return String::new() };
    let told = |field: &&Field| field.value != 0 || meaning::of(name, &field.name, 0).is_some();
    let words: Vec<String> = fields.iter().filter(told).map(|field| field.explained(name)).collect();
    if words.is_empty() { "all fields 0".into() } else { words.join(", ") }
}

/// What changed, such as `CR0: SMMUEN 1→0, EVENTQEN 1→0`; `None` where nothing did.
pub fn change(name: &str, before: u64, after: u64) -> Option<String> {
    if before == after {
        return None;
    }
    let (Some(old), Some(new)) = (fields(name, before), fields(name, after)) else {
        return Some(format!("{name}: {before:#x}→{after:#x}"));
    };
    let pairs = old.iter().zip(&new).filter(|(old, new)| old.value != new.value);
    let mut words: Vec<String> = pairs.map(|(old, new)| one_change(name, old, new)).collect();
    let undefined = undefined(name, before ^ after);
    if undefined != 0 {
        words.push(format!("bits without a name {:#x}→{:#x}", before & undefined, after & undefined));
    }
    Some(format!("{name}: {}", words.join(", ")))
}

fn one_change(of: &str, old: &Field, new: &Field) -> String {
    let meaning = |field: &Field| meaning::of(of, &field.name, field.value);
    let words = match (meaning(old), meaning(new)) {
        (Some(old), Some(new)) if old != new => format!(" ({old} to {new})"),
        _ => String::new(),
    };
    format!("{} {}→{}{words}", old.name, old.shown(old.value), new.shown(new.value))
}

/// Those of `bits` that no field holds.
fn undefined(name: &str, bits: u64) -> u64 {
    let is_named = |bit: u64| fields(name, bit).is_some_and(|fields| fields.iter().any(|field| field.value != 0));
    (0..64).map(|bit| 1 << bit).filter(|bit| bits & bit != 0 && !is_named(*bit)).sum()
}

/// An entry of the access log: which word of which structure, and its fields.
pub fn access(name: &str, address: u64, value: u64) -> String {
    let word = address / 8 % WORDS;
    match name {
        "STE" | "CD" => {
            let words = if value == 0 { "0".into() } else { of(&format!("{name}{word}"), value) };
            format!("word {word}: {words}").trim_end_matches([' ', ':']).to_owned()
        }
        "CMD" if (address / 8).is_multiple_of(2) => command(value),
        "CMD" => "second half".into(),
        "EVENT" => of(&format!("EVENT{}", address / 8 % 4), value),
        _ => of(name, value),
    }
}

/// First half of a command (IHI 0070, 4.1).
fn command(word: u64) -> String {
    let stream = word >> 32;
    match word as u8 {
        opcode::PREFETCH_CONFIG => format!("PREFETCH_CONFIG StreamID {stream}"),
        opcode::CFGI_STE => format!("CFGI_STE StreamID {stream}"),
        opcode::CFGI_ALL => "CFGI_ALL".into(),
        opcode::CFGI_CD => format!("CFGI_CD StreamID {stream}, substream {}", word >> 12 & 0xF_FFFF),
        opcode::CFGI_CD_ALL => format!("CFGI_CD_ALL StreamID {stream}"),
        opcode::TLBI_NH_ALL => format!("TLBI_NH_ALL VMID {}", stream & 0xFFFF),
        opcode::TLBI_NH_ASID => format!("TLBI_NH_ASID VMID {}, ASID {}", stream & 0xFFFF, word >> 48),
        opcode::TLBI_EL2_ALL => "TLBI_EL2_ALL".into(),
        opcode::TLBI_S12_VMALL => format!("TLBI_S12_VMALL VMID {}", stream & 0xFFFF),
        opcode::TLBI_NSNH_ALL => "TLBI_NSNH_ALL".into(),
        opcode::SYNC => "SYNC".into(),
        other => format!("opcode {other:#x}, which this hardware may not have"),
    }
}

/// What the numbers in a check's reason say, where it names a register or an STE word; `None` for any other reason.
pub fn reason(text: &str) -> Option<String> {
    if let Some((_, rest)) = text.split_once("STE word ") {
        let (word, rest) = rest.split_once(" was ")?;
        let (before, after) = rest.split_once(", is ")?;
        return change(&format!("STE{word}"), hex(before)?, hex(after)?);
    }
    if let Some((before, after)) = text.split_once(" was written with ") {
        let name = before.rsplit(' ').next()?;
        let value = hex(after)?;
        return fields(name, value).map(|_| format!("{name}: {}", of(name, value)));
    }
    if let Some((before, value)) = text.split_once(" holds ") {
        let (rule, place) = before.rsplit_once(": ")?;
        return refused(rule.rsplit(": ").next()?, place, hex(value)?);
    }
    let errors = hex(text.split_once("errors ")?.1)?;
    Some(format!("GERROR: {}", of("GERROR", errors)))
}

/// What a table was refused for: the register is named, the structure follows from the rule.
fn refused(rule: &str, place: &str, value: u64) -> Option<String> {
    let Some(at) = hex(place) else { return fields(place, value).map(|_| format!("{place}: {}", of(place, value))) };
    let structure = match rule {
        "l1-span" | "l2-null" | "l2-alignment" => "L1STD",
        "ste-config" | "vmid" | "cd-table-null" | "cd-table-size" | "cd-table-format" | "cd-table-alignment" => "STE",
        "cd-leaf" => "L1CD",
        "asid" => "CD",
        _ => return None,
    };
    Some(format!("{structure}: {}", access(structure, at, value)))
}

/// The number that `text` begins with.
pub fn hex(text: &str) -> Option<u64> {
    let digits = text.trim_start().strip_prefix("0x")?;
    let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
    u64::from_str_radix(&digits[..end], 16).ok()
}

#[cfg(test)]
mod tests;
