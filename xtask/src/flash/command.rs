//! The way `command`: a lab's own script brings the files to the board. What it is told stands in its environment (README).

use std::path::Path;
use std::time::Duration;

use board::Board;

use super::folder::Folder;
use super::payload::{self, BOOT_FILE, BUNDLE_FILE, IORT_FILE, OPTIONS_FILE, Told};
use crate::cli::FlashArgs;
use crate::exit::{Exit, usage};
use crate::run::{self, Progress};
use crate::{build, child};

/// A script that has no end by then has none.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Runs the command.
pub fn run(args: &FlashArgs, board: &Board, to: Option<&str>) -> anyhow::Result<Exit> {
    let Some(words) = board.flash.as_ref().and_then(|flash| flash.command.as_deref()) else {
        let name = &board.name;
        return Err(usage(format!("board {name}: the way command needs `[flash] command = [\"…\"]` in its file")));
    };
    let to = to.unwrap_or_default();
    let action = if args.restore { "restore" } else { "flash" };
    let mut variables = vec![("INFLIGHT_BOARD", &*board.name), ("INFLIGHT_ACTION", action), ("INFLIGHT_TO", to)];
    if args.restore {
        run::listen()?;
        child::run_shown(words, &variables, DEADLINE)?;
        crate::exit::say!("the command of board {} has put back what was there", board.name);
        return Ok(Exit::Pass);
    }
    let told = Told::of(&args.payload, board)?.by(args.image.as_deref())?;
    let progress = Progress::new();
    progress.phase("build both images");
    let files = payload::files(&told)?;
    let raw = build::images()?.raw;
    // It lives as long as the command.
    let folder = tempfile::Builder::new().prefix("inflight-").tempdir()?;
    let place = Folder::new(folder.path());
    place.commit(place.stage(&files, &progress)?)?;
    // A spinner would run through what the command says.
    drop(progress);
    let [image, options, iort, bundle] =
        [BOOT_FILE, OPTIONS_FILE, IORT_FILE, BUNDLE_FILE].map(|name| folder.path().join(name));
    let if_any = |path| if Path::exists(path) { text(path) } else { Ok("") };
    variables.extend([
        ("INFLIGHT_IMAGE", text(&image)?),
        ("INFLIGHT_RAW", text(&raw)?),
        ("INFLIGHT_OPTIONS", text(&options)?),
        ("INFLIGHT_IORT", if_any(&iort)?),
        ("INFLIGHT_KERNEL", if_any(&bundle)?),
    ]);
    run::listen()?;
    child::run_shown(words, &variables, DEADLINE)?;
    crate::exit::say!("the command of board {} has brought it there", board.name);
    Ok(Exit::Pass)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().ok_or_else(|| usage(format!("{}: the folder's name is no text", path.display())))
}
