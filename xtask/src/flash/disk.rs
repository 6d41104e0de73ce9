//! A disk with one partition, in memory: its first part, and its last MiB. What lies between is nobody's.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};

use anyhow::Context;
use gpt::GptConfig;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::EFI;
use uuid::Uuid;

/// Room before the partition and behind all: the tables need 34 sectors, and partitions are aligned to this.
pub const MARGIN: usize = 1 << 20;
/// Sector.
pub const SECTOR: u64 = 512;

/// A disk of any size.
pub struct Disk {
    /// Protective MBR, partition table, partition.
    pub head: Vec<u8>,
    /// Backup of the partition table.
    pub tail: Vec<u8>,
    bytes: u64,
    position: u64,
}

/// Bytes of the smallest disk for this volume.
pub fn smallest(volume: usize) -> u64 {
    (2 * MARGIN + volume) as u64
}

/// Puts the volume into an EFI System Partition (UEFI 2.11, 13.3) of a disk with so many bytes. All GUIDs come from `identity`.
///
/// # Errors
/// The disk is too small for it.
pub fn with_partition(volume: &[u8], identity: Uuid, bytes: u64) -> anyhow::Result<Disk> {
    let bytes = bytes - bytes % SECTOR;
    anyhow::ensure!(bytes >= smallest(volume.len()), "{bytes} bytes; {} are needed", smallest(volume.len()));
    let mut disk = Disk { head: vec![0; MARGIN], tail: vec![0; MARGIN], bytes, position: 0 };
    disk.head.extend(volume);
    // A disk of more than 2 TiB does not fit into the MBR's field, and the largest value stands for it (UEFI 2.11, 5.2.3).
    let sectors = u32::try_from(bytes / SECTOR - 1).unwrap_or(u32::MAX);
    ProtectiveMBR::with_lb_size(sectors).overwrite_lba0(&mut disk).context("cannot write a protective MBR")?;
    let mut table = GptConfig::new()
        .writable(true)
        .create_from_device(disk, Some(Uuid::new_v5(&identity, b"disk")))
        .context("cannot create a partition table")?;
    let (first, length) = (MARGIN as u64 / SECTOR, volume.len() as u64 / SECTOR);
    table.add_partition_at("EFI system", 1, first, length, EFI, 0).context("cannot add a partition")?;
    let mut partitions = table.take_partitions();
    for partition in partitions.values_mut() {
        partition.part_guid = Uuid::new_v5(&identity, b"partition");
    }
    table.update_partitions(partitions).context("cannot name the partition")?;
    table.write().context("cannot write the partition table")
}

impl Disk {
    /// Where the tail begins.
    pub fn tail_at(&self) -> u64 {
        self.bytes - self.tail.len() as u64
    }

    /// The bytes from the position on that lie in one part; `None` between the parts and at the end.
    fn here(&mut self) -> Option<&mut [u8]> {
        let tail_at = self.tail_at();
        let (part, begin) = if self.position < tail_at { (&mut self.head, 0) } else { (&mut self.tail, tail_at) };
        let at = usize::try_from(self.position - begin).ok()?;
        part.get_mut(at..).filter(|rest| !rest.is_empty())
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a disk of {} bytes", self.bytes)
    }
}

impl Read for Disk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(here) = self.here() else { return Ok(0) };
        let count = here.len().min(buffer.len());
        buffer[..count].copy_from_slice(&here[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(here) = self.here() else { return Ok(0) };
        let count = here.len().min(bytes.len());
        here[..count].copy_from_slice(&bytes[..count]);
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Disk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
