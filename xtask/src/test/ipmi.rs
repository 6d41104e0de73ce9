//! A board whose BMC speaks IPMI: power and serial-over-LAN by `ipmitool`, to OpenIPMI's simulated BMC, which switches a machine of
//! QEMU's and has its console.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::place::{BOARD, Place};
use super::session::{Ended, Session};
use super::{Case, Need};
use crate::setup::tool::Tool;

const USER: &str = "lab";
const PASSWORD: &str = "correct-horse";
/// The BMC's own management controller, and no other.
const CONTROLLER: &str = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n";
/// What the simulator starts to switch the board or to ask how it is: `ADDRESS get|set WHAT…` (ipmi_lan(5)).
const CHASSIS: &str = r#"#!/usr/bin/env python3
import sys, urllib.request
outlet, verb, words = sys.argv[1], sys.argv[3], sys.argv[4:]
if verb == "set" and words[0] == "power":
    urllib.request.urlopen(urllib.request.Request(outlet, words[1].encode(), method="PUT"), timeout=20).read()
elif verb == "get":
    for word in words:
        value = urllib.request.urlopen(outlet, timeout=20).read().decode() if word == "power" else "default"
        print(f"{word}:{value}")
"#;

/// All of them.
pub fn all() -> Vec<Case> {
    let needs = || Some(Need::Tool(Tool::Ipmi));
    vec![
        Case { needs: needs(), ..Case::new("ipmi-run", whole) },
        Case { needs: needs(), ..Case::new("ipmi-refused", refused) },
    ]
}

/// A simulated BMC. Dropped, it is gone.
struct Bmc {
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl Bmc {
    fn start(session: &Session<'_>, place: &Place) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let folder = session.folder.with_extension("bmc");
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(text)?;
        }
        fs::create_dir_all(folder.join("state")).map_err(text)?;
        // Free now, and the simulator's in a moment.
        let free = UdpSocket::bind("127.0.0.1:0").map_err(text)?;
        let port = free.local_addr().map_err(text)?.port();
        drop(free);
        let chassis = folder.join("chassis");
        fs::write(&chassis, CHASSIS).map_err(text)?;
        fs::set_permissions(&chassis, fs::Permissions::from_mode(0o755)).map_err(text)?;
        let lan = format!(
            "name \"{name}\"\nset_working_mc 0x20\nstartlan 1\naddr 127.0.0.1 {port}\npriv_limit admin\n\
             allowed_auths_admin none md5 straight\nguid a123456789abcdefa123456789abcdef\nendlan\n\
             chassis_control \"{chassis} http://{outlet}/1 0x20\"\nsol \"telnet:{console}\" 115200\n\
             user 1 true \"\" \"\" user 10 none md5 straight\n\
             user 2 true \"{USER}\" \"{PASSWORD}\" admin 10 none md5 straight\n",
            name = "lab",
            chassis = chassis.display(),
            outlet = place.outlet,
            console = place.console,
        );
        fs::write(folder.join("lan.conf"), lan).map_err(text)?;
        fs::write(folder.join("bmc.emu"), CONTROLLER).map_err(text)?;
        let log = fs::File::create(folder.join("log")).map_err(text)?;
        let mut command = Command::new("timeout");
        command.args(["110", "ipmi_sim", "-c", "lan.conf", "-f", "bmc.emu", "-s", "state", "-n"]).current_dir(&folder);
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(text)?).stderr(log);
        let child = command.spawn().map_err(text)?;
        Ok(Self { folder, port, child })
    }

    /// The board's file.
    fn site(&self, esp: &Path) -> Result<PathBuf, String> {
        let port = self.port;
        // Suite 3, as the simulator does not say which it has.
        let console = format!(
            "[\"ipmitool\", \"-I\", \"lanplus\", \"-C\", \"3\", \"-H\", \"127.0.0.1\", \"-p\", \"{port}\", \
             \"-U\", \"{USER}\", \"-E\", \"sol\", \"activate\"]"
        );
        let site = format!(
            "extends = \"{BOARD}\"\nname = \"rack-9\"\ndeny = [\"0000:00:06.0\"]\n\
             [limits]\nboot-seconds = 90\nsilence-seconds = 45\n[serial]\ncommand = {console}\n\
             [power.ipmi]\nhost = \"127.0.0.1\"\nport = {port}\n[flash]\nway = \"esp\"\nto = \"{}\"\n",
            esp.display()
        );
        let path = self.folder.join("rack-9.toml");
        fs::write(&path, site).map_err(|error| error.to_string())?;
        Ok(path)
    }
}

impl Drop for Bmc {
    fn drop(&mut self) {
        // It may have ended by itself. `timeout` hands this signal on.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Flashes the board's folder, and runs it with this password.
fn run(session: &Session<'_>, password: &str) -> Result<(Ended, bool), String> {
    let esp = session.folder.with_extension("esp");
    fs::create_dir_all(&esp).map_err(|error| error.to_string())?;
    let place = Place::new(Some(&esp), usize::MAX)?;
    let bmc = Bmc::start(session, &place)?;
    let site = bmc.site(&esp)?.display().to_string();
    let flashed = session.run(&words(&format!("flash --board {site} --scenario adopt,reset")))?;
    expect::status(&flashed, 0)?;
    let environment = [format!("IPMI_USER={USER}"), format!("IPMI_PASSWORD={password}")];
    let ended = session.run_by(&environment, &words(&format!("run --board {site} --scenario adopt,reset")))?;
    Ok((ended, place.is_on()))
}

/// Switched off and on, heard, judged, and switched off again.
fn whole(session: &Session<'_>) -> Expected {
    let (ended, is_on) = run(session, PASSWORD)?;
    expect::outcome(&ended, 0, "pass")?;
    expect::followed(expect::run(&ended, "adopt")?, "ADOPT v10")?;
    ensure(!is_on, || "the board is still on".into())
}

/// A wrong password is one line, which does not show it.
fn refused(session: &Session<'_>) -> Expected {
    let wrong = "wrong-horse-8";
    let (ended, is_on) = run(session, wrong)?;
    expect::status(&ended, 2)?;
    let errors: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    let is_told = errors.len() == 1 && errors[0].contains("ipmitool");
    ensure(is_told && !ended.stderr.contains(wrong), || ended.stderr.clone())?;
    ensure(!is_on, || "the board was switched on".into())
}
