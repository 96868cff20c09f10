//! Stories about keys over the admin API: what is rotated, retired and chosen there is what is listed, published and signed
//! with.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party, Reply};

use crate::rotation::{header, kid};

/// A transmitter with its operator, and a stream that is polled.
struct Scene {
    idp: Idp,
    operator: Party,
    rp: Party,
    producer: Party,
    stream: String,
}

impl Scene {
    async fn start() -> Self {
        let idp = Idp::start().await;
        let (operator, rp, producer) =
            (idp.add_operator().await, idp.add_receiver("rp").await, idp.add_producer().await);
        let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
        Self { idp, operator, rp, producer, stream }
    }

    async fn ask(&self, verb: Method, path: &str, body: &Value) -> Reply {
        // two keys of one moment would stand in any order
        self.idp.advance(Duration::from_secs(1));
        let reply = self.idp.call(verb, &format!("/admin/v1{path}"), &self.operator.token, Some(body)).await;
        // as every process does that hears of the commit
        self.idp.transmitter.tenants.refresh().await.unwrap();
        reply
    }

    /// Asks for it and gets it.
    async fn done(&self, verb: Method, path: &str, body: &Value) -> Value {
        let reply = self.ask(verb.clone(), path, body).await;
        assert_eq!(reply.status, 200, "{verb} {path}: {}", reply.body);
        reply.body
    }

    /// Makes one next key, or lets it sign.
    async fn rotate(&self, body: &Value) -> Value {
        let mut rotated = self.done(Method::POST, "/keys/rotate", body).await;
        assert_eq!(rotated["items"].as_array().unwrap().len(), 1);
        rotated["items"][0].take()
    }

    async fn retire(&self, kid: &str, body: &Value) -> Reply {
        self.ask(Method::POST, &format!("/keys/{kid}/retire"), body).await
    }

    /// `(kid, state)` of every key as the list shows them.
    async fn listed(&self) -> Vec<(String, String)> {
        let list = self.idp.get("/admin/v1/keys", &self.operator).await.body;
        let text = |key: &Value, member: &str| key[member].as_str().unwrap().to_owned();
        list["items"].as_array().unwrap().iter().map(|key| (text(key, "kid"), text(key, "state"))).collect()
    }

    /// The ids in the published set.
    async fn published(&self) -> Vec<String> {
        let served = self.idp.send(Method::GET, "/jwks.json", &[], "").await;
        served.body["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    /// A SET of now, which verifies with what is published.
    async fn set(&self) -> String {
        self.idp.revoke(&self.producer, "session").await;
        self.idp.fan_out().await;
        let reply = self.idp.poll(&self.rp, &self.stream, &json!({})).await;
        let (jti, set) = reply.body["sets"].as_object().unwrap().iter().next().expect("a SET");
        let set = set.as_str().unwrap().to_owned();
        self.idp.verify(&set, &self.rp).await;
        self.idp.poll(&self.rp, &self.stream, &json!({"ack": [jti], "maxEvents": 0})).await;
        set
    }

    async fn a_day_goes_by(&self) {
        for _ in 0..24 {
            self.idp.advance(Duration::from_hours(1));
            while self.idp.transmitter.rotator.tick().await.unwrap() > 0 {}
        }
        self.idp.transmitter.tenants.refresh().await.unwrap();
    }

    /// What the operator did, as the audit log has it.
    async fn written(&self) -> Vec<(String, String)> {
        let log = self.idp.get("/admin/v1/audit?limit=1000", &self.operator).await.body;
        let by_operator = log["items"].as_array().unwrap().iter().filter(|one| one["actor"] == "operator:operator");
        let text = |entry: &Value, member: &str| entry[member].as_str().unwrap().to_owned();
        by_operator.map(|entry| (text(entry, "action"), text(entry, "target"))).collect()
    }
}

fn state(kid: &str, state: &str) -> (String, String) {
    (kid.to_owned(), state.to_owned())
}

#[tokio::test]
async fn a_next_key_is_published_and_taken_back_or_signs_at_once_and_the_one_before_is_removed() {
    let scene = Scene::start().await;
    let first = scene.published().await.remove(0);
    let ahead = scene.rotate(&json!({})).await;
    let next = ahead["kid"].as_str().unwrap().to_owned();
    assert_eq!((&ahead["algorithm"], &ahead["replaced"]), (&json!("ES256"), &Value::Null));
    assert!(ahead["signs_from"].as_str() > ahead["published_since"].as_str(), "{ahead}");
    assert_eq!(scene.listed().await, [state(&first, "active"), state(&next, "next")]);
    assert_eq!(scene.published().await, [first.clone(), next.clone()]);
    assert_eq!(kid(&scene.set().await), first, "it signs nothing yet");
    let again = scene.rotate(&json!({"algorithm": "ES256"})).await;
    assert_eq!((&again["kid"], &again["was_there"]), (&json!(next), &json!(true)), "one at a time");

    let taken_back = scene.retire(&next, &json!({})).await;
    assert_eq!((taken_back.status, &taken_back.body["published_until"]), (200, &Value::Null));
    assert_eq!(scene.published().await, std::slice::from_ref(&first));

    let now = scene.rotate(&json!({"now": true})).await;
    let second = now["kid"].as_str().unwrap().to_owned();
    assert_eq!((&now["replaced"], &now["signs_from"]), (&json!(first), &now["published_since"]));
    assert_eq!(scene.listed().await, [state(&first, "retired"), state(&second, "active")]);
    assert_eq!(scene.published().await, [first.clone(), second.clone()], "what it signed is still to be verified");
    assert_eq!(kid(&scene.set().await), second);
    for (kid, body) in [(&second, json!({})), (&second, json!({"remove": true})), (&first, json!({}))] {
        let refused = scene.retire(kid, &body).await;
        assert_eq!((refused.status, refused.text("error")), (409, "conflict"), "{kid} {body}");
    }
    let removed = scene.retire(&first, &json!({"remove": true})).await;
    assert_eq!((removed.status, &removed.body["kid"]), (200, &json!(first)));
    assert_eq!(scene.published().await, std::slice::from_ref(&second));
    assert_eq!(scene.retire(&first, &json!({"remove": true})).await.status, 404);
    assert_eq!(kid(&scene.set().await), second);
    let expected = [
        ("key.made", &next),
        ("key.removed", &next),
        ("key.made", &second),
        ("key.retired", &first),
        ("key.activated", &second),
        ("key.removed", &first),
    ];
    assert_eq!(scene.written().await, expected.map(|(action, kid)| state(action, kid)));
}

#[tokio::test]
async fn a_stream_is_signed_with_another_algorithm_once_its_key_is_known_and_that_is_retired_when_nobody_needs_it() {
    let scene = Scene::start().await;
    let first = scene.published().await.remove(0);
    let path = format!("/streams/{}/algorithm", scene.stream);
    let later = scene.done(Method::PUT, &path, &json!({"algorithm": "EdDSA"})).await;
    let awaited = later["kid"].as_str().unwrap().to_owned();
    assert_eq!((&later["from"], later["at"].is_string()), (&json!("later"), true), "{later}");
    assert_eq!(scene.listed().await, [state(&first, "active"), state(&awaited, "next")]);
    assert_eq!(scene.published().await, [first.clone(), awaited.clone()]);
    assert_eq!(header(&scene.set().await, "alg"), "ES256", "as before");
    scene.a_day_goes_by().await;
    let set = scene.set().await;
    assert_eq!((header(&set, "alg"), kid(&set)), ("EdDSA".to_owned(), awaited.clone()));
    let in_use = scene.retire(&awaited, &json!({})).await;
    assert_eq!((in_use.status, in_use.text("error")), (409, "conflict"));

    let back = scene.done(Method::PUT, &path, &json!({"algorithm": "ES256"})).await;
    assert_eq!(back, json!({"from": "now"}));
    let set = scene.set().await;
    assert_eq!((header(&set, "alg"), kid(&set)), ("ES256".to_owned(), first.clone()));
    let retired = scene.retire(&awaited, &json!({})).await;
    assert_eq!((retired.status, &retired.body["algorithm"]), (200, &json!("EdDSA")));
    assert!(retired.body["published_until"].is_string(), "{}", retired.body);
    assert_eq!(scene.listed().await, [state(&first, "active"), state(&awaited, "retired")]);
    assert_eq!(scene.published().await, [first.clone(), awaited.clone()], "what it signed is still to be verified");
    assert_eq!(header(&scene.set().await, "alg"), "ES256");
    let set_to = ("stream.algorithm_set", &scene.stream);
    let expected = [set_to, ("key.made", &awaited), set_to, ("key.retired", &awaited)];
    assert_eq!(scene.written().await, expected.map(|(action, target)| state(action, target)));
    let unknown = scene.ask(Method::PUT, "/streams/nothing/algorithm", &json!({"algorithm": "ES256"})).await;
    assert_eq!(unknown.status, 404);
}
