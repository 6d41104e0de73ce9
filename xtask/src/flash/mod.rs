//! `cargo xtask flash`: what a board needs, brought to it by one of the ways.

mod backup;
mod disk;
mod drive;
mod esp;
mod fat;
mod folder;
mod meter;
mod payload;
#[cfg(test)]
mod tests;

use clap::ValueEnum;

use crate::cli::FlashArgs;
use crate::exit::Exit;
use crate::{boards, lock};

/// A way to a board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// An EFI System Partition: a folder, a removable drive, or a file that is an image of one
    #[default]
    Esp,
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
    let _lock = lock::board(&board.name)?;
    match args.via {
        Way::Esp => esp::run(args, &board),
    }
}

/// Bytes of all of them.
fn bytes(pieces: &[Piece]) -> u64 {
    pieces.iter().filter_map(|piece| piece.bytes.as_ref()).map(|bytes| bytes.len() as u64).sum()
}
