//! What each profile accepts, line by line of the table in the receiver's `config/profile.rs`.

use serde_json::{Value, json};
use ssf_common::clock::Timestamp;
use ssf_common::event::EventType;
use ssf_common::id::IssuerUrl;
use ssf_common::jwks::{Algorithm, SigningKey, VerifyingKeys};
use ssf_common::set::{self, Policy, VerifiedSet};
use ssf_receiver::config::{Delivery, Profile, UpstreamSettings};
use ssf_receiver::upstream::Http;
use ssf_receiver::upstream::discover;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::peer::jws;
use crate::rp::{ISSUER, START};

const AUDIENCE: &str = "https://rp.example";
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// A key, and what is thought of what it signs.
struct Bench {
    keys: Vec<SigningKey>,
    published: VerifyingKeys,
}

impl Bench {
    fn new() -> Self {
        let keys = Vec::from(Algorithm::ALL.map(|algorithm| SigningKey::generate(algorithm).unwrap()));
        let set = json!({"keys": keys.iter().map(SigningKey::public_jwk).collect::<Vec<_>>()});
        Self { keys, published: VerifyingKeys::parse(set.to_string().as_bytes()).unwrap() }
    }

    fn judge(&self, settings: &UpstreamSettings, header: &Value, claims: &Value) -> Result<VerifiedSet, String> {
        let policy = Policy {
            shapes: settings.profile().shapes(),
            algorithms: settings.profile().algorithms(),
            vocabulary: settings.vocabulary(),
            every_session: Some(settings.every_session_id.clone()).filter(|id| !id.is_empty()),
            ..Policy::new(ISSUER.into(), vec![AUDIENCE.to_owned()])
        };
        let signer = self.keys.iter().find(|key| json!(key.algorithm()) == header["alg"]).unwrap_or(&self.keys[0]);
        let raw = jws(header, claims, |message| signer.sign(message).unwrap());
        let now = Timestamp::from_unix_seconds(START);
        set::verify(raw.as_bytes(), &policy, &self.published, now).map_err(|refusal| refusal.to_string())
    }

    fn header(&self, algorithm: Algorithm) -> Value {
        let key = self.keys.iter().find(|key| key.algorithm() == algorithm).unwrap();
        json!({"typ": "secevent+jwt", "alg": algorithm, "kid": key.key_id()})
    }
}

fn of(profile: Profile) -> UpstreamSettings {
    UpstreamSettings { profile: Some(profile), ..UpstreamSettings::new(IssuerUrl::from(ISSUER), Delivery::Push) }
}

/// To the letter.
fn good() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "jti": "1", "iat": START, "sub_id": {"format": "opaque", "id": "s"},
        "events": {SESSION_REVOKED: {"event_timestamp": START, "reason_admin": {"en": "left"}}},
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = good();
    change(&mut claims);
    claims
}

#[test]
fn each_profile_accepts_what_its_column_says() {
    let bench = Bench::new();
    let subject_inside = |subject: Value| {
        with(|claims| {
            claims.as_object_mut().unwrap().remove("sub_id");
            claims["events"][SESSION_REVOKED]["subject"] = subject;
        })
    };
    let event = |uri: &str| with(|claims| claims["events"] = json!({uri: {"state": "x"}}));
    let verification = |uri: &str| {
        let mut claims = event(uri);
        claims.as_object_mut().unwrap().remove("sub_id");
        claims
    };
    let sse = "https://schemas.openid.net/secevent/sse/event-type/verification";
    let rs256 = bench.header(Algorithm::Rs256);
    let table = [
        ("to the letter", rs256.clone(), good(), [true, true, true]),
        ("PS256", bench.header(Algorithm::Ps256), good(), [false, true, true]),
        ("ES256", bench.header(Algorithm::Es256), good(), [false, true, true]),
        ("EdDSA", bench.header(Algorithm::EdDsa), good(), [false, true, true]),
        (
            "milliseconds",
            rs256.clone(),
            with(|claims| claims["events"][SESSION_REVOKED]["event_timestamp"] = json!(START * 1_000)),
            [false, true, true],
        ),
        (
            "no reason_admin",
            rs256.clone(),
            with(|claims| claims["events"] = json!({SESSION_REVOKED: {}})),
            [false, true, true],
        ),
        ("subject inside", rs256.clone(), subject_inside(json!({"format": "opaque", "id": "s"})), [false, false, true]),
        (
            "subject_type",
            rs256.clone(),
            subject_inside(json!({"subject_type": "iss-sub", "iss": ISSUER, "sub": "u"})),
            [false, false, true],
        ),
        ("a verification without a subject", rs256.clone(), verification(sse), [false, false, true]),
        // Security: the same for all.
        ("no typ", json!({"alg": "RS256", "kid": rs256["kid"]}), good(), [false; 3]),
        ("typ JWT", json!({"typ": "JWT", "alg": "RS256", "kid": rs256["kid"]}), good(), [false; 3]),
        ("alg none", json!({"typ": "secevent+jwt", "alg": "none", "kid": rs256["kid"]}), good(), [false; 3]),
        ("alg HS256", json!({"typ": "secevent+jwt", "alg": "HS256", "kid": rs256["kid"]}), good(), [false; 3]),
        ("no kid", json!({"typ": "secevent+jwt", "alg": "RS256"}), good(), [false; 3]),
        ("a made-up kid", json!({"typ": "secevent+jwt", "alg": "RS256", "kid": "x"}), good(), [false; 3]),
        (
            "another's signature",
            json!({"typ": "secevent+jwt", "alg": "PS256", "kid": rs256["kid"]}),
            good(),
            [false; 3],
        ),
        ("another issuer", rs256.clone(), with(|claims| claims["iss"] = json!("https://evil.example")), [false; 3]),
        ("another audience", rs256.clone(), with(|claims| claims["aud"] = json!("https://other.example")), [false; 3]),
        ("exp", rs256.clone(), with(|claims| claims["exp"] = json!(START + 60)), [false; 3]),
        ("sub", rs256.clone(), with(|claims| claims["sub"] = json!("u")), [false; 3]),
        ("tomorrow", rs256.clone(), with(|claims| claims["iat"] = json!(START + 86_400)), [false; 3]),
        ("no subject at all", rs256, with(|claims| drop(claims.as_object_mut().unwrap().remove("sub_id"))), [false; 3]),
    ];
    for (what, header, claims, accepted) in table {
        let judged = Profile::ALL.map(|profile| bench.judge(&of(profile), &header, &claims));
        assert_eq!(judged.clone().map(|judged| judged.is_ok()), accepted, "{what}: {judged:?}");
    }
    let known = |profile| {
        bench.judge(&of(profile), &bench.header(Algorithm::Rs256), &event(sse)).unwrap().event.event_type.clone()
    };
    assert_eq!(known(Profile::Legacy), EventType::Verification);
    assert_eq!(known(Profile::Lenient), EventType::Other(sse.to_owned()));
}

#[test]
fn a_peer_may_have_names_of_its_own_for_events_and_one_for_every_session() {
    let bench = Bench::new();
    let mut settings = of(Profile::Lenient);
    settings.event_aliases = [("urn:example:logout".to_owned(), "session-revoked".to_owned())].into();
    settings.every_session_id = "ALL".to_owned();
    let user = json!({"format": "opaque", "id": "u"});
    let named = |session: &str| {
        let sub_id = json!({"format": "complex", "user": user, "session": {"format": "opaque", "id": session}});
        let claims = with(|claims| {
            claims["events"] = json!({"urn:example:logout": {}});
            claims["sub_id"] = sub_id;
        });
        bench.judge(&settings, &bench.header(Algorithm::Es256), &claims).unwrap()
    };
    assert_eq!(named("ALL").event.event_type, EventType::SessionRevoked);
    assert_eq!(named("ALL").sub_id.to_value(), json!({"format": "complex", "user": user}));
    assert!(named("s-1").sub_id.to_value().get("session").is_some());
}

#[test]
fn the_old_spelling_means_legacy_and_may_not_contradict() {
    assert_eq!(
        UpstreamSettings { legacy_shapes: Some(true), profile: None, ..of(Profile::Strict) }.profile(),
        Profile::Legacy
    );
    assert_eq!(
        UpstreamSettings { legacy_shapes: Some(false), profile: None, ..of(Profile::Strict) }.profile(),
        Profile::Lenient
    );
    assert_eq!(UpstreamSettings::new(ISSUER.into(), Delivery::Poll).profile(), Profile::Lenient);
}

async fn found(documents: &[(&str, Value)], profile: Profile) -> Result<(), String> {
    let server = MockServer::start().await;
    for (name, members) in documents {
        let mut body = members.clone();
        body["issuer"] = json!(server.uri());
        let answer = ResponseTemplate::new(200).set_body_json(body);
        Mock::given(path(format!("/.well-known/{name}"))).respond_with(answer).mount(&server).await;
    }
    let http = Http::new(std::time::Duration::from_secs(5)).unwrap();
    let found = discover::metadata(&http, &server.uri().into(), profile).await;
    found.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn metadata_are_looked_for_where_the_profile_says_and_must_be_whole_only_where_the_letter_counts() {
    let whole = json!({
        "spec_version": "1_0", "jwks_uri": "https://a.example/j", "delivery_methods_supported": ["urn:ietf:rfc:8935"],
        "configuration_endpoint": "https://a.example/c", "status_endpoint": "https://a.example/s",
        "verification_endpoint": "https://a.example/v", "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
    });
    for place in ["sse-configuration", "risc-configuration"] {
        let accepted = [
            found(&[(place, whole.clone())], Profile::Lenient).await,
            found(&[(place, whole.clone())], Profile::Legacy).await,
        ];
        assert_eq!(accepted.each_ref().map(Result::is_ok), [false, true], "{place}: {accepted:?}");
    }
    assert_eq!(found(&[("ssf-configuration", whole.clone())], Profile::Strict).await, Ok(()));
    for member in whole.as_object().unwrap().keys() {
        let mut less = whole.clone();
        less.as_object_mut().unwrap().remove(member);
        let said = found(&[("ssf-configuration", less.clone())], Profile::Strict).await.unwrap_err();
        assert!(said.contains(&format!("no good `{member}`")) && said.contains("lenient"), "{said}");
        assert_eq!(found(&[("ssf-configuration", less)], Profile::Lenient).await, Ok(()));
    }
}
