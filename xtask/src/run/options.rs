//! What the payload is told: the board's wishes, the command line's, and the user's own options over both.

use std::sync::Arc;

use board::Board;
use board::nearest;
use scenario::options::RunOptions;
use scenario::{Plant, Scenario, Work};

use super::inject::{self, Injection};
use crate::capture::{Expected, Request};
use crate::cli::PayloadArgs;
use crate::exit::usage;
use crate::kernel::Guest;

/// The option text, checked, and what it asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// `key=value` words, as the payload reads them.
    pub text: String,
    /// What it asks for, for the host's own check.
    pub request: Request,
    /// The kernel that takes over.
    pub guest: Option<Arc<Guest>>,
    /// MiB of memory that it may use.
    pub guest_mib: u32,
}

/// Joins and checks the options, and reads the kernel that takes over. What is to be injected, the payload waits for.
pub fn of(args: &PayloadArgs, injections: &[Injection], board: &Board) -> anyhow::Result<Options> {
    let mut options = without_kernel(args, injections, board)?;
    options.guest = guest(args, &options)?;
    options.request.kernel = options.guest.as_ref().map(|guest| Box::new(guest.told.clone()));
    Ok(options)
}

/// The same where nobody knows the kernel: of a log that others captured.
pub fn without_kernel(args: &PayloadArgs, injections: &[Injection], board: &Board) -> anyhow::Result<Options> {
    let mut words = vec![
        ("scenario".to_owned(), scenarios(&args.scenario)?),
        ("cycles".to_owned(), cycles(args).to_string()),
        ("allow_risks".to_owned(), risks(board)),
    ];
    if let Some(rmr) = board.rmr {
        words.push(("rmr".into(), format!("{}:{:#x}", rmr.bdf, rmr.bytes)));
    }
    let virtuals: Vec<String> = board
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.virtual_functions != 0)
        .map(|endpoint| format!("{}:{}", endpoint.bdf, endpoint.virtual_functions))
        .collect();
    if !virtuals.is_empty() {
        words.push(("vfs".into(), virtuals.join(",")));
    }
    for (key, wait) in [("hold_us", board.hold_us), ("watch_us", board.watch_us)] {
        words.extend(wait.map(|us| (key.to_owned(), us.to_string())));
    }
    for (key, list) in [("deny", &board.hands.deny), ("allow", &board.hands.allow)] {
        if !list.is_empty() {
            words.push((key.into(), list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")));
        }
    }
    if let Some(console) = &board.console {
        words.push(("console".into(), console.clone()));
    }
    if let Some(region) = board.crash_region {
        words.push(("region".into(), format!("{region:#x}")));
    }
    if let Some(watchdog) = &board.watchdog {
        words.push(("watchdog".into(), watchdog.seconds.to_string()));
    }
    if let Some(span) = args.span {
        words.push(("for_s".into(), span.0.as_secs().to_string()));
    }
    if let Some(plant) = inject::plant(injections, args.plant.as_deref())? {
        words.push(("plant".into(), plant.name().into()));
    } else if let Some(plant) = &args.plant {
        words.push(("plant".into(), known_plant(plant)?));
    }
    for option in &args.option {
        let Some((key, value)) = option.split_once('=') else {
            return Err(usage(format!("--option {option}: an option is KEY=VALUE")));
        };
        if value.contains(char::is_whitespace) || key.contains(char::is_whitespace) {
            return Err(usage(format!("--option `{option}`: neither key nor value may hold a blank")));
        }
        if key == "guest" {
            return Err(usage(format!("--option {option}: use --kernel, which puts it there and says where")));
        }
        if key == "for_s" {
            return Err(usage(format!("--option {option}: use --for, so that the deadline follows")));
        }
        if let Some(flag) = ["scenario", "cycles", "plant"].iter().find(|flag| **flag == key) {
            return Err(usage(format!("--option {option}: use --{flag}, so that there is one word on it")));
        }
        if args.option.iter().filter(|other| other.split_once('=').is_some_and(|(k, _)| k == key)).count() > 1 {
            return Err(usage(format!("--option {option}: {key} is given twice")));
        }
        // The user's word goes over the board's.
        words.retain(|(known, _)| known != key);
        words.push((key.to_owned(), value.to_owned()));
    }
    let text = words.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
    let (request, guest_mib) = request(&text, board)?;
    Ok(Options { text, request, guest: None, guest_mib })
}

/// The kernel that is brought along: wherever one is to take over, and nowhere else.
fn guest(args: &PayloadArgs, options: &Options) -> anyhow::Result<Option<Arc<Guest>>> {
    let witness = options.request.scenarios.iter().find(|name| matches!(Work::parse(name), Ok(Work::Witness { .. })));
    match (witness, &args.kernel.kernel) {
        (Some(name), None) => {
            Err(usage(format!("--scenario {name}: a kernel takes over; say which, by --kernel IMAGE")))
        }
        (None, Some(path)) => Err(usage(format!(
            "--kernel {}: it takes over in no scenario; add `witness` to --scenario",
            path.display()
        ))),
        _ => {
            let guest = Guest::of(&args.kernel)?;
            guest.as_ref().map_or(Ok(()), |guest| guest.fits(options.guest_mib))?;
            Ok(guest.map(Arc::new))
        }
    }
}

/// The oracle of the cycle before takes a second cycle.
fn cycles(args: &PayloadArgs) -> u32 {
    let is_stale = args.plant.as_deref() == Some(Plant::StaleOracle.name());
    if is_stale { args.cycles.max(2) } else { args.cycles }
}

/// Reads the text as the payload will, and takes from it what was asked for, and the MiB that a kernel may use.
fn request(text: &str, board: &Board) -> anyhow::Result<(Request, u32)> {
    let mut options = RunOptions::default();
    let mut wrong = None;
    options.apply(text, |problem| {
        wrong.get_or_insert_with(|| problem.to_string());
    });
    if let Some(wrong) = wrong {
        return Err(usage(wrong));
    }
    let longest = options.longest_wait_us().div_ceil(1_000_000);
    if options.watchdog_s != 0 && u64::from(options.watchdog_s) < longest {
        return Err(usage(format!(
            "watchdog={}: hold_us and watch_us take {longest} s or more; raise it, or 0 for none",
            options.watchdog_s
        )));
    }
    let silence = board.limits.silence_seconds;
    if u64::from(options.watchdog_s) >= silence {
        let seconds = options.watchdog_s;
        return Err(usage(format!(
            "watchdog={seconds}: the board's limits.silence-seconds ({silence}) gives a silent board up before that"
        )));
    }
    if let Some(plant) = options.plant.filter(|_| options.scenarios.iter().all(|work| *work == Work::Census)) {
        return Err(usage(format!(
            "--scenario census takes no fault ({}): leave it out, or name a policy too",
            plant.name()
        )));
    }
    let endpoint = |e: &board::Endpoint| Expected { bdf: e.bdf.to_string(), driver: e.driver.clone() };
    let request = Request {
        board: board.name.clone(),
        scenarios: options.scenarios.iter().map(Work::to_string).collect(),
        cycles: if options.for_s == 0 { options.cycles } else { 0 },
        by_time: options.for_s != 0,
        plant: options.plant.map(|plant| plant.name().to_owned()),
        endpoints: board.endpoints.iter().map(endpoint).collect(),
        expectations: board.expectations.clone(),
        kernel: None,
        provenance: None,
    };
    Ok((request, options.guest_mib))
}

/// The names in their shortest form; an unknown one is refused with the nearest that there is.
fn scenarios(names: &[String]) -> anyhow::Result<String> {
    let mut found = Vec::new();
    for name in names.iter().map(|name| name.trim()) {
        if name == "all" {
            found.extend(Scenario::all().map(|scenario| scenario.to_string()));
            continue;
        }
        let scenario = Work::parse(name).map_err(|error| {
            let listed: Vec<String> = super::all_work().map(|work| work.to_string()).collect();
            let near = nearest(name, listed.iter().map(String::as_str));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            usage(format!("--scenario {name}: {error}{hint} (`--list-scenarios` shows them)"))
        })?;
        found.push(scenario.to_string());
    }
    Ok(found.join(","))
}

fn known_plant(name: &str) -> anyhow::Result<String> {
    if Plant::parse(name).is_some() {
        return Ok(name.to_owned());
    }
    let near = nearest(name, Plant::ALL.iter().map(|plant| plant.name()));
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(usage(format!("--plant {name}: there is no such fault; known: {}{hint}", Plant::NAMES)))
}

fn risks(board: &Board) -> String {
    if board.allow_risks.is_empty() {
        return "none".into();
    }
    board.allow_risks.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
