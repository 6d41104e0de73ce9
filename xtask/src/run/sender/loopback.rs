//! To an emulated card: UDP datagrams over loopback, each one frame.

use std::net::{Ipv4Addr, UdpSocket};

use anyhow::Context;

/// A socket and the emulator's port, before the emulator runs.
#[derive(Debug)]
pub struct Loopback {
    socket: UdpSocket,
    emulator_port: u16,
    host_port: u16,
}

impl Loopback {
    /// Finds two free ports of loopback.
    pub fn open() -> anyhow::Result<Self> {
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no free UDP port on 127.0.0.1");
        let (socket, other) = (bind()?, bind()?);
        let emulator_port = other.local_addr().context("a socket without address")?.port();
        let host_port = socket.local_addr().context("a socket without address")?.port();
        // `other` closes here, and the emulator takes its port.
        socket.connect((Ipv4Addr::LOCALHOST, emulator_port)).context("cannot use 127.0.0.1")?;
        Ok(Self { socket, emulator_port, host_port })
    }

    /// The port that the emulator is to take, and the one that the frames come from.
    pub fn ports(&self) -> (u16, u16) {
        (self.emulator_port, self.host_port)
    }

    /// Sends one frame.
    pub fn send(&self, frame: &[u8]) {
        // Refused as long as nobody listens; such a frame is as lost as on a cable.
        let _ = self.socket.send(frame);
    }
}
