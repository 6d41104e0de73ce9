use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Tmpfs, files, is_root};
use crate::exit::{Exit, one_line, status_of};
use crate::flash::esp::{Target, flash, restore};
use crate::flash::payload::{BOOT_FILE, IORT_FILE, OPTIONS_FILE};
use crate::run::Progress;

/// All files below a folder.
fn all(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            found.extend(all(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
    found
}

/// A folder to flash to, and one for what was there.
fn place() -> (tempfile::TempDir, Target, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::Folder(folder.path().into());
    (folder, target, tempfile::tempdir().unwrap())
}

fn write(folder: &Path, at: &str, text: &str) {
    let path = folder.join(at);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn an_empty_folder_is_empty_again() {
    let (folder, target, store) = place();
    flash(&target, &files(), store.path(), &Progress::Silent).unwrap();
    let found = all(folder.path());
    assert_eq!(found.keys().collect::<Vec<_>>(), [BOOT_FILE, OPTIONS_FILE]);
    assert_eq!(Some(&found[BOOT_FILE]), files()[0].bytes.as_ref());
    restore(&target, store.path(), &Progress::Silent).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no file and no empty folder is left");
    let error = restore(&target, store.path(), &Progress::Silent).unwrap_err();
    assert!(one_line(&error).contains("nothing is kept for"), "{error:#}");
}

#[test]
fn what_was_there_comes_back_even_after_two_flashes() {
    let (folder, target, store) = place();
    // As firmware's own tools write names: FAT does not tell case.
    for (at, text) in [("efi/boot/bootaa64.efi", "loader"), (IORT_FILE, "an older table"), ("EFI2/note", "mine")] {
        write(folder.path(), at, text);
    }
    let before = all(folder.path());
    flash(&target, &files(), store.path(), &Progress::Silent).unwrap();
    let found = all(folder.path());
    assert_eq!(found.keys().collect::<Vec<_>>(), ["EFI2/note", "efi/boot/bootaa64.efi", OPTIONS_FILE]);
    let mut second = files();
    second[0].bytes = Some(b"a newer image".to_vec());
    second[2].bytes = Some(b"IORT".to_vec());
    flash(&target, &second, store.path(), &Progress::Silent).unwrap();
    assert_eq!(all(folder.path())[IORT_FILE], b"IORT");
    restore(&target, store.path(), &Progress::Silent).unwrap();
    assert_eq!(all(folder.path()), before);
}

#[test]
fn what_somebody_else_put_there_is_not_overwritten_by_a_restore() {
    let (folder, target, store) = place();
    write(folder.path(), BOOT_FILE, "first");
    flash(&target, &files(), store.path(), &Progress::Silent).unwrap();
    write(folder.path(), BOOT_FILE, "somebody else's");
    let error = restore(&target, store.path(), &Progress::Silent).unwrap_err();
    assert_eq!(status_of(&error), Exit::Usage);
    assert!(one_line(&error).contains("no longer holds what was flashed"), "{error:#}");
    assert_eq!(all(folder.path())[BOOT_FILE], b"somebody else's");
    // What was there first may belong to another stick that was mounted here.
    let error = flash(&target, &files(), store.path(), &Progress::Silent).unwrap_err();
    assert!(one_line(&error).contains("neither what was flashed nor its backup"), "{error:#}");
    assert_eq!(all(folder.path())[BOOT_FILE], b"somebody else's");
}

#[test]
fn a_folder_that_was_empty_may_be_made_anew() {
    let (folder, target, store) = place();
    for _ in 0..2 {
        flash(&target, &files(), store.path(), &Progress::Silent).unwrap();
        fs::remove_dir_all(folder.path()).unwrap();
        fs::create_dir(folder.path()).unwrap();
    }
    flash(&target, &files(), store.path(), &Progress::Silent).unwrap();
}

#[test]
fn a_file_becomes_an_image_and_comes_back() {
    let (folder, _, store) = place();
    let target = Target::File(folder.path().into(), "stick.img".into());
    write(folder.path(), "stick.img", "an older image");
    let bytes = flash(&target, &files(), store.path(), &Progress::Silent).unwrap();
    let found = all(folder.path());
    assert_eq!((found.len(), found["stick.img"].len() as u64, bytes), (1, 36 << 20, 36 << 20));
    restore(&target, store.path(), &Progress::Silent).unwrap();
    assert_eq!(all(folder.path())["stick.img"], b"an older image");
}

#[test]
fn a_place_that_is_no_file_is_left_alone() {
    let (folder, target, store) = place();
    fs::create_dir_all(folder.path().join(BOOT_FILE)).unwrap();
    let error = flash(&target, &files(), store.path(), &Progress::Silent).unwrap_err();
    assert!(one_line(&error).contains("is no file; move it away"), "{error:#}");
    assert!(all(folder.path()).is_empty());
}

#[test]
fn a_full_disk_changes_nothing() {
    let Some(small) = is_root().then(|| Tmpfs::new(200)).flatten() else { return };
    let store = tempfile::tempdir().unwrap();
    write(small.path(), BOOT_FILE, "loader");
    write(small.path(), OPTIONS_FILE, "an older wish");
    let before = all(small.path());
    for target in [Target::Folder(small.path().into()), Target::File(small.path().into(), "stick.img".into())] {
        let error = flash(&target, &files(), store.path(), &Progress::Silent).unwrap_err();
        let line = one_line(&error);
        assert_eq!(status_of(&error), Exit::Usage);
        assert!(line.starts_with("cannot write ") && line.contains("No space left on device"), "{line}");
        assert_eq!(all(small.path()), before);
        assert_eq!(fs::read_dir(store.path()).unwrap().count(), 0, "nothing was overwritten: nothing is kept");
    }
}

#[test]
fn what_cannot_be_kept_is_not_overwritten() {
    let Some(small) = is_root().then(|| Tmpfs::new(100)).flatten() else { return };
    let (folder, target, _) = place();
    write(folder.path(), BOOT_FILE, &"loader".repeat(100_000));
    let before = all(folder.path());
    let line = one_line(&flash(&target, &files(), small.path(), &Progress::Silent).unwrap_err());
    assert!(line.starts_with("cannot keep what is to be overwritten") && line.contains("No space left"), "{line}");
    assert_eq!(all(folder.path()), before);
    assert!(all(small.path()).is_empty());

    // Nor is an empty folder left where there was none: the boot file is not what cannot be kept here.
    fs::rename(folder.path().join(BOOT_FILE), folder.path().join(OPTIONS_FILE)).unwrap();
    fs::remove_dir_all(folder.path().join("EFI")).unwrap();
    flash(&target, &files(), small.path(), &Progress::Silent).unwrap_err();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
