//! The system behind a BMC (`ComputerSystem`, DMTF DSP0268): found, switched, and told what to start from.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::Client;
use crate::exit::usage;

/// Within this time a system is on or off after it was told to. Supplies and BMCs take up to half a minute.
const SWITCHED: Duration = Duration::from_secs(120);
/// Between two looks.
const TURN: Duration = Duration::from_millis(500);
/// Pages of a collection that are read.
const PAGES: usize = 16;

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    On,
    Off,
}

impl Wanted {
    /// As `PowerState` tells it.
    fn state(self) -> &'static str {
        match self {
            Self::On => "On",
            Self::Off => "Off",
        }
    }

    /// Values of `ResetType` that bring it about, the best first. A crashed kernel does not answer a graceful one.
    fn resets(self) -> &'static [&'static str] {
        match self {
            Self::On => &["On", "ForceOn"],
            Self::Off => &["ForceOff"],
        }
    }
}

/// A system of a service.
pub struct System<'a> {
    pub client: &'a Client,
    /// Its resource.
    pub path: String,
}

impl<'a> System<'a> {
    /// The system of this `Id`, or the only one.
    ///
    /// # Errors
    /// There is none, or there are several and none is named; they are listed.
    pub fn find(client: &'a Client, root: &Value, named: Option<&str>) -> anyhow::Result<Self> {
        let systems = link(&root["Systems"]).ok_or_else(|| client.wrong("/redfish/v1/", "it has no Systems"))?;
        let paths = members(client, systems)?;
        let mut ids = Vec::new();
        for path in &paths {
            let id = client.get(path)?.body["Id"].as_str().unwrap_or_default().to_owned();
            if named == Some(id.as_str()) {
                return Ok(Self { client, path: path.clone() });
            }
            ids.push(format!("`{id}`"));
        }
        ids.sort();
        let there = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
        match (named, paths.as_slice()) {
            (None, [only]) => Ok(Self { client, path: only.clone() }),
            (None, _) => Err(client.wrong(systems, &format!("name one as `system`; there: {there}"))),
            (Some(named), _) => Err(client.wrong(systems, &format!("no system `{named}`; there: {there}"))),
        }
    }

    /// Switches it, and waits until it is so. Where it is so already, nothing is done.
    ///
    /// # Errors
    /// The service cannot or will not, or the power does not follow in time.
    pub fn switch(&self, wanted: Wanted) -> anyhow::Result<()> {
        let system = self.client.get(&self.path)?.body;
        if system["PowerState"] == wanted.state() {
            return Ok(());
        }
        let action = &system["Actions"]["#ComputerSystem.Reset"];
        let target = action["target"].as_str().ok_or_else(|| self.client.wrong(&self.path, "it cannot be reset"))?;
        let allowed = self.allowed(action)?;
        let reset = wanted.resets().iter().find(|reset| allowed.is_empty() || allowed.iter().any(|it| it == *reset));
        let reset = reset.ok_or_else(|| {
            let wanted = wanted.resets().join(" or ");
            self.client.wrong(target, &format!("it takes no ResetType {wanted}, only {}", allowed.join(", ")))
        })?;
        self.client.post(target, &json!({ "ResetType": reset }))?;
        wait(SWITCHED, || {
            let state = self.client.get(&self.path)?.body["PowerState"].as_str().unwrap_or("nothing").to_owned();
            Ok(if state == wanted.state() { Ok(()) } else { Err(format!("its PowerState is {state}")) })
        })?
        .map_err(|last| {
            let seconds = SWITCHED.as_secs();
            self.client.wrong(&self.path, &format!("not {} within {seconds} s after {reset}: {last}", wanted.state()))
        })
    }

    /// What it takes as `ResetType`: said in the action, or in a resource of its own (DSP0266, "Action info").
    fn allowed(&self, action: &Value) -> anyhow::Result<Vec<String>> {
        if action["ResetType@Redfish.AllowableValues"].is_array() {
            return Ok(texts(&action["ResetType@Redfish.AllowableValues"]));
        }
        let Some(info) = action["@Redfish.ActionInfo"].as_str() else { return Ok(Vec::new()) };
        let info = self.client.get(info)?.body;
        let parameters = info["Parameters"].as_array().cloned().unwrap_or_default();
        let reset = parameters.iter().find(|parameter| parameter["Name"] == "ResetType");
        Ok(reset.map(|reset| texts(&reset["AllowableValues"])).unwrap_or_default())
    }
}

/// Looks until it is so: `Ok` of the inner result. The last look's text, where the time is over.
pub fn wait<T>(
    deadline: Duration,
    mut look: impl FnMut() -> anyhow::Result<Result<T, String>>,
) -> anyhow::Result<Result<T, String>> {
    let begin = Instant::now();
    loop {
        let seen = look()?;
        if seen.is_ok() || begin.elapsed() > deadline {
            return Ok(seen);
        }
        std::thread::sleep(TURN);
    }
}

/// Where a resource is.
pub fn link(value: &Value) -> Option<&str> {
    value["@odata.id"].as_str()
}

/// Members of a collection.
pub fn members(client: &Client, collection: &str) -> anyhow::Result<Vec<String>> {
    let (mut paths, mut next) = (Vec::new(), Some(collection.to_owned()));
    for _ in 0..PAGES {
        let Some(page) = next else { return Ok(paths) };
        let body = client.get(&page)?.body;
        paths.extend(body["Members"].as_array().into_iter().flatten().filter_map(link).map(str::to_owned));
        next = body["Members@odata.nextLink"].as_str().map(str::to_owned);
    }
    Err(usage(format!("{collection}: more than {PAGES} pages")))
}

/// The texts of a list.
pub fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
