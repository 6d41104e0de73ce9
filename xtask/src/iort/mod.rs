//! `cargo xtask iort`: what an IORT says, what is wrong with it, and where a device's IDs go.
//!
//! `input` finds tables in files, `answer` reads one, and `tree`, `json` and `draw` each print one way.

mod answer;
pub mod describe;
mod draw;
pub mod dump;
pub mod input;
mod json;
#[cfg(test)]
pub mod tests;
mod tree;

use std::io::{ErrorKind, Write};

use anyhow::Context;

use crate::cli::IortArgs;
use crate::exit::Exit;
use answer::Answer;

/// An input ID to ask about: a node by its index, and the ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeInput {
    /// Index of the node in table order.
    pub node: u32,
    /// The ID.
    pub id: u32,
}

impl NodeInput {
    /// Reads `NODE:ID`, each decimal or, after `0x`, hexadecimal.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        let (node, id) = text.split_once(':').ok_or("want NODE:ID, as in 3:0x100")?;
        match (number(node), number(id)) {
            (Some(node), Some(id)) => Ok(Self { node, id }),
            _ => Err("want NODE:ID, each below 2^32, as in 3:0x100".into()),
        }
    }
}

/// Runs the command. The status is that of the worst table.
pub fn run(args: &IortArgs) -> anyhow::Result<Exit> {
    let mut worst = Exit::Pass;
    // A reader that went away is no fault of the tables: the status still tells what they are.
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for file in &args.files {
        for input in input::read(file) {
            let answer = Answer::new(&input, args);
            worst = worst.max(answer.exit());
            let written = out.write_all(render(&answer, args).as_bytes()).and_then(|()| out.flush());
            if let Err(error) = written
                && error.kind() != ErrorKind::BrokenPipe
            {
                return Err(error).context("cannot write the answer");
            }
        }
    }
    Ok(worst)
}

fn render(answer: &Answer<'_>, args: &IortArgs) -> String {
    if args.json {
        json::line(answer)
    } else if args.dot {
        draw::dot(answer)
    } else if args.svg {
        draw::svg(answer)
    } else {
        tree::text(answer)
    }
}
