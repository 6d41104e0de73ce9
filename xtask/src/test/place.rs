//! A board in a rack, played by QEMU: a switched outlet that speaks HTTP, a console server whose port is there with the power off,
//! too, and firmware that starts what it finds on its drive.

use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::flash;

/// A turn of the console server without a word.
const TURN: Duration = Duration::from_millis(2);
/// The board's name.
pub const BOARD: &str = "qemu-virt-storage";

/// The board. Dropped, it is gone, with outlet and console server.
pub struct Place {
    /// Address of the console.
    pub console: String,
    /// Address of the outlet.
    pub outlet: String,
    shared: Arc<Shared>,
    http: Arc<tiny_http::Server>,
    threads: Vec<JoinHandle<()>>,
}

/// What outlet and console server share.
struct Shared {
    /// The machine's start, where there is a machine.
    command: Option<Vec<OsString>>,
    machine: Mutex<Option<Child>>,
    /// The console is gone for good after so many bytes.
    cut_after: usize,
    passed: AtomicUsize,
    is_over: AtomicBool,
}

impl Place {
    /// A board whose drive is this folder; without one there is only an outlet. Its console falls silent for good and is closed
    /// when so many bytes have passed.
    pub fn new(drive: Option<&Path>, cut_after: usize) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let bind = || TcpListener::bind("127.0.0.1:0").map_err(text);
        let (line, port) = (bind()?, bind()?);
        let at = |listener: &TcpListener| listener.local_addr().map(|at| at.to_string()).map_err(text);
        let command = drive.map(|drive| command(drive, &at(&port)?)).transpose()?;
        let shared = Arc::new(Shared {
            command,
            machine: Mutex::default(),
            cut_after,
            passed: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let http = Arc::new(tiny_http::Server::http("127.0.0.1:0").map_err(|error| error.to_string())?);
        let (console, outlet) = (at(&line)?, http.server_addr().to_string());
        let threads = vec![
            std::thread::spawn({
                let shared = Arc::clone(&shared);
                move || shared.pass_on(line, &port)
            }),
            std::thread::spawn({
                let (shared, http) = (Arc::clone(&shared), Arc::clone(&http));
                move || shared.switch(&http)
            }),
        ];
        Ok(Self { console, outlet, shared, http, threads })
    }

    /// Whether the machine runs.
    pub fn is_on(&self) -> bool {
        self.shared.is_on()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.shared.off();
        self.http.unblock();
        for thread in self.threads.drain(..) {
            // A panic there has been reported.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn machine(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_on(&self) -> bool {
        self.machine().as_mut().is_some_and(|machine| matches!(machine.try_wait(), Ok(None)))
    }

    fn off(&self) {
        if let Some(mut machine) = self.machine().take() {
            // It may have ended by itself.
            let _ = machine.kill();
            let _ = machine.wait();
        }
    }

    fn on(&self) -> std::io::Result<()> {
        let Some((program, arguments)) = self.command.as_deref().and_then(<[OsString]>::split_first) else {
            return Ok(());
        };
        if !self.is_on() {
            *self.machine() = Some(Command::new(program).args(arguments).stdin(Stdio::null()).spawn()?);
        }
        Ok(())
    }

    /// GET tells, PUT switches: `0` or `1`.
    fn switch(&self, http: &tiny_http::Server) {
        while let Ok(mut request) = http.recv() {
            let mut word = String::new();
            // What cannot be read switches nothing.
            let _ = request.as_reader().read_to_string(&mut word);
            let done = match &*word {
                "1" => self.on(),
                "0" => {
                    self.off();
                    Ok(())
                }
                _ => Ok(()),
            };
            let (text, status) = match done {
                Ok(()) => (if self.is_on() { "1" } else { "0" }.to_owned(), 200),
                Err(error) => (error.to_string(), 500),
            };
            // Whoever asked may be gone.
            let _ = request.respond(tiny_http::Response::from_string(text).with_status_code(status));
        }
    }

    /// Passes on what the machine says to the one who listens, if anybody does.
    fn pass_on(&self, line: TcpListener, port: &TcpListener) {
        let newest = |listener: &TcpListener, known: &mut Option<TcpStream>| {
            let _ = listener.set_nonblocking(true);
            if let Ok((stream, _)) = listener.accept() {
                *known = Some(stream);
            }
        };
        let (mut reader, mut machine, mut line) = (None, None, Some(line));
        let mut buffer = [0; 4096];
        while !self.is_over.load(Ordering::Relaxed) {
            if let Some(line) = &line {
                newest(line, &mut reader);
            }
            newest(port, &mut machine);
            let Some(from) = &mut machine else {
                std::thread::sleep(TURN);
                continue;
            };
            let _ = from.set_nonblocking(true);
            match from.read(&mut buffer) {
                Ok(count @ 1..) => {
                    if self.passed.fetch_add(count, Ordering::Relaxed) + count > self.cut_after {
                        (reader, line) = (None, None);
                    }
                    if let Some(to) = &mut reader {
                        let _ = to.set_nonblocking(false);
                        // Whoever listened may be gone.
                        let _ = to.write_all(&buffer[..count]);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(TURN),
                _ => machine = None,
            }
        }
    }
}

/// The emulator's command line, with its console at that address.
fn command(drive: &Path, console: &str) -> Result<Vec<OsString>, String> {
    let drive = format!("if=none,id=esp,format=raw,file=fat:rw:{}", drive.display());
    let device = "virtio-blk-pci,drive=esp,bus=pcie.0,addr=6.0,bootindex=0,romfile=";
    let job = flash::from_drive(&format!("--board {BOARD}"), &drive, device)?;
    let mut words = job.machine(None, None, None).map_err(|error| format!("{error:#}"))?.command();
    let own = words.iter_mut().find(|word| word.to_str().is_some_and(|word| word.starts_with("stdio,id=console")));
    *own.ok_or("the emulator has no console")? =
        format!("socket,id=console,host={}", console.replace(':', ",port=")).into();
    Ok(words)
}
