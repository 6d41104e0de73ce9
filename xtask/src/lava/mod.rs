//! `cargo xtask lava`: a job for LAVA, made of a board's file. The payload prints LAVA's signals; no shell runs on the board, so that
//! LAVA's monitors take them (`lava_dispatcher/actions/test/monitor.py`).

mod job;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Context;
use board::{Architecture, Board, Image};
use clap::ValueEnum;
use sha2::{Digest, Sha256};
use ureq::http::Uri;
use ureq::http::uri::Scheme;

use crate::cli::{LavaArgs, PayloadArgs};
use crate::exit::{Exit, say, tell, usage};
use crate::run::options;
use crate::{boards, build, flash, report, run};
use job::{File, Job};

/// How LAVA brings the payload to a board, and starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// LAVA's own emulator
    #[value(skip)]
    Qemu,
    /// The lab's flashing command, which the device's dictionary names; firmware starts the payload by itself
    Flasher,
    /// TFTP and GRUB's `chainloader`; nothing is written to the board
    Grub,
    /// TFTP and U-Boot's `bootefi`; nothing is written to the board
    Uboot,
}

/// Names of the files in the folder of a job.
const IMAGE: &str = "BOOTAA64.EFI";
const RAW: &str = "Image";
const OPTIONS: &str = "inflight.txt";
const IORT: &str = "iort.aml";
const JOB: &str = "job.yaml";

/// Reads `--images`: workers fetch by HTTP.
pub fn address(text: &str) -> Result<String, String> {
    let url: Option<Uri> = text.parse().ok();
    let is_web = |url: &Uri| url.scheme().is_some_and(|it| *it == Scheme::HTTP || *it == Scheme::HTTPS);
    match url.filter(|url| is_web(url) && url.query().is_none()) {
        Some(_) => Ok(text.trim_end_matches('/').to_owned()),
        None => Err("no URL of a folder; write it as `https://builds.example/inflight`, by http or https".into()),
    }
}

/// Runs the command.
pub fn run(args: &LavaArgs) -> anyhow::Result<Exit> {
    let base = match (&args.images, &args.to) {
        (Some(url), _) => url.clone(),
        (None, Some(folder)) => format!("file://{}", std::path::absolute(folder)?.display()),
        (None, None) => {
            return Err(usage(
                "lava needs --images URL, where the lab's workers find the files, or --to DIR, where they and the job go",
            ));
        }
    };
    flash::without_kernel(&args.payload, "a LAVA job")?;
    let board = boards::load(&args.board)?;
    let way = way(args.via, &board)?;
    let signals = "lava=1".to_owned();
    let payload = PayloadArgs { option: [&*args.payload.option, &[signals]].concat(), ..args.payload.clone() };
    let options = options::of(&payload, &[], &board)?;
    if let Some(iort) = &payload.iort {
        run::check_iort(iort)?;
        if matches!(way, Way::Grub | Way::Uboot) {
            return Err(usage("--iort: GRUB's `chainloader` and U-Boot's `bootefi` hand no second file over"));
        }
    }
    for note in notes(&board) {
        tell!("note: {note}");
    }
    let contents = args.to.as_ref().map(|_| contents(&board, way, &options.text, &payload)).transpose()?;
    let device_type = args.device_type.as_deref().unwrap_or_else(|| device_type(&board, way));
    let seconds = board.limits.boot_seconds + payload.span.map_or(0, |span| span.0.as_secs());
    let files = files(way, &board, &options.text, &base, payload.iort.is_some(), contents.as_deref());
    let text = Job { board: &board, way, device_type, options: &options, files, seconds }.text()?;
    let (Some(folder), Some(contents)) = (&args.to, &contents) else {
        say!("{}", text.trim_end());
        return Ok(Exit::Pass);
    };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (name, bytes) in contents {
        report::atomically(&folder.join(name), bytes)?;
    }
    report::atomically(&folder.join(JOB), text.as_bytes())?;
    say!("{}", folder.join(JOB).display());
    Ok(Exit::Pass)
}

/// What a job of this board cannot show.
fn notes(board: &Board) -> Vec<String> {
    let fed = board.endpoints.iter().find(|endpoint| run::takes_frames(&endpoint.driver));
    let fed =
        fed.map(|at| format!("{} moves only what is sent to its network, and a LAVA worker sends nothing", at.bdf));
    let has_none = board.smmus.as_ref().is_some_and(|smmus| smmus.architecture != Architecture::SmmuV3);
    let none = has_none.then(|| {
        format!("board {} has no SMMUv3 by its file: the job shows only that the payload says so and ends", board.name)
    });
    fed.into_iter().chain(none).collect()
}

/// The command line's word goes over the board's.
fn way(via: Option<Way>, board: &Board) -> anyhow::Result<Way> {
    let name = &board.name;
    let emulated = board.qemu.as_ref().filter(|_| board.serial.is_none());
    let by_qemu = emulated.and_then(|qemu| qemu.sender.as_ref()).map(|_| "qemu.sender");
    if let Some(key) = by_qemu.or(board.sender.as_ref().map(|_| "sender")) {
        return Err(usage(format!(
            "board {name}: its network card waits for frames of this host ({key}), and a LAVA worker sends none; take a board without"
        )));
    }
    if emulated.is_some() {
        return match via {
            None => Ok(Way::Qemu),
            Some(_) => Err(usage(format!("--via: board {name} is emulated, by LAVA's own QEMU"))),
        };
    }
    let own = board.flash.as_ref().map(|flash| flash.way);
    let reach = board.reach.as_ref().and_then(|reach| reach.boot.first().copied());
    Ok(via.unwrap_or(match own.or(reach) {
        Some(board::Way::Uboot) => Way::Uboot,
        Some(board::Way::Netboot) => Way::Grub,
        _ => Way::Flasher,
    }))
}

fn device_type(board: &Board, way: Way) -> &str {
    match way {
        Way::Qemu => "qemu",
        _ => board.name.rsplit('/').next().unwrap_or(&board.name),
    }
}

/// Whether the machine starts the raw image.
fn is_raw(board: &Board, way: Way) -> bool {
    way == Way::Qemu && board.qemu.as_ref().is_some_and(|qemu| qemu.image == Image::Raw)
}

/// Builds the images and returns the files of the job's folder.
fn contents(
    board: &Board,
    way: Way,
    options: &str,
    args: &PayloadArgs,
) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
    let images = build::images()?;
    let (name, path) = if is_raw(board, way) { (RAW, images.raw) } else { (IMAGE, images.file) };
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut contents = vec![(name, read(&path)?)];
    if way == Way::Flasher {
        contents.push((OPTIONS, (options.replace(' ', "\n") + "\n").into_bytes()));
    }
    if let Some(iort) = &args.iort {
        contents.push((IORT, read(iort)?));
    }
    Ok(contents)
}

/// What the job deploys. Of what was built here, with its digest.
fn files(
    way: Way,
    board: &Board,
    options: &str,
    base: &str,
    has_iort: bool,
    contents: Option<&[(&str, Vec<u8>)]>,
) -> Vec<File> {
    let file = |label, name: &str, more: &[(&'static str, String)]| {
        let bytes = contents.and_then(|contents| contents.iter().find(|(known, _)| *known == name));
        let sha256 = bytes.map(|(_, bytes)| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect());
        File { label, url: format!("{base}/{name}"), sha256, more: more.to_vec() }
    };
    let image = if is_raw(board, way) { RAW } else { IMAGE };
    let argument = |text: String| [("image_arg", text)];
    let mut files = match way {
        Way::Qemu => vec![file("kernel", image, &argument(format!("-kernel {{kernel}} -append \"{options}\"")))],
        Way::Flasher => vec![file("image", image, &[]), file("options", OPTIONS, &[])],
        Way::Grub | Way::Uboot => vec![file("kernel", image, &[("type", "image".into())])],
    };
    if has_iort {
        let argument = argument("-initrd {iort}".into());
        files.push(file("iort", IORT, if way == Way::Qemu { &argument } else { &[] }));
    }
    files
}
