//! A client assertion (RFC 7523 §2.2, §3; RFC 7521 §4.2): we sign that we are who we say, and no secret travels.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;
use ssf_common::jwks::{KeyError, SigningKey};
use ssf_common::runtime::Env;

/// `client_assertion_type` (RFC 7523 §2.2).
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An assertion of `client_id` for `audience`: good for a minute, and once.
pub(super) fn assertion(client_id: &str, audience: &str, key: &SigningKey, env: &Env) -> Result<String, KeyError> {
    let issued_at = env.now().unix_seconds();
    let header = json!({"typ": "JWT", "alg": key.algorithm(), "kid": key.key_id()});
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": audience, "jti": env.random.secret(),
        "iat": issued_at, "exp": issued_at + LIFETIME.as_secs().cast_signed(),
    });
    let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = key.sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
}

/// It is used at once; the rest is for clocks that differ.
const LIFETIME: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ssf_common::clock::{ManualClock, Timestamp};
    use ssf_common::jwks::{Algorithm, VerifyingKeys};
    use ssf_common::jwt::{Expected, JwtRefusal, Unverified};
    use ssf_common::random::SeededRandom;

    use super::*;

    #[test]
    fn an_assertion_is_for_one_audience_short_lived_and_never_the_same_twice() {
        let start = Timestamp::from_unix_seconds(1_795_000_000);
        let env = Env { clock: Arc::new(ManualClock::new(start)), random: Arc::new(SeededRandom::new(1)) };
        for algorithm in Algorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let keys = json!({"keys": [key.public_jwk()]}).to_string();
            let keys = VerifyingKeys::parse(keys.as_bytes()).unwrap();
            let made = assertion("rp-1", "https://idp.example/token", &key, &env).unwrap();
            let read = Unverified::parse(&made, 4_096).unwrap();
            let expected = Expected {
                types: &["JWT"],
                untyped: false,
                algorithms: &Algorithm::ALL,
                issuer: "rp-1",
                audiences: &["https://idp.example/token"],
                shared: false,
                longest: Some(Duration::from_mins(2)),
            };
            let token = read.verify(&expected, &keys, start).unwrap();
            assert_eq!((token.text("sub"), token.expires_at), (Some("rp-1"), start.plus(LIFETIME)));
            assert_eq!(read.verify(&expected, &keys, start.plus(LIFETIME)).unwrap_err(), JwtRefusal::Expired);
            let again = assertion("rp-1", "https://idp.example/token", &key, &env).unwrap();
            assert_ne!(read.text("jti"), Unverified::parse(&again, 4_096).unwrap().text("jti"));
        }
    }
}
