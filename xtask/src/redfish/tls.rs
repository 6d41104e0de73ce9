//! TLS to a BMC: its certificate is the one whose pin the board file names, or one that an authority of this host has signed.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};
use sha2::{Digest, Sha256};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use crate::exit::usage;

/// SHA-256 of a certificate as it is sent (DER), in hexadecimal digits.
pub fn pin(certificate: &[u8]) -> String {
    Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Wraps a connection in TLS.
#[derive(Debug)]
pub struct Secure {
    config: Arc<ClientConfig>,
}

impl Secure {
    /// With a pin no name, date or authority counts: the certificate is known.
    ///
    /// # Errors
    /// There is neither a pin nor an authority that this host trusts.
    pub fn new(pin: Option<&str>) -> anyhow::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let trust = match pin {
            Some(pin) => Trust::Pin(pin.to_ascii_lowercase()),
            None => Trust::Authorities(authorities(&provider)?),
        };
        let verifier = Verifier { trust, provider: Arc::clone(&provider) };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| usage(format!("TLS: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config) })
    }
}

fn authorities(provider: &Arc<CryptoProvider>) -> anyhow::Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    // What cannot be read is not trusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build().map_err(|_| {
        usage("this host trusts no certificate authority (ca-certificates brings some), and the BMC has no `pin`")
    })
}

#[derive(Debug)]
enum Trust {
    Pin(String),
    Authorities(Arc<WebPkiServerVerifier>),
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = pin(certificate);
        match &self.trust {
            Trust::Pin(pin) if *pin == seen => Ok(ServerCertVerified::assertion()),
            Trust::Pin(_) => Err(rustls::Error::General(format!("its certificate has pin {seen}, not the one wanted"))),
            Trust::Authorities(web) => {
                web.verify_server_cert(certificate, intermediates, name, ocsp, now).map_err(|error| {
                    rustls::Error::General(format!(
                        "{error}; if this is the BMC's own certificate, name it: pin = \"{seen}\""
                    ))
                })
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl<In: Transport> Connector<In> for Secure {
    type Out = Connection;

    fn connect(&self, details: &ConnectionDetails<'_>, plain: Option<In>) -> Result<Option<Connection>, ureq::Error> {
        let other = |text: &str| ureq::Error::Io(io::Error::other(text.to_owned()));
        let plain = plain.ok_or(ureq::Error::ConnectionFailed)?;
        let host = details.uri.host().ok_or_else(|| other("no host in its address"))?;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| other("its host is no name that a certificate can have"))?;
        let mut connection = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let mut socket = TransportAdapter::new(plain.boxed(), Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        let (input, output) = (details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Connection {
            buffers: LazyBuffers::new(input, output),
            stream: StreamOwned { conn: connection, sock: socket },
        }))
    }
}

/// A connection over TLS.
pub struct Connection {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a connection over TLS")
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = match self.stream.read(self.buffers.input_append_buf()) {
            // Many BMCs end a connection without TLS' own goodbye; the length that HTTP gives tells what is missing.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            other => other?,
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
