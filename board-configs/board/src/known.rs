//! Rules for what is known of a machine: each fact has a source, silicon has a log, and what is named exists.

use scenario::options::{REGION_GRANULE, RunOptions};
use toml::Spanned;

use crate::check::{Mistake, mistake};
use crate::suggest::did_you_mean;
use crate::{
    Architecture, Erratum, Evidence, Expectation, Flash, Power, Reach, Serial, Smmus, Sources, Watchdog, Way, names,
    raw, target,
};

/// Keys that state a fact about a machine or a lab.
const FACTS: [&str; 13] = [
    "console",
    "crash-region",
    "firmware",
    "smmus",
    "watchdog",
    "reach",
    "endpoint",
    "rmr",
    "deny",
    "allow",
    "serial",
    "power",
    "flash",
];

/// Facts of the file that are there.
fn stated(raw: &raw::Board) -> Vec<&'static str> {
    let there = [
        raw.console.is_some(),
        raw.crash_region.is_some(),
        raw.firmware.is_some(),
        raw.smmus.is_some(),
        raw.watchdog.is_some(),
        raw.reach.is_some(),
        !raw.endpoints.is_empty(),
        raw.rmr.is_some(),
        !raw.deny.is_empty(),
        !raw.allow.is_empty(),
        raw.serial.is_some(),
        raw.power.is_some(),
        raw.flash.is_some(),
    ];
    FACTS.into_iter().zip(there).filter_map(|(key, is_there)| is_there.then_some(key)).collect()
}

/// What an emulated machine has, its own section says; of all others each fact needs its source.
pub(crate) fn sources(raw: &raw::Board) -> Result<Sources, Mistake> {
    let stated = stated(raw);
    for (key, source) in &raw.sources {
        if !stated.contains(&key.as_str()) {
            let near = did_you_mean(key, stated.iter().copied());
            return mistake(source, format!("`{key}` is no fact that this file states{near}"));
        }
        if source.get_ref().trim().is_empty() {
            return mistake(source, format!("the source of `{key}` is empty"));
        }
    }
    let unsourced = stated.iter().find(|key| !raw.sources.contains_key(**key));
    match unsourced {
        Some(key) if raw.evidence != Evidence::Emulated => {
            mistake(&raw.name, format!("`{key}` has no source; add `{key} = \"…\"` under [sources]"))
        }
        _ => Ok(raw.sources.iter().map(|(key, source)| (key.clone(), source.get_ref().clone())).collect()),
    }
}

/// Silicon is claimed with a log, and nothing else has one.
pub(crate) fn log(raw: &raw::Board) -> Result<Option<String>, Mistake> {
    match (&raw.log, raw.evidence) {
        (None, Evidence::Silicon) => {
            mistake(&raw.name, "evidence `silicon` needs `log`, the console log of a run on the hardware")
        }
        (Some(log), Evidence::Emulated | Evidence::Documented) => {
            mistake(log, format!("a log goes with evidence `silicon`, not `{}`", raw.evidence))
        }
        (log, _) => Ok(log.as_ref().map(|log| log.get_ref().clone())),
    }
}

pub(crate) fn smmus(raw: Option<Spanned<Smmus>>) -> Result<Option<Smmus>, Mistake> {
    let Some(raw) = raw else { return Ok(None) };
    let at = &raw.get_ref().at;
    if raw.get_ref().architecture == Architecture::None && !at.is_empty() {
        return mistake(&raw, "no SMMU has an address: say its architecture, or take `at` out");
    }
    // Register frames are 64 KiB apart at least (IHI 0070, 6.1).
    if let Some(odd) = at.iter().find(|base| !base.is_multiple_of(0x1_0000)) {
        return mistake(&raw, format!("an SMMU at {odd:#x} is not aligned to 64 KiB"));
    }
    if let Some(twice) = at.iter().enumerate().find(|(index, base)| at[..*index].contains(base)) {
        return mistake(&raw, format!("the SMMU at {:#x} is there twice", twice.1));
    }
    Ok(Some(raw.into_inner()))
}

/// The payload's own option reads it in the end.
pub(crate) fn console(raw: Spanned<String>) -> Result<String, Mistake> {
    let option = format!("console={}", raw.get_ref());
    let mut wrong = raw.get_ref().contains(char::is_whitespace).then(|| "it holds a blank".to_owned());
    RunOptions::default().apply(&option, |problem| wrong = wrong.take().or(Some(problem.to_string())));
    match wrong {
        Some(wrong) => mistake(&raw, format!("{wrong}; a console is one word such as `pl011:0x09000000`")),
        None => Ok(raw.into_inner()),
    }
}

pub(crate) fn crash_region(raw: Spanned<u64>) -> Result<u64, Mistake> {
    match *raw.get_ref() {
        at if at != 0 && at.is_multiple_of(REGION_GRANULE) => Ok(at),
        at => mistake(&raw, format!("{at:#x} is no multiple of {REGION_GRANULE:#x} (2 MiB) above 0")),
    }
}

/// `silence_seconds` is how long the host listens to nothing, where that is known.
pub(crate) fn watchdog(raw: Spanned<Watchdog>, silence_seconds: Option<u64>) -> Result<Watchdog, Mistake> {
    let Watchdog { refresh, control, seconds } = *raw.get_ref();
    // Each frame is a page of its own, so that they can be given away apart (Arm BSA, generic watchdog).
    if let Some(odd) = [refresh, control].iter().find(|frame| **frame == 0 || !frame.is_multiple_of(0x1000)) {
        return mistake(&raw, format!("a watchdog's frame at {odd:#x} is not aligned to 4 KiB"));
    }
    if refresh == control {
        return mistake(&raw, format!("both frames of the watchdog are at {refresh:#x}"));
    }
    // The payload's own option reads it in the end.
    let mut wrong = None;
    RunOptions::default().apply(&format!("watchdog={seconds}"), |problem| wrong = Some(problem.to_string()));
    if let Some(wrong) = wrong.or((seconds == 0).then(|| "watchdog=0: leave the section out".into())) {
        return mistake(&raw, wrong);
    }
    if let Some(silence) = silence_seconds {
        outlasts(seconds, silence, &raw)?;
    }
    Ok(raw.into_inner())
}

/// The host listens to nothing for longer than the watchdog waits: else nobody hears what the board has to tell.
pub(crate) fn outlasts<T>(seconds: u32, silence: u64, at: &Spanned<T>) -> Result<(), Mistake> {
    if silence > seconds.into() {
        return Ok(());
    }
    mistake(
        at,
        format!("a watchdog of {seconds} s resets a board that limits.silence-seconds ({silence}) has given up"),
    )
}

/// An erratum or a quirk that nobody can look up is hearsay.
pub(crate) fn told(raw: Spanned<Erratum>) -> Result<Erratum, Mistake> {
    let Erratum { name, reason, link } = raw.get_ref();
    filled(&raw, [("name", name), ("reason", reason), ("link", link)])?;
    Ok(raw.into_inner())
}

/// Refuses empty texts.
fn filled<'a, T>(raw: &Spanned<T>, texts: impl IntoIterator<Item = (&'a str, &'a String)>) -> Result<(), Mistake> {
    match texts.into_iter().find(|(_, text)| text.trim().is_empty()) {
        Some((key, _)) => mistake(raw, format!("the {key} is empty")),
        None => Ok(()),
    }
}

pub(crate) fn reach(raw: Option<Spanned<Reach>>) -> Result<Option<Reach>, Mistake> {
    let Some(raw) = raw else { return Ok(None) };
    match raw.get_ref().baud {
        Some(baud) if !BAUD.contains(&baud) => mistake(&raw, impossible(baud)),
        _ => Ok(Some(raw.into_inner())),
    }
}

pub(crate) fn expectation(raw: Spanned<Expectation>) -> Result<Expectation, Mistake> {
    let Expectation { check, scenario, reason, link, .. } = raw.get_ref();
    let named = names::check(check).and_then(|()| scenario.as_deref().map_or(Ok(()), names::scenario));
    if let Err(wrong) = named {
        return mistake(&raw, wrong);
    }
    filled(&raw, [("reason", reason), ("link", link)])?;
    Ok(raw.into_inner())
}

/// Speeds that serial ports have.
const BAUD: std::ops::RangeInclusive<u32> = 300..=4_000_000;

/// That of a server's console (SBSA; SPCR).
const USUAL_BAUD: u32 = 115_200;

pub(crate) fn impossible(baud: u32) -> String {
    format!("{baud} baud; between {} and {} are possible", BAUD.start(), BAUD.end())
}

/// `of_board`: the speed of the board's console, for a port whose own is not written.
pub(crate) fn serial(raw: Option<Spanned<Serial>>, of_board: Option<u32>) -> Result<Option<Serial>, Mistake> {
    let Some(mut raw) = raw else { return Ok(None) };
    if let Serial::Tty { baud: baud @ 0, .. } = raw.get_mut() {
        *baud = of_board.unwrap_or(USUAL_BAUD);
    }
    let wrong = match raw.get_ref() {
        Serial::Tty { baud, .. } if !BAUD.contains(baud) => Some(impossible(*baud)),
        Serial::Tcp(at) | Serial::Telnet(at) if !is_host_and_port(at) => Some(format!("`{at}` is no HOST:PORT")),
        Serial::Command(words) if words.is_empty() => Some("the command is empty".to_owned()),
        _ => None,
    };
    wrong.map_or_else(|| Ok(Some(raw.get_ref().clone())), |wrong| mistake(&raw, wrong))
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

pub(crate) fn power(raw: Option<Spanned<Power>>) -> Result<Option<Power>, Mistake> {
    let Some(raw) = raw else { return Ok(None) };
    let wrong = match raw.get_ref() {
        Power::Redfish(bmc) => bmc_mistake(bmc),
        Power::Command { on, off } if on.is_empty() || off.is_empty() => Some("a command is empty".to_owned()),
        _ => None,
    };
    wrong.map_or_else(|| Ok(Some(raw.get_ref().clone())), |wrong| mistake(&raw, wrong))
}

pub(crate) fn flash(raw: Option<Spanned<Flash>>, power: Option<&Power>) -> Result<Option<Flash>, Mistake> {
    let Some(raw) = raw else { return Ok(None) };
    let Flash { way, to, command, bmc, .. } = raw.get_ref();
    let has_bmc = bmc.is_some() || matches!(power, Some(Power::Redfish(_)));
    let wrong = match way {
        Way::Command if command.as_ref().is_none_or(Vec::is_empty) => {
            Some("the way `command` needs `command = [\"…\"]`".to_owned())
        }
        Way::Redfish if !has_bmc => Some("the way `redfish` needs `bmc`, or [power.redfish]".to_owned()),
        _ => bmc.as_ref().and_then(bmc_mistake),
    };
    let wrong = wrong.or_else(|| target::wrong(*way, to.as_deref()?));
    wrong.map_or_else(|| Ok(Some(raw.get_ref().clone())), |wrong| mistake(&raw, wrong))
}

fn bmc_mistake(bmc: &crate::Bmc) -> Option<String> {
    if bmc.url.contains('@') {
        return Some("a BMC's url holds no login; `credentials` say where it comes from".to_owned());
    }
    // The login would be readable on the way.
    let is_url = bmc.url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty());
    if !is_url {
        return Some(format!("`{}` is no URL of a BMC; write it as `https://HOST`", bmc.url));
    }
    let is_digest = |pin: &String| pin.len() == 64 && pin.chars().all(|c| c.is_ascii_hexdigit());
    bmc.pin
        .as_ref()
        .filter(|pin| !is_digest(pin))
        .map(|_| "a pin has 64 hexadecimal digits: the SHA-256 of the certificate".to_owned())
}
