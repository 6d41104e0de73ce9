use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::Value;

use super::answer::Answer;
use super::{dump, input, render};
use crate::cli::{Cli, Command, IortArgs};
use crate::exit::Exit;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/fixtures/tables").join(name)
}

fn args(rest: &[&str]) -> IortArgs {
    match Cli::try_parse_from(["xtask", "iort"].iter().chain(rest)).unwrap().command {
        Command::Iort(args) => args,
        _ => unreachable!("`iort` is `iort`"),
    }
}

/// What the command prints for each table, and how it would end.
fn run(rest: &[&str]) -> (Vec<String>, Exit) {
    let args = args(rest);
    let mut texts = Vec::new();
    let mut worst = Exit::Pass;
    for input in args.files.iter().flat_map(|file| input::read(file)) {
        let answer = Answer::new(&input, &args);
        worst = worst.max(answer.exit());
        texts.push(render(&answer, &args));
    }
    (texts, worst)
}

fn json(rest: &[&str]) -> (Value, Exit) {
    let (texts, exit) = run(&[&["--json"], rest].concat());
    let [text] = &texts[..] else { panic!("{texts:?}") };
    assert_eq!(text.trim_end().lines().count(), 1);
    (serde_json::from_str(text).unwrap(), exit)
}

fn ids(object: &Value) -> BTreeSet<String> {
    let findings = object["findings"].as_array().unwrap().iter();
    findings.map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
}

/// Tables as text of `acpidump`.
pub fn dumped(tables: &[(&str, &[u8])]) -> String {
    let mut text = String::new();
    for (signature, bytes) in tables {
        text += &format!("{signature} @ 0x0000000012345678\n");
        for (number, row) in bytes.chunks(16).enumerate() {
            let hex: String = row.iter().map(|byte| format!("{byte:02X} ")).collect();
            // A text column that looks like bytes.
            text += &format!("    {:04X}: {hex:48} {}\n", number * 16, "AB CD".repeat(2));
        }
        text += "\n";
    }
    text
}

#[test]
fn exit_status_is_that_of_the_worst_table() {
    let [sound, broken] = ["qemu-virt/IORT.aml", "synthetic/loop-three-rcs.aml"].map(fixture);
    let [sound, broken] = [sound.to_str().unwrap(), broken.to_str().unwrap()];
    let other = fixture("qemu-virt/MCFG.aml");
    assert_eq!(run(&[sound]).1, Exit::Pass);
    assert_eq!(run(&[sound, broken, sound]).1, Exit::Fail);
    assert_eq!(run(&[broken, other.to_str().unwrap(), sound]).1, Exit::Usage);
    assert_eq!(run(&["/nowhere/at/all", sound]).1, Exit::Usage);
}

#[test]
fn json_is_printed_whatever_the_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("odd \"name\"\n<&>.aml");
    for (bytes, id) in [(&b""[..], "E_SHORT"), (b"#!/bin/sh\n", "E_SHORT"), (&[b'J'; 300], "E_SIG")] {
        std::fs::write(&odd, bytes).unwrap();
        let (object, exit) = json(&[odd.to_str().unwrap()]);
        assert_eq!(
            (exit, ids(&object), &object["outcome"]),
            (Exit::Usage, BTreeSet::from([id.into()]), &"error".into())
        );
        assert_eq!(object["file"], odd.to_str().unwrap());
    }
    let (object, exit) = json(&["/nowhere/at/all"]);
    assert_eq!((exit, ids(&object)), (Exit::Usage, BTreeSet::from(["E_INPUT".into()])));
    assert!(object["nodes"].as_array().unwrap().is_empty() && object["resolve"].as_array().unwrap().is_empty());
    std::fs::write(&odd, std::fs::read(fixture("qemu-virt/IORT.aml")).unwrap()).unwrap();
    for form in ["--dot", "--svg"] {
        let (texts, _) = run(&[form, odd.to_str().unwrap()]);
        assert!(!texts[0].contains("<&>") && !texts[0].contains("\"name\""), "{}", texts[0]);
    }
}

#[test]
fn functions_and_inputs_are_resolved() {
    let table = fixture("qemu-virt/IORT.aml");
    let table = table.to_str().unwrap();
    let (object, _) = json(&[table, "--resolve", "0000:00:02.0", "--resolve", "0001:00:00.0", "--input", "2:0x18"]);
    let [function, foreign, input] = &object["resolve"].as_array().unwrap()[..] else { panic!("{object}") };
    assert_eq!((&function["function"], &function["spec"]["smmu"]["sid"]), (&"0000:00:02.0".into(), &16.into()));
    assert!(foreign["node"].is_null() && foreign["spec"]["smmu"].is_null() && foreign.get("linux").is_none());
    assert_eq!(
        (&input["node"], &input["input_id"], &input["spec"]["its"]["devid"]),
        (&2.into(), &24.into(), &24.into())
    );
    let (texts, _) = run(&[table, "--resolve", "0000:00:02.0"]);
    assert!(texts[0].contains("StreamID 0x10 at the SMMU at 0x9050000"), "{}", texts[0]);
    for wrong in ["2", "2:", "x:1", "2:0x100000000", "-1:2"] {
        assert!(Cli::try_parse_from(["xtask", "iort", table, "--input", wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn a_function_that_linux_places_elsewhere_is_a_finding() {
    let table = fixture("qemu-virt/IORT-off-by-one.aml");
    let (object, exit) = json(&[table.to_str().unwrap(), "--resolve", "0000:01:00.0"]);
    assert!(exit == Exit::Pass && ids(&object).contains("W_READINGS_DIFFER"), "{object}");
    let resolved = &object["resolve"][0];
    assert!(resolved["spec"]["error"] == "ambiguous" && resolved["linux"]["its"]["devid"] == 256, "{resolved}");
}

#[test]
fn dumps_and_folders_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let [iort, mcfg, madt] =
        ["IORT", "MCFG", "APIC"].map(|name| std::fs::read(fixture(&format!("qemu-virt/{name}.aml"))).unwrap());
    let (alone, _) = json(&[fixture("qemu-virt/IORT.aml").to_str().unwrap()]);
    let text = folder.path().join("acpidump.out");
    std::fs::write(&text, dumped(&[("MCFG", &mcfg), ("IORT", &iort), ("APIC", &madt)])).unwrap();
    let (dumped_one, exit) = json(&[text.to_str().unwrap()]);
    assert_eq!((exit, &dumped_one["nodes"]), (Exit::Pass, &alone["nodes"]));
    // By their content, whatever they are called; the dump in the folder is no table.
    std::fs::write(folder.path().join("iort.dat"), &iort).unwrap();
    std::fs::write(folder.path().join("b"), &mcfg).unwrap();
    let (texts, _) = run(&[folder.path().to_str().unwrap()]);
    assert!(texts.len() == 1 && texts[0].contains("compared with MCFG"), "{texts:?}");
    std::fs::write(folder.path().join("iort2.dat"), &iort).unwrap();
    assert_eq!(run(&[folder.path().to_str().unwrap()]).0.len(), 2);
    let cut = dumped(&[("IORT", &iort)]).replace("    0030:", "    0050:");
    std::fs::write(&text, cut).unwrap();
    let (object, exit) = json(&[text.to_str().unwrap()]);
    assert!(exit == Exit::Usage && object["findings"][0]["text"].as_str().unwrap().contains("line 5"), "{object}");
}

#[test]
fn a_dump_gives_its_tables_back() {
    let bytes: Vec<u8> = (0..=255).chain(0..7).collect();
    let text = dumped(&[("SSDT", &bytes[..5]), ("IORT", &bytes)]);
    assert!(dump::is_dump(text.as_bytes()) && !dump::is_dump(&bytes));
    let tables = dump::tables(text.as_bytes()).unwrap();
    assert_eq!(tables.len(), 2);
    assert_eq!((&tables[0].bytes[..], &tables[1].bytes), (&bytes[..5], &bytes));
}

#[test]
fn ranges_are_compared_with_tables_beside() {
    // A range on the ECAM window of QEMU's MCFG (0x3f000000).
    let table = std::fs::read(fixture("qemu-virt/IORT.aml")).unwrap();
    let wish = tables::iort::amend::RmrWish {
        stream: addr::StreamId(8),
        smmu: 72,
        base: addr::PhysAddr(0x3f00_0000),
        bytes: 0x1_0000,
    };
    let mut amended = vec![0; tables::iort::amend::amended_len(&table)];
    let length = tables::iort::amend::amend(&table, &wish, &mut amended).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("IORT"), &amended[..length]).unwrap();
    let alone = json(&[folder.path().join("IORT").to_str().unwrap()]);
    assert_eq!((ids(&alone.0), alone.1), (BTreeSet::new(), Exit::Pass));
    std::fs::copy(fixture("qemu-virt/MCFG.aml"), folder.path().join("MCFG")).unwrap();
    let mcfg = tables::mcfg::Mcfg::parse(&std::fs::read(fixture("qemu-virt/MCFG.aml")).unwrap(), &mut |_| {})
        .unwrap()
        .regions()
        .next()
        .unwrap()
        .extent();
    let expected = mcfg.0.0 <= wish.base.0 && wish.base.0 < mcfg.0.0 + mcfg.1;
    let (object, exit) = json(&[folder.path().to_str().unwrap()]);
    assert_eq!(ids(&object).contains("E_RMR_ON_ECAM"), expected, "{mcfg:x?}");
    assert_eq!(exit == Exit::Fail, expected);
}

#[test]
fn pictures_hold_every_node() {
    for name in ["qemu-virt/IORT-two-smmus.aml", "synthetic/two-smmus-three-streams-three-ranges.aml"] {
        let path = fixture(name);
        let (object, _) = json(&[path.to_str().unwrap()]);
        let [dot, svg] = ["--dot", "--svg"].map(|form| run(&[form, path.to_str().unwrap()]).0.remove(0));
        assert!(dot.starts_with("digraph") && dot.ends_with("}\n") && svg.ends_with("</svg>\n"));
        for node in object["nodes"].as_array().unwrap() {
            let (title, in_dot) = (format!(">{}: ", node["index"]), format!("label=\"{}:", node["index"]));
            assert!(svg.contains(&title) && dot.contains(&in_dot), "{title}");
        }
    }
}

#[test]
fn truth_files_of_the_corpus_are_met() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    if !corpus.is_dir() {
        println!("no corpus beside the checkout: nothing compared");
        return;
    }
    let mut folders = vec![corpus];
    let (mut compared, mut wrong) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let truth = path.with_extension("expect.json");
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "aml") && truth.is_file() {
                let truth: Value = serde_json::from_slice(&std::fs::read(truth).unwrap()).unwrap();
                compared += 1;
                // What the reference reader said of a mutated table is no truth, and one walk is known to be wrong in its
                // file: see the corpus test of `tables`.
                if truth["outcome"].is_string() && !path.ends_with("malformed/loop-two-smmus.aml") {
                    wrong.extend(compare(&path, &truth).err().map(|why| format!("{}: {why}", path.display())));
                }
            }
        }
    }
    println!("compared {compared} tables");
    assert!(compared > 0 && wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every key of a truth file that this command prints.
fn compare(path: &Path, truth: &Value) -> Result<(), String> {
    let walks: Vec<&Value> = truth["resolve"].as_array().map_or(Vec::new(), |walks| walks.iter().collect());
    let inputs: Vec<String> = walks.iter().map(|walk| format!("{}:{}", walk["node"], walk["input_id"])).collect();
    let mut rest = vec![path.to_str().unwrap()];
    rest.extend(inputs.iter().flat_map(|input| ["--input", input]));
    let (ours, _) = json(&rest);
    let same = |what: &str, ours: &Value, theirs: &Value| match ours == theirs {
        true => Ok(()),
        false => Err(format!("{what}: {ours}, expected {theirs}")),
    };
    same("outcome", &ours["outcome"], &truth["outcome"])?;
    for (walk, ours) in walks.iter().zip(ours["resolve"].as_array().unwrap()) {
        let place = format!("ID {} of node {}", walk["input_id"], walk["node"]);
        for (reading, key) in ["spec", "linux"].into_iter().flat_map(|of| ["smmu", "error"].map(|key| (of, key))) {
            same(&format!("{place}, {reading}.{key}"), &ours[reading][key], &walk[reading][key])?;
        }
        for (reading, key) in ["spec", "linux"].into_iter().flat_map(|of| ["ids", "devid"].map(|key| (of, key))) {
            same(&format!("{place}, {reading}.its.{key}"), &ours[reading]["its"][key], &walk[reading]["its"][key])?;
        }
        same(&format!("{place}, linux"), &ours["linux"].is_object().into(), &walk["linux"].is_object().into())?;
    }
    let nodes = truth["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    for (theirs, ours) in nodes.iter().zip(ours["nodes"].as_array().unwrap()) {
        // `name` is the generator's label. `pasid` is the raw field there, and its width here.
        for (key, theirs) in
            theirs.as_object().unwrap().iter().filter(|(key, _)| !["name", "fields"].contains(&&***key))
        {
            same(&format!("node {}, {key}", ours["index"]), &ours[key], theirs)?;
        }
        for (key, theirs) in theirs["fields"].as_object().into_iter().flatten().filter(|(key, _)| *key != "pasid") {
            if let Some(ours) = ours["fields"].get(key).filter(|ours| !ours.is_null()) {
                same(&format!("field {key}"), ours, theirs)?;
            }
        }
    }
    Ok(())
}
