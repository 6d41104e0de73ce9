//! U-Boot fetches its files from this host, over the board's network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use indicatif::HumanBytes;

use super::COMMAND;
use super::prompt::Prompt;
use crate::run::Progress;
use crate::serve::{File, Reads, TFTP_PORT, Tftp};

/// A link comes up, and a lease is given.
const ADDRESS: Duration = Duration::from_secs(90);
/// U-Boot itself tries for ever.
const FETCHED: Duration = Duration::from_secs(300);

/// What is fetched from.
pub struct Server {
    tftp: Tftp,
    reads: Arc<Reads>,
}

impl Server {
    /// Begins to serve.
    pub fn begin(at: SocketAddr, files: Vec<File>) -> anyhow::Result<Self> {
        let reads = Arc::new(Reads::default());
        Ok(Self { tftp: Tftp::begin(at, files, &reads)?, reads })
    }

    /// Has U-Boot get an address, where its environment has none, and tells it where the server is. Nothing of it is saved.
    pub fn join(&self, prompt: &mut Prompt<'_>, progress: &Progress) -> anyhow::Result<()> {
        progress.phase("get the board an address");
        if prompt.command("test -n \"${ipaddr}\"", COMMAND).is_err() {
            // Without it `dhcp` fetches what the lab's server names.
            prompt.command("setenv autoload no", COMMAND)?;
            prompt.command("dhcp", ADDRESS)?;
        }
        // Of the lab's server, after `dhcp`.
        prompt.command(&format!("setenv serverip {}", self.tftp.at.ip()), COMMAND)?;
        if self.tftp.at.port() != TFTP_PORT {
            prompt.command(&format!("setenv tftpdstp {}", self.tftp.at.port()), COMMAND)?;
        }
        Ok(())
    }

    /// Has U-Boot fetch a file to a place in memory.
    pub fn fetch(
        &self,
        prompt: &mut Prompt<'_>,
        file: &File,
        address: &str,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let File { name, bytes } = file;
        progress.phase(&format!("have {name} fetched, {}", HumanBytes(bytes.len() as u64)));
        let load = format!("tftpboot {address} {name}");
        prompt.type_in(&load)?;
        prompt.end_while(&load, FETCHED, &mut || self.reads.tell(progress))?;
        self.reads.tell(progress);
        Ok(())
    }
}
