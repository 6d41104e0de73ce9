//! Files over TFTP (RFC 1350), for PXE and for U-Boot. Each transfer has a port and a thread of its own.

mod packet;
#[cfg(test)]
mod tests;
mod transfer;

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::reads::{By, Reads, Who};
use super::{File, cannot};
use packet::{Code, LONGEST_REQUEST, Packet};
use transfer::{Broken, Client, Terms};

/// Where clients ask (RFC 1350, 4).
pub const PORT: u16 = 69;
/// Transfers at a time. Who asks beyond asks again.
const MOST: usize = 16;
/// One transfer ends within this time.
const LONGEST: Duration = Duration::from_secs(600);
/// How soon a stop is noticed.
const TURN: Duration = Duration::from_millis(100);

/// Serves until it is dropped.
pub struct Tftp {
    is_over: Arc<AtomicBool>,
    /// Where.
    pub at: SocketAddr,
}

/// What listener and transfers share.
struct Shared {
    at: SocketAddr,
    files: Vec<File>,
    reads: Arc<Reads>,
    /// Who is being served: a request that comes twice is one.
    clients: Mutex<HashSet<SocketAddr>>,
    is_over: Arc<AtomicBool>,
}

impl Tftp {
    /// Begins to serve `files`.
    ///
    /// # Errors
    /// The address is not this host's, or its port is taken or not for everybody.
    pub fn begin(at: SocketAddr, files: Vec<File>, reads: &Arc<Reads>) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind(at).and_then(|socket| {
            socket.set_read_timeout(Some(TURN))?;
            Ok((socket.local_addr()?, socket))
        });
        let (at, socket) = socket.map_err(|error| cannot(By::Tftp, at, &error))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (reads, clients) = (Arc::clone(reads), Mutex::default());
        let shared = Arc::new(Shared { at, files, reads, clients, is_over: Arc::clone(&is_over) });
        std::thread::spawn(move || {
            let mut buffer = [0; LONGEST_REQUEST];
            while !shared.is_over.load(Ordering::Relaxed) {
                let Ok((count, client)) = socket.recv_from(&mut buffer) else { continue };
                if let Some((code, text)) = shared.take(buffer.get(..count).unwrap_or_default(), client) {
                    // A client that does not hear it asks again.
                    let _ = socket.send_to(&packet::error(code, text), client);
                }
            }
        });
        Ok(Self { is_over, at })
    }
}

impl Drop for Tftp {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    /// Takes what came from a client, and begins a transfer; or says why there is none.
    fn take(self: &Arc<Self>, bytes: &[u8], client: SocketAddr) -> Option<(Code, &'static str)> {
        let refused = |asked: &str, code: Code, why: &'static str| {
            self.reads.refused(client.ip(), By::Tftp, asked, why);
            Some((code, why))
        };
        match packet::parse(bytes) {
            Some(Packet::Read { name, mode, options }) => {
                if !mode.eq_ignore_ascii_case("octet") {
                    return refused(name, Code::Other, "mode octet only");
                }
                let Some(place) = self.files.iter().position(|file| file.name == name) else {
                    return refused(name, Code::NoSuchFile, "there is none");
                };
                let terms = Terms::of(&options, self.files[place].bytes.len());
                let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
                if clients.len() < MOST && clients.insert(client) {
                    let shared = Arc::clone(self);
                    std::thread::spawn(move || {
                        shared.serve(place, &terms, client);
                        shared.clients.lock().unwrap_or_else(PoisonError::into_inner).remove(&client);
                    });
                }
                None
            }
            Some(Packet::Write { name }) => refused(name, Code::Access, "it can only be read"),
            // It belongs to a transfer that is over; an error is never answered.
            Some(Packet::Ack(_) | Packet::Data | Packet::Error { .. }) => None,
            None => Some((Code::Illegal, "no request")),
        }
    }

    /// One transfer, to its end.
    fn serve(&self, place: usize, terms: &Terms, client: SocketAddr) {
        let File { name, bytes } = &self.files[place];
        let who = Who { from: client.ip(), by: By::Tftp, name: name.clone() };
        let socket = UdpSocket::bind((self.at.ip(), 0)).and_then(|socket| socket.connect(client).map(|()| socket));
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => return self.reads.refused(who.from, By::Tftp, name, &format!("no way back to it: {error}")),
        };
        self.reads.begins(&who, bytes.len());
        let is_over = || self.is_over.load(Ordering::Relaxed);
        let to = Client { socket: &socket, is_over: &is_over, until: Instant::now() + LONGEST };
        match transfer::send(&to, bytes, terms, &mut |piece| self.reads.took(&who, piece, bytes.len())) {
            Ok(()) => self.reads.has_all(&who, bytes.len()),
            Err(Broken::Gone) => self.reads.refused(who.from, By::Tftp, name, "it went away in the middle"),
            Err(Broken::Late) => {
                let _ = socket.send(&packet::error(Code::Other, "too slow"));
                self.reads.refused(who.from, By::Tftp, name, "it takes too long");
            }
            Err(Broken::Stopped) => {
                let _ = socket.send(&packet::error(Code::Other, "the server ends"));
            }
            // It wanted to know the size, and says so by code 0 or 8; else it says what it does not like.
            Err(Broken::Refused(0 | 8, _)) => {}
            Err(Broken::Refused(code, text)) => {
                self.reads.refused(who.from, By::Tftp, name, &format!("it says error {code}, {text}"));
            }
        }
    }
}
