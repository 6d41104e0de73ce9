//! A FAT volume with the board's files.

use std::io::{Cursor, Write};

use anyhow::Context;
use fatfs::{Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider, format_volume};
use uuid::Uuid;

use super::Piece;

const MIB: usize = 1 << 20;
/// Sector and cluster.
const SECTOR: u16 = 512;
/// FAT32 begins at 65,525 clusters (FAT specification 1.03, "FAT type determination"); this is the next round size with
/// some to spare. UEFI wants FAT32 of a system partition, and takes it on removable media, too (2.11, 13.3.1.1).
const SMALLEST: usize = 34 * MIB;
/// At least so much is free for notes of whoever boots it.
const SPARE: usize = 2 * MIB;
/// Room for a thing's name to be made from, as RFC 9562, 5.5 asks for.
const NAMES: Uuid = Uuid::from_u128(0x7d60_1f2c_5a5e_4c0b_9a0e_4669_7c1e_6c74);

/// A name for this content, and for no other: the same files give the same volume, to the bit.
pub fn identity(files: &[Piece]) -> Uuid {
    let mut text = Vec::new();
    for (at, bytes) in present(files) {
        for part in [at.as_bytes(), bytes] {
            text.extend((part.len() as u64).to_le_bytes());
            text.extend(part);
        }
    }
    Uuid::new_v5(&NAMES, &text)
}

/// A volume with these files.
///
/// # Errors
/// Names that FAT does not take.
pub fn volume(files: &[Piece]) -> anyhow::Result<Vec<u8>> {
    let content: usize = present(files).map(|(_, bytes)| bytes.len().next_multiple_of(SECTOR.into())).sum();
    // Each cluster has an entry of four bytes in both tables: less than a fiftieth.
    let bytes = (content + content / 50 + SPARE).next_multiple_of(MIB).max(SMALLEST);
    let mut memory = Cursor::new(vec![0; bytes]);
    let serial = identity(files).as_u128() as u32;
    let format = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_sector(SECTOR)
        .bytes_per_cluster(SECTOR.into())
        .volume_id(serial)
        .volume_label(*b"INFLIGHT   ");
    format_volume(&mut memory, format).context("cannot format a FAT volume")?;
    let volume = FileSystem::new(&mut memory, FsOptions::new().time_provider(&Epoch)).context("no FAT volume")?;
    let root = volume.root_dir();
    // All folders come first: so they lie in the first clusters behind the root's.
    let folders = folders(files);
    for folder in &folders {
        root.create_dir(folder).with_context(|| format!("cannot create {folder} in a FAT volume"))?;
    }
    for (at, bytes) in present(files) {
        let cannot = || format!("cannot write {at} to a FAT volume");
        let mut file = root.create_file(at).with_context(cannot)?;
        file.write_all(bytes).and_then(|()| file.flush()).with_context(cannot)?;
    }
    drop(root);
    // Counts the free clusters, for the sector that says how many.
    volume.stats().and_then(|_| volume.unmount()).context("cannot finish a FAT volume")?;
    let mut volume = memory.into_inner();
    (0..folders.len()).try_for_each(|number| mend_folder(&mut volume, number))?;
    Ok(volume)
}

/// Folders of the files, each behind the one that it is in.
fn folders(files: &[Piece]) -> Vec<&str> {
    let ends = present(files).flat_map(|(at, _)| at.match_indices('/').map(move |(end, _)| &at[..end]));
    let mut folders = Vec::new();
    for folder in ends {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// Mends a folder, by its number in order of creation. `fatfs` gives `.` and `..` long names, and names the root by its
/// cluster in a `..`; the FAT specification (1.03, "FAT directories") wants no long name there, and cluster 0 for the root.
fn mend_folder(volume: &mut [u8], number: usize) -> anyhow::Result<()> {
    const ENTRY: usize = 32;
    let word = |at: usize| usize::from(volume[at]) | usize::from(volume[at + 1]) << 8;
    // BPB_RsvdSecCnt, BPB_NumFATs and BPB_FATSz32; then the root's one cluster.
    let sectors = word(14) + usize::from(volume[16]) * (word(36) | word(38) << 16) + 1 + number;
    let folder = &mut volume[sectors * usize::from(SECTOR)..][..SECTOR.into()];
    let names = [".          ", "..         "].map(str::as_bytes);
    let is_known = names.iter().zip([1, 3]).all(|(name, entry)| folder[entry * ENTRY..].starts_with(name));
    anyhow::ensure!(is_known, "a FAT volume has folder {number} elsewhere or otherwise than expected");
    folder.copy_within(ENTRY..2 * ENTRY, 0);
    folder.copy_within(3 * ENTRY.., ENTRY);
    folder[usize::from(SECTOR) - 2 * ENTRY..].fill(0);
    // DIR_FstClusHI and DIR_FstClusLO of `..`.
    let above = &mut folder[ENTRY..][..ENTRY];
    if (above[20..22] == [0, 0]) && above[26..28] == [2, 0] {
        above[26] = 0;
    }
    Ok(())
}

fn present(files: &[Piece]) -> impl Iterator<Item = (&str, &[u8])> {
    files.iter().filter_map(|piece| Some((&*piece.at, piece.bytes.as_deref()?)))
}

/// The first moment that FAT knows: when it was built is no part of what is built.
#[derive(Debug)]
struct Epoch;

impl TimeProvider for Epoch {
    fn get_current_date(&self) -> Date {
        Date { year: 1980, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}
