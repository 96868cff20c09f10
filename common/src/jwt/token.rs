//! A signed JWT and its registered claims (RFC 7519 §4.1).

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Compact, Header, JwtRefusal};
use crate::clock::Timestamp;
use crate::id::KeyId;
use crate::jwks::{Algorithm, KeyRefusal, VerifyingKeys};

/// What is expected of a token.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The kinds allowed, without `application/`.
    pub types: &'a [&'a str],
    /// Whether a token without `typ` is allowed.
    pub untyped: bool,
    /// The algorithms allowed.
    pub algorithms: &'a [Algorithm],
    /// Who must have made it, byte for byte.
    pub issuer: &'a str,
    /// The names by which it may address us.
    pub audiences: &'a [&'a str],
    /// Whether it may address others besides (RFC 7519 §4.1.3 allows it; who must not be impersonated elsewhere forbids it).
    pub shared: bool,
    /// How far `exp` may lie ahead; `None` for any.
    pub longest: Option<Duration>,
}

/// A JWT that was read and not verified: nothing in it may be believed, but it says which keys to try.
#[derive(Debug)]
pub struct Unverified<'a> {
    compact: Compact<'a>,
    header: Header,
    claims: Map<String, Value>,
}

/// A JWT whose kind, signature, issuer, audience and times were checked. Only [`Unverified::verify`] makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// When it ends.
    pub expires_at: Timestamp,
    claims: Map<String, Value>,
}

impl<'a> Unverified<'a> {
    /// Reads header and payload of at most `longest` bytes.
    pub fn parse(raw: &'a str, longest: usize) -> Result<Self, JwtRefusal> {
        if raw.len() > longest {
            return Err(JwtRefusal::TooLong);
        }
        let compact = Compact::split(raw.as_bytes()).map_err(|_| JwtRefusal::NotAJwt)?;
        let header = compact.header().ok_or(JwtRefusal::NotAJwt)?;
        let claims = compact.payload().ok_or(JwtRefusal::NotAJwt)?;
        Ok(Self { compact, header, claims })
    }

    /// What it says in a text claim.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// The key it says it was signed with.
    pub const fn key_id(&self) -> Option<&KeyId> {
        self.header.key_id.as_ref()
    }

    /// Checks it (RFC 7519 §7.2, RFC 8725 §3): kind, algorithm, signature, then issuer, audience and times.
    pub fn verify(&self, expected: &Expected<'_>, keys: &VerifyingKeys, now: Timestamp) -> Result<Token, JwtRefusal> {
        let is_kind = if self.header.typ.is_none() {
            expected.untyped
        } else {
            expected.types.iter().any(|kind| self.header.is_type(kind))
        };
        if !is_kind {
            return Err(JwtRefusal::WrongType);
        }
        if self.header.is_critical {
            return Err(JwtRefusal::CriticalHeader);
        }
        let algorithm = self.header.algorithm.filter(|algorithm| expected.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(JwtRefusal::AlgorithmNotAllowed)?;
        let key_id = self.key_id().or_else(|| keys.only()).ok_or(JwtRefusal::MissingKeyId)?;
        self.compact.verify(keys, key_id, algorithm).map_err(|refusal| match refusal {
            KeyRefusal::Unknown => JwtRefusal::UnknownKey(key_id.clone()),
            KeyRefusal::Unfit => JwtRefusal::UnfitKey,
            KeyRefusal::BadSignature => JwtRefusal::BadSignature,
        })?;
        if self.text("iss").ok_or(JwtRefusal::Claim("iss"))? != expected.issuer {
            return Err(JwtRefusal::WrongIssuer);
        }
        self.check_audience(expected)?;
        let expires_at = self.time("exp")?.ok_or(JwtRefusal::Claim("exp"))?;
        if expires_at <= now {
            return Err(JwtRefusal::Expired);
        }
        if expected.longest.is_some_and(|longest| expires_at > now.plus(longest).plus(CLOCK_TOLERANCE)) {
            return Err(JwtRefusal::TooLongLived);
        }
        for claim in ["nbf", "iat"] {
            if self.time(claim)?.is_some_and(|from| from > now.plus(CLOCK_TOLERANCE)) {
                return Err(JwtRefusal::NotYet(claim));
            }
        }
        Ok(Token { expires_at, claims: self.claims.clone() })
    }

    fn check_audience(&self, expected: &Expected<'_>) -> Result<(), JwtRefusal> {
        let named: Vec<&str> = match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => {
                several.iter().map(Value::as_str).collect::<Option<_>>().ok_or(JwtRefusal::Claim("aud"))?
            }
            _ => return Err(JwtRefusal::Claim("aud")),
        };
        let is_ours = |name: &&str| expected.audiences.contains(name);
        let fits =
            if expected.shared { named.iter().any(is_ours) } else { !named.is_empty() && named.iter().all(is_ours) };
        if fits { Ok(()) } else { Err(JwtRefusal::WrongAudience) }
    }

    /// A `NumericDate` (RFC 7519 §2), rounded down.
    fn time(&self, claim: &'static str) -> Result<Option<Timestamp>, JwtRefusal> {
        let Some(value) = self.claims.get(claim) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| (0.0..=LAST_SECOND).contains(seconds));
        let seconds = seconds.ok_or(JwtRefusal::Claim(claim))?;
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the year 9999 just before")]
        Ok(Some(Timestamp::from_unix_seconds(seconds.floor() as i64)))
    }
}

impl Token {
    /// A text claim.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// All claims.
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Any claim.
    pub fn claim(&self, claim: &str) -> Option<&Value> {
        self.claims.get(claim)
    }
}

/// How far ahead of ours another party's clock may be.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);
const LAST_SECOND: f64 = 253_402_300_799.0;

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;
    use crate::jwks::SigningKey;

    const NOW: i64 = 1_795_000_000;

    fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
        let encoded = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        let content = format!("{}.{}", encoded(header), encoded(claims));
        let signature = key.sign(content.as_bytes()).unwrap();
        format!("{content}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn a_token_is_good_until_one_thing_of_it_is_not() {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let other = SigningKey::generate(Algorithm::Es256).unwrap();
        let keys = VerifyingKeys::parse(json!({"keys": [key.public_jwk()]}).to_string().as_bytes()).unwrap();
        let expected = Expected {
            types: &["at+jwt"],
            untyped: false,
            algorithms: &[Algorithm::Es256],
            issuer: "https://as.example",
            audiences: &["https://idp.example"],
            shared: true,
            longest: Some(Duration::from_mins(10)),
        };
        let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": key.key_id()});
        let claims =
            json!({"iss": "https://as.example", "aud": ["x", "https://idp.example"], "exp": NOW + 60, "iat": NOW});
        let judge = |raw: &str, expected: &Expected<'_>| {
            Unverified::parse(raw, 8_192)?.verify(expected, &keys, Timestamp::from_unix_seconds(NOW))
        };
        let changed = |part: &Value, member: &str, value: Value| {
            let mut part = part.clone();
            if value.is_null() {
                part.as_object_mut().unwrap().remove(member);
            } else {
                part[member] = value;
            }
            part
        };
        let good = judge(&signed(&key, &header, &claims), &expected).unwrap();
        assert_eq!(
            (good.expires_at, good.text("iss")),
            (Timestamp::from_unix_seconds(NOW + 60), Some("https://as.example"))
        );
        for typ in ["AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
            judge(&signed(&key, &changed(&header, "typ", json!(typ)), &claims), &expected).unwrap();
        }
        judge(&signed(&key, &changed(&header, "kid", Value::Null), &claims), &expected).expect("there is one key only");
        let bad_headers = [
            ("typ", json!("JWT"), JwtRefusal::WrongType),
            ("typ", json!("secevent+jwt"), JwtRefusal::WrongType),
            ("typ", json!(["at+jwt"]), JwtRefusal::WrongType),
            ("typ", Value::Null, JwtRefusal::WrongType),
            ("crit", json!(["exp"]), JwtRefusal::CriticalHeader),
            ("alg", json!("none"), JwtRefusal::AlgorithmNotAllowed),
            ("alg", json!("HS256"), JwtRefusal::AlgorithmNotAllowed),
            ("alg", json!("RS256"), JwtRefusal::AlgorithmNotAllowed),
            ("kid", json!("other"), JwtRefusal::UnknownKey("other".into())),
        ];
        for (member, value, refusal) in bad_headers {
            let said = judge(&signed(&key, &changed(&header, member, value.clone()), &claims), &expected);
            assert_eq!(said, Err(refusal), "{member} {value}");
        }
        let bad_claims = [
            ("iss", json!("https://other.example"), JwtRefusal::WrongIssuer),
            ("iss", Value::Null, JwtRefusal::Claim("iss")),
            ("aud", json!("https://other.example"), JwtRefusal::WrongAudience),
            ("aud", json!([]), JwtRefusal::WrongAudience),
            ("aud", json!([1]), JwtRefusal::Claim("aud")),
            ("aud", Value::Null, JwtRefusal::Claim("aud")),
            ("exp", Value::Null, JwtRefusal::Claim("exp")),
            ("exp", json!("1"), JwtRefusal::Claim("exp")),
            ("exp", json!(1e300), JwtRefusal::Claim("exp")),
            ("exp", json!(NOW), JwtRefusal::Expired),
            ("exp", json!(NOW + 661), JwtRefusal::TooLongLived),
            ("nbf", json!(NOW + 61), JwtRefusal::NotYet("nbf")),
            ("iat", json!(NOW + 61), JwtRefusal::NotYet("iat")),
        ];
        for (member, value, refusal) in bad_claims {
            let said = judge(&signed(&key, &header, &changed(&claims, member, value.clone())), &expected);
            assert_eq!(said, Err(refusal), "{member} {value}");
        }
        assert_eq!(judge(&signed(&other, &header, &claims), &expected), Err(JwtRefusal::BadSignature));
        let alone = Expected { shared: false, ..expected };
        assert_eq!(
            judge(&signed(&key, &header, &claims), &alone),
            Err(JwtRefusal::WrongAudience),
            "it addresses others"
        );
        for garbage in ["", "a.b", "e30.e30", "e30.W10.e30", "W10.e30.e30", "e30.e30.e30.e30", "!.e30.e30"] {
            assert_eq!(judge(garbage, &expected), Err(JwtRefusal::NotAJwt), "{garbage}");
        }
        assert_eq!(Unverified::parse("e30.e30.e30", 4).unwrap_err(), JwtRefusal::TooLong);
    }

    proptest::proptest! {
        #[test]
        fn no_text_of_a_stranger_does_more_than_be_refused(
            raw in "[A-Za-z0-9_.-]{0,80}",
            header in "\\PC{0,40}",
            claims in "\\{(\"(iss|aud|exp|nbf)\": ?(1e999|-1|null|\\[\\]|\"x\")){0,1}\\}",
        ) {
            let keys = VerifyingKeys::default();
            let expected = Expected {
                types: &["JWT"],
                untyped: true,
                algorithms: &Algorithm::ALL,
                issuer: "x",
                audiences: &["x"],
                shared: true,
                longest: None,
            };
            let encoded = |part: &str| BASE64_URL_SAFE_NO_PAD.encode(part);
            let built = format!("{}.{}.{}", encoded(&header), encoded(&claims), encoded(&raw));
            for text in [raw, built] {
                let judged = Unverified::parse(&text, 8_192)
                    .and_then(|jwt| jwt.verify(&expected, &keys, Timestamp::from_unix_seconds(NOW)));
                proptest::prop_assert!(judged.is_err());
            }
        }
    }
}
