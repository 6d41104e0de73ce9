//! What a DHCP server, or firmware's own menu, has to be told so that a board starts from a network.

use std::fmt;
use std::net::SocketAddr;

use crate::serve::TFTP_PORT;

/// Client architectures of arm64 (option 93, RFC 4578; numbers by IANA, "Processor Architecture Types").
const PXE: u16 = 0x000b;
const HTTP: u16 = 0x0013;

/// What is served, and where.
pub struct Settings<'a> {
    /// The image.
    pub name: &'a str,
    /// Its size and digest.
    pub what: String,
    /// By HTTP.
    pub url: Option<String>,
    /// By TFTP.
    pub tftp: Option<SocketAddr>,
}

impl Settings<'_> {
    /// Lines for dnsmasq's configuration.
    pub fn dnsmasq(&self) -> String {
        // EDK2 takes an offer for HTTP only with option 60 in it; dnsmasq has to be told.
        let http = self.url.as_ref().map(|url| {
            format!(
                "  dhcp-match=set:inflight-http,option:client-arch,{HTTP}\n  \
                   dhcp-option-force=tag:inflight-http,option:vendor-class,HTTPClient\n  \
                   dhcp-boot=tag:inflight-http,{url}\n"
            )
        });
        let pxe = self.tftp.map(|at| {
            format!(
                "  dhcp-match=set:inflight-pxe,option:client-arch,{PXE}\n  \
                   dhcp-boot=tag:inflight-pxe,{},,{}\n",
                self.name,
                at.ip()
            )
        });
        [http, pxe].into_iter().flatten().collect()
    }
}

impl fmt::Display for Settings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, what, url, tftp } = self;
        writeln!(f, "serving {name} ({what}), and nothing else\n")?;
        if let Some(url) = url {
            writeln!(f, "UEFI HTTP boot: DHCP option 93 of the board is {HTTP:#06x}; answer with")?;
            writeln!(f, "  option 60  HTTPClient\n  option 67  {url}")?;
            writeln!(
                f,
                "or, without these options, enter that URL in firmware's menu. EDK2: Device Manager, Network Device List,"
            )?;
            writeln!(f, "the card, HTTP Boot Configuration, Boot URI; then start the new entry in Boot Manager\n")?;
        }
        if let Some(at) = tftp {
            let ip = at.ip();
            writeln!(f, "PXE: DHCP option 93 of the board is {PXE:#06x}; answer with")?;
            writeln!(f, "  next server, option 66  {ip}\n  option 67  {name}")?;
            if at.port() != TFTP_PORT {
                writeln!(
                    f,
                    "PXE asks at port {TFTP_PORT} and no other: TFTP is served at {} for clients that can be told",
                    at.port()
                )?;
            }
            writeln!(f)?;
        }
        write!(f, "dnsmasq:\n{}", self.dnsmasq())?;
        writeln!(f, "ISC dhcpd:\n  option inflight-arch code 93 = unsigned integer 16;")?;
        if let Some(url) = url {
            writeln!(
                f,
                "  if option inflight-arch = {} {{ option vendor-class-identifier \"HTTPClient\"; filename \"{url}\"; }}",
                octets(HTTP)
            )?;
        }
        if let Some(at) = tftp {
            writeln!(
                f,
                "  if option inflight-arch = {} {{ next-server {}; filename \"{name}\"; }}",
                octets(PXE),
                at.ip()
            )?;
        }
        writeln!(f, "Kea, among `client-classes`:")?;
        if let Some(url) = url {
            let option = "\"option-data\": [{ \"name\": \"vendor-class-identifier\", \"data\": \"HTTPClient\", \"always-send\": true }]";
            writeln!(
                f,
                "  {{ \"name\": \"inflight-http\", \"test\": \"option[93].hex == {HTTP:#06x}\", \"boot-file-name\": \"{url}\", {option} }},"
            )?;
        }
        if let Some(at) = tftp {
            let ip = at.ip();
            writeln!(
                f,
                "  {{ \"name\": \"inflight-pxe\", \"test\": \"option[93].hex == {PXE:#06x}\", \"next-server\": \"{ip}\", \"boot-file-name\": \"{name}\" }},"
            )?;
        }
        Ok(())
    }
}

/// dhcpd compares bytes: a plain number there has four of them.
fn octets(architecture: u16) -> String {
    let [high, low] = architecture.to_be_bytes();
    format!("{high:02x}:{low:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_those_of_what_is_served() {
        let mut settings = Settings {
            name: "inflight-b.efi",
            what: "1 B".into(),
            url: Some("http://192.0.2.7:8080/inflight-b.efi".into()),
            tftp: Some("192.0.2.7:69".parse().unwrap()),
        };
        let both = settings.to_string();
        for wanted in [
            "0x0013; answer with\n  option 60  HTTPClient\n  option 67  http://192.0.2.7:8080/inflight-b.efi\n",
            "0x000b; answer with\n  next server, option 66  192.0.2.7\n  option 67  inflight-b.efi\n",
            "  if option inflight-arch = 00:13 { option vendor-class-identifier \"HTTPClient\"; filename \"http://192.0.2.7",
            "  if option inflight-arch = 00:0b { next-server 192.0.2.7; filename \"inflight-b.efi\"; }\n",
            "  dhcp-match=set:inflight-pxe,option:client-arch,11\n  dhcp-boot=tag:inflight-pxe,inflight-b.efi,,192.0.2.7\n",
        ] {
            assert!(both.contains(wanted), "{wanted}\n{both}");
        }
        assert!(!both.contains("no other"));
        settings.tftp = None;
        assert!(!settings.to_string().to_lowercase().contains("pxe") && both.contains("PXE"));
        settings = Settings { url: None, tftp: Some("192.0.2.7:6969".parse().unwrap()), ..settings };
        let pxe = settings.to_string();
        assert!(pxe.contains("at port 69 and no other") && !pxe.contains("HTTPClient"), "{pxe}");
    }
}
