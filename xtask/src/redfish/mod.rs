//! Redfish (DMTF DSP0266): what a BMC is asked for over HTTPS. Names of resources and properties are the schema's (DSP0268).

mod http;
mod media;
mod system;
#[cfg(test)]
mod tests;
mod tls;

pub use media::{Kind, PREFIX, drives, start_as_before, start_once, start_once_from_network};
pub use system::{System, Wanted};

use board::Bmc;
use serde_json::Value;

use http::Client;

/// Its first resource.
const ROOT: &str = "/redfish/v1/";

/// A BMC's service.
pub struct Service {
    client: Client,
    root: Value,
    system: Option<String>,
}

impl Service {
    /// Reads what the service has.
    ///
    /// # Errors
    /// One line: no login, no such host, no answer, or a certificate that is not the one wanted.
    pub fn open(bmc: &Bmc) -> anyhow::Result<Self> {
        let client = Client::new(bmc)?;
        let root = client.get(ROOT)?.body;
        Ok(Self { client, root, system: bmc.system.clone() })
    }

    /// The system that the board file means.
    ///
    /// # Errors
    /// One line that lists those which are there.
    pub fn system(&self) -> anyhow::Result<System<'_>> {
        System::find(&self.client, &self.root, self.system.as_deref())
    }
}
