//! Boards that fetch what they start from a network: EDK2 by HTTP boot and by PXE, U-Boot by `tftpboot`; with a DHCP server of
//! others, on a network of their own. QEMU stands for the board, and is reached as one is.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::flash::as_asked;
use super::lab::{self, Firmware};
use super::session::{Ended, Session};
use super::{Case, Need, interface};
use crate::flash::Settings;
use crate::run::quoted;
use crate::setup::tool::Tool;

/// This host on that network (TEST-NET-1, RFC 5737).
const HOST: &str = "192.0.2.1";
/// The board's console, which nobody else on that network has.
const CONSOLE: &str = "127.0.0.1:5555";
/// What the board fetches; its name is the lab's board.
const IMAGE: &str = "inflight-lab.efi";
const IORT: &str = "ci/fixtures/qemu-virt/IORT.aml";
/// Address families that no test waits for, and a protocol.
const NO_V6: &str = "name=opt/org.tianocore/IPv6PXESupport,string=no";
const NO_PXE: &str = "name=opt/org.tianocore/IPv4PXESupport,string=no";

/// All of them.
pub fn all() -> Vec<Case> {
    let needs = Some(Need::Tool(Tool::Dnsmasq));
    let case =
        |name, test: fn(&Session<'_>) -> Expected| Case { needs, lacks: interface::lacks, ..Case::new(name, test) };
    vec![
        case("netboot-http", |session| {
            let asked = format!("run --scenario adopt --cycles 2 --iort {IORT}");
            let ended = on_network(session, &Lab { to: "http", ..Lab::default() }, &asked)?;
            as_asked(&ended)?;
            expect::followed(expect::run(&ended, "adopt")?, "ADOPT v10")?;
            ensure(ended.stderr.contains(&format!("was sent {IMAGE} by HTTP: ")), || ended.stderr.clone())?;
            let report = ended.report()?;
            let (iort, images) = (&report["platform"]["iort"], &report["provenance"]["images"]);
            ensure(iort["origin"] == "file", || format!("not the table inside of the image: {iort}"))?;
            ensure(images[0]["name"] == IMAGE, || format!("not what was served: {images}"))
        }),
        case("netboot-pxe", |session| {
            let ended = on_network(session, &Lab { to: "pxe", ..Lab::default() }, "run --scenario adopt --cycles 2")?;
            as_asked(&ended)?;
            expect::followed(expect::run(&ended, "adopt")?, "ADOPT v10")?;
            ensure(ended.stderr.contains(&format!("has fetched {IMAGE} by TFTP: ")), || ended.stderr.clone())?;
            let iort = &ended.report()?["platform"]["iort"];
            ensure(iort["origin"] == "amended", || format!("not the firmware's table: {iort}"))
        }),
        case("netboot-flash", |session| {
            let ended = on_network(session, &Lab { to: "pxe", ..Lab::default() }, "flash --scenario adopt")?;
            expect::status(&ended, 0)?;
            for wanted in [
                "serving inflight-lab.efi (",
                "  next server, option 66  192.0.2.1\n",
                " by TFTP, and the payload runs",
            ] {
                ensure(ended.stdout.contains(wanted), || ended.stdout.clone())?;
            }
            ensure(ended.stderr.contains("/s"), || format!("no rate in:\n{}", ended.stderr))
        }),
        case("netboot-uboot", |session| {
            let lab = Lab { firmware: Firmware::Uboot, to: "booti", ..Lab::default() };
            let ended = on_network(session, &lab, &format!("run --scenario adopt --cycles 2 --iort {IORT}"))?;
            as_asked(&ended)?;
            expect::followed(expect::run(&ended, "adopt")?, "ADOPT v10")?;
            for name in ["inflight.img", "iort.aml"] {
                for wanted in [format!("has fetched {name} by TFTP: "), format!("{name}: read back in memory, CRC-32 ")]
                {
                    ensure(ended.stderr.contains(&wanted), || format!("no `{wanted}`: {}", ended.stderr))?;
                }
            }
            let iort = &ended.report()?["platform"]["iort"];
            ensure(iort["origin"] == "file", || format!("not the table that was fetched: {iort}"))
        }),
        case("netboot-unprivileged", |session| {
            let by = words("setpriv --inh-caps=-net_bind_service --bounding-set=-net_bind_service");
            let ended = on_network(session, &Lab { to: "pxe", by, ..Lab::default() }, "flash")?;
            expect::status(&ended, 4)?;
            let wanted = "error: cannot serve TFTP at 192.0.2.1:69: ports below 1024 take root or CAP_NET_BIND_SERVICE";
            ensure(ended.stderr.contains(wanted), || ended.stderr.clone())
        }),
        Case::new("netboot-nobody", nobody),
    ]
}

/// A lab on a network.
struct Lab {
    firmware: Firmware,
    /// What its board says of where to.
    to: &'static str,
    /// What starts this tool there.
    by: Vec<String>,
}

impl Default for Lab {
    fn default() -> Self {
        Self { firmware: Firmware::Edk2, to: "http", by: Vec::new() }
    }
}

/// Runs a command for the board of such a lab: `asked` is its name and what follows `--board`.
fn on_network(session: &Session<'_>, lab: &Lab, asked: &str) -> Result<Ended, String> {
    let way = if lab.firmware == Firmware::Uboot { "uboot" } else { "netboot" };
    let flash = format!("[flash]\nway = \"{way}\"\nto = \"{}\"\nserve = \"{HOST}\"\n", lab.to);
    let site = board(session, CONSOLE, &format!("[power]\nqmp = \"{}\"\n{flash}", lab::monitor(session).display()))?;
    let script = script(session, lab)?;
    let (command, more) = asked.split_once(' ').unwrap_or((asked, ""));
    let arguments = words(format!("{command} --board {} {more}", site.display()).trim_end());
    session.run_by(&[network(&script), lab.by.clone()].concat(), &arguments)
}

fn network(script: &str) -> Vec<String> {
    interface::network(script)
}

/// The lab's board, whose file says that the card it starts from is not the payload's.
fn board(session: &Session<'_>, console: &str, more: &str) -> Result<PathBuf, String> {
    let site = lab::board(session, console, more)?;
    let text = fs::read_to_string(&site).map_err(|error| error.to_string())?;
    let text = text
        .replace("[limits]\n", "deny = [\"0000:00:05.0\"]\n[limits]\n")
        .replace("boot-seconds = 60", "boot-seconds = 100");
    // Firmware says nothing while it waits for a lease.
    fs::write(&site, text.replace("silence-seconds = 8", "silence-seconds = 60")).map_err(|error| error.to_string())?;
    Ok(site)
}

/// What is there before this tool begins, and ends with it: a DHCP server, with the settings that `flash` shows, and the board.
fn script(session: &Session<'_>, lab: &Lab) -> Result<String, String> {
    let file = |ending: &str| session.folder.with_extension(ending).display().to_string();
    let settings = Settings {
        name: IMAGE,
        what: String::new(),
        url: (lab.to == "http").then(|| format!("http://{HOST}:8080/{IMAGE}")),
        tftp: (lab.to == "pxe").then(|| std::net::SocketAddr::new([192, 0, 2, 1].into(), 69)),
    };
    let (configuration, leases) = (file("dnsmasq"), file("leases"));
    let text = format!(
        "port=0\ninterface=switch0\nbind-interfaces\nno-ping\nuser=root\nlog-dhcp\n\
         dhcp-range=192.0.2.50,192.0.2.99,1h\ndhcp-leasefile={leases}\n{}",
        settings.dnsmasq()
    );
    fs::write(&configuration, text).map_err(|error| format!("{configuration}: {error}"))?;
    let mut machine = lab::machine(&lab::monitor(session), CONSOLE, lab.firmware)?;
    machine.args(["-netdev", "tap,id=boot,ifname=card0,script=no,downscript=no,vhost=off"]);
    machine.args(["-device", "virtio-net-pci,netdev=boot,bus=pcie.0,addr=5.0,bootindex=0,romfile="]);
    if lab.firmware == Firmware::Edk2 {
        machine.args(["-fw_cfg", NO_V6]);
        if lab.to == "http" {
            machine.args(["-fw_cfg", NO_PXE]);
        }
    }
    let program: Vec<OsString> =
        [machine.get_program()].into_iter().chain(machine.get_args()).map(OsString::from).collect();
    let (machine, monitor) = (quoted(&program), lab::monitor(session).display().to_string());
    let servers = file("servers");
    Ok(format!(
        "ip link set lo up\nip address add {HOST}/24 dev switch0\n\
         dnsmasq --keep-in-foreground --log-facility=- --conf-file={configuration} >{servers} 2>&1 & dhcp=$!\n\
         {machine} </dev/null >>{servers} 2>&1 & board=$!\n\
         for turn in $(seq 100); do test -S {monitor} && break; sleep 0.1; done\n\
         set +e\n\"$@\"\nstatus=$?\nkill $dhcp $board\nexit $status"
    ))
}

/// Nobody fetches anything: the board never speaks, and that is said beside it. What is wrong with the words is said first.
fn nobody(session: &Session<'_>) -> Expected {
    let text = |error: std::io::Error| error.to_string();
    let (line, free) =
        (TcpListener::bind("127.0.0.1:0").map_err(text)?, TcpListener::bind("127.0.0.1:0").map_err(text)?);
    let (console, port) = (line.local_addr().map_err(text)?.to_string(), free.local_addr().map_err(text)?.port());
    drop(free);
    let flash = format!("[flash]\nway = \"netboot\"\nto = \"http\"\nserve = \"127.0.0.1:{port}\"\n");
    let site = lab::board(session, &console, &flash)?;
    let ended = session.run(&lab::run(&site))?;
    expect::status(&ended, 3)?;
    let lost = ended.report()?["lost"].to_string();
    let wanted = format!("nobody has fetched {IMAGE}");
    ensure(lost.contains(&wanted), || lost.clone())?;
    for (more, wanted) in [
        ("--restore", "nothing has to be put back"),
        ("--to /dev/sdb", "the way netboot takes `http` or `pxe`"),
        ("--serve 0.0.0.0", "name the one at which"),
        ("--serve 192.0.2.1", "this host has no such address"),
    ] {
        let ended = session.run(&words(&format!("flash --board {} {more}", site.display())))?;
        expect::status(&ended, 2)?;
        ensure(ended.stderr.contains(wanted), || format!("not `{wanted}`: {}", ended.stderr))?;
    }
    Ok(())
}
