//! From PEM files to what a handshake needs: checked whole, so that what cannot serve is told before it would.

use std::path::{Path, PathBuf};

use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{AlpnError, SslAcceptor, SslMethod, SslMode, SslVerifyMode, SslVersion, select_next_proto};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Which files make up an identity. The keys of the settings are told in errors, so they are named here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// `tls.certificate_file`: PEM, the service's own certificate first, then those up to its authority.
    pub certificate: PathBuf,
    /// `tls.key_file`: PEM, not encrypted.
    pub key: PathBuf,
    /// `tls.client_ca_file`: PEM, the authorities of client certificates.
    pub client_ca: Option<PathBuf>,
    /// `tls.client_certificates`.
    pub client_certificates: ClientCertificates,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// They are not asked for one.
    #[default]
    Off,
    /// They may; one that does not lead to our authorities ends the handshake.
    Optional,
    /// They must.
    Required,
}

/// The files cannot serve. Nothing of a key is ever told.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read.
    #[error("{key} = {} cannot be read", path.display())]
    Unreadable {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{key} = {} {remedy}", path.display())]
    Unusable {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What it must be.
        remedy: &'static str,
    },
    /// OpenSSL cannot serve with them.
    #[error("OpenSSL cannot serve with tls.certificate_file and tls.key_file")]
    OpenSsl(#[from] ErrorStack),
}

/// An identity that was checked.
pub(super) struct Identity {
    pub(super) acceptor: SslAcceptor,
    /// The certificate's last day, as OpenSSL writes it.
    pub(super) until: String,
    /// It has ended, or has not begun.
    pub(super) is_out_of_date: bool,
    /// It ends within two weeks.
    pub(super) ends_soon: bool,
}

impl TlsFiles {
    /// Every file that is watched for changes.
    pub(super) fn all(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten().map(PathBuf::as_path)
    }

    pub(super) fn load(&self, now: Timestamp) -> Result<Identity, TlsError> {
        let chain = certificates("tls.certificate_file", &self.certificate)?;
        let key = read("tls.key_file", &self.key)?;
        // without a callback OpenSSL would ask on the terminal for the password of an encrypted key
        let key = PKey::private_key_from_pem_callback(&key, |_| Ok(0)).map_err(|_| TlsError::Unusable {
            key: "tls.key_file",
            path: self.key.clone(),
            remedy: "is not a private key in PEM without a password",
        })?;
        // TLS 1.2 and 1.3 with forward secrecy only: the intermediate profile of Mozilla, version 5
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        builder.set_mode(SslMode::RELEASE_BUFFERS);
        let [own, above @ ..] = chain.as_slice() else {
            return Err(no_certificate("tls.certificate_file", &self.certificate));
        };
        builder.set_certificate(own)?;
        for certificate in above {
            builder.add_extra_chain_cert(certificate.clone())?;
        }
        let does_not_fit = |_| TlsError::Unusable {
            key: "tls.key_file",
            path: self.key.clone(),
            remedy: "is not the key of the first certificate in tls.certificate_file",
        };
        builder.set_private_key(&key).map_err(does_not_fit)?;
        builder.check_private_key().map_err(does_not_fit)?;
        builder.set_alpn_select_callback(|_, offered| select_next_proto(PROTOCOLS, offered).ok_or(AlpnError::NOACK));
        self.ask_clients(&mut builder)?;
        let today = Asn1Time::from_unix(now.unix_seconds())?;
        let in_two_weeks = Asn1Time::from_unix(now.unix_seconds() + 14 * 24 * 3600)?;
        Ok(Identity {
            until: own.not_after().to_string(),
            is_out_of_date: *own.not_after() < today || *own.not_before() > today,
            ends_soon: *own.not_after() < in_two_weeks,
            acceptor: builder.build(),
        })
    }

    fn ask_clients(&self, builder: &mut openssl::ssl::SslAcceptorBuilder) -> Result<(), TlsError> {
        let mode = match self.client_certificates {
            ClientCertificates::Off => return Ok(()),
            ClientCertificates::Optional => SslVerifyMode::PEER,
            ClientCertificates::Required => SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
        };
        let path = self.client_ca.clone().unwrap_or_default();
        let mut store = X509StoreBuilder::new()?;
        for authority in certificates("tls.client_ca_file", &path)? {
            builder.add_client_ca(&authority)?;
            store.add_cert(authority)?;
        }
        builder.set_verify_cert_store(store.build())?;
        builder.set_verify(mode);
        // a resumed session must be known to be one of this listener's
        builder.set_session_id_context(b"ssf")?;
        Ok(())
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable { key, path: path.to_owned(), source })
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<X509>, TlsError> {
    let found = X509::stack_from_pem(&read(key, path)?).unwrap_or_default();
    if found.is_empty() { Err(no_certificate(key, path)) } else { Ok(found) }
}

fn no_certificate(key: &'static str, path: &Path) -> TlsError {
    TlsError::Unusable { key, path: path.to_owned(), remedy: "holds no certificate in PEM" }
}

/// ALPN (RFC 7301 §3.1), each with its length in front.
const PROTOCOLS: &[u8] = b"\x02h2\x08http/1.1";
