//! PCI Express errors by the emulator's monitor: a client of QMP that sends one command at a time.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use addr::Bdf;
use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::inject::Injection;
use crate::exit::usage;

/// The emulator answers within this time, or not at all.
const ANSWER: Duration = Duration::from_secs(5);
/// Events that may come between a command and its answer.
const MOST_EVENTS: usize = 256;
/// Bytes of a socket's path with its end (unix(7), sun_path).
const MOST_PATH: usize = 108;

/// A connection to the monitor.
#[derive(Debug)]
pub struct Qmp {
    answers: BufReader<UnixStream>,
    commands: UnixStream,
}

impl Qmp {
    /// Connects to the socket that the emulator serves, and leaves the negotiation mode.
    pub fn connect(socket: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot reach QEMU's monitor at {}", socket.display());
        let commands = UnixStream::connect(socket).with_context(cannot)?;
        commands.set_read_timeout(Some(ANSWER)).with_context(cannot)?;
        commands.set_write_timeout(Some(ANSWER)).with_context(cannot)?;
        let answers = BufReader::new(commands.try_clone().with_context(cannot)?);
        let mut qmp = Self { answers, commands };
        let greeting = qmp.line()?;
        if greeting["QMP"].is_null() {
            bail!("QEMU's monitor greets with {greeting}");
        }
        qmp.command("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// A command without arguments, whose answer says nothing more.
    pub fn simple(&mut self, name: &str) -> anyhow::Result<()> {
        self.command(name, &json!({})).map(drop)
    }

    /// Injects an error.
    pub fn inject(&mut self, injection: &Injection) -> anyhow::Result<()> {
        let Injection { bdf, error, .. } = injection;
        let buses = self.command("query-pci", &json!({}))?;
        let id = device_at(&buses, *bdf).with_context(|| {
            format!("--inject {bdf}: QEMU has no device with an id there; give it one in the board's `devices`")
        })?;
        // There is no command of QMP's own for it. What it says is text, and an empty one where it worked is not promised.
        let said = self.command("human-monitor-command", &json!({ "command-line": injection.command(&id) }))?;
        match said.as_str() {
            Some(said) if said.trim_start().starts_with("OK") => Ok(()),
            _ => bail!("--inject {bdf}:{error}: QEMU says {said}"),
        }
    }

    /// Sends a command and returns what it answers.
    fn command(&mut self, name: &str, arguments: &Value) -> anyhow::Result<Value> {
        let mut line = json!({ "execute": name, "arguments": arguments }).to_string();
        line.push('\n');
        self.commands.write_all(line.as_bytes()).context("cannot write to QEMU's monitor")?;
        for _ in 0..MOST_EVENTS {
            let mut answer = self.line()?;
            if !answer["error"].is_null() {
                bail!("QEMU's monitor: {name}: {}", answer["error"]);
            }
            if answer.get("return").is_some() {
                return Ok(answer["return"].take());
            }
        }
        bail!("QEMU's monitor: {name}: no answer among {MOST_EVENTS} lines")
    }

    fn line(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line).context("QEMU's monitor does not answer")?;
        if read == 0 {
            bail!("QEMU's monitor has hung up");
        }
        serde_json::from_str(&line).with_context(|| format!("QEMU's monitor says {}", line.trim()))
    }
}

/// The id of the device at `bdf` in what `query-pci` answers; buses behind bridges stand in the bridges. Bus numbers are those
/// that the guest has given.
fn device_at(buses: &Value, bdf: Bdf) -> Option<String> {
    let mut open: Vec<&Value> = buses.as_array()?.iter().flat_map(devices).collect();
    while let Some(device) = open.pop() {
        open.extend(device["pci_bridge"]["devices"].as_array().into_iter().flatten());
        let at = [("bus", bdf.bus()), ("slot", bdf.device()), ("function", bdf.function())];
        if at.iter().all(|(key, number)| device[key] == *number) {
            return device["qdev_id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
        }
    }
    None
}

fn devices(bus: &Value) -> &[Value] {
    bus["devices"].as_array().map_or(&[], Vec::as_slice)
}

/// The emulator's monitor, and what is to be injected by it once it is time.
pub struct Monitor {
    pub socket: PathBuf,
    /// Where the socket is; gone with this.
    _folder: tempfile::TempDir,
    injections: Vec<Injection>,
}

impl Monitor {
    /// A place for the socket, where there is something to inject.
    pub fn of(injections: &[Injection]) -> anyhow::Result<Option<Self>> {
        if injections.is_empty() {
            return Ok(None);
        }
        // Not in the report's folder: the path of a socket is short.
        let folder = tempfile::tempdir().context("cannot make a folder for the socket of QEMU's monitor")?;
        let socket = folder.path().join("qmp");
        if socket.as_os_str().len() >= MOST_PATH {
            let most = MOST_PATH - 1;
            return Err(usage(format!("{}: longer than the {most} bytes of a socket; set TMPDIR", socket.display())));
        }
        Ok(Some(Self { socket, _folder: folder, injections: injections.to_vec() }))
    }

    /// Injects what is due in this phase: every error once, in the first cycle that asks for it.
    pub fn inject(&mut self, phase: u8) -> anyhow::Result<()> {
        if self.injections.first().is_none_or(|first| first.moment.phase() != phase) {
            return Ok(());
        }
        let mut qmp = Qmp::connect(&self.socket)?;
        self.injections.drain(..).try_for_each(|injection| qmp.inject(&injection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn devices_are_found_behind_bridges_by_the_guests_numbers() {
        let port = json!({ "bus": 0, "slot": 5, "function": 0, "qdev_id": "port0", "pci_bridge": {
            "bus": { "number": 0, "secondary": 1 },
            "devices": [{ "bus": 1, "slot": 0, "function": 0, "qdev_id": "disk0" }] } });
        let buses = json!([{ "bus": 0, "devices": [{ "bus": 0, "slot": 0, "function": 0, "qdev_id": "" }, port] }]);
        let at = |text: &str| device_at(&buses, Bdf::parse(text).unwrap());
        assert_eq!(at("0000:00:05.0").as_deref(), Some("port0"));
        assert_eq!(at("0000:01:00.0").as_deref(), Some("disk0"));
        assert_eq!((at("0000:00:00.0"), at("0000:02:00.0")), (None, None));
    }

    /// A connection to a monitor that answers these lines, whatever it is asked, and then no more; it lives as long as the second.
    fn monitor(lines: &[&str]) -> (anyhow::Result<Qmp>, UnixStream) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("q");
        let listener = UnixListener::bind(&socket).unwrap();
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(lines.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream
        });
        let qmp = Qmp::connect(&socket);
        (qmp, served.join().unwrap())
    }

    fn inject(lines: &[&str]) -> Result<(), String> {
        let (qmp, _alive) = monitor(lines);
        let injection = Injection::parse("before=0000:00:01.0:COMP_TIME").unwrap();
        qmp.unwrap().inject(&injection).map_err(|error| format!("{error:#}"))
    }

    const HELLO: &str = r#"{"QMP": {"version": {}, "capabilities": []}}"#;
    const DONE: &str = r#"{"return": {}}"#;
    const PCI: &str = r#"{"return": [{"bus": 0, "devices": [{"bus": 0, "slot": 1, "function": 0, "qdev_id": "a"}]}]}"#;

    #[test]
    fn events_are_passed_over_and_a_refusal_is_an_error() {
        let event = r#"{"event": "RESUME"}"#;
        assert_eq!(inject(&[HELLO, event, DONE, PCI, event, r#"{"return": "OK id: a root bus: 0\r\n"}"#]), Ok(()));
        for (last, said) in [
            (r#"{"return": "invalid error status value"}"#, "invalid error status"),
            (r#"{"error": {"class": "CommandNotFound"}}"#, "CommandNotFound"),
            (event, "hung up"),
            ("not JSON", "says not JSON"),
        ] {
            let error = inject(&[HELLO, DONE, PCI, last]).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        assert!(monitor(&["SSH-2.0"]).0.is_err() && monitor(&[DONE]).0.is_err());
    }
}
