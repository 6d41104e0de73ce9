//! `cargo xtask boards`: which there are, what is wrong with their files, and the beginning of a new one.

mod check;
mod facts;
mod new;
mod source;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use board::Board;

use crate::cli::{BoardsArgs, BoardsCommand};
use crate::exit::{Exit, say, usage};
use crate::workspace;

/// Runs the command.
pub fn run(args: &BoardsArgs) -> anyhow::Result<Exit> {
    match &args.command {
        None => list(),
        Some(BoardsCommand::Check { boards }) => check::run(boards),
        Some(BoardsCommand::New(args)) => new::run(args),
    }
}

/// The folder of all boards.
pub fn folder() -> PathBuf {
    workspace::root().join("board-configs")
}

/// Reads a board: a known one by its name, or a lab's by its file.
pub fn load(name: &str) -> anyhow::Result<Board> {
    board::load(&folder(), name).map_err(|error| usage(error.to_string()))
}

fn names() -> anyhow::Result<Vec<String>> {
    board::names(&folder()).map_err(|error| usage(error.to_string()))
}

fn list() -> anyhow::Result<Exit> {
    let boards = names()?.iter().map(|name| load(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let width = boards.iter().map(|board| board.name.len()).max().unwrap_or(0);
    for board in &boards {
        say!("{:<width$} {:<11} {}", board.name, board.evidence.to_string(), board.description);
        for endpoint in &board.endpoints {
            let rmr = board.rmr.filter(|rmr| rmr.bdf == endpoint.bdf).map_or("", |_| ", in an RMR");
            say!("{:<width$} {} {}{rmr}", "", endpoint.bdf, endpoint.driver);
        }
    }
    Ok(Exit::Pass)
}
