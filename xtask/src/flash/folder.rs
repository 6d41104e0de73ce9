//! Files in a folder: whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{Advice, fadvise};

use super::Piece;
use super::meter::Meter;
use crate::exit::{unexpected, usage};
use crate::run::Progress;

/// Written and compared at a time.
const STEP: usize = 1 << 20;

/// A folder: the root of a mounted volume, or a place that a server hands out.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// What is there now at the places of `pieces`.
    ///
    /// # Errors
    /// It cannot be read, or is no file.
    pub fn read(&self, pieces: &[Piece]) -> anyhow::Result<Vec<Piece>> {
        pieces.iter().map(|piece| Ok(Piece { at: piece.at.clone(), bytes: self.read_one(&piece.at)? })).collect()
    }

    fn read_one(&self, at: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.path(at);
        match fs::symlink_metadata(&path) {
            Ok(file) if file.is_file() => {
                fs::read(&path).map(Some).with_context(|| format!("cannot read {}", path.display()))
            }
            Ok(_) => Err(usage(format!("{} is no file; move it away", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
        }
    }

    /// Writes every piece beside its place, and reads it back. Nothing of what is there changes.
    ///
    /// # Errors
    /// A full disk, or a folder that is read-only. Or bytes that read back differently.
    pub fn stage(&self, pieces: &[Piece], progress: &Progress) -> anyhow::Result<Vec<Staged>> {
        let mut meter = Meter::new(progress, "written and read back", super::bytes(pieces));
        let stage = |piece: &Piece| Staged::write(&self.root, self.path(&piece.at), piece.bytes.as_deref(), &mut meter);
        let staged = pieces.iter().map(stage).collect::<anyhow::Result<_>>()?;
        meter.end();
        Ok(staged)
    }

    /// Has every piece take its place, the first one last: what firmware starts comes after what it reads.
    pub fn commit(&self, staged: Vec<Staged>) -> anyhow::Result<()> {
        staged.into_iter().rev().try_for_each(|staged| match &staged.new {
            Some(new) => staged.take_place(new),
            None => staged.clear_place(),
        })
    }

    /// The path of a piece. FAT knows no case: a name that is there in another case is the same file.
    fn path(&self, at: &str) -> PathBuf {
        at.split('/').fold(self.root.clone(), |folder, name| {
            let is_there = folder.join(name).symlink_metadata().is_ok();
            let mut entries = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
            let same = if is_there { None } else { entries.find(|other| other.eq_ignore_ascii_case(name)) };
            folder.join(same.unwrap_or_else(|| name.into()))
        })
    }
}

/// A piece beside its place, whole and read back; or a place that is to be empty. Dropped, what is beside it is removed, and
/// what is empty then of the folders below `root`.
#[derive(Debug)]
pub struct Staged {
    root: PathBuf,
    new: Option<PathBuf>,
    path: PathBuf,
}

impl Staged {
    fn write(root: &Path, path: PathBuf, bytes: Option<&[u8]>, meter: &mut Meter<'_>) -> anyhow::Result<Self> {
        let root = root.to_owned();
        let Some(bytes) = bytes else { return Ok(Self { root, new: None, path }) };
        // What a killed run left under this name goes with the next one.
        let mut name = path.clone().into_os_string();
        name.push(".inflight-new");
        let new = PathBuf::from(name);
        let staged = Self { root, new: Some(new.clone()), path };
        let cannot = || format!("cannot write {}", staged.path.display());
        fs::create_dir_all(folder_of(&new)).with_context(cannot)?;
        let mut file = File::create(&new).with_context(cannot)?;
        for step in bytes.chunks(STEP) {
            file.write_all(step).with_context(cannot)?;
            meter.add(step.len())?;
        }
        file.sync_all().with_context(cannot)?;
        // Out of the page cache, so that the medium answers. A file system that cannot forget answers from memory.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
        let back = fs::read(&new).with_context(|| format!("cannot read {} back", staged.path.display()))?;
        if back != bytes {
            return Err(unexpected(format!("{} reads back as other bytes than were written", staged.path.display())));
        }
        Ok(staged)
    }

    fn take_place(&self, new: &Path) -> anyhow::Result<()> {
        let cannot = || format!("cannot replace {}", self.path.display());
        fs::rename(new, &self.path).with_context(cannot)?;
        File::open(folder_of(&self.path)).and_then(|folder| folder.sync_all()).with_context(cannot)
    }

    fn clear_place(&self) -> anyhow::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(new) = &self.new {
            // Gone already where it took its place.
            let _ = fs::remove_file(new);
        }
        let above = self.path.ancestors().skip(1).take_while(|folder| *folder != self.root);
        // The first that is not empty, or not there, ends it.
        let _ = above.map(fs::remove_dir).take_while(Result::is_ok).count();
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
