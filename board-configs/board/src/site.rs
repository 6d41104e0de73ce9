//! How a lab reaches a board: its console, its power, its way to boot something. Read as it is written, and checked by its types.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::known;

/// How the board's console is reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Serial {
    /// A serial port of the host, 8 bits, no parity, one stop bit.
    Tty {
        /// Its device file.
        device: PathBuf,
        /// Bits per second; where none is written, what the board's [`crate::Reach`] says, or 115200.
        #[serde(default, deserialize_with = "speed")]
        baud: u32,
    },
    /// `HOST:PORT` of a console server that passes bytes on.
    Tcp(String),
    /// The same by Telnet (RFC 854): its commands are taken out.
    Telnet(String),
    /// A command whose input and output are the console, such as `ipmitool … sol activate` or `ssh … console`.
    Command(Vec<String>),
}

/// A speed that is written; 0 stands for none.
fn speed<'de, D: Deserializer<'de>>(source: D) -> Result<u32, D::Error> {
    match u32::deserialize(source)? {
        0 => Err(D::Error::custom(known::impossible(0))),
        baud => Ok(baud),
    }
}

/// How the board is switched on and off.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Power {
    /// A BMC's Redfish service (DMTF DSP0266).
    Redfish(Bmc),
    /// `ipmitool -I lanplus`.
    Ipmi {
        /// Name or address of the BMC.
        host: String,
        /// Its port, where that is not 623.
        port: Option<u16>,
        /// Variables of the environment that hold user and password.
        #[serde(default = "Credentials::ipmi")]
        credentials: Credentials,
    },
    /// Commands of the lab, such as those of a relay.
    Command {
        /// Switches it on.
        on: Vec<String>,
        /// Switches it off.
        off: Vec<String>,
    },
    /// The monitor of an emulator that stands for a board: a Unix socket of QMP.
    Qmp(PathBuf),
}

/// A BMC that speaks Redfish.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bmc {
    /// Such as `https://bmc-7`.
    pub url: String,
    /// The system, where the service has several: its `Id`.
    pub system: Option<String>,
    /// SHA-256 of the certificate, in hexadecimal digits, where no authority has signed it.
    pub pin: Option<String>,
    /// Variables of the environment that hold user and password.
    #[serde(default = "Credentials::redfish")]
    pub credentials: Credentials,
}

/// Where user and password come from; a board file never holds them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Credentials {
    /// Names of two variables of the environment.
    Environment {
        /// Of the user's name.
        user: String,
        /// Of the password.
        password: String,
    },
    /// A file that nobody else can read (mode 600): `user = "…"` and `password = "…"`.
    File(PathBuf),
}

impl Credentials {
    fn of(prefix: &str) -> Self {
        Self::Environment { user: format!("{prefix}_USER"), password: format!("{prefix}_PASSWORD") }
    }

    fn redfish() -> Self {
        Self::of("REDFISH")
    }

    fn ipmi() -> Self {
        Self::of("IPMI")
    }
}

/// How an image gets to the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// A FAT image, a folder, or a removable drive.
    Esp,
    /// UEFI HTTP boot, or PXE.
    Netboot,
    /// Virtual media of a BMC.
    Redfish,
    /// U-Boot's prompt, over the console.
    Uboot,
    /// A Linux that runs on the board.
    Ssh,
    /// A command of the lab.
    Command,
}

/// What `flash` does where the command line says nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Flash {
    /// Its way.
    pub way: Way,
    /// Where to, as `--to` would say it.
    pub to: Option<String>,
    /// The lab's command, with its arguments.
    pub command: Option<Vec<String>>,
    /// The BMC whose virtual media are used, where it is not that of the power.
    pub bmc: Option<Bmc>,
    /// Where this host serves what board or BMC fetch, as `--serve` would say it.
    pub serve: Option<Serve>,
    /// The port at which it serves TFTP, where that is not 69.
    pub tftp_port: Option<u16>,
}

/// An address of this host, `IP` or `IP:PORT`; without a port its port is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Serve(pub SocketAddr);

impl FromStr for Serve {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address =
            text.parse().or_else(|_| text.trim_matches(['[', ']']).parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)));
        match address {
            Ok(address) if !address.ip().is_unspecified() => Ok(Self(address)),
            Ok(_) => Err(format!("`{text}` is every address; name the one at which board or BMC reach this host")),
            Err(_) => Err(format!("`{text}` is no address; want IP or IP:PORT, as in 192.0.2.7 or [2001:db8::7]:8080")),
        }
    }
}

impl TryFrom<String> for Serve {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
