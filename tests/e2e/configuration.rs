//! Stories about a stream's configuration (SSF 1.0 §8.1.1), member by member and call by call, and the field's tolerances.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party, Reply, uris};
use ssf_harness::sink::{Answer, Sink};
use ssf_transmitter::admin::NewClient;
use ssf_transmitter::client::Profile;

/// One receiver, its producer, and a place to push to.
struct Scene {
    idp: Idp,
    rp: Party,
    producer: Party,
    sink: Sink,
}

impl Scene {
    async fn start() -> Self {
        Self::with(NewClient::receiver("rp", "https://rp.example")).await
    }

    async fn with(new: NewClient) -> Self {
        let idp = Idp::start().await;
        let rp = idp.add_client(NewClient { with_token: true, ..new }).await;
        let (producer, sink) = (idp.add_producer().await, Sink::start().await);
        Self { idp, rp, producer, sink }
    }

    async fn create(&self, body: Value) -> Reply {
        self.idp.post("/ssf/streams", &self.rp, &body).await
    }

    async fn change(&self, verb: Method, stream: &str, mut body: Value) -> Reply {
        body["stream_id"] = json!(stream);
        self.idp.call(verb, "/ssf/streams", &self.rp.token, Some(&body)).await
    }

    async fn read(&self, stream: &str) -> Reply {
        self.idp.get(&format!("/ssf/streams?stream_id={stream}"), &self.rp).await
    }

    fn to_the_sink(&self) -> Value {
        json!({"method": "urn:ietf:rfc:8935", "endpoint_url": self.sink.url})
    }

    async fn revoke(&self, session: &str) {
        self.idp.revoke(&self.producer, session).await;
        self.idp.fan_out().await;
    }

    async fn history(&self) -> Vec<(String, String, i64)> {
        let query = "select delivery_method, outcome, count(*) from delivery_history group by 1, 2 order by 1, 2";
        sqlx::query_as(query).fetch_all(&self.idp.pool).await.unwrap()
    }
}

fn settled(method: &str, count: i64) -> (String, String, i64) {
    (method.to_owned(), "acknowledged".to_owned(), count)
}

// SSF 1.0 §8.1.1: stream_id has the characters of RFC 3986 §2.3; poll's endpoint_url is there at once, and unique.
#[tokio::test]
async fn a_stream_id_is_unreserved_text_and_each_poll_endpoint_its_own() {
    let scene = Scene::with(NewClient { max_streams: 3, ..NewClient::receiver("rp", "rp") }).await;
    let mut endpoints = Vec::new();
    for _ in 0..3 {
        let created = scene.create(json!({})).await;
        let id = created.text("stream_id");
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)), "{id}");
        assert_eq!(created.body["delivery"]["method"], "urn:ietf:rfc:8936", "no delivery means poll");
        endpoints.push(created.body["delivery"]["endpoint_url"].as_str().unwrap().to_owned());
        let polled =
            scene.idp.post(&endpoints[endpoints.len() - 1], &scene.rp, &json!({"returnImmediately": true})).await;
        assert_eq!(polled.body, json!({"sets": {}}));
    }
    endpoints.sort();
    endpoints.dedup();
    assert_eq!(endpoints.len(), 3);
    // §8.1.1.1: 409 if this receiver may have no further stream
    assert_eq!(scene.create(json!({})).await.status, 409);
    assert_eq!(scene.idp.get("/ssf/streams", &scene.rp).await.body.as_array().unwrap().len(), 3);
}

// SSF 1.0 §8.1.1: unknown URIs are ignored; the list may be empty or missing; events_delivered is supported ∩ requested.
#[tokio::test]
async fn what_is_delivered_is_what_is_supported_and_asked_for() {
    let supported = Some(uris(&["session-revoked", "revalidate"]));
    let scene = Scene::with(NewClient { events_supported: supported.clone(), ..NewClient::receiver("rp", "rp") }).await;
    let created = scene.create(json!({"events_requested": ["urn:example:unknown", "not a uri", ""]})).await;
    assert_eq!((created.status, &created.body["events_delivered"]), (201, &json!([])));
    assert_eq!(created.body["events_requested"], json!(["urn:example:unknown", "not a uri", ""]));
    let stream = created.text("stream_id");
    for (requested, delivered) in [
        (json!([]), vec![]),
        (json!(uris(&["account-disabled"])), vec![]),
        (json!(uris(&["revalidate", "revalidate", "account-disabled"])), uris(&["revalidate"])),
    ] {
        let changed = scene.change(Method::PATCH, stream, json!({"events_requested": requested})).await;
        assert_eq!((changed.status, &changed.body["events_delivered"]), (200, &json!(delivered)), "{requested}");
        assert_eq!(changed.body["events_supported"], json!(supported));
    }
    scene.revoke("s").await;
    assert_eq!(scene.idp.count("select count(*) from delivery").await, 0);
    let replaced = scene.change(Method::PUT, stream, json!({})).await;
    assert_eq!((replaced.body.get("events_requested"), &replaced.body["events_delivered"]), (None, &json!([])));
}

// SSF 1.0 §8.1.1.3, §8.1.1.4: members of the transmitter are allowed only if equal.
#[tokio::test]
async fn a_transmitters_member_may_be_sent_back_as_it_is_and_in_no_other_way() {
    let audience = vec!["https://a.example".to_owned(), "https://b.example".to_owned()];
    let scene = Scene::with(NewClient { audience, ..NewClient::receiver("rp", "") }).await;
    let created = scene.create(json!({})).await;
    let stream = created.text("stream_id").to_owned();
    for verb in [Method::PATCH, Method::PUT] {
        for (member, value, status) in [
            ("aud", json!(["https://b.example", "https://a.example"]), 200),
            ("aud", json!(["https://a.example", "https://a.example"]), 400),
            ("aud", json!("https://a.example"), 400),
            ("iss", json!(scene.idp.issuer), 200),
            ("iss", json!(format!("{}/", scene.idp.issuer)), 400),
            ("events_delivered", json!([]), 200),
            ("events_supported", created.body["events_supported"].clone(), 200),
            ("min_verification_interval", json!(10), 200),
            ("min_verification_interval", json!(11), 400),
            ("inactivity_timeout", json!(0), 400),
            ("description", json!(1), 400),
            ("stream_id", json!(stream), 200),
        ] {
            let reply = scene.change(verb.clone(), &stream, json!({ member: value })).await;
            assert_eq!((reply.status, reply.header("cache-control")), (status, "no-store"), "{verb} {member} {value}");
        }
    }
}

// SSF 1.0 §8.1.1.1: a receiver-supplied `aud` that is the registered one does no harm.
#[tokio::test]
async fn a_receiver_may_name_its_own_audience() {
    let scene = Scene::start().await;
    assert_eq!(scene.create(json!({"aud": "https://other.example"})).await.status, 400);
    let created = scene.create(json!({"aud": ["https://rp.example"]})).await;
    assert_eq!((created.status, created.text("aud")), (201, "https://rp.example"));
}

// SSF 1.0 §8.1.1: every answer is no-store, also those that no handler wrote.
#[tokio::test]
async fn no_answer_of_the_management_api_may_be_kept_by_a_cache() {
    let scene = Scene::start().await;
    let stream = scene.create(json!({})).await.text("stream_id").to_owned();
    let bearer = format!("Bearer {}", scene.rp.token);
    let calls = [
        (Method::GET, "/ssf/streams".to_owned(), 200),
        (Method::GET, format!("/ssf/streams?stream_id={stream}"), 200),
        (Method::GET, format!("/ssf/streams?stream_id={stream}&stream_id={stream}"), 400),
        (Method::GET, "/ssf/streams?stream_id=".to_owned(), 404),
        (Method::GET, "/ssf/streams?stream_id=%00".to_owned(), 404),
        (Method::GET, "/ssf/status".to_owned(), 400),
        (Method::GET, format!("/ssf/status?stream_id={stream}"), 200),
        (Method::DELETE, "/ssf/streams".to_owned(), 400),
        (Method::DELETE, "/ssf/streams?stream_id=none".to_owned(), 404),
        (Method::DELETE, "/ssf/status".to_owned(), 405),
        (Method::GET, "/ssf/verify".to_owned(), 405),
        (Method::GET, "/ssf/nothing".to_owned(), 404),
        (Method::POST, "/ssf/poll/%FF".to_owned(), 404),
    ];
    for (verb, path, status) in calls {
        let reply = scene.idp.send(verb.clone(), &path, &[("authorization", &bearer)], "").await;
        assert_eq!((reply.status, reply.header("cache-control")), (status, "no-store"), "{verb} {path}");
        assert!(reply.body.is_object() || reply.body.is_array(), "{verb} {path} answers in JSON");
    }
    let too_long = vec![b' '; 2 << 20];
    let reply = scene.idp.send(Method::POST, "/ssf/streams", &[("authorization", &bearer)], too_long).await;
    assert_eq!((reply.status, reply.header("cache-control")), (413, "no-store"));
    let gone = scene
        .idp
        .send(Method::DELETE, &format!("/ssf/streams?stream_id={stream}"), &[("authorization", &bearer)], "")
        .await;
    assert_eq!((gone.status, gone.header("cache-control")), (204, "no-store"));
    assert_eq!(
        scene.idp.count("select count(*) from audit where action = 'stream.deleted' and actor = 'client:rp'").await,
        1
    );
}

// SSF 1.0 §8.1.1.3: the method may change while SETs wait or are on the wire: nothing is lost, nothing settled twice.
#[tokio::test]
async fn what_waits_for_a_push_is_polled_once_the_stream_is_and_the_history_knows_how_each_went() {
    let scene = Scene::start().await;
    let created =
        scene.create(json!({"delivery": scene.to_the_sink(), "events_requested": uris(&["session-revoked"])})).await;
    let stream = created.text("stream_id").to_owned();
    scene.sink.next([Answer::status(202), Answer::status(503)]);
    scene.sink.hold();
    for (at, session) in ["arrives", "fails"].iter().enumerate() {
        scene.revoke(session).await;
        assert_eq!(scene.idp.transmitter.push.tick().await.unwrap(), 1);
        scene.sink.arrivals(at + 1).await;
    }
    scene.revoke("waits").await;
    let poll = json!({"delivery": {"method": "urn:ietf:rfc:8936"}});
    assert_eq!(scene.change(Method::PATCH, &stream, poll).await.status, 200);
    let first = scene.idp.poll(&scene.rp, &stream, &json!({})).await;
    assert_eq!(first.body["sets"].as_object().unwrap().len(), 1, "what is on the wire is left to it");
    scene.sink.release();
    scene.idp.transmitter.push.idle().await;
    assert_eq!(scene.history().await, [settled("push", 1)]);
    assert_eq!(
        scene.idp.count("select count(*) from stream_health where failures > 0").await,
        0,
        "a poll stream has no breaker"
    );
    scene.idp.advance(Duration::from_secs(10));
    let both = scene.idp.poll(&scene.rp, &stream, &json!({})).await;
    let jtis: Vec<&String> = both.body["sets"].as_object().unwrap().keys().collect();
    assert_eq!(jtis.len(), 2);
    scene.idp.poll(&scene.rp, &stream, &json!({"ack": jtis, "maxEvents": 0})).await;
    scene.idp.poll(&scene.rp, &stream, &json!({"ack": jtis, "maxEvents": 0})).await;
    assert_eq!(scene.history().await, [settled("poll", 2), settled("push", 1)]);
}

#[tokio::test]
async fn what_was_handed_out_by_poll_is_pushed_once_the_stream_is_and_settled_once() {
    let scene = Scene::start().await;
    let created = scene.create(json!({"events_requested": uris(&["session-revoked"])})).await;
    let stream = created.text("stream_id").to_owned();
    scene.revoke("s").await;
    let handed_out = scene.idp.poll(&scene.rp, &stream, &json!({})).await;
    let jti = handed_out.body["sets"].as_object().unwrap().keys().next().unwrap().clone();
    assert_eq!(scene.change(Method::PATCH, &stream, json!({"delivery": scene.to_the_sink()})).await.status, 200);
    assert_eq!(scene.idp.poll(&scene.rp, &stream, &json!({"ack": [jti]})).await.status, 400, "it is a push stream now");
    scene.idp.drain().await;
    assert_eq!((scene.sink.requests().len(), scene.sink.requests()[0].jti()), (1, jti.clone()), "the same SET");
    assert_eq!(scene.change(Method::PUT, &stream, json!({})).await.status, 200);
    scene.idp.poll(&scene.rp, &stream, &json!({"ack": [jti], "maxEvents": 0})).await;
    assert_eq!(scene.history().await, [settled("push", 1)]);
}

#[tokio::test]
async fn a_poll_may_acknowledge_what_a_push_had_on_the_wire_and_the_late_answer_changes_nothing() {
    let scene = Scene::start().await;
    let created =
        scene.create(json!({"delivery": scene.to_the_sink(), "events_requested": uris(&["session-revoked"])})).await;
    let stream = created.text("stream_id").to_owned();
    scene.sink.hold();
    scene.revoke("s").await;
    scene.idp.transmitter.push.tick().await.unwrap();
    scene.sink.arrivals(1).await;
    scene.change(Method::PATCH, &stream, json!({"delivery": {"method": "urn:ietf:rfc:8936"}})).await;
    scene.idp.advance(Duration::from_secs(30));
    let again = scene.idp.poll(&scene.rp, &stream, &json!({})).await;
    let jti = again.body["sets"].as_object().unwrap().keys().next().expect("its lease is over").clone();
    let trouble = json!({"setErrs": {jti.clone(): {"err": "access_denied"}}, "maxEvents": 0});
    scene.idp.poll(&scene.rp, &stream, &trouble).await;
    assert_eq!(scene.idp.poll(&scene.rp, &stream, &json!({})).await.body, json!({"sets": {}}), "put off");
    scene.idp.poll(&scene.rp, &stream, &json!({"ack": [jti], "maxEvents": 0})).await;
    scene.sink.release();
    scene.idp.transmitter.push.idle().await;
    assert_eq!(scene.history().await, [settled("poll", 1)]);
}

#[tokio::test]
async fn a_new_address_starts_with_a_closed_breaker() {
    let scene = Scene::start().await;
    let gone = json!({"method": "urn:ietf:rfc:8935", "endpoint_url": "http://127.0.0.1:1/push"});
    let created = scene.create(json!({"delivery": gone, "events_requested": uris(&["session-revoked"])})).await;
    scene.revoke("s1").await;
    scene.idp.drain().await;
    scene.revoke("s2").await;
    scene.idp.drain().await;
    assert_eq!(scene.sink.requests().len(), 0);
    scene.change(Method::PATCH, created.text("stream_id"), json!({"delivery": scene.to_the_sink()})).await;
    scene.idp.drain().await;
    assert_eq!(scene.sink.subjects(), ["s2"], "what was not tried yet goes at once");
}

// RFC 9110 §10.2.3: a date is a wish too; within bounds.
#[tokio::test]
async fn a_receiver_may_say_by_a_date_when_to_come_again() {
    let scene = Scene::start().await;
    scene.create(json!({"delivery": scene.to_the_sink(), "events_requested": uris(&["session-revoked"])})).await;
    let busy = |retry_after: &str| {
        Answer::status(503).with("date", "Sun, 06 Nov 1994 08:49:37 GMT").with("retry-after", retry_after)
    };
    scene.sink.next([
        busy("Sun, 06 Nov 1994 08:49:44 GMT"),
        busy("Tue, 06 Nov 2035 08:49:44 GMT"),
        busy("Sat, 05 Nov 1994 08:49:44 GMT"),
    ]);
    scene.revoke("s").await;
    scene.idp.drain().await;
    for waits_ms in [7_000, 10_000, 500] {
        scene.idp.advance(Duration::from_millis(waits_ms - 1));
        assert_eq!(scene.idp.push_once().await, 0, "{waits_ms}");
        scene.idp.advance(Duration::from_millis(1));
        assert_eq!(scene.idp.push_once().await, 1, "{waits_ms}");
    }
}

const OLD_PUSH: &str = "https://schemas.openid.net/secevent/risc/delivery-method/push";
const OLD_POLL: &str = "https://schemas.openid.net/secevent/risc/delivery-method/poll";

// Old RISC peers: their delivery URIs and `format`, answered in the same words.
#[tokio::test]
async fn a_legacy_receiver_is_answered_in_its_own_words() {
    let scene =
        Scene::with(NewClient { profile: Profile::Legacy, ..NewClient::receiver("rp", "https://rp.example") }).await;
    let delivery = json!({"method": OLD_PUSH, "endpoint_url": scene.sink.url});
    let body = json!({"aud": "https://rp.example", "delivery": delivery, "format": "iss_sub", "events_requested": uris(&["session-revoked"])});
    let created = scene.create(body).await;
    assert_eq!((created.status, &created.body["delivery"], created.text("format")), (201, &delivery, "iss_sub"));
    let stream = created.text("stream_id").to_owned();
    let described = scene.change(Method::PATCH, &stream, json!({"description": "d"})).await;
    assert_eq!((&described.body["delivery"], described.text("format")), (&delivery, "iss_sub"), "they stay");
    assert_eq!(scene.read(&stream).await.body, described.body);
    scene.revoke("s").await;
    scene.idp.drain().await;
    assert_eq!(scene.sink.subjects(), ["s"], "and mean the same");
    let polls = scene.change(Method::PUT, &stream, json!({"delivery": {"method": OLD_POLL}})).await;
    assert_eq!((polls.body["delivery"]["method"].as_str(), polls.body.get("format")), (Some(OLD_POLL), None));
    let sent_back = scene.change(Method::PATCH, &stream, polls.body.clone()).await;
    assert_eq!(sent_back.body, polls.body, "a whole configuration may be sent back");
    let modern = scene.change(Method::PATCH, &stream, json!({"delivery": {"method": "urn:ietf:rfc:8936"}})).await;
    assert_eq!(modern.body["delivery"]["method"], "urn:ietf:rfc:8936", "the last words count");
    let too_long = scene.change(Method::PATCH, &stream, json!({"format": "x".repeat(201)})).await;
    assert!(too_long.status == 400 && too_long.text("error_description").starts_with("format"));
}

#[tokio::test]
async fn a_strict_receiver_has_no_use_for_old_words() {
    let scene = Scene::start().await;
    let refused = scene.create(json!({"delivery": {"method": OLD_POLL}})).await;
    assert!(refused.status == 400 && refused.text("error_description").starts_with("delivery.method"));
    let created = scene.create(json!({"format": "iss_sub", "some_member": 1})).await;
    assert_eq!((created.status, created.body.get("format"), created.body.get("some_member")), (201, None, None));
}
