//! Stories about the subjects of a stream (SSF 1.0 §8.1.3): what is added is heard of, what is removed no longer, and which
//! event is about whom.

use std::time::Duration;

use serde_json::{Value, json};
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party, Reply, claims, opaque};
use ssf_transmitter::admin::NewClient;

/// A receiver with a poll stream, and who emits.
pub(crate) struct Scene {
    pub(crate) idp: Idp,
    pub(crate) rp: Party,
    pub(crate) producer: Party,
    pub(crate) stream: String,
}

impl Scene {
    pub(crate) async fn start(default: &str, overrides: &[(&str, &str)]) -> Self {
        let all = [&[("streams.default_subjects", default)], overrides].concat();
        let idp = Idp::start_with(&all).await;
        let (rp, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
        let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
        Self { idp, rp, producer, stream }
    }

    /// A stream without default subjects.
    async fn none() -> Self {
        Self::start("NONE", &[]).await
    }

    /// A stream with all subjects, from which a removal takes effect at once.
    async fn all() -> Self {
        Self::start("ALL", &[("streams.removal_grace", "0s")]).await
    }

    async fn call(&self, path: &str, subject: &Value) -> Reply {
        self.idp.post(path, &self.rp, &json!({"stream_id": self.stream, "subject": subject})).await
    }

    pub(crate) async fn add(&self, subject: &Value) {
        let reply = self.call("/ssf/subjects/add", subject).await;
        assert_eq!((reply.status, reply.body), (200, Value::Null), "{subject}");
    }

    pub(crate) async fn remove(&self, subject: &Value) {
        let reply = self.call("/ssf/subjects/remove", subject).await;
        assert_eq!((reply.status, reply.body), (204, Value::Null), "{subject}");
    }

    /// Whether an event about this subject is sent.
    pub(crate) async fn hears_of(&self, subject: &Value) -> bool {
        self.heard(std::slice::from_ref(subject)).await == [true]
    }

    /// Which of the events about these subjects are sent, in one batch.
    pub(crate) async fn heard(&self, subjects: &[Value]) -> Vec<bool> {
        let batch: Vec<Value> = subjects
            .iter()
            .enumerate()
            .map(|(at, subject)| json!({"type": "session-revoked", "subject": subject, "txn": at.to_string()}))
            .collect();
        let reply = self.idp.post("/events", &self.producer, &json!(batch)).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        self.idp.fan_out().await;
        let mut heard = vec![false; subjects.len()];
        loop {
            let sets = self.idp.poll(&self.rp, &self.stream, &json!({"maxEvents": 100})).await.body["sets"].clone();
            let sets = sets.as_object().unwrap();
            if sets.is_empty() {
                return heard;
            }
            for set in sets.values() {
                let claims = claims(set.as_str().unwrap());
                let at: usize = claims["txn"].as_str().unwrap().parse().unwrap();
                assert_eq!(claims["sub_id"]["format"], subjects[at]["format"]);
                heard[at] = true;
            }
            let ack: Vec<&String> = sets.keys().collect();
            self.idp.poll(&self.rp, &self.stream, &json!({"ack": ack, "maxEvents": 0})).await;
        }
    }
}

fn email(name: &str) -> Value {
    json!({"format": "email", "email": format!("{name}@example.com")})
}

fn complex(members: &[(&str, &Value)]) -> Value {
    let format = json!("complex");
    members.iter().copied().chain([("format", &format)]).map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

// SSF 1.0 §8.1.3.2: 200 with an empty body; §8.1.3.3: 204; both `no-store`
#[tokio::test]
async fn adding_is_200_and_removing_204_without_a_body_and_never_kept() {
    let scene = Scene::none().await;
    let metadata = scene.idp.send(http::Method::GET, "/.well-known/ssf-configuration", &[], "").await;
    assert_eq!(metadata.text("default_subjects"), "NONE");
    let [add, remove] = ["add_subject_endpoint", "remove_subject_endpoint"].map(|name| metadata.text(name).to_owned());
    let body = json!({"stream_id": scene.stream, "subject": email("jane"), "verified": true});
    for (path, status) in [(&add, 200), (&add, 200), (&remove, 204), (&remove, 204)] {
        let header = format!("Bearer {}", scene.rp.token);
        let reply = scene.idp.send(http::Method::POST, path, &[("authorization", &header)], body.to_string()).await;
        let length = reply.header("content-length");
        assert_eq!((reply.status, reply.header("cache-control")), (status, "no-store"));
        assert!(["", "0"].contains(&length) && reply.body.is_null());
    }
}

// SSF 1.0 §7.1: default_subjects NONE; §8.1.3.2
#[tokio::test]
async fn a_stream_without_default_subjects_hears_of_those_that_were_added_only() {
    let scene = Scene::none().await;
    assert!(!scene.hears_of(&email("jane")).await);
    scene.add(&email("jane")).await;
    assert_eq!(scene.heard(&[email("jane"), email("joe"), opaque("jane@example.com")]).await, [true, false, false]);
    assert!(scene.hears_of(&json!({"format": "email", "email": "jane@EXAMPLE.com"})).await, "identical after parsing");
    let status = "select count(*) from delivery_history where outcome = 'acknowledged'";
    assert_eq!(scene.idp.count(status).await, 2, "and nothing else was ever planned");
}

// the same for what an identity provider records in its own transaction
#[tokio::test]
async fn what_is_emitted_by_sql_obeys_the_list_too() {
    let scene = Scene::none().await;
    scene.add(&email("jane")).await;
    scene
        .idp
        .execute(r#"select ssf_emit('session-revoked', '{"email": "jane@example.com", "format": "email"}')"#)
        .await;
    scene.idp.execute(r#"select ssf_emit('session-revoked', '{"format": "email", "email": "joe@example.com"}')"#).await;
    scene.idp.fan_out().await;
    assert_eq!(scene.idp.count("select count(*) from delivery").await, 1);
    assert_eq!(scene.idp.count("select count(*) from event where streams = 0").await, 1);
}

// SSF 1.0 §7.1: default_subjects ALL; §8.1.3.3
#[tokio::test]
async fn a_stream_with_all_subjects_hears_of_all_but_those_that_were_removed() {
    let scene = Scene::all().await;
    assert!(scene.hears_of(&email("jane")).await);
    scene.remove(&email("jane")).await;
    assert_eq!(scene.heard(&[email("jane"), email("joe")]).await, [false, true]);
    scene.add(&email("jane")).await;
    assert!(scene.hears_of(&email("jane")).await, "adding takes effect at once");
    assert_eq!(
        scene.idp.count("select subjects_excluded::bigint from stream").await,
        0,
        "and it is not filtered any more"
    );
}

// SSF 1.0 §7.1: the default is what a stream was created with
#[tokio::test]
async fn another_default_of_the_issuer_changes_no_stream_that_is_there() {
    let scene = Scene::start("ALL", &[]).await;
    scene.idp.execute("update issuer set default_subjects = 'NONE'").await;
    let twin = scene.idp.twin().await;
    let other = twin.add_receiver("other").await;
    let theirs = twin.poll_stream(&other, &["session-revoked"]).await;
    assert!(scene.hears_of(&email("jane")).await);
    assert_eq!(scene.idp.poll(&other, &theirs, &json!({})).await.body, json!({"sets": {}}));
}

// SSF 1.0 §3, RFC 9493 §3.2: every format, and proprietary ones as they are
#[tokio::test]
async fn a_subject_of_any_format_can_be_added_and_is_then_heard_of() {
    let scene = Scene::none().await;
    let iss = "https://idp.example/";
    let simple = [
        json!({"format": "account", "uri": "acct:jane@example.com"}),
        email("jane"),
        json!({"format": "iss_sub", "iss": iss, "sub": "145234573"}),
        opaque("11112222333344445555"),
        json!({"format": "phone_number", "phone_number": "+1 206 555 0100"}),
        json!({"format": "did", "url": "did:example:123456/did/url/path?versionId=1"}),
        json!({"format": "uri", "uri": "urn:uuid:4e851e98-83c4-4743-a5da-150ecb53042f"}),
        json!({"format": "aliases", "identifiers": [email("joe"), opaque("joe")]}),
        json!({"format": "jwt_id", "iss": iss, "jti": "B70BA622"}),
        json!({"format": "saml_assertion_id", "issuer": iss, "assertion_id": "_8e8dc5f6"}),
        json!({"format": "ip-addresses", "ip-addresses": ["10.29.37.75", "2001:0db8:0:0:0:8a2e:0370:7334"]}),
        json!({"format": "catalog_item", "catalog_id": "c0384/winter/2354122", "more": {"of": [1, null]}}),
    ];
    let names = ["user", "device", "session", "application", "tenant", "org_unit", "group", "workload"];
    let of_one = names.map(|name| complex(&[(name, &opaque(&format!("the {name}")))]));
    let ids = names.map(|name| opaque(&format!("a whole {name}")));
    let whole = complex(&names.iter().copied().zip(&ids).collect::<Vec<_>>());
    let alike = json!({"format": "phone_number", "phone_number": "+12065550100"});
    let subjects = [&simple[..], &of_one, &[whole]].concat();
    // one by one: complex subjects without a common member match each other
    for subject in &subjects {
        assert!(!scene.hears_of(subject).await, "{subject}");
        scene.add(subject).await;
        assert!(scene.hears_of(subject).await, "{subject}");
        if subject["format"] == "complex" {
            scene.remove(subject).await;
            scene.idp.advance(Duration::from_hours(24 * 7));
        }
    }
    assert!(scene.hears_of(&alike).await, "separators do not count");
}

// SSF 1.0 §8.1.3.1: complex subjects agree in what both have; a member that one lacks is a wildcard
#[tokio::test]
async fn complex_subjects_match_if_they_agree_in_what_both_have() {
    let scene = Scene::none().await;
    let (jane, joe, phone) = (email("jane"), email("joe"), opaque("phone"));
    scene.add(&complex(&[("user", &jane), ("device", &phone)])).await;
    let cases = [
        (complex(&[("user", &jane), ("device", &phone)]), true),
        (complex(&[("user", &jane)]), true),
        (complex(&[("user", &jane), ("session", &opaque("s"))]), true),
        (complex(&[("user", &jane), ("device", &opaque("laptop"))]), false),
        (complex(&[("user", &joe)]), false),
        (complex(&[("user", &joe), ("device", &phone)]), false),
        // nothing in common: every member is a wildcard
        (complex(&[("tenant", &opaque("t"))]), true),
        // the same values under other names
        (complex(&[("user", &phone), ("device", &jane)]), false),
    ];
    let heard = scene.heard(&cases.iter().map(|(event, _)| event.clone()).collect::<Vec<_>>()).await;
    for ((event, expected), heard) in cases.iter().zip(heard) {
        assert_eq!(heard, *expected, "{event}");
    }
}

// SSF 1.0 §8.1.3.1 is silent about a simple subject and a complex one: no revocation is missed
#[tokio::test]
async fn whoever_added_the_plain_user_hears_of_the_users_sessions_and_the_other_way_round() {
    let scene = Scene::none().await;
    let session = complex(&[("user", &email("jane")), ("session", &opaque("s"))]);
    scene.add(&email("jane")).await;
    let strangers = complex(&[("user", &email("joe")), ("session", &opaque("s"))]);
    assert_eq!(scene.heard(&[session.clone(), strangers]).await, [true, false]);
    let other = Scene::none().await;
    other.add(&session).await;
    assert_eq!(other.heard(&[email("jane"), opaque("s"), email("joe")]).await, [true, true, false]);
}

// RFC 9493 §3.2.8: aliases are several identifiers of one subject
#[tokio::test]
async fn aliases_are_heard_of_by_each_of_their_identifiers() {
    let scene = Scene::none().await;
    let aliases = |names: [&str; 2]| json!({"format": "aliases", "identifiers": names.map(email).to_vec()});
    scene.add(&email("jane")).await;
    assert_eq!(scene.heard(&[aliases(["jane", "j"]), aliases(["joe", "j"])]).await, [true, false]);
    scene.add(&aliases(["joe", "jo"])).await;
    let of_joe = complex(&[("user", &email("jo")), ("session", &opaque("s"))]);
    let events = [email("joe"), email("jo"), email("j"), aliases(["jo", "x"]), of_joe];
    assert_eq!(scene.heard(&events).await, [true, true, false, true, true]);
}

// SSF 1.0 §8.1.3.3, §9.3: a removal hides what lies inside it for certain, nothing else
#[tokio::test]
async fn a_removal_hides_only_what_was_removed_for_certain() {
    let scene = Scene::all().await;
    let (jane, phone) = (email("jane"), opaque("phone"));
    let on_phone = complex(&[("user", &jane), ("device", &phone)]);
    scene.remove(&on_phone).await;
    scene.remove(&email("joe")).await;
    let events = [
        on_phone.clone(),
        complex(&[("user", &jane), ("device", &phone), ("session", &opaque("s"))]),
        complex(&[("user", &jane)]),
        complex(&[("device", &phone)]),
        complex(&[("session", &opaque("s"))]),
        jane.clone(),
        email("joe"),
        complex(&[("user", &email("joe")), ("session", &opaque("s"))]),
    ];
    assert_eq!(scene.heard(&events).await, [false, false, true, true, true, true, false, true]);
    scene.add(&complex(&[("user", &jane), ("device", &phone), ("session", &opaque("s"))])).await;
    assert!(scene.hears_of(&events[1]).await, "what was added outweighs what was removed");
}

// SSF 1.0 §9.3: malicious removal
#[tokio::test]
async fn a_removal_takes_effect_after_the_grace_and_adding_again_cancels_it() {
    for default in ["ALL", "NONE"] {
        let scene = Scene::start(default, &[]).await;
        scene.add(&email("jane")).await;
        scene.remove(&email("jane")).await;
        scene.idp.advance(Duration::from_hours(24 * 7) - Duration::from_secs(1));
        scene.remove(&email("jane")).await;
        assert!(scene.hears_of(&email("jane")).await, "{default}: the grace is not over");
        scene.idp.advance(Duration::from_secs(1));
        assert!(!scene.hears_of(&email("jane")).await, "{default}: a repeated removal does not prolong it");
        for tidy in [false, true] {
            if tidy {
                scene.idp.transmitter.maintenance.tick().await.unwrap();
            }
            assert!(!scene.hears_of(&email("jane")).await);
            scene.add(&email("jane")).await;
            assert!(scene.hears_of(&email("jane")).await, "{default}: at once");
            scene.remove(&email("jane")).await;
            scene.add(&email("jane")).await;
            scene.idp.advance(Duration::from_hours(24 * 8));
            assert!(scene.hears_of(&email("jane")).await, "{default}: it was cancelled");
            scene.remove(&email("jane")).await;
            scene.idp.advance(Duration::from_hours(24 * 7));
        }
    }
}

// SSF 1.0 §8.1.4.1, §8.1.5: the subject of the stream itself is always included
#[tokio::test]
async fn the_subject_of_the_stream_itself_is_always_included_and_cannot_be_removed() {
    for default in ["ALL", "NONE"] {
        let scene = Scene::start(default, &[("streams.removal_grace", "0s")]).await;
        let own = opaque(&scene.stream);
        scene.add(&own).await;
        let refused = scene.call("/ssf/subjects/remove", &own).await;
        assert_eq!((refused.status, refused.text("error")), (403, "forbidden"));
        let asked = scene.idp.post("/ssf/verify", &scene.rp, &json!({"stream_id": scene.stream, "state": "x"})).await;
        assert_eq!(asked.status, 204);
        scene.idp.fan_out().await;
        let sets = scene.idp.poll(&scene.rp, &scene.stream, &json!({})).await.body["sets"].clone();
        let [set] = sets.as_object().unwrap().values().collect::<Vec<_>>()[..] else { panic!("{sets}") };
        assert_eq!(claims(set.as_str().unwrap())["sub_id"], own);
    }
}

// SSF 1.0 §8.1.3: two streams of different receivers, one event
#[tokio::test]
async fn every_stream_has_a_list_of_its_own() {
    let scene = Scene::none().await;
    let other = scene
        .idp
        .add_client(NewClient { max_streams: 2, with_token: true, ..NewClient::receiver("two", "https://two.example") })
        .await;
    let theirs = [
        scene.idp.poll_stream(&other, &["session-revoked"]).await,
        scene.idp.poll_stream(&other, &["session-revoked"]).await,
    ];
    scene.add(&email("jane")).await;
    let body = json!({"stream_id": theirs[1], "subject": complex(&[("user", &email("jane"))])});
    assert_eq!(scene.idp.post("/ssf/subjects/add", &other, &body).await.status, 200);
    let event = scene.idp.emit(&scene.producer, &json!({"type": "session-revoked", "subject": email("jane")})).await;
    scene.idp.fan_out().await;
    let waits = |of: &'static str| scene.idp.count(of);
    assert_eq!(waits("select count(*) from delivery").await, 2);
    assert_eq!(scene.idp.progress(&scene.producer, &event).await["streams"], 2);
    let polled = scene.idp.poll(&other, &theirs[0], &json!({})).await;
    assert_eq!(polled.body, json!({"sets": {}}), "the same receiver's other stream");
}

// two processes on one database
#[tokio::test]
async fn what_one_process_is_told_the_other_obeys() {
    let scene = Scene::none().await;
    let twin = scene.idp.twin().await;
    let body = json!({"stream_id": scene.stream, "subject": email("jane")});
    assert_eq!(twin.post("/ssf/subjects/add", &scene.rp, &body).await.status, 200);
    assert_eq!(scene.heard(&[email("jane"), email("joe")]).await, [true, false]);
    scene.add(&email("joe")).await;
    twin.emit(&scene.producer, &json!({"type": "session-revoked", "subject": email("joe")})).await;
    twin.emit(&scene.producer, &json!({"type": "session-revoked", "subject": email("jill")})).await;
    twin.fan_out().await;
    assert_eq!(scene.idp.count("select count(*) from delivery").await, 1);
    // the first subject of an issuer, at both at once
    let racing = Scene::none().await;
    let twin = racing.idp.twin().await;
    let of = |name: &str| json!({"stream_id": racing.stream, "subject": email(name)});
    let (jane, joe) = (of("jane"), of("joe"));
    let (one, two) = tokio::join!(
        racing.idp.post("/ssf/subjects/add", &racing.rp, &jane),
        twin.post("/ssf/subjects/add", &racing.rp, &joe)
    );
    assert_eq!((one.status, two.status), (200, 200));
    assert_eq!(racing.heard(&[email("jane"), email("joe")]).await, [true, true], "with one secret");
}
