//! Client certificates (RFC 8705): who shows one has its private key, for TLS has verified that, here or at a proxy of
//! ours. The chain does not matter: a token is bound to the certificate itself (§3).

use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName};
use openssl::ssl::SslRef;
use openssl::x509::X509;
use sha2::{Digest as _, Sha256};
use ssf_common::runtime::http::Proxies;
use subtle::ConstantTimeEq as _;

/// A certificate whose private key was shown on this connection. Made from a TLS session, or from the word of a proxy
/// that was named as trusted; nothing else makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCertificate {
    thumbprint: String,
}

/// How a proxy tells the certificate that its client showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToldAs {
    /// `:base64 of the DER:`, as in `Client-Cert` (RFC 9440 §2.2).
    #[default]
    ByteSequence,
    /// PEM with percent-encoding, as nginx's `$ssl_client_escaped_cert`.
    EscapedPem,
}

/// Proxies that end TLS for us and are believed about client certificates.
#[derive(Clone, Debug)]
pub struct CertificateProxies {
    /// Which peers.
    pub trusted: Proxies,
    /// The header they set on every request, or remove: one that a client wrote must never reach us.
    pub header: HeaderName,
    /// What stands in it.
    pub told_as: ToldAs,
}

/// Why a told certificate is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    /// Not one of our proxies.
    #[error("a client certificate was told by somebody who is not a trusted proxy")]
    Untrusted,
    /// Not one header, or not a certificate.
    #[error("the told client certificate cannot be read")]
    Malformed,
}

impl VerifiedCertificate {
    /// The certificate the peer of this TLS session showed; `None` if it showed none.
    pub fn of_session(ssl: &SslRef) -> Option<Self> {
        if !ssl.is_init_finished() {
            return None;
        }
        ssl.peer_certificate()?.to_der().ok().map(|der| Self::from_der(&der))
    }

    /// From the certificate itself, as DER.
    pub(super) fn from_der(der: &[u8]) -> Self {
        Self { thumbprint: BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(der)) }
    }

    /// `x5t#S256`: SHA-256 of the DER in base64url (RFC 8705 §3.1).
    pub fn thumbprint(&self) -> String {
        self.thumbprint.clone()
    }

    /// Whether it is the one with this `x5t#S256`.
    pub fn is(&self, x5t_s256: &str) -> bool {
        self.thumbprint.as_bytes().ct_eq(x5t_s256.as_bytes()).into()
    }
}

impl CertificateProxies {
    /// The certificate a proxy told us of. None told is `None`; an untrusted or unreadable one is an error, not none.
    pub fn read(
        &self,
        peer: Option<SocketAddr>,
        headers: &HeaderMap,
    ) -> Result<Option<VerifiedCertificate>, CertificateRefusal> {
        let mut told = headers.get_all(&self.header).into_iter();
        let (first, second) = (told.next(), told.next());
        let Some(value) = first.filter(|value| !value.is_empty()) else { return Ok(None) };
        if !peer.is_some_and(|peer| self.trusted.trusts(peer.ip())) {
            return Err(CertificateRefusal::Untrusted);
        }
        let text = value.to_str().ok().filter(|_| second.is_none()).ok_or(CertificateRefusal::Malformed)?;
        let certificate = match self.told_as {
            ToldAs::ByteSequence => byte_sequence(text).and_then(|der| X509::from_der(&der).ok()),
            ToldAs::EscapedPem => unescaped(text).and_then(|pem| X509::from_pem(&pem).ok()),
        };
        let der = certificate.and_then(|certificate| certificate.to_der().ok()).ok_or(CertificateRefusal::Malformed)?;
        Ok(Some(VerifiedCertificate::from_der(&der)))
    }
}

/// RFC 8941 §3.3.5.
fn byte_sequence(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text.trim().strip_prefix(':')?.strip_suffix(':')?).ok()
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
            let (high, low) = (digit()?, digit()?);
            plain.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            plain.push(byte);
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use ssf_common::runtime::http::ForwardedBy;

    use super::*;

    /// A self-signed certificate for `client.example`, made once with OpenSSL.
    fn certificate() -> X509 {
        use openssl::asn1::Asn1Time;
        use openssl::ec::{EcGroup, EcKey};
        use openssl::hash::MessageDigest;
        use openssl::nid::Nid;
        use openssl::pkey::PKey;
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        builder.build()
    }

    #[test]
    fn a_certificate_is_believed_from_our_proxy_only_and_never_half() {
        let certificate = certificate();
        let der = certificate.to_der().unwrap();
        let expected = VerifiedCertificate::from_der(&der);
        let told = |told_as, peer: &str, values: &[String]| {
            let proxies = CertificateProxies {
                trusted: Proxies::new(["10.0.0.0/8"], ForwardedBy::XForwarded).unwrap(),
                header: HeaderName::from_static("client-cert"),
                told_as,
            };
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("client-cert", HeaderValue::from_str(value).unwrap());
            }
            proxies.read(Some(SocketAddr::new(peer.parse().unwrap(), 1)), &headers)
        };
        let sequence = format!(":{}:", BASE64_STANDARD.encode(&der));
        let pem = String::from_utf8(certificate.to_pem().unwrap()).unwrap();
        let escaped = pem.replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B").replace('/', "%2f");
        let bytes = ToldAs::ByteSequence;
        assert_eq!(told(bytes, "10.0.0.1", std::slice::from_ref(&sequence)), Ok(Some(expected.clone())));
        assert_eq!(told(ToldAs::EscapedPem, "10.0.0.1", &[escaped]), Ok(Some(expected.clone())));
        assert_eq!(told(bytes, "10.0.0.1", &[]), Ok(None));
        assert_eq!(told(bytes, "10.0.0.1", &[String::new()]), Ok(None), "nginx sets it empty when there is none");
        assert_eq!(told(bytes, "192.0.2.1", &[]), Ok(None));
        let untrusted = told(bytes, "192.0.2.1", std::slice::from_ref(&sequence));
        assert_eq!(untrusted, Err(CertificateRefusal::Untrusted));
        for wrong in [vec![sequence.clone(), sequence], vec!["::".into()], vec![":AAAA:".into()], vec!["x".into()]] {
            assert_eq!(told(bytes, "10.0.0.1", &wrong), Err(CertificateRefusal::Malformed), "{wrong:?}");
        }
        for wrong in ["%", "%zz", "%0", "-----BEGIN"] {
            let read = told(ToldAs::EscapedPem, "10.0.0.1", &[wrong.to_owned()]);
            assert_eq!(read, Err(CertificateRefusal::Malformed), "{wrong}");
        }
        assert!(expected.is(&expected.thumbprint()) && !expected.is("") && !expected.is(&"A".repeat(43)));
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_8705() {
        // SHA-256 of no bytes (FIPS 180-4), in base64url
        let empty = VerifiedCertificate::from_der(b"");
        assert!(empty.is("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"));
    }
}
