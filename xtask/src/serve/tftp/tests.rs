use std::process::Command;

use super::*;
use crate::serve::LOOPBACK;

/// A client of its own making, with a deadline.
struct Peer(UdpSocket);

impl Peer {
    fn new() -> Self {
        let socket = UdpSocket::bind(LOOPBACK).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(socket)
    }

    /// Asks, and returns the first answer with the port that it comes from.
    fn ask(&self, server: &Tftp, words: &[&str]) -> (Vec<u8>, SocketAddr) {
        self.request(server, 1, words);
        self.hear()
    }

    fn request(&self, server: &Tftp, opcode: u8, words: &[&str]) {
        let words: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), &[0]].concat()).collect();
        self.0.send_to(&[&[0, opcode][..], &words].concat(), server.at).unwrap();
    }

    fn hear(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 2000];
        let (count, from) = self.0.recv_from(&mut buffer).unwrap();
        (buffer[..count].to_vec(), from)
    }

    fn acknowledge(&self, block: u16, to: SocketAddr) {
        self.0.send_to(&[&[0, 4][..], &block.to_be_bytes()].concat(), to).unwrap();
    }

    /// Nothing more comes for a moment that is shorter than until a repetition.
    fn is_quiet(&self) -> bool {
        self.0.set_read_timeout(Some(REPEAT_IS_LONGER)).unwrap();
        let heard = self.0.recv_from(&mut [0; 2000]);
        self.0.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        heard.is_err()
    }
}

const REPEAT_IS_LONGER: Duration = Duration::from_millis(300);

fn image(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 + at / 512) as u8).collect()
}

fn serve(bytes: &[u8]) -> (Tftp, Arc<Reads>) {
    let reads = Arc::new(Reads::default());
    let file = File { name: "inflight-b.efi".into(), bytes: bytes.to_vec() };
    (Tftp::begin(LOOPBACK, vec![file], &reads).unwrap(), reads)
}

fn wait_for_all(reads: &Reads) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while reads.who_has("inflight-b.efi").is_none() {
        assert!(Instant::now() < deadline, "the transfer has no end");
        std::thread::yield_now();
    }
}

#[test]
fn a_file_goes_block_by_block_and_its_last_block_may_be_empty() {
    let image = image(1024);
    let (server, reads) = serve(&image);
    let peer = Peer::new();
    let (first, port) = peer.ask(&server, &["inflight-b.efi", "OCTET"]);
    assert_ne!(port, server.at, "a transfer has a port of its own");
    assert_eq!(first, [&[0, 3, 0, 1][..], &image[..512]].concat());
    peer.acknowledge(1, port);
    assert_eq!(peer.hear().0, [&[0, 3, 0, 2][..], &image[512..]].concat());
    assert_eq!(reads.who_has("inflight-b.efi"), None);
    peer.acknowledge(2, port);
    assert_eq!(peer.hear().0, [0, 3, 0, 3]);
    assert_eq!(reads.who_has("inflight-b.efi"), None, "its last block is not acknowledged");
    peer.acknowledge(3, port);
    wait_for_all(&reads);
}

#[test]
fn acknowledgements_that_come_twice_or_never_neither_double_nor_stop_it() {
    let (server, reads) = serve(&image(1500));
    let peer = Peer::new();
    let (_, port) = peer.ask(&server, &["inflight-b.efi", "octet"]);
    // The request comes once more: it is the same transfer.
    peer.request(&server, 1, &["inflight-b.efi", "octet"]);
    (0..3).for_each(|_| peer.acknowledge(1, port));
    assert_eq!(peer.hear().0[..4], [0, 3, 0, 2]);
    assert!(peer.is_quiet(), "one acknowledgement, one block");
    peer.acknowledge(2, port);
    assert_eq!(peer.hear().0[..4], [0, 3, 0, 3]);
    // Acknowledgements of blocks that were never sent, and of an older one, mean nothing.
    [9, 4, 65_535, 0, 2].into_iter().for_each(|block| peer.acknowledge(block, port));
    assert!(peer.is_quiet());
    // This one is lost on the way: the block comes again.
    assert_eq!(peer.hear().0[..4], [0, 3, 0, 3]);
    assert_eq!(reads.who_has("inflight-b.efi"), None);
    peer.acknowledge(3, port);
    wait_for_all(&reads);
}

#[test]
fn options_are_agreed_to_as_far_as_they_make_sense() {
    let of = |options: &[(&str, &str)]| Terms::of(options, 260_000).told;
    let told = |words: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        words.iter().map(|(key, value)| (*key, (*value).to_owned())).collect()
    };
    assert_eq!(of(&[("tsize", "0"), ("BLKSIZE", "1428")]), told(&[("tsize", "260000"), ("blksize", "1428")]));
    assert_eq!(
        of(&[("blksize", "65464"), ("windowsize", "65535")]),
        told(&[("blksize", "1468"), ("windowsize", "32")])
    );
    assert_eq!(of(&[("timeout", "255"), ("windowsize", "4")]), told(&[("timeout", "255"), ("windowsize", "4")]));
    for wrong in ["0", "7", "65465", "-1", "", "99999999999999999999", "0x200"] {
        assert_eq!(of(&[("blksize", wrong)]), told(&[]), "{wrong}");
    }
    assert_eq!(of(&[("timeout", "0"), ("windowsize", "0"), ("multicast", "")]), told(&[]));
    assert_eq!(of(&[("blksize", "512"), ("blksize", "8")]).len(), 1);
}

#[test]
fn windows_go_on_behind_what_has_come() {
    let image = image(8 * 10 + 3);
    let (server, reads) = serve(&image);
    let peer = Peer::new();
    let words = ["inflight-b.efi", "octet", "blksize", "8", "windowsize", "4", "unknown", "1"];
    let (answer, port) = peer.ask(&server, &words);
    assert_eq!(answer, b"\0\x06blksize\x008\0windowsize\x004\0");
    peer.acknowledge(0, port);
    let blocks = |numbers: std::ops::RangeInclusive<u8>| {
        numbers.for_each(|number| {
            let start = (usize::from(number) - 1) * 8;
            let bytes = &image[start..image.len().min(start + 8)];
            assert_eq!(peer.hear().0, [&[0, 3, 0, number][..], bytes].concat());
        });
    };
    blocks(1..=4);
    // The third was lost.
    peer.acknowledge(2, port);
    blocks(3..=6);
    peer.acknowledge(6, port);
    blocks(7..=10);
    peer.acknowledge(10, port);
    blocks(11..=11);
    peer.acknowledge(11, port);
    wait_for_all(&reads);
}

#[test]
fn numbers_of_blocks_begin_again() {
    let image = image(8 * 70_000 + 1);
    let (server, reads) = serve(&image);
    let peer = Peer::new();
    let (_, port) = peer.ask(&server, &["inflight-b.efi", "octet", "blksize", "8", "windowsize", "32"]);
    peer.acknowledge(0, port);
    let (mut got, mut next) = (Vec::<u8>::new(), 1_usize);
    while got.len() < image.len() {
        let (packet, _) = peer.hear();
        if packet[2..4] == (next as u16).to_be_bytes() {
            got.extend(&packet[4..]);
            if next.is_multiple_of(32) || packet.len() < 12 {
                peer.acknowledge(next as u16, port);
            }
            next += 1;
        }
    }
    assert!(got == image && next > 70_000);
    wait_for_all(&reads);
}

#[test]
fn hostile_requests_get_an_error_or_nothing_and_the_server_lives_on() {
    let (server, reads) = serve(&image(100));
    let peer = Peer::new();
    let refused = |code: u8| assert_eq!(peer.hear().0[..4], [0, 5, 0, code]);
    for name in ["../inflight-b.efi", "/inflight-b.efi", "/etc/passwd", "", "INFLIGHT-B.EFI", "inflight-b.efi/"] {
        peer.request(&server, 1, &[name, "octet"]);
        refused(1);
    }
    peer.request(&server, 1, &["inflight-b.efi", "netascii"]);
    refused(0);
    peer.request(&server, 2, &["inflight-b.efi", "octet"]);
    refused(2);
    for wrong in [
        &[0, 1][..],
        b"\0\x01name",
        b"\0\x01name\0octet",
        b"\0\x01n\0octet\0blksize\0",
        b"\0\x01\xff\0o\0",
        b"\0\x09a\0b\0",
        &[0; 1024],
    ] {
        peer.0.send_to(wrong, server.at).unwrap();
        refused(4);
    }
    // These are never answered: two servers would talk to each other for ever.
    for mute in [&[0, 3, 0, 1][..], &[0, 4, 0, 1], &[0, 5, 0, 0, 0]] {
        peer.0.send_to(mute, server.at).unwrap();
    }
    assert!(peer.is_quiet());
    assert!(reads.last_refusal().unwrap().contains("asks for `inflight-b.efi` by TFTP: it can only be read"));
    let (first, port) = peer.ask(&server, &["inflight-b.efi", "octet"]);
    assert_eq!(first.len(), 104);
    // Somebody else cannot end it.
    Peer::new().0.send_to(&[0, 5, 0, 0, 0], port).unwrap();
    peer.acknowledge(1, port);
    wait_for_all(&reads);
}

#[test]
fn clients_that_vanish_are_given_up_and_there_are_never_too_many() {
    let (server, reads) = serve(&image(100_000));
    let asked = ["inflight-b.efi", "octet"];
    let peers: Vec<Peer> = (0..MOST).map(|_| Peer::new()).collect();
    peers.iter().for_each(|peer| drop(peer.ask(&server, &asked)));
    let late = Peer::new();
    late.request(&server, 1, &asked);
    assert!(late.is_quiet(), "one more than there may be");
    // Their ports are closed: the next block, or its repetition, says so.
    drop(peers);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !reads.last_refusal().is_some_and(|line| line.contains("went away")) {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    late.0.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    while Instant::now() < deadline {
        late.request(&server, 1, &asked);
        if late.0.recv_from(&mut [0; 2000]).is_ok() {
            return;
        }
    }
    panic!("nobody made room");
}

/// A client of others, where there is one.
fn fetched_by(program: &str, arguments: &[&str]) -> Option<bool> {
    let output = Command::new("timeout").args(["20", program]).args(arguments).output().ok()?;
    // 127: no such program; 1 of `curl` knows no TFTP.
    let is_there = output.status.code() != Some(127) && !(program == "curl" && output.status.code() == Some(1));
    is_there.then(|| output.status.success())
}

#[test]
fn clients_of_others_get_every_byte() {
    let image = image(262_144);
    let (server, reads) = serve(&image);
    let folder = tempfile::tempdir().unwrap();
    let port = server.at.port().to_string();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let url = |name: &str| format!("tftp://127.0.0.1:{port}/{name}");
    let by_curl =
        |block: &str, to: &str| fetched_by("curl", &["-sS", "--tftp-blksize", block, "-o", to, &url("inflight-b.efi")]);
    for (name, result) in [
        ("512", by_curl("512", &file("512"))),
        ("1468", by_curl("1468", &file("1468"))),
        ("65464", by_curl("65464", &file("65464"))),
        // In its binary mode, and with the options that it asks for.
        ("hpa", fetched_by("tftp", &["-m", "binary", "127.0.0.1", &port, "-c", "get", "inflight-b.efi", &file("hpa")])),
    ] {
        let Some(is_good) = result else {
            println!("{name}: no such client here");
            continue;
        };
        assert!(is_good, "{name}");
        assert!(std::fs::read(file(name)).unwrap() == image, "{name}");
        wait_for_all(&reads);
    }
    // What is not there is an error there, too, and writing is.
    if fetched_by("curl", &["--version"]).is_some() {
        assert_eq!(fetched_by("curl", &["-sS", "-o", &file("none"), &url("other")]), Some(false));
        std::fs::write(file("up"), "x").unwrap();
        assert_eq!(fetched_by("curl", &["-sS", "-T", &file("up"), &url("inflight-b.efi")]), Some(false));
    }
}
