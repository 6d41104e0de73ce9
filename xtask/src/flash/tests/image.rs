use std::io::{Cursor, Read};

use fatfs::{FatType, FileSystem, FsOptions};
use gpt::GptConfig;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::EFI;

use super::{files, output, tool};
use crate::flash::disk::{self, MARGIN, SECTOR};
use crate::flash::payload::{BOOT_FILE, OPTIONS_FILE};
use crate::flash::{Piece, fat};

fn whole(files: &[Piece], bytes: Option<u64>) -> Vec<u8> {
    let volume = fat::volume(files).unwrap();
    let bytes = bytes.unwrap_or(disk::smallest(volume.len()));
    let disk = disk::with_partition(&volume, fat::identity(files), bytes).unwrap();
    let between = usize::try_from(disk.tail_at()).unwrap() - disk.head.len();
    [disk.head, vec![0; between], disk.tail].concat()
}

/// A file of a volume, and how many names its root has.
fn file_of(volume: &mut [u8], at: &str) -> (Vec<u8>, usize) {
    let volume = FileSystem::new(Cursor::new(volume), FsOptions::new()).unwrap();
    assert_eq!((volume.fat_type(), volume.cluster_size()), (FatType::Fat32, 512));
    assert_eq!(volume.read_volume_label_from_root_dir().unwrap().as_deref(), Some("INFLIGHT"));
    assert!(!volume.read_status_flags().unwrap().dirty());
    let mut bytes = Vec::new();
    volume.root_dir().open_file(at).unwrap().read_to_end(&mut bytes).unwrap();
    (bytes, volume.root_dir().iter().count())
}

#[test]
fn the_volume_holds_the_files_and_no_other() {
    let files = files();
    let mut volume = fat::volume(&files).unwrap();
    for piece in files.iter().filter(|piece| piece.bytes.is_some()) {
        let (bytes, names) = file_of(&mut volume, &piece.at);
        assert_eq!(Some(bytes), piece.bytes, "{}", piece.at);
        assert_eq!(names, 2, "EFI and the options; no table that nobody asked for");
    }
}

#[test]
fn a_volume_grows_with_its_files() {
    let large = vec![Piece { at: BOOT_FILE.into(), bytes: Some(vec![0x5a; 40 << 20]) }];
    let mut volume = fat::volume(&large).unwrap();
    assert!(volume.len() > 42 << 20);
    assert_eq!(Some(file_of(&mut volume, BOOT_FILE).0), large[0].bytes);
}

#[test]
fn the_same_files_give_the_same_bytes_and_others_other_names() {
    let (first, again) = (whole(&files(), None), whole(&files(), None));
    assert!(first == again);
    let mut changed = files();
    changed[1].bytes = Some(b"scenario=reset\n".to_vec());
    assert_ne!(fat::identity(&files()), fat::identity(&changed));
    let other = whole(&changed, None);
    // The first MiB alone tells them apart: it has the GUIDs.
    assert!(first[..MARGIN] != other[..MARGIN]);
    // What stands in one file is not taken for a part of another.
    let cut = |first: &str, second: &str| {
        let piece = |at: &str, text: &str| Piece { at: at.into(), bytes: Some(text.into()) };
        fat::identity(&[piece("a", first), piece("b", second)])
    };
    assert_ne!(cut("1", "23"), cut("12", "3"));
}

#[test]
fn both_partition_tables_name_one_system_partition_on_disks_of_any_size() {
    for bytes in [None, Some(100_000_000), Some(64 << 20)] {
        let image = whole(&files(), bytes);
        let sectors = image.len() as u64 / SECTOR;
        let mut disk = Cursor::new(image);
        let mbr = ProtectiveMBR::from_disk(&mut disk, gpt::disk::LogicalBlockSize::Lb512).unwrap();
        assert_eq!(mbr.partition(0).unwrap().lb_size, u32::try_from(sectors).unwrap() - 1);
        let table = GptConfig::new().only_valid_headers(true).open_from_device(disk).unwrap();
        assert_eq!(table.primary_header().unwrap().backup_lba, sectors - 1, "the backup is in the last sector");
        let partitions = table.partitions();
        let partition = &partitions[&1];
        assert_eq!((partitions.len(), &partition.part_type_guid), (1, &EFI));
        assert_ne!(*table.guid(), partition.part_guid);
        assert_eq!(partition.first_lba, MARGIN as u64 / SECTOR);
        let range = partition.first_lba * SECTOR..(partition.last_lba + 1) * SECTOR;
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        let mut image = table.take_device().into_inner();
        assert_eq!(Some(file_of(&mut image[range], OPTIONS_FILE).0), files()[1].bytes);
    }
}

#[test]
fn a_disk_that_is_too_small_is_refused() {
    let volume = fat::volume(&files()).unwrap();
    let error = disk::with_partition(&volume, fat::identity(&files()), disk::smallest(volume.len()) - 1).unwrap_err();
    assert!(error.to_string().contains("are needed"), "{error}");
}

#[test]
fn folders_name_themselves_and_the_one_above_as_the_specification_has_it() {
    let volume = fat::volume(&files()).unwrap();
    let is_dot = |at: &usize| volume[*at..].starts_with(b".          \x10");
    let folders: Vec<_> = (0..volume.len()).step_by(32).filter(is_dot).collect();
    let cluster = |at: usize| u16::from_le_bytes([volume[at + 26], volume[at + 27]]);
    assert!(folders.len() == 2 && folders.iter().all(|at| at % 512 == 0), "no long name before: {folders:?}");
    assert!(folders.iter().all(|at| volume[at + 32..].starts_with(b"..         \x10")));
    assert_eq!(folders.iter().map(|at| cluster(at + 32)).collect::<Vec<_>>(), [0, cluster(folders[0])]);
}

#[test]
fn programs_from_elsewhere_find_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume");
    let name = path.to_str().unwrap();
    std::fs::write(&path, fat::volume(&files()).unwrap()).unwrap();
    if let Some(fsck) = tool("fsck.vfat") {
        let (is_clean, text) = output(&fsck, &["-n", "-v", name]);
        assert!(is_clean && !text.contains("uninitialized"), "{text}");
    }
    if let Some(mtype) = tool("mtype") {
        let (is_there, text) = output(&mtype, &["-i", name, "::inflight.txt"]);
        assert!(is_there && text == "scenario=adopt\ncycles=1\n", "{text}");
    }
    if let Some(sgdisk) = tool("sgdisk") {
        std::fs::write(&path, whole(&files(), Some(50_000_384))).unwrap();
        let (is_good, text) = output(&sgdisk, &["-v", name]);
        assert!(is_good && text.contains("No problems found"), "{text}");
    }
}
