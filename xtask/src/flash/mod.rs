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
pub mod netboot;
mod payload;
mod redfish;
mod settings;
mod ssh;
#[cfg(test)]
mod tests;
pub mod uboot;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use payload::{BOOT_FILE, BUNDLE_FILE, IORT_FILE, OPTIONS_FILE, one_a_line};
pub use settings::Settings;

use board::{Board, Serve};
use clap::ValueEnum;

use crate::cli::{FlashArgs, PayloadArgs};
use crate::exit::{Exit, usage};
use crate::{boards, lock, serve};

/// A way to a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// An EFI System Partition: a folder, a removable drive, or a file that is an image of one
    Esp,
    /// UEFI HTTP boot, or PXE, from a server in this command
    Netboot,
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
    let way = way(args.via, &board);
    // What the board says of one way says nothing of another.
    let own = own_target(&board).filter(|_| self::way(None, &board) == way);
    let args = &FlashArgs { to: args.to.clone().or_else(|| own.map(PathBuf::from)), ..args.clone() };
    if args.image.is_some() && way == Way::Netboot {
        return Err(usage("--image: the way netboot puts the options into the image, which no signature outlives"));
    }
    match way {
        Way::Esp => esp::run(args, &board),
        Way::Redfish => redfish::run(args, &board, lock),
        Way::Netboot => netboot::run(args, &board, target(args)?, lock),
        Way::Uboot => uboot::run(args, &board, target(args)?),
        Way::Ssh => ssh::run(args, &board, target(args)?),
        Way::Command => command::run(args, &board, target(args)?),
    }
}

/// The command line's word goes over the board's; without either it is `esp`.
pub fn way(via: Option<Way>, board: &Board) -> Way {
    via.unwrap_or(match board.flash.as_ref().map(|flash| flash.way) {
        None | Some(board::Way::Esp) => Way::Esp,
        Some(board::Way::Netboot) => Way::Netboot,
        Some(board::Way::Redfish) => Way::Redfish,
        Some(board::Way::Uboot) => Way::Uboot,
        Some(board::Way::Ssh) => Way::Ssh,
        Some(board::Way::Command) => Way::Command,
    })
}

/// Where this host serves what is fetched, by the command line or else by the board's file.
pub fn serve_at(given: Option<Serve>, board: &Board) -> Option<SocketAddr> {
    given.or_else(|| board.flash.as_ref()?.serve).map(|serve| serve.0)
}

/// The port of TFTP, by the same.
pub fn tftp_port(given: Option<u16>, board: &Board) -> u16 {
    given.or_else(|| board.flash.as_ref()?.tftp_port).unwrap_or(serve::TFTP_PORT)
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

/// Refuses a kernel where one file alone gets to the board.
///
/// # Errors
/// One is asked for.
pub fn without_kernel(args: &PayloadArgs, way: &str) -> anyhow::Result<()> {
    match &args.kernel.kernel {
        None => Ok(()),
        Some(kernel) => Err(usage(format!(
            "--kernel {}: {way} brings one file, and no kernel beside it; esp, redfish, ssh and command do",
            kernel.display()
        ))),
    }
}

/// Bytes of all of them.
fn bytes(pieces: &[Piece]) -> u64 {
    pieces.iter().filter_map(|piece| piece.bytes.as_ref()).map(|bytes| bytes.len() as u64).sum()
}
