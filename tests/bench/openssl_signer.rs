//! The bare OpenSSL signature: what no signer on this machine can beat.

use anyhow::Context as _;
use josekit::jwk::Jwk;
use josekit::jwk::KeyPair as _;
use josekit::jwk::alg::ec::EcKeyPair;
use josekit::jwk::alg::ed::EdKeyPair;
use josekit::jwk::alg::rsa::RsaKeyPair;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Signer, Verifier};
use secrecy::ExposeSecret as _;
use ssf_common::jwks::{Algorithm, SigningKey};

/// The key of a [`SigningKey`], for OpenSSL directly.
pub(crate) struct BareSigner {
    key: PKey<Private>,
    algorithm: Algorithm,
}

impl BareSigner {
    /// The same key.
    pub(crate) fn of(key: &SigningKey) -> anyhow::Result<Self> {
        let jwk = Jwk::from_bytes(key.to_private_jwk().expose_secret())?;
        let der = match key.algorithm() {
            Algorithm::Rs256 | Algorithm::Ps256 => RsaKeyPair::from_jwk(&jwk)?.to_der_private_key(),
            Algorithm::Es256 => EcKeyPair::from_jwk(&jwk)?.to_der_private_key(),
            Algorithm::EdDsa => EdKeyPair::from_jwk(&jwk)?.to_der_private_key(),
        };
        let key_of_der = PKey::private_key_from_der(&der).context("OpenSSL does not read the key")?;
        Ok(Self { key: key_of_der, algorithm: key.algorithm() })
    }

    /// One signature.
    pub(crate) fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        if self.algorithm == Algorithm::EdDsa {
            return Ok(Signer::new_without_digest(&self.key)?.sign_oneshot_to_vec(message)?);
        }
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key)?;
        if self.algorithm == Algorithm::Ps256 {
            signer.set_rsa_padding(Padding::PKCS1_PSS)?;
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        }
        signer.update(message)?;
        Ok(signer.sign_to_vec()?)
    }

    /// One check of a signature that [`sign`](Self::sign) made. Not for `EdDSA`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> anyhow::Result<bool> {
        let mut verifier = Verifier::new(MessageDigest::sha256(), &self.key)?;
        verifier.update(message)?;
        Ok(verifier.verify(signature)?)
    }
}
