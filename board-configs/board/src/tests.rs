use std::path::Path;

use super::*;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn virt() -> String {
    std::fs::read_to_string(folder().join("qemu-virt.toml")).unwrap()
}

/// The error of qemu-virt's file with `from` replaced by `to`.
fn broken(from: &str, to: &str) -> String {
    let text = virt();
    assert!(text.contains(from), "{from} is in the file");
    parse(Path::new("b.toml"), &text.replacen(from, to, 1)).unwrap_err().to_string()
}

/// The line of `needle` in qemu-virt's file, as messages count.
fn line_of(needle: &str) -> usize {
    virt().lines().position(|line| line.contains(needle)).unwrap() + 1
}

#[test]
fn every_board_in_the_folder_is_valid() {
    for name in names(folder()).unwrap() {
        load(folder(), &name).unwrap();
    }
}

#[test]
fn the_emulated_board_has_three_endpoints_of_two_kinds_and_an_rmr() {
    let board = load(folder(), "qemu-virt").unwrap();
    assert_eq!(board.evidence, Evidence::Emulated);
    let drivers: Vec<_> = board.endpoints.iter().map(|e| e.driver.as_str()).collect();
    assert_eq!(drivers, ["hda", "hda", "e1000e"]);
    assert_eq!(board.rmr.unwrap().bdf, board.endpoints[1].bdf);
    assert_eq!(board.allow_risks.len(), 4);
}

#[test]
fn an_unknown_key_is_named_with_line_and_suggestion() {
    let error = broken("smp = 2", "spm = 2");
    assert!(error.starts_with(&format!("b.toml:{}:1: unknown field `spm`", line_of("smp = 2"))), "{error}");
    assert!(error.ends_with("did you mean `smp`?"), "{error}");
}

#[test]
fn an_unknown_risk_is_named_with_line_and_suggestion() {
    let error = broken("\"stray-write\"", "\"stray-writes\"");
    assert!(error.contains(&format!("b.toml:{}:", line_of("stray-write"))), "{error}");
    assert!(error.contains("`stray-writes`") && error.ends_with("did you mean `stray-write`?"), "{error}");
}

#[test]
fn values_that_cannot_be_meant_are_refused_in_their_line() {
    let cases = [
        ("bytes = 0x1_0000", "bytes = 0x1000", "multiple of 65536"),
        ("bdf = \"0000:00:03.0\"", "bdf = \"0000:00:09.0\"", "none of the board's endpoints"),
        ("bdf = \"0000:00:02.0\"", "bdf = \"00:02.0\"", "no PCI function"),
        ("boot-seconds = 120", "boot-seconds = 0", "between 1 and 86400"),
        ("memory = \"1G\"", "memory = \"1\"", "`512M`"),
        ("minimum-version = \"8.1\"", "minimum-version = \"8\"", "`8.1`"),
        ("netdev = \"net0\"", "netdev = \"net1\"", "no device and no netdev has `netdev=net1`"),
        ("frames-per-second = 1500", "frames-per-second = 0", "between 1 and 1000000"),
        ("name = \"qemu-virt\"", "name = \"Qemu Virt\"", "lower-case"),
    ];
    for (from, to, wanted) in cases {
        let error = broken(from, to);
        assert!(error.starts_with(&format!("b.toml:{}:", line_of(from))), "{error}");
        assert!(error.contains(wanted), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

/// The error of qemu-virt's file with a line before its first table.
fn with(line: &str) -> String {
    broken("[limits]", &format!("{line}\n\n[limits]"))
}

#[test]
fn denied_functions_are_read_and_no_endpoints() {
    let text = virt().replacen("[limits]", "deny = [\"0000:00:05.0\", \"1b36:0010\"]\n\n[limits]", 1);
    let board = parse(Path::new("b.toml"), &text).unwrap();
    assert_eq!(board.hands.deny, [Which::At(Bdf::new(0, 0, 5, 0)), Which::Ids(0x1b36, 0x10)]);
    let line = line_of("[limits]");
    let error = with("deny = [\"0000:00:04.0\"]");
    assert!(error.starts_with(&format!("b.toml:{line}:9: 0000:00:04.0 is an endpoint of the board")), "{error}");
    let error = with("allow = [\"0000:00:04.0\"]");
    assert!(error.contains("0000:00:02.0 is an endpoint of the board, and not in `allow`"), "{error}");
    let error = with("deny = [\"00:04.0\"]");
    assert!(error.starts_with(&format!("b.toml:{line}:")) && error.contains("`0000:00:05.0`"), "{error}");
    let error = with("watch-us = 0");
    assert!(error.starts_with(&format!("b.toml:{line}:")) && error.contains("between 1 and 600000000"), "{error}");
    let error = with("denny = []");
    assert!(error.contains("unknown field `denny`") && error.ends_with("did you mean `deny`?"), "{error}");
}

#[test]
fn virtual_functions_are_endpoints_after_their_own() {
    let from = "driver = \"e1000e\"";
    let to = "driver = \"igb\"\nvirtual-functions = [\"0000:00:14.0\", \"0000:00:14.2\"]";
    let board = parse(Path::new("b.toml"), &virt().replacen(from, to, 1)).unwrap();
    let last: Vec<_> =
        board.endpoints[2..].iter().map(|e| (e.bdf.to_string(), &*e.driver, e.virtual_functions)).collect();
    let wanted = [("0000:00:04.0", "igb", 2), ("0000:00:14.0", "igbvf", 0), ("0000:00:14.2", "igbvf", 0)];
    assert_eq!(last, wanted.map(|(bdf, driver, count)| (bdf.to_owned(), driver, count)));
    let twice = to.replace("00:14.0", "00:02.0");
    assert!(broken(from, &twice).contains("endpoint 0000:00:02.0 is there twice"));
}

#[test]
fn a_drive_belongs_to_a_device() {
    let error = |drive: &str| broken("audiodevs =", &format!("drives = [\"{drive}\"]\naudiodevs ="));
    for drive in ["id=disk0,driver=null-co", "if=virtio,id=disk0", "if=none,driver=null-co"] {
        assert!(error(drive).contains("a drive has `if=none` and an `id=`"), "{drive}");
    }
    assert!(error("if=none,id=disk0,driver=null-co").contains("no device has `drive=disk0`"));
}

#[test]
fn a_missing_key_and_broken_syntax_stay_on_one_line() {
    let error = broken("evidence = \"emulated\"\n", "");
    assert!(error.contains("missing field `evidence`") && !error.contains('\n'), "{error}");
    let error = broken("smp = 2", "smp = ");
    assert!(error.starts_with(&format!("b.toml:{}:", line_of("smp = 2"))) && !error.contains('\n'), "{error}");
}

#[test]
fn an_unknown_board_brings_the_nearest_name_or_all() {
    let error = load(folder(), "qemu-vrit").unwrap_err().to_string();
    assert_eq!(error, "no board `qemu-vrit`; did you mean `qemu-virt`?");
    let error = load(folder(), "zzz").unwrap_err().to_string();
    assert!(error.contains("there are: qemu-virt"), "{error}");
    assert!(load(folder(), "../board-configs/qemu-virt").is_err());
}

#[test]
fn nothing_near_is_suggested_for_a_word_far_away() {
    assert_eq!(nearest("adpot", ["reset", "adopt"]), Some("adopt"));
    assert_eq!(nearest("xyzzy", ["reset", "adopt"]), None);
}
