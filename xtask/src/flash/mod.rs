//! `cargo xtask flash`: what a board needs, brought to it by one of the ways.

mod backup;
mod command;
mod disc;
mod disk;
mod drive;
mod esp;
mod fat;
mod folder;
mod meter;
mod payload;
mod redfish;
mod ssh;
#[cfg(test)]
mod tests;
pub mod uboot;

use std::path::PathBuf;

use board::Board;
use clap::ValueEnum;

use crate::cli::FlashArgs;
use crate::exit::{Exit, usage};
use crate::{boards, lock};

/// A way to a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// An EFI System Partition: a folder, a removable drive, or a file that is an image of one
    Esp,
    /// U-Boot's prompt, over the board's console, into memory
    Uboot,
    /// A Linux that runs on the board, and its EFI System Partition
    Ssh,
    /// The lab's own command, which the board's file names
    Command,
    /// Virtual media of a BMC, by Redfish
    Redfish,
}

/// What is to be at one place of a target: nothing there before it is flashed, or all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// A file's path below the folder, `/` between its names; on a drive the first byte, in decimal.
    pub at: String,
    /// What is there. `None`: nothing may be there, such as a table of an earlier time.
    pub bytes: Option<Vec<u8>>,
}

/// Runs the command.
pub fn run(args: &FlashArgs) -> anyhow::Result<Exit> {
    let board = boards::load(&args.board)?;
    let lock = lock::board(&board.name)?;
    let way = way(args.via, &board)?;
    // What the board says of one way says nothing of another.
    let own = own_target(&board).filter(|_| self::way(None, &board).is_ok_and(|its| its == way));
    let args = &FlashArgs { to: args.to.clone().or_else(|| own.map(PathBuf::from)), ..args.clone() };
    match way {
        Way::Esp => esp::run(args, &board),
        Way::Redfish => redfish::run(args, &board, lock),
        Way::Uboot => uboot::run(args, &board, target(args)?),
        Way::Ssh => ssh::run(args, &board, target(args)?),
        Way::Command => command::run(args, &board, target(args)?),
    }
}

/// The command line's word goes over the board's; without either it is `esp`.
pub fn way(via: Option<Way>, board: &Board) -> anyhow::Result<Way> {
    match (via, board.flash.as_ref().map(|flash| flash.way)) {
        (Some(way), _) => Ok(way),
        (None, None | Some(board::Way::Esp)) => Ok(Way::Esp),
        (None, Some(board::Way::Redfish)) => Ok(Way::Redfish),
        (None, Some(board::Way::Uboot)) => Ok(Way::Uboot),
        (None, Some(board::Way::Ssh)) => Ok(Way::Ssh),
        (None, Some(board::Way::Command)) => Ok(Way::Command),
        (None, Some(other)) => Err(usage(format!("board {}: the way {other:?} is not built yet", board.name))),
    }
}

/// Where to, in text.
fn target(args: &FlashArgs) -> anyhow::Result<Option<&str>> {
    let wrong = |to: &PathBuf| usage(format!("--to {}: is no text", to.display()));
    args.to.as_ref().map(|to| to.to_str().ok_or_else(|| wrong(to))).transpose()
}

/// Where to, as the board says.
pub fn own_target(board: &Board) -> Option<String> {
    board.flash.as_ref().and_then(|flash| flash.to.clone())
}

/// Bytes of all of them.
fn bytes(pieces: &[Piece]) -> u64 {
    pieces.iter().filter_map(|piece| piece.bytes.as_ref()).map(|bytes| bytes.len() as u64).sum()
}
