//! One connection to a console, whatever it goes over. Reading and writing may happen at once.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use board::Serial;
use serial2::SerialPort;

use super::telnet::Telnet;
use crate::exit::usage;

/// How long a read waits before somebody looks whether it is still wanted.
const TURN: Duration = Duration::from_millis(100);
/// A host answers within this time, or is not there.
const CONNECT: Duration = Duration::from_secs(10);

/// An open connection.
pub enum Connection {
    /// A serial port.
    Tty(SerialPort),
    /// A byte stream.
    Tcp(TcpStream),
    /// A byte stream with commands in it.
    Telnet(TcpStream, Mutex<Telnet>),
    /// A command's input and output.
    Command(Mutex<Child>, Mutex<ChildStdin>, Mutex<ChildStdout>),
}

impl Connection {
    /// Opens it.
    pub fn open(serial: &Serial) -> anyhow::Result<Self> {
        match serial {
            Serial::Tty { device, baud } => tty(device, *baud).map(Self::Tty),
            Serial::Tcp(at) => stream(at).map(Self::Tcp),
            Serial::Telnet(at) => Ok(Self::Telnet(stream(at)?, Mutex::default())),
            Serial::Command(words) => command(words),
        }
    }

    /// What came; `None`: nothing for a while. An error says why nothing more will come.
    pub fn read(&self, buffer: &mut [u8]) -> anyhow::Result<Option<Vec<u8>>> {
        let count = match self {
            Self::Tty(port) => port.read(buffer),
            Self::Tcp(stream) | Self::Telnet(stream, _) => receive(stream, buffer),
            // It ends with the command, which is killed where nobody wants to hear more.
            Self::Command(_, _, output) => output.lock().unwrap_or_else(PoisonError::into_inner).read(buffer),
        };
        match count {
            Ok(0) => bail!("the line was closed at the other end"),
            Ok(count) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                if let Self::Telnet(stream, state) = self {
                    let (text, answer) = state.lock().unwrap_or_else(PoisonError::into_inner).take(bytes);
                    send(stream, &answer).context("cannot answer the console server")?;
                    return Ok(Some(text));
                }
                Ok(Some(bytes.to_vec()))
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(None)
            }
            Err(error) => Err(error).context("the line was cut"),
        }
    }

    /// Sends bytes.
    pub fn write(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let sent = match self {
            Self::Tty(port) => port.write_all(bytes),
            Self::Tcp(stream) => send(stream, bytes),
            Self::Telnet(stream, _) => send(stream, &super::telnet::escaped(bytes)),
            Self::Command(_, input, _) => {
                let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
                input.write_all(bytes).and_then(|()| input.flush())
            }
        };
        sent.context("cannot write to the console")
    }

    /// Has a read that waits come back.
    pub fn close(&self) {
        match self {
            // Its read comes back by itself.
            Self::Tty(_) => {}
            Self::Tcp(stream) | Self::Telnet(stream, _) => {
                // Closed already is closed.
                let _ = stream.shutdown(Shutdown::Both);
            }
            Self::Command(child, ..) => end(&mut child.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

fn receive(mut stream: &TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    stream.read(buffer)
}

fn send(mut stream: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes)
}

fn tty(device: &Path, baud: u32) -> anyhow::Result<SerialPort> {
    let shown = device.display();
    let mut port = SerialPort::open(device, baud).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::PermissionDenied => "; add yourself to the group that it belongs to, often `dialout`",
            ErrorKind::NotFound => "; is the adapter plugged in?",
            _ => "",
        };
        usage(format!("console {shown}: {error}{hint}"))
    })?;
    port.set_read_timeout(TURN).with_context(|| format!("console {shown}"))?;
    Ok(port)
}

fn stream(at: &str) -> anyhow::Result<TcpStream> {
    let cannot = |error: std::io::Error| usage(format!("console {at}: {error}"));
    let mut last = None;
    for address in at.to_socket_addrs().map_err(cannot)? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream
                    .set_read_timeout(Some(TURN))
                    .and_then(|()| stream.set_write_timeout(Some(CONNECT)))
                    .and_then(|()| stream.set_nodelay(true))
                    .map_err(cannot)?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| usage(format!("console {at}: the name has no address")), cannot))
}

fn command(words: &[String]) -> anyhow::Result<Connection> {
    use std::os::unix::process::CommandExt;
    let (program, arguments) = words.split_first().context("the console's command is empty")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    // Ctrl-C belongs to this tool; what the command starts ends with it.
    command.process_group(0);
    let mut child = command.spawn().map_err(|error| usage(format!("console: cannot start `{program}`: {error}")))?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(input), Some(output)) => {
            Ok(Connection::Command(Mutex::new(child), Mutex::new(input), Mutex::new(output)))
        }
        _ => bail!("console: `{program}` has no input or output"),
    }
}

/// Ends a command and all that it started.
fn end(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if matches!(child.try_wait(), Ok(None)) {
        // Fails only where nothing is left to kill.
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
        // It was killed: this returns.
        let _ = child.wait();
    }
}
