//! To a card on a real network: raw frames out of an interface of this host, by a packet socket (packet(7)).

use std::os::fd::{AsRawFd, OwnedFd};

use board::nearest;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, socket};

use crate::exit::{host_lacks, usage};

/// ARPHRD_ETHER (netdevice(7)): what begins with an Ethernet header.
const ETHERNET: u16 = 1;

/// A packet socket that sends out of one interface and receives nothing.
#[derive(Debug)]
pub struct Interface {
    name: String,
    socket: OwnedFd,
}

/// An interface of this host.
struct Found {
    name: String,
    address: LinkAddr,
    flags: InterfaceFlags,
}

impl Interface {
    /// Opens the interface `name`.
    ///
    /// # Errors
    /// One line. Wrong usage: there is none of this name, or it carries no Ethernet. The host lacks something: the
    /// interface is down, or this process may not send raw frames.
    pub fn open(name: &str) -> anyhow::Result<Self> {
        let all =
            interfaces().map_err(|error| host_lacks(format!("cannot list network interfaces: {}", error.desc())))?;
        let Some(found) = all.iter().find(|found| found.name == name) else {
            let names: Vec<&str> = all.iter().map(|found| &*found.name).collect();
            let near = nearest(name, names.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
            return Err(usage(format!(
                "sender: there is no interface `{name}`; this host has {}{}",
                names.join(", "),
                near.unwrap_or_default()
            )));
        };
        if found.address.hatype() != ETHERNET {
            return Err(usage(format!("sender: {name} carries no Ethernet; name an interface that does")));
        }
        // An access point passes on what comes from the station's own address, and these frames have another.
        if std::path::Path::new("/sys/class/net").join(name).join("phy80211").exists() {
            return Err(usage(format!("sender: {name} is wireless; name an interface with a cable to the board")));
        }
        if !found.flags.contains(InterfaceFlags::IFF_UP) {
            return Err(host_lacks(format!("sender: {name} is down; `ip link set {name} up` turns it on")));
        }
        // Protocol 0: nothing is received, so that no queue fills up that nobody reads.
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).map_err(|error| {
            if error != Errno::EPERM {
                return host_lacks(format!("sender: no packet socket: {}", error.desc()));
            }
            let tool = std::env::current_exe().unwrap_or_else(|_| "target/debug/xtask".into());
            host_lacks(format!(
                "sender: no permission to send raw frames on {name}; run this as root, or give it the capability: \
                 `sudo setcap cap_net_raw+ep {}`",
                tool.display()
            ))
        })?;
        bind(socket.as_raw_fd(), &found.address)
            .map_err(|error| host_lacks(format!("sender: cannot use {name}: {}", error.desc())))?;
        Ok(Self { name: name.to_owned(), socket })
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// Why no frame goes out for now. A single one that finds a queue full is as lost as on a cable, and no error.
    pub fn send(&self, frame: &[u8]) -> Result<(), String> {
        // Never waits: an interface that has lost its link may hold what it has for good.
        match send(self.socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT) {
            Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => Ok(()),
            Err(Errno::ENETDOWN) => Err(format!("{} went down", self.name)),
            Err(Errno::ENXIO | Errno::ENODEV) => Err(format!("{} is gone", self.name)),
            Err(error) => Err(format!("{}: {}", self.name, error.desc())),
        }
    }
}

/// All of this host, by their link-layer addresses: every interface has one, if only an empty one.
fn interfaces() -> nix::Result<Vec<Found>> {
    let of_link = |address: nix::ifaddrs::InterfaceAddress| {
        let link = *address.address.as_ref()?.as_link_addr()?;
        Some(Found { name: address.interface_name, address: link, flags: address.flags })
    };
    Ok(getifaddrs()?.filter_map(of_link).collect())
}
