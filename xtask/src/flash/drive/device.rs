//! An open drive: written in an order that never leaves half of a system on it, and read back from the medium.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

use anyhow::Context;
use indicatif::HumanBytes;
use rustix::fs::OFlags;

use super::Drive;
use crate::exit::{host_lacks, unexpected, usage};
use crate::flash::Piece;
use crate::flash::meter::Meter;
use crate::run::Progress;

/// Written between two waits for the medium, and read at a time.
const STEP: usize = 1 << 20;
/// What direct reads want of addresses in memory and of lengths: a page is enough for every drive.
const ALIGNMENT: usize = 4096;

/// What to do with a drive that was written in part.
const LOST: &str = "it is written in part: put it in again, and flash it again or --restore it";

/// What is written to: a drive, or what plays one in tests.
pub trait Medium {
    /// Writes all bytes from this place on, down to the medium.
    fn put(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads from this place on, from the medium.
    fn get(&mut self, at: u64, length: usize) -> io::Result<Vec<u8>>;
}

/// A drive that nobody else can open to write.
#[derive(Debug)]
pub struct Device {
    /// For writing.
    file: File,
    /// For reading past the page cache.
    direct: File,
    memory: Vec<u8>,
}

impl Device {
    /// Opens a drive that was checked.
    ///
    /// # Errors
    /// Somebody has it open or mounted, it is not the one that was checked, or this user may not.
    pub fn open(drive: &Drive) -> anyhow::Result<Self> {
        let path = &drive.path;
        let open = |more: OFlags| {
            let flags = i32::try_from((more | OFlags::CLOEXEC).bits()).unwrap_or(0);
            let is_for_writing = more.contains(OFlags::EXCL);
            OpenOptions::new().read(true).write(is_for_writing).custom_flags(flags).open(path)
        };
        // EXCL on a block device (open(2)): refused while the system uses it, and nobody can mount it from now on.
        let file = open(OFlags::EXCL).map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => usage(format!("{} is in use by the system", path.display())),
            io::ErrorKind::PermissionDenied => host_lacks(format!(
                "no permission to write {0}; let your user write it (`sudo chown $USER {0}`), or write an image by --to FILE",
                path.display()
            )),
            _ => anyhow::Error::new(error).context(format!("cannot open {}", path.display())),
        })?;
        let number = file.metadata().with_context(|| format!("cannot look at {}", path.display()))?.rdev();
        if (rustix::fs::major(number), rustix::fs::minor(number)) != drive.number {
            return Err(usage(format!("{} is another device than a moment ago", path.display())));
        }
        let direct = open(OFlags::DIRECT).with_context(|| format!("cannot open {} for reading", path.display()))?;
        Ok(Self { file, direct, memory: vec![0; STEP + 2 * ALIGNMENT] })
    }
}

impl Medium for Device {
    fn put(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at)?;
        // The rate is the medium's, and a drive that is gone is noticed here.
        self.file.sync_data()
    }

    fn get(&mut self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let start = self.memory.as_ptr().addr().wrapping_neg() % ALIGNMENT;
        let buffer = &mut self.memory[start..][..length.next_multiple_of(ALIGNMENT)];
        let mut count = 0;
        // Short reads of a block device end at its end.
        while count < length {
            match self.direct.read_at(&mut buffer[count..], at + count as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => count += more,
            }
        }
        Ok(buffer[..length].to_vec())
    }
}

/// What is there now at the places of `pieces`, in their lengths.
pub fn read(medium: &mut impl Medium, pieces: &[Piece], progress: &Progress) -> anyhow::Result<Vec<Piece>> {
    let mut meter = Meter::new(progress, "read what is there", crate::flash::bytes(pieces));
    let mut now = Vec::new();
    for piece in pieces {
        let mut bytes = Vec::new();
        each_step(piece, |at, step| {
            bytes.extend(medium.get(at, step.len()).with_context(|| format!("cannot read at {}", HumanBytes(at)))?);
            meter.add(step.len())
        })?;
        now.push(Piece { at: piece.at.clone(), bytes: Some(bytes) });
    }
    meter.end();
    Ok(now)
}

/// Writes all pieces and reads them back. First the old partition table goes, last comes the new one: a drive that is
/// pulled out meanwhile has none, and no firmware starts half of what was to be there.
///
/// # Errors
/// The drive is gone or broken, or it reads back as something else.
pub fn write(medium: &mut impl Medium, pieces: &[Piece], progress: &Progress) -> anyhow::Result<()> {
    let total = crate::flash::bytes(pieces);
    let mut meter = Meter::new(progress, "written", total);
    let mut put = |at: u64, bytes: &[u8]| {
        medium.put(at, bytes).with_context(|| format!("cannot write at {}; {LOST}", HumanBytes(at)))
    };
    let mut steps = Vec::new();
    for piece in pieces {
        each_step(piece, |at, step| {
            steps.push((at, step));
            Ok(())
        })?;
    }
    // Both tables: the first MiB and, as the last piece, the last one.
    for (at, step) in steps.first().into_iter().chain(steps.last()) {
        put(*at, &vec![0; step.len()])?;
    }
    for (at, step) in steps.iter().skip(1).chain(steps.first()) {
        put(*at, step)?;
        meter.add(step.len()).context(LOST)?;
    }
    meter.end();
    let mut meter = Meter::new(progress, "read back", total);
    for (at, step) in steps {
        let place = HumanBytes(at);
        let back = medium.get(at, step.len()).with_context(|| format!("cannot read back at {place}"))?;
        if back != step {
            return Err(unexpected(format!("the drive reads back as other bytes than were written, at {place}")));
        }
        meter.add(step.len())?;
    }
    meter.end();
    Ok(())
}

/// Calls `work` with each part of a piece and where it lies.
fn each_step<'a>(piece: &'a Piece, mut work: impl FnMut(u64, &'a [u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut at: u64 = piece.at.parse().with_context(|| format!("`{}` is no place on a drive", piece.at))?;
    for step in piece.bytes.iter().flat_map(|bytes| bytes.chunks(STEP)) {
        work(at, step)?;
        at += step.len() as u64;
    }
    Ok(())
}
