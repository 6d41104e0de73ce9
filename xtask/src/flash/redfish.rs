//! The way `redfish`: the BMC reads an image over HTTP, shows it to the board as a drive, and has the board start from it once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use board::{Bmc, Board, Power};

use super::disk::{self, Disk};
use super::payload::{self, Told};
use super::{Piece, disc, fat};
use crate::cli::FlashArgs;
use crate::exit::{Exit, usage};
use crate::lock::Lock;
use crate::redfish::{self, Kind, Service, Wanted};
use crate::run::{self, Progress};
use crate::serve::{File, Http, LOOPBACK, Reads};

/// A BMC that reads piece by piece is served for so long, unless Ctrl-C ends it before.
const SERVED: Duration = Duration::from_secs(1_800);
/// Between two looks.
const TURN: Duration = Duration::from_millis(200);

/// Runs the command.
pub fn run(args: &FlashArgs, board: &Board, lock: Lock) -> anyhow::Result<Exit> {
    let bmc = bmc(board)?;
    if args.to.is_some() || args.yes_erase.is_some() {
        return Err(usage("--to and --yes-erase: redfish writes no drive; the board's file names the BMC"));
    }
    if args.restore {
        return restore(bmc, board);
    }
    payload::needs_uefi(board)?;
    let at = super::serve_at(args.serve, board).unwrap_or(LOOPBACK);
    if at.ip().is_loopback() && !is_loopback(&bmc.url) {
        return Err(usage(format!(
            "the BMC {} cannot read from {}; give --serve the address of this host that it reaches",
            bmc.url,
            at.ip()
        )));
    }
    let told = Told::of(&args.payload, board)?.by(args.image.as_deref())?;
    let progress = Progress::new();
    progress.phase("ask the BMC for its virtual media");
    let service = Service::open(bmc)?;
    let system = service.system()?;
    let drive = redfish::drives(&system)?.remove(0);
    progress.phase("build both images");
    let files = payload::files(&told)?;
    let (image, ending) = image(&files, drive.kind)?;
    // A name of its own for each content: no BMC takes it for one that it has read before.
    let identity = fat::identity(&files).simple().to_string();
    let name = format!("{}{}-{}.{ending}", redfish::PREFIX, board.name, &identity[..8]);
    let reads = Arc::new(Reads::default());
    let http = Http::begin(at, vec![File { name: name.clone(), bytes: image }], &reads)?;
    run::listen()?;
    progress.phase("switch the board off");
    system.switch(Wanted::Off)?;
    progress.phase("insert the image");
    drive.insert(system.client, &http.url(&name))?;
    redfish::start_once(&system, &drive.target)?;
    if !args.leave_off {
        progress.phase("switch the board on");
        system.switch(Wanted::On)?;
    }
    // Others may have the board now: `run`, for one.
    drop(lock);
    // One that has read all of it at once needs it no more.
    let is_copied = || reads.who_has(&name).is_some();
    if !is_copied() {
        progress.phase("the BMC reads the image piece by piece; Ctrl-C when the payload runs");
    }
    let begin = Instant::now();
    while !is_copied() && begin.elapsed() < SERVED && !run::is_stopped() {
        reads.tell(&progress);
        std::thread::sleep(TURN);
    }
    reads.tell(&progress);
    drop(progress);
    let then = if args.leave_off { "the next start, which `run` makes, is" } else { "the board starts" };
    crate::exit::say!("{}: inserted; {then} from it, once ({})", board.name, drive.target);
    Ok(Exit::Pass)
}

/// Takes the image out, and has the board start from what it started from.
fn restore(bmc: &Bmc, board: &Board) -> anyhow::Result<Exit> {
    let service = Service::open(bmc)?;
    let system = service.system()?;
    let drives = redfish::drives(&system)?;
    let ours: Vec<_> = drives.iter().filter(|drive| drive.is_ours()).collect();
    if ours.is_empty() {
        return Err(usage(format!("nothing of this tool is inserted at board {}", board.name)));
    }
    ours.into_iter().try_for_each(|drive| drive.eject(system.client))?;
    redfish::start_as_before(&system)?;
    crate::exit::say!("{}: the image is out", board.name);
    Ok(Exit::Pass)
}

fn bmc(board: &Board) -> anyhow::Result<&Bmc> {
    let own = board.flash.as_ref().and_then(|flash| flash.bmc.as_ref());
    let of_power = match &board.power {
        Some(Power::Redfish(bmc)) => Some(bmc),
        _ => None,
    };
    own.or(of_power).ok_or_else(|| {
        usage(format!("board {}: its file names no BMC; put [power.redfish] or [flash.bmc] into it", board.name))
    })
}

/// The image in the form that the drive takes, and how its name ends.
fn image(files: &[Piece], kind: Kind) -> anyhow::Result<(Vec<u8>, &'static str)> {
    let volume = fat::volume(files)?;
    Ok(match kind {
        Kind::Stick => {
            let smallest = disk::smallest(volume.len());
            let Disk { head, tail, .. } = disk::with_partition(&volume, fat::identity(files), smallest)?;
            ([head, tail].concat(), "img")
        }
        Kind::Disc => (disc::with_volume(&volume), "iso"),
    })
}

fn is_loopback(url: &str) -> bool {
    let host = url.split("://").last().unwrap_or_default();
    ["127.", "localhost", "[::1]"].iter().any(|name| host.starts_with(name))
}
