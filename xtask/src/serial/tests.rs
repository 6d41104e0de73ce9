use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::telnet::{Telnet, escaped};
use super::*;

/// What it hears until `wanted` came, for 10 s at most.
fn heard(console: &Console, wanted: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut text = Vec::new();
    while Instant::now() < deadline {
        if let Ok(bytes) = console.said.recv_timeout(Duration::from_millis(50)) {
            text.extend(bytes);
        }
        if String::from_utf8_lossy(&text).contains(wanted) {
            break;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    (listener, at)
}

fn accepted(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

#[test]
fn a_line_that_was_cut_is_opened_again() {
    let (listener, at) = server();
    let console = Console::open(&Serial::Tcp(at)).unwrap();
    accepted(&listener).write_all(b"before the cut\r\n").unwrap();
    assert!(heard(&console, "before the cut").contains("before the cut"));
    let mut second = accepted(&listener);
    second.write_all(b"after it\r\n").unwrap();
    assert!(heard(&console, "after it").contains("after it"));
    assert_eq!(console.cuts(), ["the line was closed at the other end"]);
    console.shared.connection().write(b"keys").unwrap();
    let mut keys = [0; 4];
    second.read_exact(&mut keys).unwrap();
    assert_eq!(&keys, b"keys");
}

#[test]
fn a_console_that_is_not_there_is_one_line() {
    let (listener, at) = server();
    drop(listener);
    for (serial, wanted) in [
        (Serial::Tcp(at.clone()), at.as_str()),
        (Serial::Tty { device: "/dev/no-such-port".into(), baud: 115_200 }, "is the adapter plugged in?"),
        (Serial::Command(vec!["no-such-program".into()]), "cannot start `no-such-program`"),
    ] {
        let error = Console::open(&serial).err().unwrap();
        let line = crate::exit::one_line(&error);
        assert!(line.contains(wanted) && crate::exit::status_of(&error) == crate::exit::Exit::Usage, "{line}");
    }
}

#[test]
fn a_command_is_a_console_and_ends_with_it() {
    let console = Console::open(&Serial::Command(vec!["cat".into()])).unwrap();
    console.shared.connection().write(b"hello\n").unwrap();
    assert_eq!(heard(&console, "hello"), "hello\n");
    let begin = Instant::now();
    drop(console);
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_serial_port_is_raw() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let board = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&board).unwrap();
    unlockpt(&board).unwrap();
    let name = ptsname(&board, Vec::new()).unwrap().into_string().unwrap();
    let console = Console::open(&Serial::Tty { device: name.into(), baud: 1_500_000 }).unwrap();
    // No echo, no line editing: control characters and line ends pass as they are.
    rustix::io::write(&board, b"\x03\r\n\x04inflight").unwrap();
    assert_eq!(heard(&console, "inflight"), "\x03\r\n\x04inflight");
    console.shared.connection().write(b"\n").unwrap();
    let mut key = [0; 8];
    assert_eq!(rustix::io::read(&board, &mut key).unwrap(), 1);
    assert_eq!(key[0], b'\n');
}

#[test]
fn telnet_commands_are_no_text() {
    let mut telnet = Telnet::default();
    // WILL ECHO, DO TTYPE, WILL 200, a subnegotiation with an IAC in it, an escaped 255, CR NUL.
    let bytes =
        b"a\xff\xfb\x01b\xff\xfd\x18\xff\xfb\xc8\xff\xfa\x18\x01\xff\xff\xff\xf0c\xff\xffd\r\x00e\r\nf\xff\xf1g";
    // However they are cut.
    for cut in 1..bytes.len() {
        let mut telnet = Telnet::default();
        let (mut text, mut answer) = telnet.take(&bytes[..cut]);
        let (rest, more) = telnet.take(&bytes[cut..]);
        text.extend(rest);
        answer.extend(more);
        assert_eq!(text, b"abc\xffd\re\r\nfg", "{cut}");
        assert_eq!(answer, b"\xff\xfd\x01\xff\xfc\x18\xff\xfe\xc8");
    }
    assert_eq!(telnet.take(b"\xff\xfb\x01").1, b"\xff\xfd\x01");
    assert_eq!(telnet.take(b"\xff\xfb\x01").1, b"", "agreed once");
    assert_eq!(escaped(b"a\xffb"), b"a\xff\xffb");
}

#[test]
fn telnet_goes_over_its_line() {
    let (listener, at) = server();
    let console = Console::open(&Serial::Telnet(at)).unwrap();
    let mut server = accepted(&listener);
    server.write_all(b"\xff\xfb\x03login: ").unwrap();
    assert_eq!(heard(&console, "login: "), "login: ");
    console.shared.connection().write(b"\xff").unwrap();
    let mut bytes = [0; 5];
    server.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, *b"\xff\xfd\x03\xff\xff");
}
