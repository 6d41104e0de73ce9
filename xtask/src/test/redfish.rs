//! A board behind a BMC that speaks Redfish: a service that others wrote switches QEMU, which stands for the board.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::Session;
use super::sushy::{self, OTHER, PASSWORD, SYSTEM, Sushy, USER};
use super::{flash, lab};
use crate::run::Qmp;

/// All of them.
pub fn all() -> Vec<Case> {
    let case = |name, test: fn(&Session<'_>) -> Expected| Case { lacks: sushy::lacks, ..Case::new(name, test) };
    vec![
        case("redfish-power", power),
        case("redfish-media", media),
        case("redfish-netboot", netboot),
        case("redfish-uninserted", uninserted),
        case("redfish-refused", refused),
    ]
}

/// `run` switches the board on and off again.
fn power(session: &Session<'_>) -> Expected {
    let monitor = lab::monitor(session);
    let last = Mutex::new("Off".to_owned());
    let service = Sushy::start(session, "", move |state| {
        let now = state["power_state"].as_str().unwrap_or_default();
        let Ok(mut last) = last.lock() else { return };
        if *last != now {
            now.clone_into(&mut last);
            // Where the emulator is gone the run has failed already.
            let _ = Qmp::connect(&monitor).and_then(|mut qmp| match now {
                "On" => qmp.simple("system_reset").and_then(|()| qmp.simple("cont")),
                _ => qmp.simple("stop"),
            });
        }
    })?;
    let ended = lab::powered_by(session, &service.power(), &|_, bytes| vec![bytes.to_vec()])?;
    expect::outcome(&ended, 0, "pass")?;
    expect::followed(expect::run(&ended, "adopt")?, "ADOPT v10")?;
    let mut powers: Vec<Value> = service.states().iter().map(|state| state["power_state"].clone()).collect();
    powers.dedup();
    ensure(powers.ends_with(&["On".into(), "Off".into()]), || format!("the board's power was {powers:?}"))
}

/// `flash` has the BMC show the image as a disc, from which firmware starts; `--restore` takes it out.
fn media(session: &Session<'_>) -> Expected {
    let service = Sushy::start(session, "", |_| {})?;
    let site = extended(session, &service)?;
    let ended = session.run(&words(&format!("flash --board {site} --via redfish {}", flash::ASKED)))?;
    expect::status(&ended, 0)?;
    let state = service.states().pop().unwrap_or_default();
    let disc = state["boot_image"]["Cd"][0].as_str().unwrap_or_default().to_owned();
    let is_started =
        state["power_state"] == "On" && state["boot_device"] == "Cd" && state["boot_image"]["Cd"][1] == true;
    ensure(is_started && std::path::Path::new(&disc).is_file(), || format!("the board is not as wanted: {state}"))?;
    // What the BMC has read, as a USB disc of the board.
    let drive =
        format!("if=none,id=esp,media=cdrom,readonly=on,format=raw,file={disc} -device qemu-xhci,bus=pcie.0,addr=5.0");
    let ended = flash::boot(session, flash::ASKED, &drive, "usb-storage,drive=esp,bootindex=0")?;
    flash::as_asked(&ended)?;
    expect::adopted(expect::run(&ended, "adopt")?)?;
    let restore = words(&format!("flash --board {site} --via redfish --restore"));
    expect::status(&session.run(&restore)?, 0)?;
    let state = service.states().pop().unwrap_or_default();
    let is_out = state["boot_image"]["Cd"][0].is_null() && !std::path::Path::new(&disc).exists();
    ensure(is_out, || format!("the image is still in: {state}"))?;
    let again = session.run(&restore)?;
    expect::status(&again, 2)?;
    ensure(again.stderr.contains("nothing of this tool is inserted"), || again.stderr.clone())
}

/// The board file of an emulated machine, with this service.
fn extended(session: &Session<'_>, service: &Sushy) -> Result<String, String> {
    let path = session.folder.with_extension("board.toml");
    let text = format!("name = \"lab\"\nextends = \"qemu-virt\"\n{}", service.power());
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.display().to_string())
}

/// `flash --via netboot` has the BMC start the board from the network.
fn netboot(session: &Session<'_>) -> Expected {
    let service = Sushy::start(session, "", |_| {})?;
    let site = extended(session, &service)?;
    let free = std::net::UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let port = free.local_addr().map_err(|error| error.to_string())?.port();
    drop(free);
    let asked = format!("flash --board {site} --via netboot --to pxe --tftp-port {port} --leave-off");
    let running = session.start(&words(&asked))?;
    let begin = Instant::now();
    while service.states().pop().is_none_or(|state| state["boot_device"] != "Pxe") {
        ensure(begin.elapsed() < session.deadline, || {
            format!("the board does not start from the network: {:?}", service.states())
        })?;
        std::thread::sleep(Duration::from_millis(50));
    }
    // Nobody fetches it.
    running.interrupt()?;
    let ended = running.wait()?;
    expect::status(&ended, 130)?;
    let wanted = "the BMC has the board start by Pxe, once";
    ensure(ended.stderr.contains(wanted) && ended.stderr.contains("stopped by Ctrl-C"), || ended.stderr.clone())
}

/// A BMC that takes no image is quoted.
fn uninserted(session: &Session<'_>) -> Expected {
    let service = Sushy::start(session, "SUSHY_EMULATOR_VIRTUAL_MEDIA_IP_FAMILY = '6'", |_| {})?;
    let site = extended(session, &service)?;
    let ended = session.run(&words(&format!("flash --board {site} --via redfish")))?;
    expect::status(&ended, 2)?;
    let wanted = "InsertMedia: status 400: IPv6 address required but got IPv4 address: 127.0.0.1";
    ensure(ended.stderr.contains(wanted) && !ended.stderr.contains(PASSWORD), || ended.stderr.clone())?;
    let site = site.as_str();
    let ended = session.run(&words(&format!("flash --board {site} --via redfish --to stick.img")))?;
    ensure(ended.status == Some(2) && ended.stderr.contains("redfish writes no drive"), || ended.stderr.clone())
}

/// What can be wrong is one line, and never holds the login.
fn refused(session: &Session<'_>) -> Expected {
    let service = Sushy::start(session, "", |_| {})?;
    let good = service.power();
    let other_pin = format!("{:064x}", 7);
    let nowhere = "https://127.0.0.1:9";
    let login = service.login.display().to_string();
    let by_environment = |text: &str| text.replace(&format!("credentials = {{ file = \"{login}\" }}\n"), "");
    let cases = [
        (by_environment(&good), "it refuses the login (401)".to_owned()),
        (good.replace(&service.pin, &other_pin), format!("its certificate has pin {}", service.pin.to_lowercase())),
        (
            good.replace(&format!("pin = \"{}\"\n", service.pin), ""),
            format!("pin = \"{}\"", service.pin.to_lowercase()),
        ),
        (good.replace(SYSTEM, "node-9"), format!("no system `node-9`; there: `{OTHER}`, `{SYSTEM}`")),
        (good.replace(&format!("system = \"{SYSTEM}\"\n"), ""), "name one as `system`".to_owned()),
        (good.replace(&service.url, nowhere), "Connection refused".to_owned()),
    ];
    let line = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let console = line.local_addr().map_err(|error| error.to_string())?.to_string();
    for (power, wanted) in cases {
        let site = lab::board(session, &console, &power)?;
        let wrong = "Wrong-Horse-8";
        let environment = [format!("REDFISH_USER={USER}"), format!("REDFISH_PASSWORD={wrong}")];
        let ended = session.run_by(&environment, &lab::run(&site))?;
        expect::status(&ended, 2)?;
        let errors: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        ensure(errors.len() == 1 && errors[0].contains(&wanted), || format!("not `{wanted}`: {}", ended.stderr))?;
        let all = format!("{}{}", ended.stdout, ended.stderr);
        // As it is, and as HTTP carries it.
        let tokens = [PASSWORD, wrong].map(|word| STANDARD.encode(format!("{USER}:{word}")));
        let secrets = [PASSWORD, wrong, USER].into_iter().chain(tokens.iter().map(String::as_str));
        let shown = secrets.into_iter().find(|secret| all.contains(secret));
        ensure(shown.is_none(), || format!("the login is shown: {all}"))?;
    }
    Ok(())
}
