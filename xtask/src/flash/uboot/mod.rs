//! The way `uboot`: an image goes over the serial console into a board's memory, and is started there.
//!
//! `--to bootefi` (where nothing is said) starts the UEFI application, `--to booti` the raw image; `@ADDRESS` behind it says where
//! in memory it goes, instead of `${kernel_addr_r}`. With `--serve` it goes over the board's network instead (`tftpboot`). Nothing stays
//! on the board: there is nothing to restore.

pub mod prompt;
mod tftpboot;
mod ymodem;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use board::target::{self, UbootCommand as Command};
use board::{Board, Serial, Serve};
use crc::{CRC_32_ISO_HDLC, Crc};
use indicatif::HumanBytes;

use self::prompt::Prompt;
use self::tftpboot::Server;
use super::meter::Meter;
use super::payload::IORT_FILE;
use super::{serve_at, tftp_port};
use crate::build;
use crate::cli::{FlashArgs, PayloadArgs};
use crate::exit::{Exit, unexpected, usage};
use crate::run::{self, Progress, options, switch_on};
use crate::serial::Console;
use crate::serve::File;

/// From power on to the prompt: memory training of a server takes minutes.
const PROMPT: Duration = Duration::from_secs(300);
/// A command that does not wait for anybody ends within this.
const COMMAND: Duration = Duration::from_secs(30);
/// From the boot command to the payload's first word.
const FIRST_WORD: Duration = Duration::from_secs(60);
/// Letters of `bootargs` that are typed at a time: the shortest line that boards take is 256 letters (CONFIG_SYS_CBSIZE).
const TYPED: usize = 128;

/// What is brought into memory and started, checked before the board is touched.
#[derive(Debug)]
pub struct Plan {
    command: Command,
    /// Where in memory, as U-Boot reads it.
    address: String,
    image: PathBuf,
    /// `bootargs`.
    options: String,
    /// A table that replaces the firmware's: an initrd of the raw image.
    iort: Option<PathBuf>,
    /// Where this host serves TFTP; without, all goes over the console.
    serve: Option<SocketAddr>,
}

/// A plan whose image is built and, where U-Boot fetches it, served.
pub struct Ready {
    plan: Plan,
    image: File,
    table: Option<File>,
    server: Option<Server>,
}

/// Runs the command: the board is left running.
pub fn run(args: &FlashArgs, board: &Board, to: Option<&str>) -> anyhow::Result<Exit> {
    if args.restore {
        return Err(usage("--restore: the way uboot writes to memory only; nothing has to be put back"));
    }
    if args.image.is_some() {
        return Err(usage("--image: the way uboot brings what is built; U-Boot checks no signature of it"));
    }
    let Some(serial) = &board.serial else {
        return Err(usage(format!("board {}: the way uboot needs [serial], the board's console", board.name)));
    };
    let plan = Plan::of(&args.payload, board, to, args.serve, args.tftp_port)?;
    let progress = Progress::new();
    let plan = plan.begin(&progress)?;
    run::listen()?;
    let console = open(serial, board, &progress)?;
    let (_, result) = plan.start(&console, &progress, true);
    result?;
    drop(progress);
    crate::exit::say!("board {} runs the payload; `run` instead of `flash` captures what it tells", board.name);
    Ok(Exit::Pass)
}

/// Opens the console, and switches the board off and on where this side can.
fn open(serial: &Serial, board: &Board, progress: &Progress) -> anyhow::Result<Console> {
    progress.phase("open the console");
    let console = Console::open(serial)?;
    switch_on(board, Some(&console), progress)?;
    Ok(console)
}

impl Plan {
    /// Reads `--to`, `--serve` and the options.
    pub fn of(
        args: &PayloadArgs,
        board: &Board,
        to: Option<&str>,
        serve: Option<Serve>,
        port: Option<u16>,
    ) -> anyhow::Result<Self> {
        super::without_kernel(args, "uboot")?;
        let (command, address) = target(to.unwrap_or("bootefi"))?;
        let options = options::of(args, &[], board)?.text;
        if let Some(letter) = options.chars().find(|c| !is_plain(*c)) {
            return Err(usage(format!("an option holds `{letter}`, which has a meaning for U-Boot's shell")));
        }
        if let Some(iort) = &args.iort {
            run::check_iort(iort)?;
            if command == Command::Bootefi {
                return Err(usage("--iort: U-Boot's `bootefi` hands no second file over; give --to booti"));
            }
        }
        let places = build::places();
        let image = if command == Command::Booti { places.raw } else { places.file };
        let serve = serve_at(serve, board).map(|at| SocketAddr::new(at.ip(), tftp_port(port, board)));
        if let Some(at) = serve.filter(SocketAddr::is_ipv6) {
            return Err(usage(format!("--serve {}: U-Boot fetches over IPv4 only", at.ip())));
        }
        Ok(Self { command, address, image, options, iort: args.iort.clone(), serve })
    }

    /// Builds the image, and begins to serve it where it is to be fetched.
    pub fn begin(self, progress: &Progress) -> anyhow::Result<Ready> {
        progress.phase("build both images");
        build::images()?;
        let name = self.image.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let image = file(name, &self.image)?;
        // Its own name may hold what means something to U-Boot's shell.
        let table = self.iort.as_deref().map(|path| file(IORT_FILE.into(), path)).transpose()?;
        let files: Vec<File> = [Some(image.clone()), table.clone()].into_iter().flatten().collect();
        let server = self.serve.map(|at| Server::begin(at, files)).transpose()?;
        Ok(Ready { plan: self, image, table, server })
    }
}

fn file(name: String, path: &Path) -> anyhow::Result<File> {
    std::fs::read(path).map(|bytes| File { name, bytes }).with_context(|| format!("cannot read {}", path.display()))
}

impl Ready {
    /// Has U-Boot take and start the image. Returns all that U-Boot said, too, for a log. With `is_to_wait` it is over with the
    /// payload's first record; without, all that comes after the command is left on the console.
    pub fn start(&self, console: &Console, progress: &Progress, is_to_wait: bool) -> (Vec<u8>, anyhow::Result<()>) {
        let mut prompt = Prompt::new(console);
        let result = self.dialogue(&mut prompt, progress, is_to_wait);
        (prompt.heard().to_vec(), result)
    }

    fn dialogue(&self, prompt: &mut Prompt<'_>, progress: &Progress, is_to_wait: bool) -> anyhow::Result<()> {
        progress.phase("wait for U-Boot's prompt");
        prompt.reach(PROMPT)?;
        set_bootargs(prompt, &self.plan.options)?;
        if let Some(server) = &self.server {
            server.join(prompt, progress)?;
        }
        let address = &self.plan.address;
        self.bring(prompt, &self.image, address, progress)?;
        let words = match (self.plan.command, &self.table) {
            (Command::Bootefi, _) => format!("bootefi {address}:{:x}", self.image.bytes.len()),
            (Command::Booti, None) => format!("booti {address} - ${{fdtcontroladdr}}"),
            (Command::Booti, Some(table)) => {
                self.bring(prompt, table, "${ramdisk_addr_r}", progress)?;
                format!("booti {address} ${{ramdisk_addr_r}}:{:x} ${{fdtcontroladdr}}", table.bytes.len())
            }
        };
        progress.phase(&format!("start it by `{words}`"));
        prompt.leave_by(&words)?;
        if is_to_wait && prompt.until(FIRST_WORD, |text| text.contains(wire::PREFIX))?.is_none() {
            let (seconds, last) = (FIRST_WORD.as_secs(), prompt.last_line());
            return Err(unexpected(format!("the payload said nothing within {seconds} s of `{words}`{last}")));
        }
        Ok(())
    }

    /// Brings a file to a place in memory, and has U-Boot read it there.
    fn bring(&self, prompt: &mut Prompt<'_>, file: &File, address: &str, progress: &Progress) -> anyhow::Result<()> {
        match &self.server {
            Some(server) => server.fetch(prompt, file, address, progress)?,
            None => send(prompt, file, address, progress)?,
        }
        let File { name, bytes } = file;
        let said = prompt.command(&format!("crc32 {address} {:x}", bytes.len()), COMMAND)?;
        let sum = compare(name, bytes, &said)?;
        progress.line(&format!("{name}: read back in memory, CRC-32 {sum:08x}"));
        Ok(())
    }
}

/// The command, and where in memory.
fn target(to: &str) -> anyhow::Result<(Command, String)> {
    let (command, address) = target::of_uboot(to).map_err(|wrong| usage(format!("--to {to}: {wrong}")))?;
    Ok((command, address.to_owned()))
}

/// Letters that mean themselves to U-Boot's shell.
fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || " _-+=.,:/@%".contains(letter)
}

/// Sets `bootargs` in lines that U-Boot takes, and reads it back.
fn set_bootargs(prompt: &mut Prompt<'_>, options: &str) -> anyhow::Result<()> {
    prompt.command("setenv bootargs", COMMAND)?;
    let letters: Vec<char> = options.chars().collect();
    for part in letters.chunks(TYPED) {
        let part: String = part.iter().collect();
        prompt.command(&format!("setenv bootargs \"${{bootargs}}{part}\""), COMMAND)?;
    }
    let said = prompt.command("printenv bootargs", COMMAND)?;
    let is_set = said.lines().any(|line| line.trim_end().strip_prefix("bootargs=") == Some(options.trim_end()));
    if is_set { Ok(()) } else { Err(unexpected("U-Boot: `bootargs` read back as something else than was typed")) }
}

/// Sends a file over the console to a place in memory.
fn send(prompt: &mut Prompt<'_>, file: &File, address: &str, progress: &Progress) -> anyhow::Result<()> {
    let File { name, bytes } = file;
    progress.phase(&format!("send {name}, {}", HumanBytes(bytes.len() as u64)));
    let load = format!("loady {address}");
    prompt.type_in(&load)?;
    if prompt.until(COMMAND, |text| text.contains("(ymodem)"))?.is_none() {
        return Err(unexpected(format!("U-Boot: `{load}` asks for no file; it needs CONFIG_CMD_LOADB")));
    }
    let mut meter = Meter::new(progress, "sent", bytes.len() as u64);
    ymodem::send(prompt, name, bytes, &mut |count| meter.add(count)).with_context(|| format!("sending {name}"))?;
    meter.end();
    prompt.end(&load, COMMAND).map(drop)
}

/// Whether what U-Boot's `crc32` said is the sum of what was sent. Returns the sum.
fn compare(name: &str, bytes: &[u8], said: &str) -> anyhow::Result<u32> {
    let sum = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(bytes);
    match said.split_once("==>").map(|(_, rest)| u32::from_str_radix(rest.trim(), 16)) {
        Some(Ok(read)) if read == sum => Ok(sum),
        Some(Ok(read)) => Err(unexpected(format!("{name} has CRC-32 {sum:08x}, and {read:08x} in the board's memory"))),
        _ => Err(unexpected("U-Boot: `crc32` printed no sum")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::one_line;

    #[test]
    fn the_target_is_a_command_and_an_address() {
        assert_eq!(target("booti").unwrap(), (Command::Booti, "${kernel_addr_r}".into()));
        assert_eq!(target("bootefi@0x80080000").unwrap(), (Command::Bootefi, "0x80080000".into()));
        for wrong in ["bootm", "/dev/sdb", ""] {
            assert!(one_line(&target(wrong).unwrap_err()).contains("takes `bootefi`"), "{wrong}");
        }
        for wrong in ["booti@", "booti@0x", "booti@12; reset"] {
            assert!(one_line(&target(wrong).unwrap_err()).contains("is no address"), "{wrong}");
        }
    }

    #[test]
    fn letters_that_mean_something_to_the_shell_are_not_typed() {
        assert!("scenario=adopt+l1-span@panic,reset rmr=0000:00:03.0:0x10000".chars().all(is_plain));
        assert!(!"$;\"'`\\&|<>()#{}\n".chars().any(is_plain));
    }

    #[test]
    fn other_bytes_in_memory_are_told() {
        let said = |sum: &str| format!("crc32 1000 9; echo inflight-3-$?\ncrc32 for 00001000 ... 00001008 ==> {sum}\n");
        // The check value of this CRC.
        assert_eq!(compare("a", b"123456789", &said("cbf43926")).unwrap(), 0xcbf4_3926);
        let error = compare("a", b"123456789", &said("cbf43927")).unwrap_err();
        assert_eq!(one_line(&error), "a has CRC-32 cbf43926, and cbf43927 in the board's memory");
        assert!(compare("a", b"123456789", "Unknown command 'crc32'").is_err());
    }
}
