//! Requests to a Redfish service (DMTF DSP0266): JSON over HTTPS, each with a deadline, none redirected, and no error with the
//! login in it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use board::{Bmc, Credentials};
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Method, Request, Response};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};

use super::tls::Secure;
use crate::exit::usage;
use crate::power::credentials;

/// A BMC answers within this time, or not at all; they are slow.
const DEADLINE: Duration = Duration::from_secs(30);
/// Insertion of a medium: some read all of the image before they answer.
const LONG: Duration = Duration::from_secs(180);
/// Bytes of an answer.
const MOST: u64 = 4 << 20;
/// Characters of what a BMC says that are shown.
const SHOWN: usize = 400;

/// A service, and the way to it.
pub struct Client {
    agent: Agent,
    /// Without a slash at its end.
    url: String,
    /// `Basic …` (RFC 7617). DSP0266 requires it of every service.
    authorization: String,
    /// Where the login comes from, in words.
    origin: String,
    /// What must not be shown, whoever says it.
    secrets: Vec<String>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its body; null where there was none.
    pub body: Value,
    /// Version of the resource, for `If-Match`.
    pub etag: Option<String>,
    /// Where the task is that goes on with it (202).
    pub task: Option<String>,
}

/// A request that the service refused.
#[derive(Debug)]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// One line that names service, request and what the service said.
    pub line: String,
}

impl From<Refused> for anyhow::Error {
    fn from(refused: Refused) -> Self {
        usage(refused.line)
    }
}

impl Client {
    /// Prepares requests; none is sent yet.
    pub fn new(bmc: &Bmc) -> anyhow::Result<Self> {
        let login = credentials::read(&bmc.credentials)?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent("inflight")
            .build();
        let connector = ().chain(TcpConnector::default()).chain(Secure::new(bmc.pin.as_deref())?);
        let token = STANDARD.encode(format!("{}:{}", login.user, login.password));
        Ok(Self {
            agent: Agent::with_parts(config, connector, DefaultResolver::default()),
            url: bmc.url.trim_end_matches('/').to_owned(),
            authorization: format!("Basic {token}"),
            origin: match &bmc.credentials {
                Credentials::Environment { user, password } => format!("{user} and {password}"),
                Credentials::File(path) => path.display().to_string(),
            },
            secrets: [token, login.password].into_iter().filter(|secret| !secret.is_empty()).collect(),
        })
    }

    /// Reads a resource.
    pub fn get(&self, path: &str) -> Result<Answer, Refused> {
        self.send(Method::GET, path, None, None, DEADLINE)
    }

    /// Has an action done.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer, Refused> {
        self.send(Method::POST, path, Some(body), None, LONG)
    }

    /// Changes a resource, where it is still the version that was read.
    pub fn patch(&self, path: &str, body: &Value, etag: Option<&str>) -> Result<Answer, Refused> {
        self.send(Method::PATCH, path, Some(body), etag, LONG)
    }

    /// An error about a resource, in the words of all others.
    pub fn wrong(&self, path: &str, what: &str) -> anyhow::Error {
        usage(self.line("", path, what))
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
        deadline: Duration,
    ) -> Result<Answer, Refused> {
        let name = format!("{method} ");
        let refused = |status: u16, what: &str| Refused { status, line: self.line(&name, path, what) };
        // A path from an answer goes nowhere else with the login.
        if !path.starts_with('/') || path.starts_with("//") {
            return Err(refused(0, "no path of this service"));
        }
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        request = request.header("Authorization", &self.authorization).header("Accept", "application/json");
        request = request.header("OData-Version", "4.0");
        if let Some(etag) = etag {
            request = request.header("If-Match", etag);
        }
        let text = body.map(Value::to_string);
        if text.is_some() {
            request = request.header("Content-Type", "application/json");
        }
        let request = request.body(text.unwrap_or_default()).map_err(|error| refused(0, &error.to_string()))?;
        // ureq sends no body with GET.
        let answer = if body.is_some() {
            self.agent.run(self.agent.configure_request(request).timeout_global(Some(deadline)).build())
        } else {
            let request = request.map(drop);
            self.agent.run(self.agent.configure_request(request).timeout_global(Some(deadline)).build())
        };
        let mut answer = answer.map_err(|error| refused(0, &reason(&error, deadline)))?;
        let body = read(&mut answer).map_err(|error| refused(0, &reason(&error, deadline)))?;
        let header = |name: &str| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        match answer.status().as_u16() {
            status @ 200..300 => Ok(Answer {
                etag: header("ETag").or_else(|| Some(body["@odata.etag"].as_str()?.to_owned())),
                task: (status == 202).then(|| header("Location")).flatten(),
                body,
            }),
            401 => Err(refused(401, &format!("it refuses the login (401); look at {}", self.origin))),
            status @ 300..=399 => {
                let to = header("Location").unwrap_or_default();
                Err(refused(status, &format!("it wants to redirect to `{to}`, which is not followed")))
            }
            status => Err(refused(status, &format!("status {status}{}", said(&body)))),
        }
    }

    fn line(&self, method: &str, path: &str, what: &str) -> String {
        let mut line = format!("BMC {}: {method}{path}: {what}", self.url);
        for secret in &self.secrets {
            line = line.replace(secret, "…");
        }
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

fn read(answer: &mut Response<ureq::Body>) -> Result<Value, ureq::Error> {
    let bytes = answer.body_mut().with_config().limit(MOST).read_to_vec()?;
    // Some answer an error with a page for people; then the status has to do.
    Ok(serde_json::from_slice(&bytes).unwrap_or_default())
}

/// Why no answer came.
fn reason(error: &ureq::Error, deadline: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} s", deadline.as_secs()),
        ureq::Error::HostNotFound => "no such host".to_owned(),
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::General(text)) => format!("TLS: {text}"),
            Some(error) => format!("TLS: {error}"),
            None => error.to_string(),
        },
        other => other.to_string(),
    }
}

/// What the service says of an error (DSP0266, "Error responses"): its messages, or the one above them; with a colon before.
pub fn said(body: &Value) -> String {
    let error = if body["error"].is_object() { &body["error"] } else { body };
    let messages = ["@Message.ExtendedInfo", "Messages"].iter().find_map(|key| error[key].as_array());
    let messages = messages.into_iter().flatten().filter_map(|info| info["Message"].as_str());
    let mut text = messages.collect::<Vec<_>>().join(" | ");
    if text.is_empty() {
        text = error["message"].as_str().unwrap_or_default().to_owned();
    }
    let shown: String = text.chars().take(SHOWN).collect();
    if shown.is_empty() { shown } else { format!(": {shown}") }
}
