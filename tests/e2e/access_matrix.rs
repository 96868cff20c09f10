//! Every endpoint against every kind of caller: the credential is looked at before the body, and before anything is said
//! of what exists (CAEP interop §2.7, RFC 6750 §3.1, SSF 1.0 §8.1).
//!
//! A route that has no row here fails the first story: the routes are read from the source that makes them.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::json;
use ssf_common::jwks::Algorithm;
use ssf_common::runtime::Env;
use ssf_harness::idp::{Idp, Party, Reply};
use ssf_transmitter::admin::{self, NewClient};
use ssf_transmitter::audit::Actor;
use ssf_transmitter::client::{Digest, Scope, Scopes};
use ssf_transmitter::issuer::OwnDefaults;

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Door {
    /// Anybody.
    Open,
    /// Whoever has a client's credential.
    Token,
    /// Whoever has this scope.
    To(Scope),
    /// Whoever has this scope, and only if the stream it names is theirs.
    OfStream(Scope),
}
use Door::{OfStream, Open, To, Token};

/// One row per endpoint: method, path as it is routed, and who may call. New endpoints go here, one line each.
const ENDPOINTS: &[(&str, &str, Door)] = &[
    ("GET", "/.well-known/ssf-configuration", Open),
    ("GET", "/.well-known/risc-configuration", Open),
    ("GET", "/.well-known/oauth-authorization-server", Open),
    ("GET", "/.well-known/oauth-protected-resource", Open),
    ("GET", "/jwks.json", Open),
    ("GET", "/health/live", Open),
    ("GET", "/health/ready", Open),
    ("POST", "/oauth2/token", Token),
    ("POST", "/ssf/streams", To(Scope::Manage)),
    ("GET", "/ssf/streams", OfStream(Scope::Read)),
    ("PATCH", "/ssf/streams", OfStream(Scope::Manage)),
    ("PUT", "/ssf/streams", OfStream(Scope::Manage)),
    ("DELETE", "/ssf/streams", OfStream(Scope::Manage)),
    ("GET", "/ssf/status", OfStream(Scope::Read)),
    ("POST", "/ssf/verify", OfStream(Scope::Manage)),
    ("POST", "/ssf/poll/{stream_id}", OfStream(Scope::Read)),
    ("POST", "/receipts", To(Scope::Manage)),
    ("POST", "/events", To(Scope::Emit)),
    ("GET", "/events/{event_id}", To(Scope::Emit)),
    ("GET", "/batches/{batch_id}", To(Scope::Emit)),
    ("GET", "/latency", To(Scope::Emit)),
    ("GET", "/metrics", To(Scope::Admin)),
    ("GET", "/admin/v1/backlog", To(Scope::Admin)),
    ("GET", "/admin/v1/breaches", To(Scope::Admin)),
    ("GET", "/admin/v1/streams/{stream_id}/backlog", To(Scope::Admin)),
    ("PUT", "/admin/v1/streams/{stream_id}/level", To(Scope::Admin)),
    ("GET", "/admin/v1/audit", To(Scope::Admin)),
    ("GET", "/admin/v1/audit/verify", To(Scope::Admin)),
    ("GET", "/admin/v1/clients", To(Scope::Admin)),
    ("POST", "/admin/v1/clients", To(Scope::Admin)),
    ("GET", "/admin/v1/clients/{client_id}", To(Scope::Admin)),
    ("DELETE", "/admin/v1/clients/{client_id}", To(Scope::Admin)),
    ("POST", "/admin/v1/clients/{client_id}/secret", To(Scope::Admin)),
    ("PUT", "/admin/v1/clients/{client_id}/method", To(Scope::Admin)),
    ("GET", "/admin/v1/clients/{client_id}/tokens", To(Scope::Admin)),
    ("POST", "/admin/v1/clients/{client_id}/tokens", To(Scope::Admin)),
    ("DELETE", "/admin/v1/clients/{client_id}/tokens/{token}", To(Scope::Admin)),
    ("GET", "/admin/v1/dead-letters", To(Scope::Admin)),
    ("GET", "/admin/v1/dead-letters/{jti}", To(Scope::Admin)),
    ("POST", "/admin/v1/dead-letters/{jti}/replay", To(Scope::Admin)),
    ("POST", "/admin/v1/dead-letters/replay", To(Scope::Admin)),
    ("POST", "/admin/v1/dead-letters/{jti}/discard", To(Scope::Admin)),
    ("POST", "/admin/v1/dead-letters/discard", To(Scope::Admin)),
    ("GET", "/admin/v1/events", To(Scope::Admin)),
    ("GET", "/admin/v1/events/{event_id}", To(Scope::Admin)),
    ("GET", "/admin/v1/latency", To(Scope::Admin)),
    ("GET", "/admin/v1/issuers", To(Scope::Admin)),
    ("POST", "/admin/v1/issuers", To(Scope::Admin)),
    ("GET", "/admin/v1/issuers/{issuer_id}", To(Scope::Admin)),
    ("PATCH", "/admin/v1/issuers/{issuer_id}", To(Scope::Admin)),
    ("DELETE", "/admin/v1/issuers/{issuer_id}", To(Scope::Admin)),
    ("GET", "/admin/v1/keys", To(Scope::Admin)),
    ("POST", "/admin/v1/keys/rotate", To(Scope::Admin)),
    ("POST", "/admin/v1/keys/{kid}/retire", To(Scope::Admin)),
    ("PUT", "/admin/v1/streams/{stream_id}/algorithm", To(Scope::Admin)),
    ("PUT", "/admin/v1/streams/{stream_id}/status", To(Scope::Admin)),
    ("POST", "/admin/v1/streams/{stream_id}/verify", To(Scope::Admin)),
    ("GET", "/admin/v1/streams", To(Scope::Admin)),
    ("GET", "/admin/v1/streams/{stream_id}", To(Scope::Admin)),
    ("GET", "/admin/v1/streams/{stream_id}/deliveries", To(Scope::Admin)),
    ("GET", "/docs", Open),
    ("GET", "/openapi.json", Open),
    ("POST", "/ssf/status", OfStream(Scope::Manage)),
    ("POST", "/ssf/subjects/add", OfStream(Scope::Manage)),
    ("POST", "/ssf/subjects/remove", OfStream(Scope::Manage)),
];

#[test]
fn every_route_stands_in_the_matrix() {
    let rows: BTreeSet<(String, String)> =
        ENDPOINTS.iter().map(|(verb, path, _)| ((*verb).to_owned(), (*path).to_owned())).collect();
    assert_eq!(rows.len(), ENDPOINTS.len(), "no row stands there twice");
    let routes = routes();
    assert!(routes.len() > 15, "{routes:?}");
    let missing: Vec<_> = routes.difference(&rows).collect();
    let gone: Vec<_> = rows.difference(&routes).collect();
    assert!(missing.is_empty() && gone.is_empty(), "without a row: {missing:?}; without a route: {gone:?}");
}

/// The routes, from the source that makes them: `.route("/path", get(…).post(…))`, or a handler that says itself where it is,
/// `utoipa::path(get, path = "/path", …)`, below `/admin/v1` if it stands in that folder.
fn routes() -> BTreeSet<(String, String)> {
    let mut routes = BTreeSet::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../transmitter/src/api")];
    while let Some(folder) = open.pop() {
        let prefix = if folder.ends_with("admin") { "/admin/v1" } else { "" };
        for entry in std::fs::read_dir(folder).unwrap() {
            let at = entry.unwrap().path();
            if at.is_dir() {
                open.push(at);
            } else if at.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(at).unwrap();
                routes.extend(routed(&source));
                routes.extend(annotated(&source).map(|(verb, path)| (verb, format!("{prefix}{path}"))));
            }
        }
    }
    routes
}

fn routed(source: &str) -> BTreeSet<(String, String)> {
    let mut routes = BTreeSet::new();
    for route in source.split(".route(").skip(1) {
        let mut quoted = route.split('"');
        let path = quoted.nth(1).unwrap();
        let handlers = quoted.next().unwrap();
        for verb in VERBS {
            if [' ', '.'].iter().any(|before| handlers.contains(&format!("{before}{verb}("))) {
                routes.insert((verb.to_uppercase(), path.to_owned()));
            }
        }
    }
    routes
}

fn annotated(source: &str) -> impl Iterator<Item = (String, String)> {
    source.split("utoipa::path(").skip(1).filter_map(|rest| {
        let verb = rest.split(',').next()?.trim();
        let (_, path) = rest.split_once("path = \"")?;
        VERBS.contains(&verb).then(|| (verb.to_uppercase(), path.split('"').next().unwrap_or_default().to_owned()))
    })
}

/// Whether only operators of the whole service may call, and an issuer's administrator may not.
fn is_for_operators(path: &str) -> bool {
    path.starts_with("/admin/v1/issuers") || path == "/metrics"
}

/// Everybody who might call.
struct Cast {
    idp: Idp,
    owner: Party,
    other_receiver: Party,
    other_issuer: Party,
    producer: Party,
    administrator: Party,
    operator_elsewhere: Party,
    expired: Party,
    stream: String,
}

impl Cast {
    async fn gather() -> Self {
        // who is wrong as often as this story is would have to wait
        let idp = Idp::start_with(&[("limits.token_failures_per_minute", "0")]).await;
        let env = Env { clock: idp.clock.clone(), ..Env::system() };
        let blue = format!("{}/blue", idp.issuer).as_str().into();
        let sealing = ssf_transmitter::keys::SealingKey::parse(&ssf_harness::idp::SEALING_KEY.into()).unwrap();
        let own = OwnDefaults::default();
        let blue = admin::add_issuer(&idp.pool, &blue, &own, Algorithm::Es256, &sealing, &Actor::Service, &env);
        let blue = blue.await.unwrap();
        let at_blue = async |new: NewClient| {
            let added = admin::add_client(&idp.pool, &blue, &new, &Actor::Service, &env).await.unwrap().unwrap();
            let text = |one: Option<secrecy::SecretString>| {
                one.map_or(String::new(), |one| secrecy::ExposeSecret::expose_secret(&one).to_owned())
            };
            let (secret, token) = (text(added.secret), text(added.token));
            Party { client_id: new.client_id.to_string(), audience: String::new(), secret, token }
        };
        let all = Scopes::from_iter(Scope::ALL);
        let receiver = NewClient { with_token: true, max_streams: 100, ..NewClient::receiver("owner", "owner") };
        let other_issuer = at_blue(NewClient { scopes: all.clone(), ..receiver.clone() }).await;
        let operator_elsewhere = at_blue(NewClient { scopes: all, ..NewClient::operator("operator") }).await;
        let owner = idp.add_client(receiver).await;
        let stream = idp.poll_stream(&owner, &["session-revoked"]).await;
        let (other_receiver, producer) = (idp.add_receiver("other").await, idp.add_producer().await);
        let administrator = NewClient { is_operator: false, ..NewClient::operator("administrator") };
        let administrator = idp.add_client(administrator).await;
        let twin = idp.twin().await;
        let expired = Party { token: "an-expired-token".to_owned(), ..owner.clone() };
        let digest = Digest::of(&expired.token);
        sqlx::query(
            "insert into access_token (digest, client_id, kind, scopes, created_at, expires_at)
             select $1, id, 'issued', scopes, now(), 'epoch' from client where client_id = 'administrator'",
        )
        .bind(digest.as_bytes())
        .execute(&twin.pool)
        .await
        .unwrap();
        Self {
            idp: twin,
            owner,
            other_receiver,
            other_issuer,
            producer,
            administrator,
            operator_elsewhere,
            expired,
            stream,
        }
    }

    /// Calls as this party, naming the stream in every way there is.
    async fn call(&self, verb: &str, path: &str, party: &Party, stream: &str) -> Reply {
        let body = json!({"stream_id": stream, "returnImmediately": true, "status": "enabled", "subject": {"format": "opaque", "id": "x"}});
        self.idp.call(verb.parse().unwrap(), &naming(path, stream), &party.token, Some(&body)).await
    }
}

impl Cast {
    /// The owner's name with this secret.
    fn basic(&self, secret: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{secret}", self.owner.client_id)))
    }

    /// What somebody might show at the token endpoint who is no client there. The owner has a namesake at the other issuer,
    /// whose secret is good there.
    fn wrong_clients(&self) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
        let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
        let form = ("content-type", "application/x-www-form-urlencoded".to_owned());
        assert_eq!(self.owner.client_id, self.other_issuer.client_id);
        assert!(!self.owner.secret.is_empty() && !self.other_issuer.secret.is_empty());
        vec![
            ("a wrong secret", vec![("authorization", self.basic("wrong"))]),
            ("a wrong secret and a form", vec![("authorization", self.basic("wrong")), form]),
            ("a bad token", vec![bearer("bad")]),
            ("a good token, which is no secret", vec![bearer(&self.owner.token)]),
            ("another issuer's client's secret", vec![("authorization", self.basic(&self.other_issuer.secret))]),
        ]
    }
}

fn headers_of<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Asserts that the token endpoint knows nobody by this (RFC 6749 §5.2).
fn assert_is_no_client(reply: &Reply, who: &str) {
    let said = (reply.status, reply.text("error"), reply.header("cache-control"));
    assert_eq!(said, (401, "invalid_client", "no-store"), "{who}");
    assert_eq!(reply.header("www-authenticate").get(..5), Some("Basic"), "{who}");
}

fn naming(path: &str, stream: &str) -> String {
    format!("{}?stream_id={stream}", path.replace("{stream_id}", stream).replace(['{', '}'], ""))
}

#[tokio::test]
async fn no_credential_and_no_good_one_is_401_before_anything_else() {
    let cast = Cast::gather().await;
    let idp = &cast.idp;
    let metadata = format!("resource_metadata=\"{}/.well-known/oauth-protected-resource\"", idp.issuer);
    for (verb, path, door) in ENDPOINTS.iter().filter(|(.., door)| *door != Open) {
        for at in [naming(path, &cast.stream), path.replace(['{', '}'], "")] {
            for body in ["", "{ garbage \0", "[1]"] {
                let verb: Method = verb.parse().unwrap();
                let none = idp.send(verb.clone(), &at, &[], body).await;
                assert_eq!(none.status, 401, "{verb} {at} without a token");
                assert_eq!(none.header("cache-control"), "no-store");
                if *door == Token {
                    assert_is_no_client(&none, "nobody");
                    for (who, headers) in cast.wrong_clients() {
                        let refused = idp.send(verb.clone(), &at, &headers_of(&headers), body).await;
                        assert_is_no_client(&refused, who);
                    }
                    let own = [("authorization", cast.basic(&cast.owner.secret))];
                    let known = idp.send(verb, &at, &headers_of(&own), body).await;
                    assert_eq!((known.status, known.text("error")), (400, "invalid_request"), "its own secret is good");
                    continue;
                }
                assert_eq!(none.header("www-authenticate"), format!("Bearer {metadata}"));
                for (who, token) in [
                    ("a bad token", "bad"),
                    ("a bad JWT", "e30.e30.e30"),
                    ("an ended token", &cast.expired.token),
                    ("another issuer's token", &cast.other_issuer.token),
                ] {
                    let header = format!("Bearer {token}");
                    let refused = idp.send(verb.clone(), &at, &[("authorization", &header)], body).await;
                    let said = (refused.status, refused.text("error"), refused.header("cache-control"));
                    assert_eq!(said, (401, "invalid_token", "no-store"), "{verb} {at} with {who}");
                    let challenge = format!("Bearer error=\"invalid_token\", {metadata}");
                    assert_eq!(refused.header("www-authenticate"), challenge);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_scope_that_is_missing_is_403_before_body_and_existence() {
    let cast = Cast::gather().await;
    let callers = [
        ("receiver", &cast.owner, &[Scope::Read, Scope::Manage][..]),
        ("producer", &cast.producer, &[Scope::Emit]),
        ("administrator", &cast.administrator, &[Scope::Admin]),
        ("operator of another issuer", &cast.operator_elsewhere, &[Scope::Admin]),
    ];
    for (verb, path, door) in ENDPOINTS {
        let (To(scope) | OfStream(scope)) = *door else { continue };
        for (who, party, scopes) in callers {
            if scopes.contains(&scope) && is_for_operators(path) && !who.starts_with("operator") {
                let refused = cast.call(verb, path, party, &cast.stream).await;
                assert_eq!(refused.status, 403, "{verb} {path} as {who}");
                continue;
            }
            if scopes.contains(&scope) {
                // one of its own for each row: the rows change it, and one deletes it
                let stream = cast.idp.poll_stream(&cast.owner, &["session-revoked"]).await;
                let reply = cast.call(verb, path, party, &stream).await;
                assert!(![401, 403, 500].contains(&reply.status), "{verb} {path} as {who}: {}", reply.status);
                let is_done = (200..300).contains(&reply.status);
                assert!(is_done || !matches!(door, OfStream(_)), "{verb} {path} as its owner: {}", reply.body);
                continue;
            }
            let header = format!("Bearer {}", party.token);
            for (at, body) in [(naming(path, &cast.stream), "{ garbage"), (path.replace(['{', '}'], ""), "")] {
                let refused = cast.idp.send(verb.parse().unwrap(), &at, &[("authorization", &header)], body).await;
                assert_eq!(
                    (refused.status, refused.text("error")),
                    (403, "insufficient_scope"),
                    "{verb} {at} as {who}"
                );
                let challenge =
                    format!("Bearer error=\"insufficient_scope\", scope=\"{}\", resource_metadata=", scope.as_str());
                assert!(refused.header("www-authenticate").starts_with(&challenge));
            }
        }
    }
}

#[tokio::test]
async fn another_receivers_stream_is_like_none_everywhere() {
    // SSF 1.0 §8.1.1.2 and the like: 404
    let cast = Cast::gather().await;
    for (verb, path, _) in ENDPOINTS.iter().filter(|(.., door)| matches!(door, OfStream(_))) {
        let theirs = cast.call(verb, path, &cast.other_receiver, &cast.stream).await;
        let none = cast.call(verb, path, &cast.other_receiver, "018f0000-0000-4000-8000-000000000000").await;
        assert_eq!((theirs.status, &theirs.body), (404, &none.body), "{verb} {path}");
        assert_eq!(none.status, 404);
    }
    let read = cast.call("GET", "/ssf/streams", &cast.owner, &cast.stream).await;
    assert_eq!(read.status, 200, "and nothing happened to it");
}

#[tokio::test]
async fn what_is_open_asks_nobody_who_he_is() {
    let cast = Cast::gather().await;
    for (verb, path, _) in ENDPOINTS.iter().filter(|(.., door)| *door == Open) {
        for headers in [&[][..], &[("authorization", "Bearer bad")]] {
            let reply = cast.idp.send(verb.parse().unwrap(), path, headers, "").await;
            assert_eq!(reply.status, 200, "{verb} {path}");
        }
    }
}

const VERBS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
