//! What lies between the sockets and the rest, out of the settings: bounds, certificates, proxies, and whom we call.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ssf_common::runtime::http::{AdmissionLimits, ConnectionLimits, Proxies, ProxiesError};
use ssf_common::runtime::outgoing::{Allowed, AllowedError, Guard, Outgoing, OutgoingError};
use ssf_common::runtime::tls::{ClientCertificates, TlsFiles};

use super::{Settings, SettingsError};

impl Settings {
    /// What the listener bears.
    pub fn connection_limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            connections: self.server.max_connections,
            header_timeout: self.server.header_timeout.duration(),
            handshake_timeout: self.tls.handshake_timeout.duration(),
            header_bytes: self.server.max_header_bytes,
            ..ConnectionLimits::default()
        }
    }

    /// What is taken in at once.
    pub fn admission_limits(&self) -> AdmissionLimits {
        AdmissionLimits {
            requests: self.server.max_requests,
            body_bytes: self.server.max_bytes_in_flight,
            longest_body: self.server.max_body_bytes,
            body_timeout: self.server.body_timeout.duration(),
        }
    }

    /// The files TLS is served with, if it is served with files.
    pub fn tls_files(&self) -> Option<TlsFiles> {
        let tls = &self.tls;
        is_set(&tls.certificate_file).then(|| TlsFiles {
            certificate: tls.certificate_file.clone(),
            key: tls.key_file.clone(),
            client_ca: self.client_ca(),
            client_certificates: tls.client_certificates,
        })
    }

    /// The authorities of client certificates, if any are asked for.
    pub fn client_ca(&self) -> Option<PathBuf> {
        let is_asked = self.tls.client_certificates != ClientCertificates::Off;
        is_asked.then(|| self.tls.client_ca_file.clone()).filter(|path| is_set(path))
    }

    /// Whether we end TLS ourselves.
    pub fn serves_tls(&self) -> bool {
        self.tls.development || is_set(&self.tls.certificate_file)
    }

    /// The proxies that are believed.
    pub fn proxies(&self) -> Result<Proxies, ProxiesError> {
        Proxies::new(self.proxy.trusted.iter().map(String::as_str), self.proxy.header)
    }

    /// Which push endpoints are taken and called.
    pub fn endpoint_guard(&self) -> Result<Guard, AllowedError> {
        if self.is_development() {
            return Ok(Guard::open());
        }
        Ok(Guard::new(self.push.allow.iter().map(|text| text.parse::<Allowed>()).collect::<Result<_, _>>()?))
    }

    /// What HTTP clients for calls to others are built from.
    pub fn outgoing(&self, guard: Guard) -> Result<Outgoing, OutgoingError> {
        let outgoing = Outgoing::new(guard, concat!("ssf-transmitter/", env!("CARGO_PKG_VERSION")));
        if is_set(&self.outgoing.ca_file) { outgoing.with_authorities(&self.outgoing.ca_file) } else { Ok(outgoing) }
    }

    pub(super) fn check_network(&self) -> Result<(), SettingsError> {
        let wrong = |key, remedy| Err(SettingsError::Value { key, remedy });
        self.check_tls()?;
        if self.proxies().is_err() {
            return wrong(
                "proxy.trusted",
                "holds something that is neither an address nor a network; write for example [\"10.0.0.0/8\", \"192.0.2.7\"]",
            );
        }
        if self.push.allow.iter().any(|text| text.parse::<Allowed>().is_err()) {
            return wrong(
                "push.allow",
                "holds something that opens nothing; write networks, addresses and names, for example [\"10.1.2.0/24\", \"*.internal.example\", \"rp.local:8443\"]",
            );
        }
        if self.push.max_per_host == 0 {
            return wrong("push.max_per_host", "must be at least 1");
        }
        if self.poll.max_waiting == 0 {
            return wrong("poll.max_waiting", "must be at least 1");
        }
        if self.server.max_connections == 0 || self.server.max_requests == 0 {
            return wrong("server.max_requests", "and server.max_connections must be at least 1");
        }
        if self.server.max_bytes_in_flight / 4 * 3 < self.server.max_body_bytes {
            return wrong(
                "server.max_bytes_in_flight",
                "must be more than server.max_body_bytes and a third, for a quarter is kept for short bodies",
            );
        }
        if self.server.max_header_bytes < 8192 {
            return wrong("server.max_header_bytes", "must be at least 8192");
        }
        let timeouts = [self.server.header_timeout, self.server.body_timeout, self.tls.handshake_timeout];
        if timeouts.iter().any(|timeout| timeout.duration() < Duration::from_millis(1)) {
            return wrong(
                "server.header_timeout",
                "must be more than 0, and so must server.body_timeout and tls.handshake_timeout",
            );
        }
        if self.intake.max_batch == 0 || self.intake.max_waiting / 10 * 9 < self.intake.max_batch {
            return wrong(
                "intake.max_waiting",
                "must be more than intake.max_batch and a ninth, for a tenth is kept for short requests, and intake.max_batch at least 1",
            );
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<(), SettingsError> {
        let wrong = |key, remedy| Err(SettingsError::Value { key, remedy });
        let tls = &self.tls;
        if is_set(&tls.certificate_file) != is_set(&tls.key_file) {
            return wrong("tls.key_file", "and tls.certificate_file must be set together");
        }
        if tls.development && is_set(&tls.certificate_file) {
            return wrong("tls.development", "makes its own certificate; leave out --dev-tls or tls.certificate_file");
        }
        if self.serves_tls() && !self.issuer.url.as_str().starts_with("https://") {
            return wrong(
                "issuer.url",
                "must be https where TLS is served; set it to the same URL with https, for example --set issuer.url=https://127.0.0.1:8701",
            );
        }
        if tls.client_certificates == ClientCertificates::Off {
            return Ok(());
        }
        if !self.serves_tls() {
            return wrong("tls.client_certificates", "needs TLS; set tls.certificate_file and tls.key_file");
        }
        if !is_set(&tls.client_ca_file) {
            return wrong("tls.client_ca_file", "is required with tls.client_certificates");
        }
        Ok(())
    }
}

/// The settings write "" for no file.
fn is_set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}
