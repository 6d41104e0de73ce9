use std::net::UdpSocket;

use super::*;
use crate::exit::{Exit, one_line, status_of};

fn board(section: &str) -> Board {
    let text = include_str!("../../../../board-configs/qemu-virt.toml").split("[qemu.sender]").next().unwrap();
    board::parse(std::path::Path::new("b.toml"), &format!("{text}{section}")).unwrap()
}

#[test]
fn frames_arrive_in_order_at_about_the_rate_and_stop_at_once() {
    let line = Line::of(&board("[qemu.sender]\nnetdev = \"net0\"\nframes-per-second = 1000\n")).unwrap().unwrap();
    let receiver = UdpSocket::bind(("127.0.0.1", line.ports().unwrap().0)).unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let start = Instant::now();
    let mut sender = line.start(0);
    let mut bytes = [0; 128];
    for wanted in 1..=100 {
        let count = receiver.recv(&mut bytes).unwrap();
        let frame = Frame::parse(&bytes[..count]).unwrap();
        assert_eq!((frame.stream, frame.sequence), (0, wanted));
    }
    assert!(start.elapsed() >= Duration::from_millis(90), "{:?}", start.elapsed());
    let sent = sender.stop().clone();
    receiver.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let rest = std::iter::from_fn(|| receiver.recv(&mut bytes).ok()).count();
    assert_eq!(sent.frames, 100 + rest as u64, "nothing is sent after stop");
    assert!(sent.refused.is_empty());
    assert_eq!(*sender.stop(), sent);
}

#[test]
fn a_board_without_a_sender_has_no_line() {
    assert!(Line::of(&board("")).unwrap().is_none());
}

#[test]
fn what_was_not_sent_is_told_by_reason() {
    let refused = [("feed0 went down", (3, 5)), ("feed0 is gone", (40, 61))];
    let refused = refused.map(|(reason, count)| (reason.to_owned(), count)).into();
    let told = Sent { frames: 100, refused }.to_string();
    assert_eq!(
        told,
        "40 of 100 frames were not sent, from number 61 on: feed0 is gone; \
         3 of 100 frames were not sent, from number 5 on: feed0 went down"
    );
}

/// The error of opening this interface: no frame leaves this host.
#[cfg(target_os = "linux")]
fn refused(interface: &str) -> (Exit, String) {
    let board = board(&format!("[sender]\ninterface = \"{interface}\"\nframes-per-second = 1\n"));
    let error = Line::of(&board).unwrap_err();
    (status_of(&error), one_line(&error))
}

#[cfg(target_os = "linux")]
#[test]
fn an_interface_that_is_not_there_brings_those_that_are_and_the_nearest() {
    let (exit, error) = refused("lo9");
    assert_eq!(exit, Exit::Usage);
    assert!(error.starts_with("sender: there is no interface `lo9`; this host has "), "{error}");
    assert!(error.contains("lo") && error.ends_with("; did you mean `lo`?") && !error.contains('\n'), "{error}");
    assert!(!refused("nothing-like-it").1.contains("did you mean"));
}

#[cfg(target_os = "linux")]
#[test]
fn loopback_carries_no_ethernet() {
    let (exit, error) = refused("lo");
    assert_eq!((exit, &*error), (Exit::Usage, "sender: lo carries no Ethernet; name an interface that does"));
}
