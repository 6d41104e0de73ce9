//! The deferred attach on the machine, at both stages: what becomes of the stream, by the report and by QEMU's own trace.

use scenario::policy::After;
use serde_json::Value;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::policies::{courses, only_failed, run_of};
use super::session::{FAST, Session};
use super::witness::{self, Claim, Moved};

/// Size of an STE, and of its words.
const STE: u64 = 64;
const WORD: u64 = 8;

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case::new("policy-adopt-attach", |session| {
            let run = fresh(session, "adopt-attach", "asid")?;
            // The one word that decides: S1DSS is as Linux has it in both, and there is no V=0.
            ensure(ste_words(&run)? == [0], || format!("{:?}", ste_words(&run)))
        }),
        Case::new("policy-adopt-attach-stage-2", |session| {
            let run = fresh(session, "adopt-attach+stage-2-domains", "vmid")?;
            // Break before make: V=0, VMID and tables, V=1.
            ensure(ste_words(&run)? == [0, 2, 3, 0], || format!("{:?}", ste_words(&run)))
        }),
        Case::new("policy-adopt-attach-rmr", adopt_attach_rmr),
        Case::new("policy-adopt-v7-attach", |session| {
            let run = stale(session, "adopt-v7-attach", "asid")?;
            ensure(ste_words(&run)? == [0], || format!("{:?}", ste_words(&run)))
        }),
        Case::new("policy-adopt-v7-attach-stage-2", |session| {
            let run = stale(session, "adopt-v7-attach+stage-2-domains", "vmid")?;
            // The VMID is the one of before: the tables alone change, by one word.
            ensure(ste_words(&run)? == [3], || format!("{:?}", ste_words(&run)))
        }),
        Case::new("policy-attach-cycles", |session| {
            // Whatever the cycle: the dead image's identifiers are those that an empty allocator gives.
            let scenarios = "adopt-attach,adopt-v7-attach,adopt-attach+stage-2-domains,adopt-v7-attach+stage-2-domains";
            let ended = session.run(&words(&format!("run {FAST} --scenario {scenarios} --cycles 3")))?;
            expect::outcome(&ended, 0, "pass")
        }),
    ]
}

/// A stream in a new domain: the run, and what QEMU's trace says of the stream.
fn attached(session: &Session<'_>, arguments: &str, scenario: &str) -> Result<(Value, Moved), String> {
    let ended = session.run_with_witness(&words(arguments), false)?;
    let run = run_of(&ended, scenario)?;
    // Until the attach all is as in any adoption.
    courses(&run, After::Delivered, After::Delivered)?;
    let stream = run["attach"]["stream_id"].as_u64().and_then(|id| u32::try_from(id).ok()).ok_or("no attach")?;
    let file = session.folder.join("smmu.trace");
    let text = std::fs::read_to_string(file).map_err(|error| format!("no trace of QEMU: {error}"))?;
    let moved = witness::moved(&witness::parse(&text)?, &Claim::from_report(ended.report()?)?, stream)?;
    Ok((run, moved))
}

/// Units of the attached stream in its new domain: attempted, delivered, into the dead image's pages.
fn units(run: &Value) -> Result<[u64; 3], String> {
    let units = ["attempted", "delivered", "mis_steered"].map(|key| run["attach"][key].as_u64());
    let [Some(attempted), Some(delivered), Some(stale)] = units else { return Err(format!("{}", run["attach"])) };
    ensure(attempted > 0, || "nothing attempted in the new domain".to_owned())?;
    Ok([attempted, delivered, stale])
}

/// Words of the STE that the attach stored, in order. Of two stores to word 0 the first must clear V; the last one sets it.
fn ste_words(run: &Value) -> Result<Vec<u64>, String> {
    let log = expect::array(run, "access_log")?.iter();
    let stores = log.filter(|row| row["step"] == "attach.install" && row["kind"] == "store" && row["name"] == "STE");
    let number = |row: &Value, key: &str| {
        let digits = row[key].as_str().and_then(|text| text.strip_prefix("0x"));
        digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or_else(|| format!("no {key}: {row}"))
    };
    let stores = stores.map(|row| Ok((number(row, "address")? % STE / WORD, number(row, "value")?)));
    let stores: Vec<(u64, u64)> = stores.collect::<Result<_, String>>()?;
    let valid: Vec<bool> = stores.iter().filter(|(word, _)| *word == 0).map(|(_, value)| value & 1 == 1).collect();
    ensure([&[][..], &[true], &[false, true]].contains(&&*valid), || format!("V of the STE: {valid:?}"))?;
    Ok(stores.into_iter().map(|(word, _)| word).collect())
}

/// With an identifier that nobody used, the stream arrives in its new pages, by both witnesses.
fn fresh(session: &Session<'_>, scenario: &str, kind: &str) -> Result<Value, String> {
    let (run, moved) = attached(session, &format!("run {FAST} --scenario {scenario}"), scenario)?;
    only_failed(&run, &[])?;
    expect::followed(&run, "ADOPT v10")?;
    arrived(&run, &moved)?;
    has_id(&run, kind)?;
    Ok(run)
}

/// All of it is in the new pages.
fn arrived(run: &Value, moved: &Moved) -> Expected {
    let [attempted, delivered, stale] = units(run)?;
    ensure((delivered, stale) == (attempted, 0), || format!("{}", run["attach"]))?;
    ensure(moved.fresh > 0 && moved.stale == 0 && moved.refused == 0, || format!("QEMU's trace: {moved:?}"))
}

/// The new domain has an identifier of this kind, and none of the other.
fn has_id(run: &Value, kind: &str) -> Expected {
    let of_kind = |name: &str| run["attach"][name].is_u64() == (name == kind);
    ensure(of_kind("asid") && of_kind("vmid"), || format!("no {kind}: {}", run["attach"]))
}

/// A stream that an RMR node names keeps its range in the new domain: half of its DMA goes there.
fn adopt_attach_rmr(session: &Session<'_>) -> Expected {
    for scenario in ["adopt-attach", "adopt-attach+stage-2-domains"] {
        let arguments = format!("run {FAST} --scenario {scenario} --option rmr=0000:00:02.0,0000:00:03.0");
        let (run, moved) = attached(session, &arguments, scenario)?;
        let is_rmr = |stream: &Value| stream["bdf"] == run["attach"]["bdf"] && stream["rmr"] == true;
        ensure(expect::array(&run, "streams")?.iter().any(is_rmr), || format!("no RMR stream: {}", run["attach"]))?;
        only_failed(&run, &[])?;
        arrived(&run, &moved)?;
    }
    Ok(())
}

/// With an identifier that is in use, QEMU's TLB, which never evicts, still knows the dead image's pages. The protocol
/// checker names the identifier.
fn stale(session: &Session<'_>, scenario: &str, kind: &str) -> Result<Value, String> {
    let (run, moved) = attached(session, &format!("run {FAST} --scenario {scenario}"), scenario)?;
    let stale = ["attach.asid-fresh", "attach.no-stale-translation", "attach.delivered"];
    only_failed(&run, &[&["adopt.identifiers-reserved", "protocol.no-violation"], &stale[..]].concat())?;
    expect::violates(&run, "adopt.identifier-reused")?;
    let [_, _, stale] = units(&run)?;
    ensure(stale > 0, || format!("{}", run["attach"]))?;
    ensure(moved.stale > 0, || format!("QEMU's trace: {moved:?}"))?;
    has_id(&run, kind)?;
    Ok(run)
}
