//! What was at a target before the first `flash`, kept in the user's folder for state until `--restore`.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Piece;
use crate::exit::{host_lacks, usage};

const RECORD: &str = "record.json";
/// A piece is recognised by its length and its first part: that of a drive holds the partition table with its GUIDs, which
/// stay where firmware or a system writes into the volume.
const MARKED: usize = 1 << 20;

/// What a target is, so that it is found again.
#[derive(Clone, Debug)]
pub struct Identity {
    /// In words; another target has other words.
    pub text: String,
    /// Two targets of the same words cannot be. Drives without a serial number can, and so can what is mounted at a folder.
    pub is_certain: bool,
}

/// Everything that is kept for one target.
#[derive(Debug)]
pub struct Backup {
    folder: PathBuf,
    record: Record,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    target: String,
    /// All was written. Until then the target may hold anything.
    is_whole: bool,
    /// What was written at the first place.
    mark: String,
    places: Vec<Place>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Place {
    at: String,
    /// File with what was there; none where nothing was.
    kept: Option<String>,
}

/// The user's folder for backups (XDG base directories).
pub fn store() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("XDG_STATE_HOME").filter(|name| !name.is_empty()).map(PathBuf::from);
    let state = named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")));
    let state =
        state.ok_or_else(|| host_lacks("neither XDG_STATE_HOME nor HOME says where to keep what is overwritten"))?;
    Ok(state.join("inflight/flash"))
}

impl Backup {
    /// Keeps `now`, what is there, before `new` is written over it. Where `now` is what this tool wrote earlier, what was
    /// there before that stays kept.
    ///
    /// # Errors
    /// It cannot be kept, or another backup would be lost by it.
    pub fn keep(store: &Path, target: &Identity, now: &[Piece], new: &[Piece]) -> anyhow::Result<Self> {
        let folder = place(store, target);
        if let Some(mut old) = Self::load(&folder)? {
            if !old.record.is_whole || old.holds(now) {
                if !old.record.places.iter().map(|place| &place.at).eq(new.iter().map(|piece| &piece.at)) {
                    return Err(usage(format!("{} was flashed with another layout; --restore it first", target.text)));
                }
                old.record.mark = mark(new);
                old.record.is_whole = false;
                old.save()?;
                return Ok(old);
            }
            let is_lost = old.record.places.iter().any(|place| place.kept.is_some());
            if is_lost && !target.is_certain {
                return Err(usage(format!(
                    "{} holds neither what was flashed nor its backup, which is in {}; --restore that where it belongs, or remove it",
                    target.text,
                    folder.display(),
                )));
            }
        }
        Self::begin(&folder, target, now, new)
    }

    fn begin(folder: &Path, target: &Identity, now: &[Piece], new: &[Piece]) -> anyhow::Result<Self> {
        // Aside until it is whole.
        let aside = folder.with_extension("new");
        let begun = Self::write(&aside, target, now, new).and_then(|record| {
            clear(folder)?;
            fs::rename(&aside, folder)?;
            Ok(Self { folder: folder.into(), record })
        });
        if begun.is_err() {
            // A second fault would hide the first.
            let _ = clear(&aside);
        }
        begun.with_context(|| format!("cannot keep what is to be overwritten in {}", folder.display()))
    }

    fn write(folder: &Path, target: &Identity, now: &[Piece], new: &[Piece]) -> anyhow::Result<Record> {
        clear(folder)?;
        // What lies on a drive is its owner's alone.
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut places = Vec::new();
        for (number, piece) in now.iter().enumerate() {
            let kept = piece.bytes.as_ref().map(|bytes| (format!("{number}.kept"), bytes));
            if let Some((name, bytes)) = &kept {
                write(&folder.join(name), bytes)?;
            }
            places.push(Place { at: piece.at.clone(), kept: kept.map(|(name, _)| name) });
        }
        let record = Record { target: target.text.clone(), is_whole: false, mark: mark(new), places };
        let backup = Self { folder: folder.into(), record };
        backup.save()?;
        Ok(backup.record)
    }

    /// All was written, and read back.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.record.is_whole = true;
        self.save()
    }

    /// What was there before.
    ///
    /// # Errors
    /// Nothing is kept for this target.
    pub fn find(store: &Path, target: &Identity) -> anyhow::Result<Self> {
        let folder = place(store, target);
        Self::load(&folder)?
            .ok_or_else(|| usage(format!("nothing is kept for {}: it was not flashed from here", target.text)))
    }

    /// What was there before.
    pub fn kept(&self) -> anyhow::Result<Vec<Piece>> {
        let read = |name: &String| {
            let path = self.folder.join(name);
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let piece =
            |place: &Place| Ok(Piece { at: place.at.clone(), bytes: place.kept.as_ref().map(read).transpose()? });
        self.record.places.iter().map(piece).collect()
    }

    /// What was there before is about to be written over `now`.
    ///
    /// # Errors
    /// Something else is there than was flashed: it would be lost.
    pub fn give_back(&mut self, now: &[Piece]) -> anyhow::Result<()> {
        if self.record.is_whole && !self.holds(now) {
            return Err(usage(format!(
                "{} no longer holds what was flashed, and --restore would overwrite it; what was there before is in {}",
                self.record.target,
                self.folder.display()
            )));
        }
        // From here on it may hold anything, until the backup is gone.
        self.record.is_whole = false;
        self.save()
    }

    /// It was put back: nothing is kept any more.
    pub fn remove(self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))
    }

    fn holds(&self, now: &[Piece]) -> bool {
        self.record.mark == mark(now)
    }

    fn load(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = folder.join(RECORD);
        let Ok(text) = fs::read(&path) else { return Ok(None) };
        let record = serde_json::from_slice(&text);
        let record = record.with_context(|| format!("{} is damaged; move it away", path.display()))?;
        Ok(Some(Self { folder: folder.into(), record }))
    }

    fn save(&self) -> anyhow::Result<()> {
        let path = self.folder.join(RECORD);
        let cannot = || format!("cannot write {}", path.display());
        let text = serde_json::to_vec_pretty(&self.record).with_context(cannot)?;
        let new = path.with_extension("new");
        write(&new, &text).and_then(|()| fs::rename(&new, &path)).with_context(cannot)
    }
}

/// The first piece tells what a target holds.
fn mark(pieces: &[Piece]) -> String {
    let Some(bytes) = pieces.first().and_then(|piece| piece.bytes.as_ref()) else { return "nothing".into() };
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, &bytes[..bytes.len().min(MARKED)]);
    format!("{} bytes {id}", bytes.len())
}

fn place(store: &Path, target: &Identity) -> PathBuf {
    store.join(Uuid::new_v5(&Uuid::NAMESPACE_OID, target.text.as_bytes()).to_string())
}

fn clear(folder: &Path) -> std::io::Result<()> {
    if folder.exists() { fs::remove_dir_all(folder) } else { Ok(()) }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
