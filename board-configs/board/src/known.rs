//! Rules for what is known of a machine: each fact has a source, silicon has a log, and what is named exists.

use toml::Spanned;

use crate::check::{Mistake, mistake};
use crate::{Evidence, Expectation, Flash, Power, Serial, Smmus, Sources, Way, nearest, raw};

/// Keys that state a fact about a machine or a lab.
const FACTS: [&str; 11] =
    ["console", "firmware", "smmus", "watchdog", "endpoint", "rmr", "deny", "allow", "serial", "power", "flash"];

/// Facts of the file that are there.
fn stated(raw: &raw::Board) -> Vec<&'static str> {
    let there = [
        raw.console.is_some(),
        raw.firmware.is_some(),
        raw.smmus.is_some(),
        raw.watchdog.is_some(),
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
            let near = nearest(key, stated.iter().copied())
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
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
    // Register frames are 64 KiB apart at least (IHI 0070, 6.1).
    if let Some(odd) = at.iter().find(|base| !base.is_multiple_of(0x1_0000)) {
        return mistake(&raw, format!("an SMMU at {odd:#x} is not aligned to 64 KiB"));
    }
    if let Some(twice) = at.iter().enumerate().find(|(index, base)| at[..*index].contains(base)) {
        return mistake(&raw, format!("the SMMU at {:#x} is there twice", twice.1));
    }
    Ok(Some(raw.into_inner()))
}

pub(crate) fn expectation(raw: Spanned<Expectation>) -> Result<Expectation, Mistake> {
    let check = &raw.get_ref().check;
    if !scenario::judge::ids().any(|id| id == check) {
        let near =
            nearest(check, scenario::judge::ids()).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return mistake(&raw, format!("there is no check `{check}`{near}"));
    }
    if let Some(name) = &raw.get_ref().scenario
        && scenario::Scenario::parse(name).is_err()
    {
        return mistake(&raw, format!("there is no scenario `{name}`; `run --list-scenarios` shows them"));
    }
    let Expectation { reason, link, .. } = raw.get_ref();
    let empty = [("reason", reason), ("link", link)].into_iter().find(|(_, text)| text.trim().is_empty());
    let empty = empty.map(|(key, _)| key);
    empty.map_or_else(|| Ok(raw.get_ref().clone()), |key| mistake(&raw, format!("the {key} is empty")))
}

/// Speeds that serial ports have.
const BAUD: std::ops::RangeInclusive<u32> = 300..=4_000_000;

pub(crate) fn serial(raw: Option<Spanned<Serial>>) -> Result<Option<Serial>, Mistake> {
    let Some(raw) = raw else { return Ok(None) };
    let wrong = match raw.get_ref() {
        Serial::Tty { baud, .. } if !BAUD.contains(baud) => {
            Some(format!("{baud} baud; between 300 and 4000000 are possible"))
        }
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
    let Flash { way, command, bmc, .. } = raw.get_ref();
    let has_bmc = bmc.is_some() || matches!(power, Some(Power::Redfish(_)));
    let wrong = match way {
        Way::Command if command.as_ref().is_none_or(Vec::is_empty) => {
            Some("the way `command` needs `command = [\"…\"]`".to_owned())
        }
        Way::Redfish if !has_bmc => Some("the way `redfish` needs `bmc`, or [power.redfish]".to_owned()),
        _ => bmc.as_ref().and_then(bmc_mistake),
    };
    wrong.map_or_else(|| Ok(Some(raw.get_ref().clone())), |wrong| mistake(&raw, wrong))
}

fn bmc_mistake(bmc: &crate::Bmc) -> Option<String> {
    let is_url =
        ["https://", "http://"].iter().any(|scheme| bmc.url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if !is_url {
        return Some(format!("`{}` is no URL of a BMC; write it as `https://HOST`", bmc.url));
    }
    let is_digest = |pin: &String| pin.len() == 64 && pin.chars().all(|c| c.is_ascii_hexdigit());
    bmc.pin
        .as_ref()
        .filter(|pin| !is_digest(pin))
        .map(|_| "a pin has 64 hexadecimal digits: the SHA-256 of the certificate".to_owned())
}
