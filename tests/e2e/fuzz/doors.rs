//! What takes input over HTTP, one line each: verb, path, who may, and a body that is good; and every other path.

use serde_json::{Value, json};
use ssf_harness::idp::{opaque, uris};

use super::world::World;

/// One endpoint with its body.
pub(super) struct Door {
    pub(super) verb: &'static str,
    pub(super) path: &'static str,
    pub(super) by: Who,
    pub(super) body: Body,
}

/// Whose credential is shown.
#[derive(Clone, Copy)]
pub(super) enum Who {
    Receiver,
    Producer,
    Operator,
    Nobody,
}

/// What a good body is.
#[derive(Clone, Copy)]
pub(super) enum Body {
    Json(fn(&World) -> Value),
    Lines(fn(&World) -> Vec<Value>),
    Form(fn(&World) -> Vec<(&'static str, String)>),
}

const fn door(verb: &'static str, path: &'static str, by: Who, body: Body) -> Door {
    Door { verb, path, by, body }
}

/// Everything that reads a body. `{poll}`, `{push}`, `{event}`, `{issuer}` and `{client}` stand for ids.
pub(super) const DOORS: [Door; 28] = [
    door("POST", "/ssf/streams", Who::Receiver, Body::Json(create)),
    door("PATCH", "/ssf/streams", Who::Receiver, Body::Json(patch)),
    door("PUT", "/ssf/streams", Who::Receiver, Body::Json(put)),
    door("POST", "/ssf/status", Who::Receiver, Body::Json(status)),
    door("POST", "/ssf/subjects/add", Who::Receiver, Body::Json(add_subject)),
    door("POST", "/ssf/subjects/remove", Who::Receiver, Body::Json(remove_subject)),
    door("POST", "/ssf/verify", Who::Receiver, Body::Json(verify)),
    door("POST", "/ssf/poll/{poll}", Who::Receiver, Body::Json(poll)),
    door("POST", "/receipts", Who::Receiver, Body::Json(receipts)),
    door("POST", "/events", Who::Producer, Body::Json(event)),
    door("POST", "/events", Who::Producer, Body::Json(events)),
    door("POST", "/events", Who::Producer, Body::Json(complex_event)),
    door("POST", "/events", Who::Producer, Body::Lines(lines)),
    door("POST", "/oauth2/token", Who::Nobody, Body::Form(grant)),
    door("POST", "/admin/v1/clients", Who::Operator, Body::Json(client)),
    door("POST", "/admin/v1/clients/{client}/secret", Who::Operator, Body::Json(|_| json!({"overlap": 86_400}))),
    door(
        "PUT",
        "/admin/v1/clients/{client}/method",
        Who::Operator,
        Body::Json(|_| json!({"auth_method": "client_secret_post"})),
    ),
    door(
        "POST",
        "/admin/v1/clients/{client}/tokens",
        Who::Operator,
        Body::Json(|_| json!({"label": "blue", "scopes": ["ssf.read"]})),
    ),
    door("POST", "/admin/v1/issuers", Who::Operator, Body::Json(issuer)),
    door("PATCH", "/admin/v1/issuers/{issuer}", Who::Operator, Body::Json(issuer_patch)),
    door("POST", "/admin/v1/keys/rotate", Who::Operator, Body::Json(|_| json!({"algorithm": "ES256", "now": false}))),
    door("PUT", "/admin/v1/streams/{push}/status", Who::Operator, Body::Json(operated)),
    door("PUT", "/admin/v1/streams/{push}/level", Who::Operator, Body::Json(|_| json!({"level": "sl3"}))),
    door("POST", "/admin/v1/streams/{push}/verify", Who::Operator, Body::Json(|_| json!({}))),
    door("PUT", "/admin/v1/streams/{push}/algorithm", Who::Operator, Body::Json(|_| json!({"algorithm": "ES256"}))),
    door("POST", "/admin/v1/dead-letters/replay", Who::Operator, Body::Json(replay)),
    door("POST", "/admin/v1/dead-letters/discard", Who::Operator, Body::Json(discard)),
    // one more of the same: the most that is read of a subject
    door("POST", "/ssf/subjects/add", Who::Receiver, Body::Json(add_complex_subject)),
];

/// Every path that is served, and some that are not.
pub(super) const PATHS: [&str; 23] = [
    "/",
    "/ssf/streams",
    "/ssf/status",
    "/ssf/verify",
    "/ssf/subjects/add",
    "/ssf/subjects/remove",
    "/ssf/poll/{poll}",
    "/ssf/poll/",
    "/events",
    "/events/{event}",
    "/latency",
    "/jwks.json",
    "/oauth2/token",
    "/.well-known/ssf-configuration",
    "/.well-known/",
    "/health/ready",
    "/openapi.json",
    "/admin/v1/audit",
    "/admin/v1/clients/another",
    "/admin/v1/dead-letters",
    "/admin/v1/events/{event}",
    "/admin/v1/issuers/{issuer}",
    "/admin/v1/streams/{push}/deliveries",
];

fn receipts(_: &World) -> Value {
    json!({"receipts": [{
        "jti": "019ab2c3-0000-7000-8000-000000000000",
        "received_at": "2026-11-24T10:00:00.1Z",
        "applied_at": "2026-11-24T10:00:00.2Z",
        "visible_at": "2026-11-24T10:00:00.3Z",
        "last_allowed_at": "2026-11-24T10:00:00.15Z",
        "outcome": "kept",
    }]})
}

fn create(_: &World) -> Value {
    json!({
        "events_requested": uris(&["session-revoked", "revalidate"]),
        "delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": "http://127.0.0.1:9/push", "authorization_header": "Bearer x"},
        "description": "one more",
        "aud": "https://rp.example",
    })
}

fn patch(world: &World) -> Value {
    json!({
        "stream_id": world.push,
        "iss": world.idp.issuer,
        "aud": "https://rp.example",
        "events_requested": uris(&["session-revoked"]),
        "delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": "http://127.0.0.1:9/push"},
        "min_verification_interval": 10,
        "description": "another",
    })
}

fn put(world: &World) -> Value {
    json!({
        "stream_id": world.push,
        "events_requested": uris(&["session-revoked"]),
        "delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": "http://127.0.0.1:9/push", "authorization_header": "x"},
        "description": "another",
    })
}

fn status(world: &World) -> Value {
    json!({"stream_id": world.push, "status": "paused", "reason": "for a while"})
}

fn add_subject(world: &World) -> Value {
    json!({"stream_id": world.push, "subject": {"format": "email", "email": "user@example.com"}, "verified": true})
}

fn add_complex_subject(world: &World) -> Value {
    json!({"stream_id": world.push, "subject": complex_event(world)["subject"]})
}

fn remove_subject(world: &World) -> Value {
    json!({"stream_id": world.push, "subject": {"format": "iss_sub", "iss": "https://idp.example", "sub": "u"}})
}

fn client(_: &World) -> Value {
    json!({
        "client_id": "another",
        "scopes": ["ssf.read", "ssf.manage"],
        "audience": ["https://another.example"],
        "max_streams": 2,
        "events_supported": uris(&["session-revoked"]),
        "algorithm": "ES256",
        "profile": "legacy",
        "auth_method": "client_secret_post",
        "secret": true,
        "token": true,
    })
}

fn issuer(_: &World) -> Value {
    json!({"url": "https://another.example", "algorithm": "ES256", "min_verification_interval": 10, "max_streams": 3})
}

fn issuer_patch(_: &World) -> Value {
    json!({"min_verification_interval": 10, "inactivity_timeout": 3_600, "max_streams": null})
}

fn operated(_: &World) -> Value {
    json!({"status": "enabled", "reason": "by an operator"})
}

fn replay(_: &World) -> Value {
    json!({"jtis": ["018f0000-0000-7000-8000-000000000000"]})
}

fn discard(_: &World) -> Value {
    json!({"jtis": ["018f0000-0000-7000-8000-000000000000"], "reason": "nobody needs them"})
}

fn verify(world: &World) -> Value {
    json!({"stream_id": world.push, "state": "a state"})
}

fn poll(_: &World) -> Value {
    json!({
        "maxEvents": 3,
        "returnImmediately": true,
        "ack": ["018f0000-0000-7000-8000-000000000000"],
        "setErrs": {"018f0000-0000-7000-8000-000000000001": {"err": "invalid_key", "description": "unknown"}},
    })
}

fn event(_: &World) -> Value {
    json!({
        "type": "credential-change",
        "subject": {"format": "email", "email": "user@example.com"},
        "occurred_at": "2026-11-18T00:26:00.500Z",
        "txn": "case 7",
        "lane": "bulk",
        "credential_type": "password",
        "change_type": "update",
        "friendly_name": "the old one",
        "initiating_entity": "admin",
        "reason_admin": {"en": "because"},
        "reason_user": {"de": "darum"},
        "our_own": {"kept": [1, 2]},
    })
}

fn complex_event(_: &World) -> Value {
    json!({
        "type": "session-revoked",
        "subject": {
            "format": "complex",
            "user": {"format": "iss_sub", "iss": "https://idp.example", "sub": "u"},
            "session": opaque("s"),
            "device": {"format": "ip-addresses", "ip-addresses": ["10.0.0.1", "::1"]},
            "tenant": {"format": "aliases", "identifiers": [
                {"format": "uri", "uri": "https://t.example"},
                {"format": "phone_number", "phone_number": "+12065550100"},
                {"format": "did", "url": "did:example:1"},
                {"format": "account", "uri": "acct:a@example.com"},
            ]},
        },
        "event_timestamp": 1_794_961_560,
    })
}

fn events(world: &World) -> Value {
    json!([event(world), complex_event(world), {"type": "revalidate", "subject": opaque("s"),
        "requirement": {"interaction": "reauthenticate", "max_age": 60, "acr_values": ["a"]}, "background": "suspend"}])
}

fn lines(world: &World) -> Vec<Value> {
    vec![event(world), complex_event(world)]
}

fn grant(world: &World) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", "client_credentials".into()),
        ("scope", "ssf.read ssf.manage".into()),
        ("client_id", world.poster.client_id.clone()),
        ("client_secret", world.poster.secret.clone()),
    ]
}
