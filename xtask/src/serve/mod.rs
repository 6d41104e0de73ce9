//! Read-only servers, for boards and BMCs that fetch an image: HTTP and TFTP. Each has exactly the files that it was given, by their
//! exact names; there is no folder, and nothing can be written.

mod http;
mod reads;
mod tftp;

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub use http::Http;
pub use reads::{By, Reads};
pub use tftp::{PORT as TFTP_PORT, Tftp};

use crate::exit::{host_lacks, usage};

/// Where is served unless something else is said: nobody else's business.
pub const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A file that can be fetched.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name, without a folder.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Why a server cannot begin, and what would be right.
fn cannot(by: By, at: SocketAddr, error: &Error) -> anyhow::Error {
    let what = format!("cannot serve {by} at {at}");
    let other = if by == By::Tftp { ", or --tftp-port another" } else { ", or --serve IP:PORT another" };
    match error.kind() {
        ErrorKind::PermissionDenied => host_lacks(format!(
            "{what}: ports below 1024 take root or CAP_NET_BIND_SERVICE (`sudo setcap cap_net_bind_service+ep target/debug/xtask`){other}"
        )),
        ErrorKind::AddrInUse => usage(format!("{what}: another program has that port; end it{other}")),
        ErrorKind::AddrNotAvailable => {
            usage(format!("{what}: this host has no such address (`ip address` shows them)"))
        }
        _ => usage(format!("{what}: {error}")),
    }
}
