//! The way `esp`: an EFI System Partition in a folder, on a removable drive, or as a file.

use std::fs;
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use board::Board;
use indicatif::HumanBytes;

use super::backup::{self, Backup, Identity};
use super::disk::{self, Disk};
use super::drive::{self, Device, Drive, System};
use super::folder::Folder;
use super::payload::{self, Told};
use super::{Piece, fat};
use crate::cli::FlashArgs;
use crate::exit::{Exit, usage};
use crate::run::{self, Progress};

/// Where the partition goes.
#[derive(Debug)]
pub enum Target {
    /// The files, into a folder.
    Folder(PathBuf),
    /// A whole disk, onto a drive.
    Drive(Drive),
    /// A whole disk, into a file of this folder and name.
    File(PathBuf, String),
}

/// Runs the command.
pub fn run(args: &FlashArgs, board: &Board) -> anyhow::Result<Exit> {
    // All that can be wrong with the input is said before anything is built or touched.
    let target = Target::find(args, &System::default())?;
    let store = backup::store()?;
    if args.restore {
        target.confirm(args, "what was there before comes back")?;
        run::listen()?;
        restore(&target, &store, &Progress::new())?;
        crate::exit::say!("{} is as it was before", target.identity().text);
        return Ok(Exit::Pass);
    }
    payload::needs_uefi(board)?;
    let told = Told::of(&args.payload, board)?.by(args.image.as_deref())?;
    target.confirm(args, "everything on it becomes unreachable; --restore brings it back")?;
    let progress = Progress::new();
    progress.phase("build both images");
    let files = payload::files(&told)?;
    // From here on Ctrl-C ends it at the next step, with nothing left beside the target.
    run::listen()?;
    let bytes = flash(&target, &files, &store, &progress)?;
    drop(progress);
    crate::exit::say!("{}: {}, read back as written", target.identity().text, HumanBytes(bytes));
    Ok(Exit::Pass)
}

/// Writes the files to the target, and keeps what was there. Returns how many bytes were written.
pub fn flash(target: &Target, files: &[Piece], store: &Path, progress: &Progress) -> anyhow::Result<u64> {
    let identity = target.identity();
    let pieces = target.pieces(files)?;
    let backup = if let Target::Drive(drive) = target {
        let mut device = Device::open(drive)?;
        progress.phase(&format!("keep what is on {}", drive.name));
        let now = drive::read(&mut device, &pieces, progress).with_context(|| drive.name.clone())?;
        let backup = Backup::keep(store, &identity, &now, &pieces)?;
        progress.phase(&format!("write {}", drive.name));
        drive::write(&mut device, &pieces, progress).with_context(|| drive.name.clone())?;
        backup
    } else {
        let folder = target.folder();
        progress.phase(&format!("write {}", identity.text));
        let staged = folder.stage(&pieces, progress)?;
        let backup = Backup::keep(store, &identity, &folder.read(&pieces)?, &pieces)?;
        folder.commit(staged)?;
        backup
    };
    backup.finish()?;
    Ok(super::bytes(&pieces))
}

/// Puts back what was at the target.
pub fn restore(target: &Target, store: &Path, progress: &Progress) -> anyhow::Result<()> {
    let mut backup = Backup::find(store, &target.identity())?;
    let kept = backup.kept()?;
    if let Target::Drive(drive) = target {
        let mut device = Device::open(drive)?;
        let now = drive::read(&mut device, &kept, progress).with_context(|| drive.name.clone())?;
        backup.give_back(&now)?;
        drive::write(&mut device, &kept, progress).with_context(|| drive.name.clone())?;
    } else {
        let folder = target.folder();
        backup.give_back(&folder.read(&kept)?)?;
        folder.commit(folder.stage(&kept, progress)?)?;
    }
    backup.remove()
}

impl Target {
    /// Decides by what is at `--to`.
    pub fn find(args: &FlashArgs, system: &System) -> anyhow::Result<Self> {
        let Some(to) = &args.to else {
            return Err(usage("esp needs --to: a folder that is there, a removable drive, or a file for an image"));
        };
        let no = |why: &str| Err(usage(format!("--to {}: {why}", to.display())));
        let target = match fs::metadata(to) {
            Ok(it) if it.is_dir() => {
                Self::Folder(to.canonicalize().with_context(|| format!("cannot follow {}", to.display()))?)
            }
            Ok(it) if it.file_type().is_block_device() => {
                let number = (rustix::fs::major(it.rdev()), rustix::fs::minor(it.rdev()));
                Self::Drive(Drive::check(system, to, number, args.largest << 30)?)
            }
            Ok(it) if !it.is_file() => return no("it is neither a folder, a drive nor a file"),
            Err(_) if to.starts_with("/dev") => return no("there is no such drive"),
            // A name that was mistyped must not become an image.
            Err(_) if to.extension().is_none_or(|extension| extension != "img") => {
                return no("nothing is there; give a folder or a drive that is, or FILE.img for an image");
            }
            // A file that is there, or not yet.
            _ => {
                let folder = match to.parent() {
                    Some(folder) if !folder.as_os_str().is_empty() => folder,
                    _ => Path::new("."),
                };
                let name = to.file_name().and_then(|name| name.to_str());
                let is_folder = to.as_os_str().as_encoded_bytes().ends_with(b"/");
                let (Some(name), false) = (name, is_folder) else { return no("there is no such folder") };
                let Ok(folder) = folder.canonicalize() else { return no("there is no folder for this file") };
                Self::File(folder, name.to_owned())
            }
        };
        if args.yes_erase.is_some() && !matches!(target, Self::Drive(_)) {
            return no("it is no drive, and --yes-erase is for drives");
        }
        Ok(target)
    }

    fn identity(&self) -> Identity {
        let (path, is_certain) = match self {
            Self::Folder(folder) => (folder.clone(), false),
            Self::File(folder, name) => (folder.join(name), true),
            Self::Drive(drive) => return drive.identity(),
        };
        Identity { text: path.display().to_string(), is_certain }
    }

    fn folder(&self) -> Folder {
        match self {
            Self::Folder(folder) | Self::File(folder, _) => Folder::new(folder),
            Self::Drive(drive) => Folder::new(&drive.path),
        }
    }

    /// What is to be at which place.
    fn pieces(&self, files: &[Piece]) -> anyhow::Result<Vec<Piece>> {
        let disk = |bytes: Option<u64>| {
            let volume = fat::volume(files)?;
            disk::with_partition(&volume, fat::identity(files), bytes.unwrap_or(disk::smallest(volume.len())))
        };
        Ok(match self {
            Self::Folder(_) => files.to_vec(),
            Self::File(_, name) => {
                let Disk { head, tail, .. } = disk(None)?;
                vec![Piece { at: name.clone(), bytes: Some([head, tail].concat()) }]
            }
            Self::Drive(drive) => {
                let disk = disk(Some(drive.bytes)).with_context(|| format!("{} is too small", drive.name))?;
                let tail_at = disk.tail_at().to_string();
                vec![Piece { at: "0".into(), bytes: Some(disk.head) }, Piece { at: tail_at, bytes: Some(disk.tail) }]
            }
        })
    }

    /// Has the user type the name of a drive that is to be overwritten. Nothing else needs it.
    pub fn confirm(&self, args: &FlashArgs, what: &str) -> anyhow::Result<()> {
        let Self::Drive(drive) = self else { return Ok(()) };
        crate::exit::tell!("{}; {what}", drive.describe());
        let answer = match &args.yes_erase {
            Some(name) => name.clone(),
            None if std::io::stdin().is_terminal() => {
                eprint!("Type its name to overwrite it: ");
                std::io::stderr().flush().context("cannot write to the terminal")?;
                let mut answer = String::new();
                std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
                answer.trim().to_owned()
            }
            None => return Err(usage(format!("nobody to ask; give --yes-erase {} to overwrite it", drive.name))),
        };
        if answer == drive.name {
            return Ok(());
        }
        Err(usage(format!("`{answer}` is not `{}`; nothing was written", drive.name)))
    }
}
