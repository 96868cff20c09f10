//! Claims of a JWT, and the members of an introspection answer, which are the same.

use serde_json::{Map, Value, json};
use ssf_common::id::IssuerUrl;
use ssf_common::moment::Moment;

use super::{AssertionError, moment};
use crate::session::{Binding, Description};

type Claims = Map<String, Value>;

impl Description {
    /// A session, from the claims of a verified ID token (OpenID Connect Core §2): `iss`, `sub`, `sid`, `jti`. It began
    /// when the user authenticated (`auth_time`, else `iat`), so a silent renewal of an old login does not outlive a
    /// revocation; its newest assertion is this one (`iat`), so a silent renewal does answer a revalidation.
    /// `session_expiry`, if there is one, is its end.
    pub fn from_id_token(claims: &Claims) -> Result<Self, AssertionError> {
        let issuer = text(claims, "iss")?;
        described(claims, issuer, claims.get("session_expiry").map(|end| moment("session_expiry", end)).transpose()?)
    }

    /// A token, from the claims of a verified JWT access token (RFC 9068 §2.2); ends with `exp`.
    pub fn from_access_token(claims: &Claims) -> Result<Self, AssertionError> {
        let issuer = text(claims, "iss")?;
        described(claims, issuer, claims.get("exp").map(|end| moment("exp", end)).transpose()?)
    }

    /// An opaque token, from the answer to its introspection (RFC 7662 §2.2) by the authorization server of `issuer`,
    /// which counts if the answer names no `iss`. One that is not `active`, or belongs to nobody, describes nothing.
    pub fn from_introspection(answer: &Claims, issuer: &IssuerUrl) -> Result<Self, AssertionError> {
        if answer.get("active") != Some(&Value::Bool(true)) {
            return Err(AssertionError { member: "active", fault: "is not true: the token is not good" });
        }
        let issuer = answer.get("iss").map_or(Ok(issuer.as_str()), |_| text(answer, "iss"))?;
        described(answer, issuer, answer.get("exp").map(|end| moment("exp", end)).transpose()?)
    }
}

fn described(claims: &Claims, issuer: &str, expires_at: Option<Moment>) -> Result<Description, AssertionError> {
    let time = |member| claims.get(member).map(|told| moment(member, told)).transpose();
    let issued_at = time("iat")?.ok_or(AssertionError::no_time("iat"))?;
    let origin = time("auth_time")?.filter(|at| at.first() <= issued_at.first()).unwrap_or(issued_at);
    let id = optional(claims, "sid")?.map(|sid| json!({"format": "opaque", "id": sid}));
    let token = optional(claims, "jti")?.map(|jti| json!({"format": "jwt_id", "iss": issuer, "jti": jti}));
    let session: Vec<Value> = id.into_iter().chain(token).collect();
    Ok(Description {
        issuer: issuer.into(),
        subject: json!({"format": "iss_sub", "iss": issuer, "sub": text(claims, "sub")?}),
        session: Some(Value::from(session)).filter(|names| names != &json!([])),
        device: None,
        tenant: None,
        origin,
        validated: Some(issued_at),
        expires_at,
        binding: Binding::Bearer,
    })
}

fn text<'a>(claims: &'a Claims, member: &'static str) -> Result<&'a str, AssertionError> {
    let told = claims.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
    told.ok_or(AssertionError::missing(member))
}

fn optional<'a>(claims: &'a Claims, member: &'static str) -> Result<Option<&'a str>, AssertionError> {
    if claims.contains_key(member) { text(claims, member).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(of: &Value) -> Claims {
        of.as_object().unwrap().clone()
    }

    #[test]
    fn an_id_token_describes_a_session_by_every_name_it_has() {
        let token = json!({
            "iss": "https://idp.example", "sub": "alice", "sid": "s-1", "jti": "t-1", "aud": "shop",
            "iat": 1_795_000_000, "auth_time": 1_794_990_000, "exp": 1_795_000_300, "session_expiry": 1_795_080_000,
        });
        let described = json!(Description::from_id_token(&claims(&token)).unwrap());
        let names = json!([
            {"format": "opaque", "id": "s-1"},
            {"format": "jwt_id", "iss": "https://idp.example", "jti": "t-1"},
        ]);
        assert_eq!(
            described,
            json!({
                "issuer": "https://idp.example",
                "subject": {"format": "iss_sub", "iss": "https://idp.example", "sub": "alice"},
                "session": names, "origin": 1_794_990_000, "validated": 1_795_000_000, "expires_at": 1_795_080_000,
                "binding": "bearer",
            })
        );
        let access = json!(Description::from_access_token(&claims(&token)).unwrap());
        assert_eq!((&access["session"], &access["expires_at"]), (&names, &json!(1_795_000_300)));
    }

    #[test]
    fn a_login_that_claims_to_be_younger_than_its_assertion_is_as_old_as_that() {
        let token = json!({"iss": "i", "sub": "u", "iat": 100, "auth_time": 900});
        let described = json!(Description::from_id_token(&claims(&token)).unwrap());
        assert_eq!((&described["origin"], &described["validated"]), (&json!(100), &json!(100)));
        assert!(described.get("session").is_none());
    }

    #[test]
    fn what_is_missing_is_named() {
        let whole = json!({"iss": "i", "sub": "u", "iat": 100, "active": true});
        for (member, value, said) in [
            ("iss", json!(null), "iss: is missing or not text"),
            ("sub", json!(7), "sub: is missing or not text"),
            ("sid", json!(""), "sid: is missing or not text"),
            ("iat", json!("soon"), "iat: is missing or not a time"),
            ("auth_time", json!([]), "auth_time: is missing or not a time"),
            ("session_expiry", json!({}), "session_expiry: is missing or not a time"),
        ] {
            let mut token = claims(&whole);
            token.insert(member.to_owned(), value);
            assert_eq!(Description::from_id_token(&token).unwrap_err().to_string(), said);
        }
        assert!(Description::from_id_token(&Claims::new()).is_err());
    }

    #[test]
    fn only_an_active_introspection_describes_a_token() {
        let issuer = "https://as.example".into();
        let answer = json!({"active": true, "sub": "u", "iat": 100, "exp": 400, "jti": "j"});
        let described = json!(Description::from_introspection(&claims(&answer), &issuer).unwrap());
        assert_eq!((&described["issuer"], &described["expires_at"]), (&json!("https://as.example"), &json!(400)));
        for active in [json!(false), json!("true"), json!(null)] {
            let mut answer = claims(&answer);
            answer.insert("active".to_owned(), active);
            let refused = Description::from_introspection(&answer, &issuer).unwrap_err();
            assert_eq!(refused.to_string(), "active: is not true: the token is not good");
        }
    }
}
