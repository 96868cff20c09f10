//! A private key that somebody brings along, as PEM or as a JWK, checked and turned into one of ours.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use openssl::bn::{BigNum, BigNumRef};
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::{Rsa, RsaPrivateKeyBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::{Algorithm, KeyError, SigningKey, VerifyingKeys};

impl SigningKey {
    /// A private key from elsewhere: PEM (PKCS#8, PKCS#1 or SEC1) or one JWK (RFC 7517). RSA of 2048 to 8192 bits, P-256
    /// or Ed25519. `algorithm` may choose between RS256, which RSA means by itself, and PS256. A JWK keeps its `kid`.
    ///
    /// # Errors
    /// Says what is wrong with the key and never shows anything of it.
    pub fn import(text: &SecretString, algorithm: Option<Algorithm>) -> Result<Self, ImportError> {
        let text = text.expose_secret().trim();
        let brought = if text.starts_with('{') { Brought::from_jwk(text)? } else { Brought::from_pem(text)? };
        let meant = brought.algorithm()?;
        let algorithm = match (algorithm, brought.named) {
            (Some(asked), Some(named)) if asked != named => return Err(ImportError::OtherAlgorithm(named)),
            (asked, named) => asked.or(named).unwrap_or(meant),
        };
        if algorithm != meant && (algorithm, meant) != (Algorithm::Ps256, Algorithm::Rs256) {
            return Err(ImportError::Unfit { kind: brought.kind()?, algorithm });
        }
        let mut jwk = private_members(&brought.key)?;
        jwk.insert("alg".to_owned(), json!(algorithm));
        if let Some(kid) = &brought.kid {
            jwk.insert("kid".to_owned(), json!(kid));
        }
        let key = Self::from_private_jwk(&Value::Object(jwk).to_string().into())?;
        key.verifies_what_it_signs()
    }

    /// The two halves of a key from elsewhere may be of two keys.
    fn verifies_what_it_signs(self) -> Result<Self, ImportError> {
        let set = json!({"keys": [self.public_jwk()]}).to_string();
        let keys = VerifyingKeys::parse(set.as_bytes()).map_err(|_| ImportError::Inconsistent)?;
        let signature = self.sign(PROBE)?;
        let verified = keys.verify(self.key_id(), self.algorithm(), PROBE, &signature);
        verified.map(|()| self).map_err(|_| ImportError::Inconsistent)
    }
}

/// A key as it was brought, and what was written beside it.
struct Brought {
    key: PKey<Private>,
    kid: Option<String>,
    named: Option<Algorithm>,
}

impl Brought {
    fn from_pem(text: &str) -> Result<Self, ImportError> {
        if !text.contains("-----BEGIN ") {
            return Err(ImportError::NotAKey);
        }
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(ImportError::Encrypted);
        }
        if !text.contains("PRIVATE KEY-----") {
            return Err(ImportError::Public);
        }
        // with an answer of ours, so that OpenSSL never asks at a terminal
        let key = PKey::private_key_from_pem_callback(text.as_bytes(), |_| Ok(0)).map_err(|_| ImportError::Broken)?;
        Ok(Self { key, kid: None, named: None })
    }

    fn from_jwk(text: &str) -> Result<Self, ImportError> {
        let jwk: Map<String, Value> = serde_json::from_str(text).map_err(|_| ImportError::NotAKey)?;
        if jwk.contains_key("keys") {
            return Err(ImportError::Set);
        }
        let member = |name: &str| jwk.get(name).and_then(Value::as_str);
        if member("use").is_some_and(|meant| meant != "sig") {
            return Err(ImportError::NotForSignatures);
        }
        let operations = jwk.get("key_ops").and_then(Value::as_array);
        if operations.is_some_and(|all| !all.iter().any(|one| one == "sign")) {
            return Err(ImportError::NotForSignatures);
        }
        let named = match jwk.get("alg") {
            None => None,
            // RFC 9864 §2.2 gives EdDSA on this curve a name of its own
            Some(name) if name == "Ed25519" => Some(Algorithm::EdDsa),
            Some(name) => Some(name.as_str().and_then(|name| name.parse().ok()).ok_or(ImportError::UnknownAlgorithm)?),
        };
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) if is_key_id(kid) => Some(kid.clone()),
            Some(_) => return Err(ImportError::KeyId),
        };
        let bytes = |name: &'static str| {
            let text = member(name).ok_or(ImportError::Member(name))?;
            BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| ImportError::Member(name))
        };
        let number = |name| BigNum::from_slice(&bytes(name)?).map_err(|_| ImportError::Member(name));
        let family = member("kty").ok_or(ImportError::Member("kty"))?;
        if ["RSA", "EC", "OKP"].contains(&family) && !jwk.contains_key("d") {
            return Err(ImportError::Public);
        }
        let key = match (family, member("crv")) {
            ("RSA", _) => {
                let factors = (number("p")?, number("q")?);
                let rest = (number("dp")?, number("dq")?, number("qi")?);
                let rsa = RsaPrivateKeyBuilder::new(number("n")?, number("e")?, number("d")?)
                    .and_then(|key| key.set_factors(factors.0, factors.1))
                    .and_then(|key| key.set_crt_params(rest.0, rest.1, rest.2));
                PKey::from_rsa(rsa.map_err(|_| ImportError::Broken)?.build())
            }
            ("EC", Some("P-256")) => {
                let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).map_err(|_| ImportError::Broken)?;
                let (d, x, y) = (number("d")?, number("x")?, number("y")?);
                let public = EcKey::from_public_key_affine_coordinates(&group, &x, &y);
                let public = public.map_err(|_| ImportError::Inconsistent)?;
                let pair = EcKey::from_private_components(&group, &d, public.public_key());
                PKey::from_ec_key(pair.map_err(|_| ImportError::Inconsistent)?)
            }
            ("OKP", Some("Ed25519")) => {
                let (d, x) = (bytes("d")?, bytes("x")?);
                let key = PKey::private_key_from_raw_bytes(&d, Id::ED25519).map_err(|_| ImportError::Member("d"))?;
                if key.raw_public_key().ok() != Some(x) {
                    return Err(ImportError::Inconsistent);
                }
                Ok(key)
            }
            _ => return Err(ImportError::Kind),
        };
        Ok(Self { key: key.map_err(|_| ImportError::Broken)?, kid, named })
    }

    /// What the key signs with unless somebody says otherwise.
    fn algorithm(&self) -> Result<Algorithm, ImportError> {
        match self.key.id() {
            Id::RSA => match self.key.bits() {
                0..2048 => Err(ImportError::ShortRsa),
                2048..=8192 => Ok(Algorithm::Rs256),
                _ => Err(ImportError::LongRsa),
            },
            Id::EC => {
                let curve = self.key.ec_key().ok().and_then(|key| key.group().curve_name());
                if curve == Some(Nid::X9_62_PRIME256V1) { Ok(Algorithm::Es256) } else { Err(ImportError::Kind) }
            }
            Id::ED25519 => Ok(Algorithm::EdDsa),
            _ => Err(ImportError::Kind),
        }
    }

    fn kind(&self) -> Result<&'static str, ImportError> {
        Ok(match self.algorithm()? {
            Algorithm::Rs256 | Algorithm::Ps256 => "an RSA key",
            Algorithm::Es256 => "a P-256 key",
            Algorithm::EdDsa => "an Ed25519 key",
        })
    }
}

/// Why a key cannot be imported. Never carries key material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Something else.
    #[error("this is neither a private key in PEM nor a JSON Web Key")]
    NotAKey,
    /// It looks like one, but cannot be read.
    #[error("the private key cannot be read; is it whole?")]
    Broken,
    /// It needs a passphrase.
    #[error("the private key is encrypted; decrypt it first, for example with `openssl pkey -in FILE`")]
    Encrypted,
    /// Nothing can be signed with it.
    #[error("this is a public key or a certificate; the private key is needed")]
    Public,
    /// More than one, perhaps.
    #[error("this is a JWK set; give one key of it")]
    Set,
    /// A member that its kind needs.
    #[error("the JWK's member `{0}` is missing or cannot be read")]
    Member(&'static str),
    /// For encryption, or for verifying only.
    #[error("the JWK's `use` or `key_ops` says that it is not for making signatures")]
    NotForSignatures,
    /// `alg` is none of ours.
    #[error("the JWK's `alg` is not one of RS256, PS256, ES256, EdDSA")]
    UnknownAlgorithm,
    /// It says otherwise itself.
    #[error("the JWK says that it signs with {0}")]
    OtherAlgorithm(Algorithm),
    /// Not a usable name.
    #[error("the JWK's `kid` must be text of 1 to 200 characters without control characters")]
    KeyId,
    /// Neither RSA, nor P-256, nor Ed25519.
    #[error("the key must be RSA, P-256 or Ed25519")]
    Kind,
    /// RFC 7518 §3.3.
    #[error("RSA keys need at least 2048 bits")]
    ShortRsa,
    /// Every signature would cost too much.
    #[error("RSA keys of more than 8192 bits are not used: each signature would take too long")]
    LongRsa,
    /// It cannot be used so.
    #[error("{kind} cannot sign with {algorithm}")]
    Unfit {
        /// What it is.
        kind: &'static str,
        /// What was asked.
        algorithm: Algorithm,
    },
    /// Its parts are of different keys.
    #[error("the parts of the key do not belong together")]
    Inconsistent,
    /// OpenSSL refuses it.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The members of its JWK (RFC 7518 §6, RFC 8037 §2), after OpenSSL's own check of the key.
fn private_members(key: &PKey<Private>) -> Result<Map<String, Value>, ImportError> {
    let members = match key.id() {
        Id::RSA => rsa_members(&key.rsa().map_err(|_| ImportError::Broken)?)?,
        Id::EC => ec_members(&key.ec_key().map_err(|_| ImportError::Broken)?)?,
        Id::ED25519 => {
            let (d, x) = (key.raw_private_key(), key.raw_public_key());
            let (d, x) = (d.map_err(|_| ImportError::Broken)?, x.map_err(|_| ImportError::Broken)?);
            json!({"kty": "OKP", "crv": "Ed25519", "d": text(&d), "x": text(&x)})
        }
        _ => return Err(ImportError::Kind),
    };
    let Value::Object(members) = members else { return Err(ImportError::Broken) };
    Ok(members)
}

fn rsa_members(rsa: &Rsa<Private>) -> Result<Value, ImportError> {
    if !rsa.check_key().unwrap_or(false) {
        return Err(ImportError::Inconsistent);
    }
    let optional = |part: Option<&BigNumRef>| part.map(number).ok_or(ImportError::Broken);
    Ok(json!({
        "kty": "RSA", "n": number(rsa.n()), "e": number(rsa.e()), "d": number(rsa.d()),
        "p": optional(rsa.p())?, "q": optional(rsa.q())?,
        "dp": optional(rsa.dmp1())?, "dq": optional(rsa.dmq1())?, "qi": optional(rsa.iqmp())?,
    }))
}

fn ec_members(key: &EcKey<Private>) -> Result<Value, ImportError> {
    key.check_key().map_err(|_| ImportError::Inconsistent)?;
    let mut context = openssl::bn::BigNumContext::new().map_err(|_| ImportError::Broken)?;
    let (mut x, mut y) = (new_number()?, new_number()?);
    let public = key.public_key().affine_coordinates(key.group(), &mut x, &mut y, &mut context);
    public.map_err(|_| ImportError::Broken)?;
    // RFC 7518 §6.2.1.2: as long as the curve, with zeros in front
    let padded =
        |number: &BigNumRef| number.to_vec_padded(P256_BYTES).map(|b| text(&b)).map_err(|_| ImportError::Broken);
    Ok(json!({"kty": "EC", "crv": "P-256", "d": padded(key.private_key())?, "x": padded(&x)?, "y": padded(&y)?}))
}

fn new_number() -> Result<BigNum, ImportError> {
    BigNum::new().map_err(|_| ImportError::Broken)
}

fn number(number: &BigNumRef) -> String {
    text(&number.to_vec())
}

fn text(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn is_key_id(kid: &str) -> bool {
    (1..=200).contains(&kid.chars().count()) && !kid.chars().any(char::is_control)
}

const P256_BYTES: i32 = 32;
const PROBE: &[u8] = b"a key from elsewhere";

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
