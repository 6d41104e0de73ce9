//! Logs in words: one access a line, or several between semicolons.

use super::*;
use crate::access::{Barrier, Structure};
use crate::log::Op;
use crate::spec::registers as reg;

fn number(text: &str) -> u64 {
    let parsed = text.strip_prefix("0x").map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16));
    parsed.unwrap_or_else(|_| panic!("no number: {text}"))
}

fn register(name: &str) -> u64 {
    let offset = (0..0x1_0100).step_by(4).find(|offset| reg::name(*offset) == name);
    offset.map_or_else(|| number(name), u64::from)
}

fn structure(name: &str) -> Structure {
    match name {
        "l1" => Structure::L1Std,
        "ste" => Structure::Ste,
        "l1cd" => Structure::L1Cd,
        "cd" => Structure::Cd,
        "cmd" => Structure::Command,
        "pte" => Structure::Pte,
        _ => panic!("no structure: {name}"),
    }
}

/// One access of one kind.
pub(super) fn entry(op: Op, what: What, address: u64, value: u64) -> Entry {
    Entry { ticks: 0, smmu: SMMU, op, what, address, value, count: 1, stride: 0, unbacked: false }
}

/// `R W R64 W64` register value; `S L` structure address value; `F` structure address stride count value; `B` barrier;
/// `CMD` index word word: a command in the queue at 0x50000000; `GO` prod: barrier and doorbell; `DONE` cons.
pub(super) fn log(text: &str) -> Vec<Entry> {
    text.split(['\n', ';']).map(str::trim).filter(|line| !line.is_empty()).flat_map(line).collect()
}

fn line(line: &str) -> Vec<Entry> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let register = |op| vec![entry(op, What::Register, register(words[1]), number(words[2]))];
    let memory = |op| vec![entry(op, What::Structure(structure(words[1])), number(words[2]), number(words[3]))];
    let barrier = |barrier| entry(Op::Barrier, What::Barrier(barrier), 0, 0);
    match words[0] {
        "R" => register(Op::RegRead32),
        "W" => register(Op::RegWrite32),
        "R64" => register(Op::RegRead64),
        "W64" => register(Op::RegWrite64),
        "L" => memory(Op::Load),
        "S" => memory(Op::Store),
        "F" => {
            let fill = entry(Op::Fill, What::Structure(structure(words[1])), number(words[2]), number(words[5]));
            vec![Entry { stride: number(words[3]) as u32, count: number(words[4]) as u32, ..fill }]
        }
        "B" if words[1] == "publish" => vec![barrier(Barrier::PublishStructure)],
        "B" if words[1] == "doorbell" => vec![barrier(Barrier::BeforeDoorbell)],
        "CMD" => {
            let at = 0x5000_0000 + number(words[1]) * 16;
            let store = |at, word| entry(Op::Store, What::Structure(Structure::Command), at, number(word));
            vec![store(at, words[2]), store(at + 8, words[3])]
        }
        "GO" => {
            let doorbell = entry(Op::RegWrite32, What::Register, reg::CMDQ_PROD.into(), number(words[1]));
            vec![barrier(Barrier::BeforeDoorbell), doorbell]
        }
        "DONE" => vec![entry(Op::RegRead32, What::Register, reg::CMDQ_CONS.into(), number(words[1]))],
        _ => panic!("no access: {line}"),
    }
}

/// A command and CMD_SYNC at entries `index` and `index`+1, handed over and complete.
pub(super) fn synced(index: u64, low: u64, high: u64) -> String {
    format!("CMD {index} {low:#x} {high:#x}; CMD {} 0xfc02046 0; GO {}; DONE {}\n", index + 1, index + 2, index + 2)
}
