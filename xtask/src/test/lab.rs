//! A board in a lab: QEMU stands for it, its power is QMP, and its console a line over loopback that makes noise, loses bytes and
//! is cut. By U-Boot's prompt it is given what it starts.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::{Ended, Session};
use crate::build;

const SCENARIOS: &str = "adopt,reset";

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case::new("lab-quiet", |session| {
            let ended = on(session, &|_, bytes| vec![bytes.to_vec()])?;
            expect::outcome(&ended, 0, "pass")?;
            expect::followed(expect::run(&ended, "adopt")?, "ADOPT v10")
        }),
        Case::new("lab-noise", |session| {
            // A BMC that talks into the line, and escape sequences of a terminal.
            let ended = on(session, &|at, bytes| {
                let noise = b"\x1b[2J\x1b[1;1H[SOL session is active]\r\n\xff\xfe\x00";
                if at / 2_000 == (at + bytes.len()) / 2_000 {
                    vec![bytes.to_vec()]
                } else {
                    between_lines(bytes, noise)
                }
            })?;
            expect::outcome(&ended, 0, "pass")
        }),
        Case::new("lab-loss", |session| {
            // One byte of a record is gone: no verdict is made of the rest.
            let lost = AtomicBool::new(false);
            let ended = on(session, &|at, bytes| {
                let without = lose(bytes);
                let is_time = at > 8_000 && without.len() != bytes.len() && !lost.swap(true, Ordering::Relaxed);
                vec![if is_time { without } else { bytes.to_vec() }]
            })?;
            ensure(lost.into_inner(), || "nothing was lost".to_owned())?;
            ensure(ended.status == Some(3), || format!("status {:?} after a lost byte", ended.status))
        }),
        Case::new("lab-cut", |session| {
            // The line is cut and comes back: what was said meanwhile is lost, and told.
            let ended = on(session, &|at, bytes| {
                if (20_000..22_000).contains(&at) { Vec::new() } else { vec![bytes.to_vec()] }
            })?;
            ensure(ended.status == Some(3), || format!("status {:?} after a cut", ended.status))?;
            expect::finding(&ended, "console-cut")
        }),
        Case::new("lab-uboot-run", run_by_uboot),
        Case::new("lab-uboot-flash", flash_by_uboot),
        Case::new("lab-silent", silent),
        Case::new("lab-interrupted", interrupted),
        Case::new("lab-replayed", replayed),
        Case::new("lab-nobody", |session| {
            let folder = board(session, "127.0.0.1:9", "")?;
            let ended = session.run(&run(&folder))?;
            ensure(ended.status == Some(2) && ended.stderr.contains("console 127.0.0.1:9: "), || ended.stderr.clone())
        }),
    ]
}

/// What the line makes of the bytes that come at a place: pieces; none: it is cut.
pub(super) type Change<'a> = dyn Fn(usize, &[u8]) -> Vec<Vec<u8>> + Sync + 'a;

/// Noise after the first line end.
fn between_lines(bytes: &[u8], noise: &[u8]) -> Vec<Vec<u8>> {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if end == 0 { vec![bytes.to_vec()] } else { vec![bytes[..end].to_vec(), noise.to_vec(), bytes[end..].to_vec()] }
}

/// Without a byte of the first record that begins in here, if one does.
fn lose(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let record = bytes.windows(wire::PREFIX.len()).position(|window| window == wire::PREFIX.as_bytes());
    if let Some(at) = record.map(|at| at + wire::PREFIX.len() + 1).filter(|at| *at < bytes.len()) {
        bytes.remove(at);
    }
    bytes
}

/// Runs the board on a line that changes what passes.
fn on(session: &Session<'_>, change: &Change<'_>) -> Result<Ended, String> {
    powered_by(session, &by_monitor(session), change)
}

/// Power by the emulator's monitor.
fn by_monitor(session: &Session<'_>) -> String {
    format!("[power]\nqmp = \"{}\"\n", monitor(session).display())
}

/// The same with other power: that section of the board's file. It ends at the emulator's monitor.
pub(super) fn powered_by(session: &Session<'_>, power: &str, change: &Change<'_>) -> Result<Ended, String> {
    let text = |error: std::io::Error| error.to_string();
    let (line, machine) =
        (TcpListener::bind("127.0.0.1:0").map_err(text)?, TcpListener::bind("127.0.0.1:0").map_err(text)?);
    let at = |listener: &TcpListener| listener.local_addr().map(|at| at.to_string()).map_err(text);
    let site = board(session, &at(&line)?, power)?;
    let mut emulated = start(&monitor(session), &at(&machine)?, Firmware::None)?;
    std::thread::scope(|scope| {
        scope.spawn(|| pass_on(&line, &machine, change));
        let ended = session.run(&run(&site));
        // It was killed or has ended: either way this returns, and ends the line.
        let _ = emulated.kill();
        let _ = emulated.wait();
        ended
    })
}

/// Runs the board, whose U-Boot waits for what it is to start.
fn run_by_uboot(session: &Session<'_>) -> Expected {
    let ended = at_prompt(session, "to = \"bootefi\"\n", &|site| session.run(&run(site)))?;
    expect::outcome(&ended, 0, "pass")?;
    expect::followed(expect::run(&ended, "adopt")?, "ADOPT v10")?;
    ensure(ended.stderr.contains(": read back in memory, CRC-32 "), || ended.stderr.clone())?;
    let log = std::fs::read_to_string(session.report().join("console.log")).map_err(|error| error.to_string())?;
    ensure(log.contains("U-Boot 20"), || "the log does not begin with U-Boot".into())
}

/// `flash` leaves the board running, and says so only when the payload has spoken. What U-Boot refuses is one line.
fn flash_by_uboot(session: &Session<'_>) -> Expected {
    let flash = |site: &Path, more: &str| session.run(&words(&format!("flash --board {} {more}", site.display())));
    let ended = at_prompt(session, "", &|site| {
        let whole = flash(site, "--to bootefi")?;
        expect::status(&whole, 0)?;
        ensure(whole.stdout.contains("runs the payload"), || whole.stdout.clone())?;
        ensure(whole.stderr.contains("/s"), || format!("no rate in:\n{}", whole.stderr))?;
        flash(site, "--restore")
    })?;
    expect::status(&ended, 2)?;
    ensure(ended.stderr.contains("nothing has to be put back"), || ended.stderr.clone())
}

/// A machine with U-Boot and nothing that it would start, on a console that can be opened again and again.
fn at_prompt(
    session: &Session<'_>,
    flash: &str,
    act: &dyn Fn(&Path) -> Result<Ended, String>,
) -> Result<Ended, String> {
    let text = |error: std::io::Error| error.to_string();
    // Free now, and QEMU's in a moment.
    let free = TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let at = free.local_addr().map_err(text)?.to_string();
    drop(free);
    let mut emulated = start(&monitor(session), &at, Firmware::Uboot)?;
    let site = board(session, &at, &by_monitor(session)).and_then(|site| {
        let known = std::fs::read_to_string(&site).map_err(text)?;
        std::fs::write(&site, format!("{known}[flash]\nway = \"uboot\"\n{flash}")).map_err(text)?;
        Ok(site)
    });
    let ended = site.and_then(|site| act(&site));
    // It was killed or has ended: either way this returns.
    let _ = emulated.kill();
    let _ = emulated.wait();
    ended
}

/// Passes what the machine says on to whoever listens, until the listener is gone for good.
fn pass_on(line: &TcpListener, machine: &TcpListener, change: &Change<'_>) {
    let accept = |listener: &TcpListener| {
        let _ = listener.set_nonblocking(true);
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Ok((stream, _)) = listener.accept() {
                let _ = stream.set_nonblocking(false);
                let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                return Some(stream);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    };
    let (Some(mut from), Some(mut to)) = (accept(machine), accept(line)) else { return };
    let (mut buffer, mut passed) = ([0; 512], 0);
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let pieces = change(passed, &buffer[..count]);
        if pieces.is_empty() && passed != 0 {
            let _ = TcpStream::shutdown(&to, std::net::Shutdown::Both);
            match accept(line) {
                Some(stream) => to = stream,
                None => return,
            }
        }
        passed += count;
        for piece in pieces {
            if to.write_all(&piece).is_err() {
                return;
            }
        }
    }
}

pub(super) fn monitor(session: &Session<'_>) -> PathBuf {
    session.folder.with_extension("qmp")
}

/// A lab's file for it.
pub(super) fn board(session: &Session<'_>, console: &str, power: &str) -> Result<PathBuf, String> {
    let text = format!(
        "name = \"lab\"\ndescription = \"QEMU as a board\"\nevidence = \"emulated\"\n\
         allow-risks = [\"bus-error\", \"stray-write\", \"device-reset\", \"power-cycle\"]\n\
         [limits]\nboot-seconds = 60\nsilence-seconds = 8\n\
         [[endpoint]]\nbdf = \"0000:00:02.0\"\ndriver = \"hda\"\n\
         [[endpoint]]\nbdf = \"0000:00:03.0\"\ndriver = \"hda\"\n\
         [rmr]\nbdf = \"0000:00:03.0\"\nbytes = 0x1_0000\n\
         [serial]\ntcp = \"{console}\"\n{power}"
    );
    let path = session.folder.with_extension("board.toml");
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

pub(super) fn run(site: &Path) -> Vec<String> {
    words(&format!("run --board {} --scenario {SCENARIOS}", site.display()))
}

/// What the machine starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Firmware {
    /// The image itself, with its options. The console calls.
    None,
    /// U-Boot, and no image. The console is called.
    Uboot,
    /// EDK2, and no image. The console is called.
    Edk2,
}

/// The machine, off until its power is switched on.
fn start(monitor: &Path, console: &str, firmware: Firmware) -> Result<Child, String> {
    let mut command = machine(monitor, console, firmware)?;
    let program = command.get_program().display().to_string();
    let child = command.stdin(Stdio::null()).spawn().map_err(|error| format!("{program}: {error}"))?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !monitor.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(child)
}

/// What starts it.
pub(super) fn machine(monitor: &Path, console: &str, firmware: Firmware) -> Result<Command, String> {
    let name = match firmware {
        Firmware::None => "qemu-virt-dt",
        Firmware::Uboot => "qemu-virt-uboot",
        Firmware::Edk2 => "qemu-virt",
    };
    let virt = board::load(&crate::workspace::root().join("board-configs"), name).map_err(|error| error.to_string())?;
    let qemu = virt.qemu.ok_or("it is emulated")?;
    let _ = std::fs::remove_file(monitor);
    let options = format!(
        "scenario={SCENARIOS} cycles=1 allow_risks=bus-error,stray-write,device-reset,power-cycle rmr=0000:00:03.0:0x10000"
    );
    // The serial port of an emulator is a fourth faster without a second CPU's thread.
    let cpus = if firmware == Firmware::Uboot { "1" } else { "2" };
    let mut command = Command::new(&qemu.program);
    command.args(["-machine", &qemu.machine, "-cpu", &qemu.cpu, "-smp", cpus, "-m", &qemu.memory]);
    command.args(["-nodefaults", "-display", "none", "-no-shutdown", "-S"]);
    let role = if firmware == Firmware::None { "" } else { ",server=on,wait=off" };
    let socket = format!("socket,id=console,host={}{role}", console.replace(':', ",port="));
    command.args(["-chardev", &socket, "-serial", "chardev:console"]);
    command.args(["-qmp", &format!("unix:{},server=on,wait=off", monitor.display())]);
    let words = [("-audiodev", &qemu.audiodevs), ("-device", &qemu.devices)];
    for (option, value) in words.iter().flat_map(|(option, values)| values.iter().map(move |value| (option, value))) {
        if !value.contains("netdev=") {
            command.args([option, &value.as_str()]);
        }
    }
    if firmware == Firmware::None {
        command.arg("-kernel").arg(build::places().for_machine(&qemu)).args(["-append", &options]);
    } else {
        command.arg("-bios").arg(qemu.firmware.iter().find(|path| path.is_file()).ok_or("no firmware")?);
    }
    Ok(command)
}

/// A console that never speaks.
fn silent(session: &Session<'_>) -> Expected {
    let line = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let at = line.local_addr().map_err(|error| error.to_string())?.to_string();
    let ended = session.run(&run(&board(session, &at, "")?))?;
    ensure(ended.status == Some(3), || format!("status {:?}", ended.status))?;
    ensure(ended.report()?.to_string().contains("the console never spoke"), || ended.stderr.clone())
}

/// Ctrl-C while a board is listened to: it is switched off.
fn interrupted(session: &Session<'_>) -> Expected {
    let line = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let at = line.local_addr().map_err(|error| error.to_string())?.to_string();
    let switched = session.folder.with_extension("power");
    // Of an earlier test.
    let _ = std::fs::remove_file(&switched);
    let command = |word| format!("[\"sh\", \"-c\", \"echo {word} >> '{}'\"]", switched.display());
    let power = format!("[power.command]\non = {}\noff = {}\n", command("on"), command("off"));
    let running = session.start(&run(&board(session, &at, &power)?))?;
    let said = || std::fs::read_to_string(&switched).unwrap_or_default();
    let begin = Instant::now();
    while !said().ends_with("on\n") {
        ensure(begin.elapsed() < session.deadline, || "it is never switched on".into())?;
        std::thread::sleep(Duration::from_millis(5));
    }
    // The command that switches must end first.
    std::thread::sleep(Duration::from_millis(300));
    running.interrupt_alone()?;
    let ended = running.wait()?;
    expect::status(&ended, 130)?;
    ensure(ended.stderr.contains("error: stopped by Ctrl-C"), || ended.stderr.clone())?;
    ensure(said() == "off\non\noff\n", || format!("switched: {}", said()))
}

/// A console server hands out the whole log of an earlier boot that passed, and the board never speaks.
fn replayed(session: &Session<'_>) -> Expected {
    let text = |error: std::io::Error| error.to_string();
    let earlier = session.run(&words(&format!("run --board qemu-virt-dt --scenario {SCENARIOS}")))?;
    expect::outcome(&earlier, 0, "pass")?;
    let kept = std::fs::read(session.report().join("console.log")).map_err(text)?;
    // As the board said it: the first line is the host's.
    let first = kept.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let kept = kept[first..].to_vec();
    let line = TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let site = board(session, &line.local_addr().map_err(text)?.to_string(), "")?;
    let server = std::thread::spawn(move || {
        let (mut stream, _) = line.accept()?;
        stream.write_all(&kept)?;
        // Open until the tool has gone.
        stream.read(&mut [0; 1])
    });
    let ended = session.start(&run(&site))?.wait()?;
    let sent = server.join().map_err(|_| "the console server fell over")?;
    ensure(ended.status == Some(3), || format!("status {:?}, {sent:?}: {}", ended.status, ended.stdout))
}
