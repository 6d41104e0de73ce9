//! Many streams at once, virtual functions among them; devices that are left out, for one reason or another.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use scenario::policy::After;
use serde_json::Value;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::interface::unfed;
use super::policies::{courses, run_of};
use super::session::{Ended, FAST, Session};

/// A card beside those of the board, to which nobody sends.
const CARD: &str = "-device e1000e,id=card,bus=pcie.0,addr=9.0,romfile=";
/// Its function.
const AT: &str = "0000:00:09.0";

/// All of them.
pub fn all() -> Vec<Case> {
    let long = |case| Case { deadline: Duration::from_secs(300), ..case };
    vec![
        long(Case::new("many-streams", many)),
        long(Case::new("many-quiesced", quiesced)),
        long(Case::new("virtual-functions", virtual_functions)),
        Case::new("virtual-functions-quiesced", virtual_quiesced),
        Case { needs: Some(super::Need::Qemu(11, 0)), ..Case::new("two-smmus", two_smmus) },
        Case::new("endpoint-without-link", |session| {
            // The board does not name the card: the run is as good without it.
            let ended = without_link(session, "card", CARD)?;
            expect::outcome(&ended, 0, "pass")?;
            left_out(&ended, AT)
        }),
        Case::new("endpoint-without-link-named", |session| {
            let ended = without_link(session, "net0", "")?;
            expect::outcome(&ended, 1, "fail")?;
            left_out(&ended, "0000:00:04.0")?;
            let problems = expect::run(&ended, "adopt")?["problems"].to_string();
            ensure(problems.contains("endpoint 0000:00:04.0 (e1000e) is no stream"), || problems.clone())
        }),
        Case::new("endpoint-without-sender", without_sender),
        Case::new("endpoint-denied", denied),
        Case::new("endpoint-denied-named", |session| {
            let ended = session.run(&words(&format!("run {FAST} --scenario adopt --option deny=0000:00:02.0")))?;
            expect::outcome(&ended, 1, "fail")?;
            is_denied(&ended, "0000:00:02.0")?;
            let problems = expect::run(&ended, "adopt")?["problems"].to_string();
            ensure(problems.contains("endpoint 0000:00:02.0 (hda) is no stream"), || problems.clone())
        }),
        Case::new("endpoints-with-one-stream", one_stream),
    ]
}

/// At least 64 streams of four drivers, and each of them can come out as each policy says.
fn many(session: &Session<'_>) -> Expected {
    let ended = session.run(&words("run --board qemu-virt-many --scenario adopt,reset,abort,bypass"))?;
    expect::outcome(&ended, 0, "pass")?;
    let adopted = expect::run(&ended, "adopt")?;
    let streams = expect::array(adopted, "streams")?;
    let kinds: BTreeSet<_> = streams.iter().filter_map(|stream| stream["endpoint"].as_str()).collect();
    ensure(streams.len() >= 64 && kinds.len() == 4, || format!("{} streams of {kinds:?}", streams.len()))?;
    let ids: BTreeSet<_> = streams.iter().filter_map(|stream| stream["stream_id"].as_u64()).collect();
    ensure(ids.len() == streams.len(), || format!("{} StreamIDs of {} streams", ids.len(), streams.len()))?;
    expect::adopted(adopted)?;
    expect::was_reset(expect::run(&ended, "reset")?)?;
    courses(&run_of(&ended, "abort")?, After::Blocked, After::Blocked)?;
    courses(&run_of(&ended, "bypass")?, After::Untranslated, After::Untranslated)
}

/// Virtual functions of one card, under most policies, and QEMU's own trace beside the first of them.
fn virtual_functions(session: &Session<'_>) -> Expected {
    let ended = session.run_with_witness(&words("run --board qemu-virt-sriov --scenario adopt"), false)?;
    expect::outcome(&ended, 0, "pass")?;
    expect::adopted(expect::run(&ended, "adopt")?)?;
    // What one refused frame is in the trace would hold the machine up.
    let ended = session.run(&words("run --board qemu-virt-sriov"))?;
    expect::outcome(&ended, 0, "pass")?;
    expect::was_reset(expect::run(&ended, "reset")?)?;
    // One frame, refused by eight rings, makes more events than a queue takes: the policies that keep it on are left out.
    let policies =
        "adopt-v7,adopt-rmr-bypass,abort,bypass,adopt-attach,adopt-v7-attach,adopt+stage-2-domains,adopt@panic";
    let ended = session.run(&words(&format!("run --board qemu-virt-sriov --cycles 2 --scenario {policies}")))?;
    expect::outcome(&ended, 0, "pass")
}

/// They are stopped by their own bits, and by what stops their physical function; and they are there again in the next cycle.
fn virtual_quiesced(session: &Session<'_>) -> Expected {
    are_silent(session, "qemu-virt-sriov", &["quiesce-bme", "quiesce-driver", "quiesce-flr"])
}

/// A function level reset of five such cards, and looking at 52 rings that run on behind a closed door, take QEMU longer than a
/// cyclic buffer lasts: those policies are tried with fewer streams.
fn quiesced(session: &Session<'_>) -> Expected {
    are_silent(session, "qemu-virt-many", &["quiesce-driver"])
}

fn are_silent(session: &Session<'_>, board: &str, policies: &[&str]) -> Expected {
    let arguments = format!("run --board {board} --cycles 2 --scenario {}", policies.join(","));
    let ended = session.run(&words(&arguments))?;
    for name in policies {
        let run = run_of(&ended, name)?;
        for stream in expect::array(&run, "streams")? {
            let has_reset = ["igb", "igbvf"].contains(&stream["endpoint"].as_str().unwrap_or_default());
            if *name == "quiesce-flr" && !has_reset {
                continue;
            }
            let moved = ["delivered", "mis_steered"].map(|key| expect::count(stream, "after", key));
            ensure(moved == [Some(0), Some(0)], || format!("{name}, {} after: {}", stream["bdf"], stream["after"]))?;
        }
    }
    Ok(())
}

fn two_smmus(session: &Session<'_>) -> Expected {
    const BOARD: &str = "run --board qemu-virt-two-smmus --scenario";
    let others =
        "adopt-v7,adopt-rmr-bypass,abort,bypass,reset-attach,quiesce-driver,adopt-attach,adopt+l2-null,adopt@other-cpu";
    let ended = session.run(&words(&format!("{BOARD} adopt,reset,{others}")))?;
    expect::outcome(&ended, 0, "pass")?;
    let smmus = ended.report()?["platform"]["smmus"].as_array().map_or(0, Vec::len);
    ensure(smmus == 2, || format!("{smmus} SMMUs"))?;
    expect::adopted(expect::run(&ended, "adopt")?)?;
    expect::was_reset(expect::run(&ended, "reset")?)?;
    let ended = session.run(&words(&format!("{BOARD} adopt --plant ste-rewritten")))?;
    expect::outcome(&ended, 1, "fail")
}

/// The link of a network client is down from the start, by a command to QEMU's monitor.
fn without_link(session: &Session<'_>, client: &str, device: &str) -> Result<Ended, String> {
    let file = session.folder.with_extension("monitor");
    std::fs::write(&file, format!("set_link {client} off\n"))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let monitor = format!("-chardev file,id=hmp,path=/dev/null,input-path={} -mon chardev=hmp", file.display());
    session.run(&words(&format!("run {FAST} --scenario adopt -- {device} {monitor}")))
}

/// The finding says why, and the run went on with the others.
fn left_out(ended: &Ended, bdf: &str) -> Expected {
    expect::finding(ended, "endpoint-not-armed")?;
    expect::finding(ended, &format!("{bdf}: e1000e cannot be armed: NIC STATUS.LU (link)"))?;
    let run = expect::run(ended, "adopt")?;
    expect::only_broken(run, &[])?;
    let streams = expect::array(run, "streams")?;
    ensure(streams.len() >= 2 && streams.iter().all(|stream| stream["bdf"] != bdf), || format!("{bdf} is a stream"))
}

fn without_sender(session: &Session<'_>) -> Expected {
    unfed(&session.run(&words(&format!("run {FAST} --scenario adopt -- {CARD}")))?, AT)
}

fn is_denied(ended: &Ended, bdf: &str) -> Expected {
    let endpoints = ended.report()?["platform"]["endpoints"].as_array().cloned().unwrap_or_default();
    let endpoint = endpoints.iter().find(|endpoint| endpoint["bdf"] == bdf).ok_or("the function is not listed")?;
    ensure(endpoint["denied"] == true && endpoint["armed"] == false, || format!("{endpoint}"))
}

/// Nobody writes to a denied function, whatever the policy; QEMU's own trace is the witness.
fn denied(session: &Session<'_>) -> Expected {
    const POLICIES: &str = "quiesce-bme,quiesce-driver,quiesce-flr";
    let deny = format!("--option deny={AT}");
    for scenarios in ["adopt", POLICIES] {
        let (ended, writes) = traced(session, scenarios, &deny)?;
        expect::outcome(&ended, 0, "pass")?;
        is_denied(&ended, AT)?;
        ensure(writes == 0, || format!("{scenarios}: {writes} writes to the denied card"))?;
    }
    let (_, touched) = traced(session, POLICIES, "")?;
    let (_, by_ids) =
        traced(session, POLICIES, "--option deny=1234:5678,0000:00:1f.0 --option allow=8086:10d3,8086:293e")?;
    ensure(touched > 0 && by_ids > 0, || format!("{touched} and {by_ids} writes where it is not denied"))
}

/// A run with the card, and the writes to the card's configuration space.
fn traced(session: &Session<'_>, scenarios: &str, options: &str) -> Result<(Ended, usize), String> {
    let file = session.folder.with_extension("trace");
    let trace = format!("-trace pci_cfg_write -trace pl011_write -D {}", file.display());
    // With firmware: without it the payload gives addresses to all functions.
    let board = "--board qemu-virt";
    let ended = session.run(&words(&format!("run {board} --scenario {scenarios} {options} -- {CARD} {trace}")))?;
    Ok((ended, writes(&file)?))
}

/// Writes since the payload's first record went through the UART: those before are firmware's.
fn writes(trace: &Path) -> Result<usize, String> {
    let text = std::fs::read_to_string(trace).map_err(|error| format!("no trace of QEMU: {error}"))?;
    let is_write = |line: &&str| line.contains("pci_cfg_write e1000e 00:09.0 ");
    let mut said = Vec::new();
    let mut is_firmwares = |line: &&str| {
        said.extend(printed(line));
        !said.ends_with(wire::PREFIX.as_bytes())
    };
    let mut lines = text.lines();
    let firmwares = lines.by_ref().take_while(&mut is_firmwares).filter(is_write).count();
    if firmwares == 0 || lines.clone().next().is_none() {
        return Err(format!("{firmwares} writes before the first record, or no record at all"));
    }
    Ok(lines.filter(is_write).count())
}

/// The byte that a line of the trace puts into the UART's data register.
fn printed(line: &str) -> Option<u8> {
    let (_, value) = line.split_once("pl011_write addr 0x000 value 0x")?;
    u32::from_str_radix(value.get(..8)?, 16).ok().map(|word| word as u8)
}

/// Two controllers behind a bridge to PCI share its StreamID: the first works, the other is a finding.
fn one_stream(session: &Session<'_>) -> Expected {
    let audio = |name: &str, slot: u8| {
        format!(
            "-device ich9-intel-hda,id={name},bus=bridge,addr={slot}.0 -device hda-duplex,bus={name}.0,audiodev=silence"
        )
    };
    let bridge = "-device pcie-pci-bridge,id=bridge,bus=pcie.0,addr=9.0";
    let devices = format!("{bridge} {} {}", audio("behind1", 1), audio("behind2", 2));
    let ended = session.run(&words(&format!("run {FAST} --scenario adopt,reset -- {devices}")))?;
    expect::outcome(&ended, 0, "pass")?;
    expect::finding(&ended, "stream-shared")?;
    let streams = expect::array(expect::run(&ended, "adopt")?, "streams")?;
    let behind = |stream: &&Value| stream["bdf"].as_str().is_some_and(|bdf| !bdf.starts_with("0000:00:"));
    ensure(streams.iter().filter(behind).count() == 1, || format!("not one stream behind the bridge: {streams:?}"))
}
