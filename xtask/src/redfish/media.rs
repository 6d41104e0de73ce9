//! Virtual media of a BMC (`VirtualMedia`, DMTF DSP0268): an image that it reads over HTTP, and shows to the system as a drive.

use std::time::Duration;

use serde_json::{Value, json};

use super::http::{Answer, Client, said};
use super::system::{System, link, members, texts, wait};
use crate::exit::usage;

/// Within this time an image is inserted or taken out.
const CHANGED: Duration = Duration::from_secs(180);
/// All images of this tool begin so: others' media are left alone.
pub const PREFIX: &str = "inflight-";

/// As what a system sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A stick: the image of a disk.
    Stick,
    /// A disc, which needs the form of one.
    Disc,
}

/// One of a BMC's drives.
#[derive(Clone, Debug)]
pub struct Drive {
    path: String,
    /// `BootSourceOverrideTarget` that starts from it.
    pub target: String,
    pub kind: Kind,
    /// What is in it: the name's last part.
    image: Option<String>,
}

/// Drives, the best first: a stick before a disc, an empty one before one with an image of ours. Those with others' are left out.
///
/// # Errors
/// The BMC has none of use; what it has is listed.
pub fn drives(system: &System<'_>) -> anyhow::Result<Vec<Drive>> {
    let client = system.client;
    let body = client.get(&system.path)?.body;
    let targets = texts(&body["Boot"]["BootSourceOverrideTarget@Redfish.AllowableValues"]);
    let is_target = |target: &&str| targets.is_empty() || targets.iter().any(|it| it == target);
    let (mut drives, mut seen) = (Vec::new(), Vec::new());
    for path in paths(client, &body)? {
        let medium = client.get(&path)?.body;
        let types = texts(&medium["MediaTypes"]);
        let has = |name: &str| types.is_empty() || types.iter().any(|it| it == name);
        let stick = ["Usb", "Floppy"].into_iter().filter(|_| has("USBStick")).find(is_target);
        let disc = ["Cd"].into_iter().filter(|_| has("CD") || has("DVD")).find(is_target);
        let image = image(&medium);
        seen.push(format!("{path} ({}{})", types.join(" "), if image.is_some() { ", in use" } else { "" }));
        if image.as_ref().is_some_and(|image| !image.starts_with(PREFIX)) {
            continue;
        }
        let found = [(stick, Kind::Stick), (disc, Kind::Disc)].into_iter().find_map(|(it, kind)| Some((it?, kind)));
        if let Some((target, kind)) = found {
            drives.push(Drive { path, target: target.to_owned(), kind, image });
        }
    }
    drives.sort_by_key(|drive| (drive.kind == Kind::Disc, drive.image.is_some()));
    if drives.is_empty() {
        let there = if seen.is_empty() { "none".to_owned() } else { seen.join(", ") };
        let from = if targets.is_empty() { String::new() } else { format!("; it starts from {}", targets.join(", ")) };
        let what = format!("no virtual media that are free and can be started from; there: {there}{from}");
        return Err(client.wrong(&system.path, &what));
    }
    Ok(drives)
}

/// Media are at the system, or (in older schemas) at the managers of it.
fn paths(client: &Client, system: &Value) -> anyhow::Result<Vec<String>> {
    let mut collections: Vec<String> = link(&system["VirtualMedia"]).map(str::to_owned).into_iter().collect();
    if collections.is_empty() {
        for manager in system["Links"]["ManagedBy"].as_array().into_iter().flatten().filter_map(link) {
            collections.extend(link(&client.get(manager)?.body["VirtualMedia"]).map(str::to_owned));
        }
    }
    let mut paths = Vec::new();
    for collection in collections {
        paths.extend(members(client, &collection)?);
    }
    Ok(paths)
}

/// The name of the image that is in a medium.
fn image(medium: &Value) -> Option<String> {
    let text = |key: &str| medium[key].as_str().filter(|text| !text.is_empty());
    if medium["Inserted"] == false && text("Image").is_none() {
        return None;
    }
    let name = text("Image").or_else(|| text("ImageName"))?;
    Some(name.rsplit('/').next().unwrap_or(name).to_owned())
}

impl Drive {
    /// Inserts the image at `url`, and waits until it is in. An older one of this tool is taken out first.
    ///
    /// # Errors
    /// The BMC refuses (with its own words), or the image is not there in time.
    pub fn insert(&self, client: &Client, url: &str) -> anyhow::Result<()> {
        if self.image.is_some() {
            self.eject(client)?;
        }
        let plain = json!({ "Image": url, "Inserted": true, "WriteProtected": true });
        let answer = match action(client, &self.path, "#VirtualMedia.InsertMedia")? {
            Some(target) => match client.post(&target, &plain) {
                // Some want to be told how, which an URL says already.
                Err(refused) if refused.status == 400 && refused.line.contains("Transfer") => {
                    let mut more = plain.clone();
                    more["TransferProtocolType"] = "HTTP".into();
                    more["TransferMethod"] = "Stream".into();
                    client.post(&target, &more)?
                }
                other => other?,
            },
            // Before there were actions, the resource itself was changed.
            None => client.patch(&self.path, &plain, client.get(&self.path)?.etag.as_deref())?,
        };
        self.follow(client, &answer, true)
    }

    /// Takes the image out.
    pub fn eject(&self, client: &Client) -> anyhow::Result<()> {
        let answer = match action(client, &self.path, "#VirtualMedia.EjectMedia")? {
            Some(target) => client.post(&target, &json!({}))?,
            None => {
                let etag = client.get(&self.path)?.etag;
                client.patch(&self.path, &json!({ "Image": null, "Inserted": false }), etag.as_deref())?
            }
        };
        self.follow(client, &answer, false)
    }

    /// An image of this tool is in it.
    pub fn is_ours(&self) -> bool {
        self.image.is_some()
    }

    fn follow(&self, client: &Client, answer: &Answer, is_in: bool) -> anyhow::Result<()> {
        wait(CHANGED, || {
            if let Some(task) = answer.task.as_deref().and_then(path_of) {
                // A task that is over may be gone; the medium tells.
                let task = client.get(task).map(|answer| answer.body).unwrap_or_default();
                if ["Exception", "Killed", "Cancelled"].iter().any(|state| task["TaskState"] == *state) {
                    return Err(client.wrong(&self.path, &format!("its task failed{}", said(&task))));
                }
            }
            let now = image(&client.get(&self.path)?.body).is_some();
            Ok(if now == is_in { Ok(()) } else { Err(()) }.map_err(|()| String::new()))
        })?
        .map_err(|_| {
            let what = if is_in { "holds no image" } else { "still holds its image" };
            client.wrong(&self.path, &format!("it {what} after {} s", CHANGED.as_secs()))
        })
    }
}

fn action(client: &Client, path: &str, name: &str) -> anyhow::Result<Option<String>> {
    Ok(client.get(path)?.body["Actions"][name]["target"].as_str().map(str::to_owned))
}

/// A task's place may be a whole URL.
fn path_of(location: &str) -> Option<&str> {
    match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map(|at| &rest[at..]),
        None => Some(location),
    }
}

/// Has the system start from a drive, the next time only.
pub fn start_once(system: &System<'_>, target: &str) -> anyhow::Result<()> {
    boot(system, |now| Some(once(now, target)))
}

/// The same from a network: by HTTP where there is a URL, or by PXE where that is served. Which of them (`UefiHttp`, `Pxe`); nothing
/// where the service has neither.
pub fn start_once_from_network(
    system: &System<'_>,
    url: Option<&str>,
    is_pxe: bool,
) -> anyhow::Result<Option<&'static str>> {
    let now = system.client.get(&system.path)?.body;
    let targets = texts(&now["Boot"]["BootSourceOverrideTarget@Redfish.AllowableValues"]);
    let has = |target: &str| targets.iter().any(|it| it == target);
    let target = match url {
        Some(_) if has("UefiHttp") => "UefiHttp",
        _ if is_pxe && (targets.is_empty() || has("Pxe")) => "Pxe",
        _ => return Ok(None),
    };
    boot(system, |now| {
        let mut boot = once(now, target);
        // Where the service has no such property, firmware asks the DHCP server.
        if target == "UefiHttp" && now.get("HttpBootUri").is_some() {
            boot["HttpBootUri"] = url.into();
        }
        Some(boot)
    })?;
    Ok(Some(target))
}

fn once(now: &Value, target: &str) -> Value {
    let mut boot = json!({ "BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": target });
    // The payload is an UEFI application.
    if now["BootSourceOverrideMode"].as_str().is_some_and(|mode| mode != "UEFI") {
        boot["BootSourceOverrideMode"] = "UEFI".into();
    }
    boot
}

/// Takes back what [`start_once`] asked for, where the system has not started since.
pub fn start_as_before(system: &System<'_>) -> anyhow::Result<()> {
    boot(system, |now| {
        (now["BootSourceOverrideEnabled"] == "Once")
            .then(|| json!({ "BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None" }))
    })
}

fn boot(system: &System<'_>, change: impl Fn(&Value) -> Option<Value>) -> anyhow::Result<()> {
    let System { client, path } = system;
    let now = client.get(path)?;
    let Some(boot) = change(&now.body["Boot"]) else { return Ok(()) };
    // Where changes are collected elsewhere for the next start (DSP0266, "Settings resource"), the system itself takes none.
    let settings = link(&now.body["@Redfish.Settings"]["SettingsObject"]);
    match client.patch(path, &json!({ "Boot": boot }), now.etag.as_deref()) {
        Err(refused) if refused.status == 405 && settings.is_some() => {
            let settings = settings.ok_or_else(|| usage(refused.line))?;
            let etag = client.get(settings)?.etag;
            client.patch(settings, &json!({ "Boot": boot }), etag.as_deref())?;
        }
        other => drop(other?),
    }
    Ok(())
}
