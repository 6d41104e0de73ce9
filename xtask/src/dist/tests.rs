use std::collections::BTreeMap;

use super::again::difference;
use super::archive;
use super::crates::{linked, parse};

#[test]
fn a_tree_is_read_by_its_depths() {
    let text = "0a v1.0.0 (/x y)\n1b v2.0.0\n2c v3.0.0-alpha\n1c v3.0.0-alpha (*)\n1d v4.0.0\n";
    let tree = parse(text).unwrap();
    let id = |name: &str, version: &str| (name.to_owned(), version.to_owned());
    let c = id("c", "3.0.0-alpha");
    assert_eq!(tree.len(), 4);
    assert!(tree[&id("a", "1.0.0")].iter().eq(&[id("b", "2.0.0"), c.clone(), id("d", "4.0.0")]));
    assert!(tree[&id("b", "2.0.0")].iter().eq(std::slice::from_ref(&c)));
    assert!(tree[&c].is_empty());
    assert!(parse("").is_err() && parse("a v1").is_err() && parse("0a 1").is_err());
}

#[test]
fn only_what_is_in_the_images_is_named() {
    let crates = linked().unwrap();
    let names: BTreeMap<_, _> = crates.iter().map(|((name, _), linked)| (name.as_str(), linked)).collect();
    // Started by firmware only, and by no firmware; both; neither: a build's, a macro's, the host tool's.
    assert!(names["uefi"].files.iter().eq(&["inflight-plain.efi", "inflight.efi"]));
    assert_eq!(names["fdt"].files.len(), 3);
    assert!(names["unpack"].files.iter().eq(&["inflight.efi"]));
    for absent in ["lzma-rust2", "syn", "proc-macro2", "zerocopy-derive", "clap", "proptest", "model"] {
        assert!(!names.contains_key(absent), "{absent}");
    }
    for ((name, _), linked) in &crates {
        let is_ours = linked.folder.starts_with(crate::workspace::root());
        assert_eq!(linked.checksum.is_none(), is_ours, "{name}");
        assert!(!linked.licence.contains('/'), "{name}");
    }
}

#[test]
fn an_archive_is_the_same_whatever_order_and_time_its_files_have() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let orders = [["b", "a/c", "a.d"], ["a.d", "b", "a/c"]];
    for (folder, order) in folders.iter().zip(orders) {
        for name in order {
            super::put(&folder.path().join("of"), name, name.as_bytes()).unwrap();
        }
    }
    let times = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    std::fs::File::options().write(true).open(folders[1].path().join("of/b")).unwrap().set_times(times).unwrap();
    let [one, other] = folders.map(|folder| {
        let tar = folder.path().join("tar");
        archive::write(&tar, "x-1", &folder.path().join("of"), 86_400).unwrap();
        std::fs::read(tar).unwrap()
    });
    assert!(one == other);
    let mut tar = tar::Archive::new(&one[..]);
    let entries = tar.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.path().unwrap().display().to_string(), entry.header().mtime().unwrap(), entry.header().uid().unwrap())
    });
    let wanted = ["x-1/a.d", "x-1/a/c", "x-1/b"].map(|name| (name.to_owned(), 86_400, 0));
    assert_eq!(entries.collect::<Vec<_>>(), wanted);
}

#[test]
fn the_first_byte_that_differs_is_named() {
    assert_eq!(difference(b"abc", b"abc"), None);
    assert_eq!(difference(b"abc", b"adc"), Some(1));
    assert_eq!(difference(b"abc", b"ab"), Some(2));
}
