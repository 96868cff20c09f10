//! [`Gateway`]: what a request presents, read from the headers a gateway passes on. Used by `GET /v1/authz`.
//!
//! A client can write headers of its own. So *everything* that is presented is judged and the worst counts: who adds the
//! name of a good session beside a bad one gains nothing. Headers that describe a token are read only if they were
//! switched on, because then the gateway sets or removes each of them.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::presented::Presented;
use super::refusal::Refusal;
use crate::config::Authz;
use crate::session::{Binding, Description, Sid};

/// Reads what requests present.
#[derive(Clone, Debug)]
pub struct Gateway {
    cookie: Option<String>,
    header: Option<HeaderName>,
    is_secret: bool,
    token: Option<Vec<(HeaderName, Says)>>,
}

/// What a header says of a verified token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Issuer,
    Subject,
    Session,
    Id,
    Origin,
    Validated,
    Expires,
    Binding,
}

impl Gateway {
    /// As the settings say, which were checked.
    pub fn new(settings: &Authz) -> Self {
        let named = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        let header = |name: String| name.parse::<HeaderName>().ok();
        let prefix = &settings.token_headers;
        let token = WORDS.iter().map(|(word, says)| header(format!("{prefix}{word}")).map(|name| (name, *says)));
        Self {
            cookie: named(&settings.session_cookie),
            header: named(&settings.session_header).and_then(header),
            is_secret: settings.session_is_secret,
            token: named(prefix).and_then(|_| token.collect()),
        }
    }

    /// Everything that a request presents: one at least.
    pub fn presented(&self, headers: &HeaderMap) -> Result<Vec<Presented>, Refusal> {
        let cookies = self.cookie.iter().flat_map(|name| cookies(headers, name));
        let named = self.header.iter().flat_map(|name| headers.get_all(name)).map(|value| value.to_str().ok());
        let mut presented = Vec::new();
        for value in cookies.chain(named).filter(|value| *value != Some("")) {
            // what is no text is nobody's name
            let value = value.ok_or(Refusal::Invalid(None))?;
            let sid = if self.is_secret { Sid::of_secret(value) } else { Sid(value.to_owned()) };
            presented.push(Presented::session(sid));
        }
        presented.extend(self.token(headers)?);
        match presented.len() {
            0 => Err(Refusal::Nobody),
            1..=MOST => Ok(presented),
            _ => Err(Refusal::Invalid(None)),
        }
    }

    /// The token that a gateway verified and describes.
    fn token(&self, headers: &HeaderMap) -> Result<Option<Presented>, Refusal> {
        let mut told = Vec::new();
        for (name, says) in self.token.iter().flatten() {
            let mut values = headers.get_all(name).into_iter().filter(|value| !value.is_empty());
            let (Some(value), second) = (values.next(), values.next()) else { continue };
            let text = value.to_str().ok().filter(|_| second.is_none()).ok_or(Refusal::Invalid(None))?;
            told.push((*says, text));
        }
        if told.is_empty() {
            return Ok(None);
        }
        described(&told).map(Some).ok_or(Refusal::Invalid(None))
    }
}

fn described(told: &[(Says, &str)]) -> Option<Presented> {
    let said = |what: Says| told.iter().find(|(says, _)| *says == what).map(|(_, text)| *text);
    let issuer = said(Says::Issuer)?;
    let mut description = Map::new();
    description.insert("issuer".to_owned(), json!(issuer));
    let subject = said(Says::Subject)?;
    description.insert("subject".to_owned(), json!({"format": "iss_sub", "iss": issuer, "sub": subject}));
    let opaque = said(Says::Session).map(|id| json!({"format": "opaque", "id": id}));
    let token = said(Says::Id).map(|id| json!({"format": "jwt_id", "iss": issuer, "jti": id}));
    let session: Vec<Value> = opaque.into_iter().chain(token).collect();
    if !session.is_empty() {
        description.insert("session".to_owned(), session.into());
    }
    for (member, what) in [("origin", Says::Origin), ("validated", Says::Validated), ("expires_at", Says::Expires)] {
        if let Some(time) = said(what) {
            let number = serde_json::from_str::<serde_json::Number>(time).map(Value::Number);
            description.insert(member.to_owned(), number.unwrap_or_else(|_| json!(time)));
        }
    }
    let presented = Presented::described(Description::deserialize(Value::Object(description)).ok()?);
    match said(Says::Binding).map(Binding::from_name) {
        None => Some(presented),
        Some(binding) => Some(presented.vouched(binding?)),
    }
}

/// The values of all cookies of this name (RFC 6265 §4.2.1): which of several the application looks at nobody knows.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = Option<&'a str>> {
    let lines = headers.get_all(header::COOKIE).into_iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| line.split(|byte| *byte == b';')).filter_map(move |pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (found, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        (found == name.as_bytes()).then(|| std::str::from_utf8(unquoted).ok())
    })
}

const WORDS: [(&str, Says); 8] = [
    ("issuer", Says::Issuer),
    ("subject", Says::Subject),
    ("session", Says::Session),
    ("id", Says::Id),
    ("origin", Says::Origin),
    ("validated", Says::Validated),
    ("expires", Says::Expires),
    ("binding", Says::Binding),
];
/// More sessions than this nobody has at once.
const MOST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BindingClass;
    use crate::guard::Who;

    fn gateway(session_header: &str, session_is_secret: bool, token_headers: &str) -> Gateway {
        Gateway::new(&Authz {
            session_cookie: "sid".to_owned(),
            session_header: session_header.to_owned(),
            session_is_secret,
            token_headers: token_headers.to_owned(),
            enforcement_point: "api".to_owned(),
            realm: String::new(),
            acr_values: Vec::new(),
            max_age: None,
        })
    }

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).fold(
            HeaderMap::new(),
            |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            },
        )
    }

    fn names(gateway: &Gateway, of: &[(&'static str, &str)]) -> Result<Vec<String>, Refusal> {
        let presented = gateway.presented(&headers(of))?;
        let name = |presented: &Presented| match presented.who() {
            Who::Session(sid) => sid.0.clone(),
            Who::Described(_) => "described".to_owned(),
        };
        Ok(presented.iter().map(name).collect())
    }

    #[test]
    fn every_session_a_request_names_is_judged() {
        let both = gateway("X-Session-Id", false, "");
        let found = [
            (vec![("cookie", "a=b; sid=s-1")], vec!["s-1"]),
            (vec![("cookie", "sid=\"s-1\""), ("cookie", "x=y;sid=s-2")], vec!["s-1", "s-2"]),
            (vec![("cookie", "sid=s-1; sid=s-2")], vec!["s-1", "s-2"]),
            (vec![("cookie", "sid=s-1"), ("x-session-id", "s-2")], vec!["s-1", "s-2"]),
            (vec![("x-session-id", "s-2"), ("x-session-id", "s-3")], vec!["s-2", "s-3"]),
            (vec![("cookie", "sid=; sid=s=1")], vec!["s=1"]),
        ];
        for (headers, expected) in found {
            assert_eq!(names(&both, &headers).unwrap(), expected, "{headers:?}");
        }
        for nobody in [vec![], vec![("cookie", "asid=1; SID=2; sid; sid=")], vec![("x-token-issuer", "i")]] {
            assert_eq!(names(&both, &nobody), Err(Refusal::Nobody), "{nobody:?}");
        }
        let many = "sid=x;".repeat(MOST + 1);
        for wrong in [vec![("cookie", many.as_str())], vec![("x-session-id", "\u{e4}")]] {
            assert_eq!(names(&both, &wrong), Err(Refusal::Invalid(None)), "{wrong:?}");
        }
        let secret = names(&gateway("", true, ""), &[("cookie", "sid=abc"), ("x-session-id", "s")]).unwrap();
        // SHA-256 of "abc" (FIPS 180-4, appendix B.1), in base64url
        assert_eq!(secret, ["ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"]);
    }

    #[test]
    fn a_token_is_described_by_the_headers_of_the_gateway_and_never_by_half_of_them() {
        let gateway = gateway("", false, "X-Token-");
        let whole = [
            ("x-token-issuer", "https://idp.example"),
            ("x-token-subject", "u"),
            ("x-token-session", "s"),
            ("x-token-id", "j"),
            ("x-token-origin", "1795000000"),
            ("x-token-validated", "1795000000.25"),
            ("x-token-expires", "2026-11-21T10:00:00Z"),
        ];
        let presented = gateway.presented(&headers(&whole)).unwrap();
        let Who::Described(description) = presented[0].who() else { panic!("it was described") };
        let told = json!({
            "issuer": "https://idp.example",
            "subject": {"format": "iss_sub", "iss": "https://idp.example", "sub": "u"},
            "session": [{"format": "opaque", "id": "s"}, {"format": "jwt_id", "iss": "https://idp.example", "jti": "j"}],
            "origin": 1_795_000_000, "validated": 1_795_000_000.25, "expires_at": 1_795_255_200, "binding": "bearer",
        });
        assert_eq!(json!(description), told);
        assert_eq!(presented[0].class(), BindingClass::Bearer);
        let proved = [&whole[..], &[("x-token-binding", "dpop")]].concat();
        assert_eq!(gateway.presented(&headers(&proved)).unwrap()[0].class(), BindingClass::Bound);
        let wrong = [
            whole[1..].to_vec(),
            [&whole[..1], &whole[2..]].concat(),
            [&whole[..4], &whole[5..]].concat(),
            [&whole[..], &[("x-token-issuer", "https://other.example")]].concat(),
            [&whole[..], &[("x-token-binding", "strong")]].concat(),
            [&whole[..4], &[("x-token-origin", "yesterday")]].concat(),
        ];
        for headers in wrong {
            assert_eq!(names(&gateway, &headers), Err(Refusal::Invalid(None)), "{headers:?}");
        }
        let beside = [&whole[..], &[("cookie", "sid=s-1")]].concat();
        assert_eq!(names(&gateway, &beside).unwrap(), ["s-1", "described"]);
    }
}
