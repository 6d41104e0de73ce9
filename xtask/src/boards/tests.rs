use std::path::{Path, PathBuf};

use clap::Parser;

use super::facts::Facts;
use super::{check, folder, new};
use crate::cli::{BoardsCommand, Cli, Command, NewBoardArgs};
use crate::exit::{Exit, status_of};
use crate::iort::tests::dumped;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/fixtures").join(name)
}

fn args(rest: &[&str]) -> NewBoardArgs {
    match Cli::try_parse_from(["xtask", "boards", "new"].iter().chain(rest)).unwrap().command {
        Command::Boards(args) => match args.command {
            Some(BoardsCommand::New(args)) => args,
            _ => unreachable!("`boards new` is `boards new`"),
        },
        _ => unreachable!("`boards` is `boards`"),
    }
}

/// What would be written from `path`, and the board that it is.
fn begun(path: &Path) -> (String, board::Board) {
    let text = new::text("vendor/machine", &Facts::read(path).unwrap()).unwrap();
    let board = board::parse(Path::new("begun"), &text).unwrap();
    (text, board)
}

/// A folder with these tables of QEMU.
fn machine(tables: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in tables {
        std::fs::copy(fixture(&format!("tables/qemu-virt/{name}.aml")), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn tables_of_a_machine_begin_its_board() {
    let folder = machine(&["IORT", "MCFG", "SPCR", "DBG2", "GTDT"]);
    let (text, board) = begun(folder.path());
    assert_eq!((board.name.as_str(), board.evidence), ("vendor/machine", board::Evidence::Documented));
    assert_eq!(board.smmus.unwrap().at, [0x905_0000]);
    assert_eq!(board.console.as_deref(), Some("pl011:0x9000000:32"));
    assert_eq!(board.firmware.unwrap().tables, board::Tables::Acpi);
    assert!(board.allow_risks.is_empty() && board.watchdog.is_none());
    assert!(text.contains("segment 0x0, buses 0x00 to 0xff: configuration space at"), "{text}");
    // The digest is that of the report, and of `sha256sum`.
    let digest = "SHA-256 ";
    assert!(board.sources["smmus"].starts_with("IORT of BOCHS BXPC (OEM revision 0x1, table revision "), "{text}");
    assert!(board.sources["console"].starts_with("SPCR of BOCHS") && board.sources["smmus"].contains(digest));
    let (_, without) = begun(machine(&["IORT", "DBG2"]).path());
    assert_eq!(without.console.as_deref(), Some("pl011:0x9000000:32"));
    assert!(without.sources["console"].starts_with("DBG2 of BOCHS"), "{:?}", without.sources);
    // Without an IORT nobody knows whether there are SMMUs: the file says neither.
    let (text, unknown) = begun(machine(&["MCFG"]).path());
    assert!(unknown.smmus.is_none() && text.contains("# architecture = \"SMMUv3\""), "{text}");
}

#[test]
fn text_of_a_dump_begins_the_same_board_as_its_tables() {
    let table = |name: &str| std::fs::read(fixture(&format!("tables/qemu-virt/{name}.aml"))).unwrap();
    let [spcr, iort] = ["SPCR", "IORT"].map(table);
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump.txt");
    std::fs::write(&dump, dumped(&[("SPCR", &spcr), ("DSDT", b"no table"), ("IORT", &iort)])).unwrap();
    let (text, of_dump) = begun(&dump);
    let (_, of_tables) = begun(machine(&["SPCR", "IORT"]).path());
    assert_eq!((of_dump.smmus, of_dump.console), (of_tables.smmus, of_tables.console));
    assert_eq!(of_dump.sources["firmware"], "SPCR, IORT in dump.txt", "{text}");
}

#[test]
fn devicetree_begins_a_board_too() {
    let (text, board) = begun(&fixture("devicetree/smp2.dtb"));
    assert_eq!(board.firmware.unwrap().tables, board::Tables::Devicetree);
    assert_eq!(board.smmus.unwrap().at, [0x905_0000]);
    assert_eq!(board.console.as_deref(), Some("pl011:0x9000000:16"));
    assert!(board.sources["smmus"].starts_with("devicetree smp2.dtb ("), "{text}");
    let (text, none) = begun(&fixture("devicetree/no-iommu.dtb"));
    assert_eq!(none.smmus.unwrap().architecture, board::Architecture::None, "{text}");
}

#[test]
fn reserved_ranges_and_devices_are_told() {
    let (text, board) = begun(&fixture("tables/synthetic/two-smmus-three-streams-three-ranges.aml"));
    assert_eq!(board.smmus.unwrap().at.len(), 2);
    let ranges = text.lines().filter(|line| line.contains(" bytes, ") && line.contains(" of the SMMU at ")).count();
    assert!(ranges >= 3, "{text}");
}

#[test]
fn what_is_no_machine_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("odd\nname");
    let tree = std::fs::read(fixture("devicetree/smp2.dtb")).unwrap();
    let table = std::fs::read(fixture("tables/qemu-virt/IORT.aml")).unwrap();
    let cases: [(&[u8], &str); 6] = [
        (b"", "neither tables nor a devicetree"),
        (b"#!/bin/sh\n", "neither tables nor a devicetree"),
        (&tree[..40], "E_LEN_GT_FILE: DTB"),
        (&table[..40], "E_SHORT"),
        (&table[..table.len() - 1], "E_LEN_GT_FILE: IORT"),
        (b"FACP @ 0x0\n    0000: 46 41\n", "none of the tables IORT"),
    ];
    for (bytes, wanted) in cases {
        std::fs::write(&file, bytes).unwrap();
        let error = new::run(&args(&["a", "--from", file.to_str().unwrap()])).unwrap_err();
        let text = error.to_string();
        assert!(status_of(&error) == Exit::Usage && text.contains(wanted) && !text.contains('\n'), "{text}");
    }
    let error = new::run(&args(&["a", "--from", "/nowhere/at/all"])).unwrap_err();
    assert!(status_of(&error) == Exit::Usage && error.to_string().contains("cannot read the file"), "{error}");
    for name in ["A", "a/b/c", "a b", "", "/a"] {
        let line = ["xtask", "boards", "new", name, "--from", "x"];
        assert!(Cli::try_parse_from(line).is_err(), "{name}");
    }
}

#[test]
fn tables_with_errors_are_taken_only_when_asked_for() {
    let file = fixture("tables/synthetic/loop-three-rcs.aml");
    let file = file.to_str().unwrap();
    let error = new::run(&args(&["a", "--from", file])).unwrap_err().to_string();
    assert!(error.contains("E_MAP_REF_TYPE") && error.contains("--despite-errors"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("a.toml");
    let despite = args(&["a", "--from", file, "--despite-errors", "--to", to.to_str().unwrap()]);
    assert_eq!(new::run(&despite).unwrap(), Exit::Pass);
    assert!(std::fs::read_to_string(to).unwrap().contains("\n#   error E_MAP_LOOP: IORT+"));
}

#[test]
fn nothing_is_overwritten() {
    let folder = machine(&["IORT"]);
    let (from, to) = (folder.path().to_str().unwrap().to_owned(), folder.path().join("new.toml"));
    let args = args(&["a", "--from", &from, "--to", to.to_str().unwrap()]);
    assert_eq!(new::run(&args).unwrap(), Exit::Pass);
    let first = std::fs::read(&to).unwrap();
    assert!(board::mistakes(&super::folder(), to.to_str().unwrap()).is_empty());
    let error = new::run(&args).unwrap_err();
    assert!(status_of(&error) == Exit::Usage && error.to_string().contains("is there"), "{error}");
    assert_eq!(std::fs::read(&to).unwrap(), first);
}

#[test]
fn every_board_passes_and_a_planted_mistake_is_found() {
    assert_eq!(check::run(&[]).unwrap(), Exit::Pass);
    let lab = tempfile::tempdir().unwrap();
    let path = lab.path().join("altra.toml");
    let text = std::fs::read_to_string(folder().join("ampere/altra.toml")).unwrap();
    for (from, to) in [
        ("pl011:0x100002600000:32", "pl011:0x100002600000:31"),
        ("0x23ffe0000000", "0x23ffe0001000"),
        ("tables = \"acpi\"", "tables = \"acip\""),
        ("watchdog = \"GTDT", "watchdgo = \"GTDT"),
        ("control = 0x1000027c0000", "control = 0x1000027d0000"),
        ("evidence = \"documented\"", "evidence = \"silicon\""),
    ] {
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let path = path.to_str().unwrap().to_owned();
        assert_eq!(board::mistakes(&folder(), &path).len(), 1, "{to}");
        assert_eq!(check::run(&[path, "qemu-virt".into()]).unwrap(), Exit::Usage);
    }
    std::fs::write(&path, text).unwrap();
    assert_eq!(check::run(&[path.to_str().unwrap().into()]).unwrap(), Exit::Pass);
    assert_eq!(check::run(&["no-such-board".into()]).unwrap(), Exit::Usage);
}

/// Boards whose tables are in the corpus, and where.
const IN_CORPUS: [(&str, &str); 6] = [
    ("ampere/altra", "niyas-sait-acpi/adlink-ava-ampere-altra-1"),
    ("solidrun/honeycomb-lx2160a", "niyas-sait-acpi/solidrun-honeycomb-lx2160a"),
    ("arm/morello-fvp", "niyas-sait-acpi/arm-morello-fvp"),
    ("lenovo/thinkpad-t14s", "aarch64-laptops/lenovo-thinkpad-t14s"),
    ("lenovo/thinkpad-x13s", "aarch64-laptops/lenovo-thinkpad-x13s"),
    ("qemu-sbsa", "qemu-sbsa-ref/sbsa-ref-fw-4bd5295"),
];

fn corpus() -> Option<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    if !corpus.is_dir() {
        println!("no corpus beside the checkout: nothing compared");
    }
    corpus.is_dir().then_some(corpus)
}

#[test]
fn boards_say_what_their_tables_say() {
    let Some(corpus) = corpus() else { return };
    for (name, tables) in IN_CORPUS {
        let (text, begun) = begun(&corpus.join(tables));
        let board = super::load(name).unwrap();
        let smmus = |board: &board::Board| {
            let mut smmus = board.smmus.clone().unwrap();
            smmus.at.sort_unstable();
            (smmus.architecture, smmus.at)
        };
        assert_eq!(smmus(&begun), smmus(&board), "{name}");
        assert_eq!(begun.console, board.console, "{name}");
        assert_eq!(begun.watchdog, board.watchdog, "{name}");
        // The digest that the file cites is that of the table.
        for key in ["smmus", "console", "watchdog"] {
            let digest = |board: &board::Board| {
                let cited = board.sources.get(key)?.split("SHA-256 ").nth(1)?;
                Some(cited.chars().take(64).collect::<String>())
            };
            assert_eq!(digest(&board), digest(&begun), "{name}: {key}\n{text}");
        }
    }
}

#[test]
fn whatever_a_table_is_a_board_begins_or_one_line_tells_why_not() {
    let Some(corpus) = corpus() else { return };
    let mut folders = vec![corpus];
    let (mut taken, mut refused) = (0, 0);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match Facts::read(&path) {
                Ok(facts) => {
                    let text = new::text("a", &facts).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    assert!(text.lines().count() < 400, "{}", path.display());
                    taken += 1;
                }
                Err(why) => {
                    assert!(!why.is_empty() && !why.contains('\n'), "{}: {why}", path.display());
                    refused += 1;
                }
            }
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    assert!(taken > 200 && refused > 50, "{taken} taken, {refused} refused");
}
