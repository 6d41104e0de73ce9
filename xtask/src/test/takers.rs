//! The kernel of `ci/guest` under the witness: it follows a sequence, breaks one rule, makes an awkward access or ends in some way,
//! and the checks that notice are those that are about it, and no others.

use std::path::Path;

use serde_json::Value;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::{Ended, Session};
use super::stored;
use crate::build;

/// One kernel, by what it is told.
struct Taker {
    arguments: &'static str,
    scenario: &'static str,
    /// More of `run`.
    more: &'static str,
    profile: &'static str,
    ended: &'static str,
    /// Checks that are not as expected, and no others.
    broken: &'static [&'static str],
    /// But for this one, where an access met the fault in time.
    by_timing: Option<&'static str>,
    /// What the kernel says.
    says: &'static [&'static str],
    /// What is due where it was heard of last, if its takeover was not over.
    due: Option<&'static str>,
}

const fn follows(arguments: &'static str, profile: &'static str) -> Taker {
    Taker {
        arguments,
        scenario: "witness",
        more: "",
        profile,
        ended: "off",
        broken: &[],
        by_timing: None,
        says: &[],
        due: None,
    }
}

const fn breaks(arguments: &'static str, profile: &'static str, broken: &'static [&'static str]) -> Taker {
    Taker { broken, ..follows(arguments, profile) }
}

/// Of a kernel without an end all is known that it did until then.
const fn hangs(arguments: &'static str, profile: &'static str, due: Option<&'static str>) -> Taker {
    let taker = Taker { due, ..breaks(arguments, profile, &["kdump.survived"]) };
    taker.ends("hang").run_with("--timeout 3")
}

impl Taker {
    const fn after(self, scenario: &'static str) -> Self {
        Self { scenario, ..self }
    }

    const fn run_with(self, more: &'static str) -> Self {
        Self { more, ..self }
    }

    const fn says(self, says: &'static [&'static str]) -> Self {
        Self { says, ..self }
    }

    const fn ends(self, ended: &'static str) -> Self {
        Self { ended, ..self }
    }
}

const V7: &str = "ADOPT-v7";
const V10: &str = "ADOPT-v10";

const SEQUENCES: &[Taker] = &[
    follows("policy=reset", "RESET"),
    follows("policy=adopt-v7", V7),
    // Only reads of the table tell the revisions apart.
    follows("policy=adopt", V10).run_with("--watch-reads"),
    follows("policy=adopt", "RESET")
        .after("witness+l1-span-8")
        .says(&["SMMU 0: adopt did reset, refused for Some(\"l1-span\")"]),
    follows("policy=adopt-v7", V7).after("witness@hung-cpu"),
    follows("policy=adopt-attach", V7).says(&["attached 0x10: Asid(5) after Some(Asid(2))"]),
];

const FAULTS: &[Taker] = &[
    breaks("policy=adopt-v7 fault=ste-rewritten", V7, &["adopt.table-unchanged-until-attach"]),
    Taker {
        by_timing: Some("dma.no-mis-steer"),
        ..breaks("policy=adopt-v7 fault=smmuen-cleared", V7, &["protocol.no-violation"])
    },
    breaks("policy=adopt-v7 fault=l1-unread", V7, &["adopt.l1-validated"]).run_with("--watch-reads"),
    breaks("policy=adopt-v7 fault=gerror-unread", V7, &["gerror.read-before-cmdq", "witness.profile-followed"]),
    breaks(
        "policy=adopt-v7 fault=gerror-unread",
        V7,
        &["gerror.read-before-cmdq", "witness.profile-followed", "protocol.no-violation"],
    )
    .after("witness+stale-cmdq-error"),
    breaks("policy=adopt-v7 fault=strtab-rewritten", V7, &["protocol.no-violation"]),
    breaks("policy=adopt-attach fault=ste-broken", V7, &["ste.hitless-order"]),
    breaks("policy=adopt-attach fault=cfgi-missing", V7, &["ste.hitless-order"]),
    breaks("policy=adopt-v7 fault=sync-missing", V7, &["protocol.no-violation"]),
    breaks("policy=adopt-v7-attach", V7, &["asid.not-reused"]).says(&["attached 0x10: Asid(2) after Some(Asid(2))"]),
    breaks("policy=adopt-rmr-bypass rmr=0x18", V7, &["linux.rmr-bypass-in-live-table", "dma.no-mis-steer"]),
];

const STOPPED: &[&str] = &["witness.observed", "kdump.survived"];

const STES_CHANGED: &[&str] = &["ste.hitless-order"];
const PARTIAL: &[&str] =
    &["adopt.table-unchanged-until-attach", "linux.rmr-bypass-in-live-table", "protocol.no-violation"];

const ACCESSES: &[Taker] = &[
    follows("policy=adopt-v7 do=hidden,hvc,sdei,frame-pair,frame-write-back,frame-unaligned,event-queue", V7).says(&[
        "hidden: exception 0x96",
        "hvc: ffffffffffffffff",
        "sdei: ffffffffffffffff",
        "frame-pair: (d44101b, 2730010)",
        "frame-write-back: (d44101b, 0)",
        "frame-unaligned: exception 0x96000021",
        "event-queue: done",
    ]),
    // As where nobody watches: ERXPFGF_EL1 is what QEMU lacks.
    follows("policy=adopt-v7 do=classes", V7).run_with("-- -cpu max").says(&[
        "class midr: 0xf0510",
        "class virtual-offset: 0x0",
        "class pmu: 0x6",
        "class sve: 0x100",
        "class sme: 0x100",
        "class mops: 0x0",
        "classes: 1 exceptions",
    ]),
    follows("policy=adopt-v7 do=classes", V7)
        .run_with("--option e2h=1")
        .says(&["class pmu: 0x6", "classes: 0 exceptions"]),
    follows("policy=adopt-v7 do=classes", V7)
        .run_with("--option e2h=1 -- -cpu max")
        .says(&["class context-numbers: 0x0", "classes: 1 exceptions"]),
    // Each is carried out and logged as it is (`stored`). Streams that no device has get another STE, and nobody invalidates that.
    breaks("policy=adopt-v7 do=stores,translated", V7, STES_CHANGED).says(&["stores: 38 tried", "translated: kept"]),
    breaks("policy=adopt-v7 do=stores", V7, STES_CHANGED)
        .says(&["stores: 38 tried"])
        .run_with("--watch-reads --option e2h=1"),
    // SVE, and FEAT_MOPS, by a step with the page open.
    breaks("policy=adopt-v7 do=stores", V7, STES_CHANGED).says(&["stores: 41 tried"]).run_with("-- -cpu max"),
    // No LSE: exclusives are all it has.
    breaks("policy=adopt-v7 do=stores", V7, STES_CHANGED).says(&["stores: 32 tried"]).run_with("-- -cpu cortex-a72"),
    // None is lost of what two CPUs do at once, and each is in the log.
    breaks("policy=adopt-v7 do=count", V7, STES_CHANGED).says(&["count: 128 of 128"]),
    // A loop that never comes round gets its page: what is stored there is not seen from then on, and the report says so.
    breaks("policy=adopt-v7 do=endless", V7, PARTIAL),
    breaks("policy=adopt-v7 do=store-hidden", V7, &["witness.observed", "kdump.survived", "ste.hitless-order"])
        .ends("stopped"),
    breaks("policy=adopt-v7 do=frame-atomic", V7, STOPPED).ends("stopped"),
    breaks("policy=adopt-v7 do=frame-exclusive", V7, STOPPED).ends("stopped"),
    breaks("policy=adopt-v7 do=frame-byte", V7, STOPPED).ends("stopped"),
    breaks("policy=adopt-v7 do=frame-byte-store", V7, STOPPED).ends("stopped"),
    breaks("policy=adopt-v7 do=frame-wide", V7, STOPPED).ends("stopped"),
];

/// Half of this has to pass without anything new.
const PATIENT: &str = "--timeout 10";
/// Why a kernel is given up that makes no progress.
const NOTHING_NEW: &str = "nothing new of SMMUs, tables and console for ";

const ENDS: &[Taker] = &[
    follows("policy=adopt-v7 end=restart", V7).ends("reset"),
    breaks("policy=adopt-v7 end=reset", V7, &["kdump.survived"]).ends("reset"),
    // What several CPUs do at once. One never ends by itself, and writes to the console while the witness tells what another does.
    follows(
        "policy=adopt-v7 do=talk,event-queue,frame-pair,event-queue,frame-pair,event-queue,frame-pair watch_us=100000",
        V7,
    ),
    follows("policy=adopt-v7 do=race", V7)
        .run_with("-- -smp 3")
        .says(&["race: 256 loads by each, 0 not as they ought to be"]),
    // A GICv2: EL2 has no register of its CPU interface.
    follows("policy=adopt-v7 do=cpu-on", V7)
        .run_with("-- -machine virt,gic-version=2 -cpu cortex-a72")
        .says(&["cpu-on: answer 0x0, EL1 at 0x1"]),
    breaks("policy=adopt-v7 end=panic", V7, &["kdump.survived"]).ends("panic"),
    // It never touches the SMMU, and its takeover never ends.
    breaks(
        "policy=none",
        "none",
        &[
            "witness.saw-accesses",
            "witness.profile-followed",
            "protocol.no-violation",
            "gerror.read-before-cmdq",
            "dma.live-after",
        ],
    ),
    hangs("policy=reset end=hang", "RESET", None),
    hangs("policy=adopt-v7 end=hang", V7, None).run_with(PATIENT),
    hangs("policy=adopt-v7 end=wfi-hang", V7, None),
    hangs("policy=reset fault=hangs", "RESET", FIRST_COMMAND),
    // Each look at the same register shows the same.
    hangs("policy=adopt-v7 fault=polls", V7, FIRST_COMMAND).run_with(PATIENT),
];

/// What is due where the command queue is on.
const FIRST_COMMAND: Option<&str> = Some("CFGI_STE_RANGE or CFGI_ALL and SYNC");

/// All of them.
pub fn all() -> Vec<Case> {
    let case = |name, takers: &'static [Taker]| {
        Case::new(name, move |session: &Session<'_>| {
            let kernel = build::guest().map_err(|error| format!("{error:#}"))?;
            takers.iter().try_for_each(|taker| one(session, &kernel, taker))
        })
    };
    vec![
        case("witness-sequences", SEQUENCES),
        case("witness-faults", FAULTS),
        case("witness-accesses", ACCESSES),
        case("witness-ends", ENDS),
    ]
}

fn one(session: &Session<'_>, kernel: &Path, taker: &Taker) -> Expected {
    let ended = start(session, kernel, taker)?;
    judged(session, &ended, taker)
        .map_err(|what| format!("{} {} {}: {what}", taker.scenario, taker.arguments, taker.more))
}

fn start(session: &Session<'_>, kernel: &Path, taker: &Taker) -> Result<Ended, String> {
    let mut arguments = words(&format!("run --board qemu-virt-dt --scenario {}", taker.scenario));
    for (option, value) in [("--kernel", kernel.display().to_string()), ("--cmdline", taker.arguments.to_owned())] {
        arguments.extend([option.to_owned(), value]);
    }
    // Last, as it may be for QEMU.
    arguments.extend(words(taker.more));
    session.run(&arguments)
}

fn judged(session: &Session<'_>, ended: &Ended, taker: &Taker) -> Expected {
    let is_hang = taker.ended == "hang";
    if taker.more == PATIENT {
        // Long before the end of the boot.
        let lost = &ended.report()?["lost"]["reason"];
        ensure(lost.as_str().is_some_and(|lost| lost.starts_with(NOTHING_NEW)), || format!("lost: {lost}"))?;
    }
    let status = if is_hang { 3 } else { i32::from(!taker.broken.is_empty()) };
    let run = expect::run(ended, taker.scenario)?;
    let witness = &run["witness"];
    for (key, wanted) in [("profile", taker.profile), ("ended", taker.ended)] {
        ensure(witness[key] == wanted, || format!("{key} is {}, not {wanted}", witness[key]))?;
    }
    if is_hang {
        told(run, taker.due)?;
    }
    let broken = if is_hang { expect::failed(run) } else { expect::broken(run) };
    let lacking = taker.broken.iter().find(|id| !broken.contains(**id));
    ensure(lacking.is_none(), || format!("{lacking:?} does not notice; what does: {broken:?}"))?;
    let more = broken.iter().map(String::as_str).find(|id| !taker.broken.contains(id) && taker.by_timing != Some(id));
    ensure(more.is_none(), || format!("{more:?} breaks without cause"))?;
    ensure(!broken.is_empty() || ended.status == Some(0), || {
        format!("exit status {:?}: {}", ended.status, ended.stderr)
    })?;
    ensure(broken.is_empty() || ended.status == Some(status.max(1)), || format!("exit status {:?}", ended.status))?;
    let log = std::fs::read(session.report().join("console.log")).map_err(|error| error.to_string())?;
    let log = String::from_utf8_lossy(&log);
    // Where the kernel is visited in the middle of a line, records stand between its parts.
    let said: String = log.lines().filter(|line| !line.starts_with(wire::PREFIX)).collect();
    let unsaid = taker.says.iter().find(|wanted| !said.contains(&format!("guest: {wanted}")));
    ensure(unsaid.is_none(), || format!("the kernel does not say {unsaid:?}"))?;
    ensure(!log.contains(": wrong"), || "a store did not do what it ought to".into())?;
    match taker.arguments {
        arguments if arguments.contains("stores") => stored::exact(run, &log),
        arguments if arguments.contains("count") => stored::chained(run, 128),
        _ => Ok(()),
    }
}

/// Of a kernel that was not heard of again: its last access and where that was, where it was in its sequence, and each stream.
fn told(run: &Value, due: Option<&str>) -> Expected {
    let (last, left) = (&run["witness"]["last"], &run["witness"]["left"]);
    ensure(last["access"].is_string() && last["pc"].is_string(), || format!("last seen: {last}"))?;
    ensure(left["expected"].as_str() == due, || format!("it left its sequence at {left}, not where {due:?} was due"))?;
    for stream in expect::array(run, "streams")? {
        expect::delivered(stream, "before")?;
        let since = ["delivered", "blocked"].iter().filter_map(|key| expect::count(stream, "blackout", key));
        ensure(since.sum::<u64>() > 0, || format!("nothing is known of {} since the crash: {stream}", stream["bdf"]))?;
    }
    Ok(())
}
