//! A board's console: opened as its board file says, read by a thread of its own, and opened again where the line is cut.

mod connection;
mod telnet;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use board::Serial;

use connection::Connection;

use crate::lock::{self, Lock};

/// A line that is cut is opened again for so long: a console server that restarts, a BMC that is reset along with its board.
const PATIENCE: Duration = Duration::from_secs(60);
/// Whoever goes on talking for so long has no history to hand out.
const FORGET: Duration = Duration::from_secs(10);
/// Between two attempts, and without a word.
const PAUSE: Duration = Duration::from_millis(500);

/// An open console. Dropping it closes the line.
pub struct Console {
    /// Nobody else has it.
    _lock: Option<Lock>,
    /// What the board says, as it comes. It ends where the line could not be opened again.
    pub said: Receiver<Vec<u8>>,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

/// What reader and writer share.
struct Shared {
    serial: Serial,
    /// The connection now; replaced when the line was cut.
    connection: Mutex<Arc<Connection>>,
    /// Nobody wants to hear more.
    is_closed: AtomicBool,
    /// How often the line was cut.
    cuts: Mutex<Vec<String>>,
}

impl Console {
    /// Opens the line.
    ///
    /// # Errors
    /// One line that names the port, host or command, and what is wrong with it.
    pub fn open(serial: &Serial) -> anyhow::Result<Self> {
        let lock = match serial {
            Serial::Tty { device, .. } => {
                Some(device.canonicalize().unwrap_or_else(|_| device.clone()).display().to_string())
            }
            Serial::Tcp(at) | Serial::Telnet(at) => Some(at.clone()),
            // What it leads to is the command's.
            Serial::Command(_) => None,
        };
        let lock = lock.map(|name| lock::console(&name)).transpose()?;
        let connection = Arc::new(Connection::open(serial)?);
        let shared = Arc::new(Shared {
            serial: serial.clone(),
            connection: Mutex::new(connection),
            is_closed: AtomicBool::new(false),
            cuts: Mutex::default(),
        });
        let (sender, said) = sync_channel(64);
        let its = Arc::clone(&shared);
        let reader = std::thread::spawn(move || its.read(&sender));
        Ok(Self { _lock: lock, said, shared, reader: Some(reader) })
    }

    /// Sends bytes to the board, as from a keyboard.
    pub fn write(&self, bytes: &[u8]) -> anyhow::Result<()> {
        self.shared.connection().write(bytes)
    }

    /// Forgets what was said until now: a console server hands out what it has kept of an earlier boot, and a verdict in there is
    /// none of this one. Ends when nothing came for a moment, or after [`FORGET`].
    pub fn forget(&self) {
        let deadline = Instant::now() + FORGET;
        while Instant::now() < deadline && self.said.recv_timeout(PAUSE).is_ok() {}
    }

    /// Why the line was cut, each time.
    pub fn cuts(&self) -> Vec<String> {
        self.shared.cuts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Relaxed);
        self.shared.connection().close();
        // The reader may be about to hand something over.
        while self.said.try_recv().is_ok() {}
        if let Some(reader) = self.reader.take() {
            // A panic there has been reported; nothing is left to do.
            let _ = reader.join();
        }
    }
}

impl Shared {
    fn connection(&self) -> Arc<Connection> {
        Arc::clone(&self.connection.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Reads until nobody listens, or the line stays cut.
    fn read(&self, said: &SyncSender<Vec<u8>>) {
        let mut buffer = [0; 4096];
        while !self.is_closed() {
            match self.connection().read(&mut buffer) {
                // Nothing for a while.
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    if !bytes.is_empty() && said.send(bytes).is_err() {
                        return;
                    }
                }
                Err(why) if self.is_closed() || !self.open_again(&format!("{why:#}")) => return,
                Err(_) => {}
            }
        }
    }

    /// The line was cut. Tells whether it is open again.
    fn open_again(&self, why: &str) -> bool {
        crate::exit::tell!("console: {why}; opening it again");
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).push(why.to_owned());
        self.connection().close();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && !self.is_closed() {
            std::thread::sleep(PAUSE);
            if let Ok(connection) = Connection::open(&self.serial) {
                *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(connection);
                return true;
            }
        }
        false
    }
}
