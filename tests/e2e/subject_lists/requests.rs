//! Who may change the list of a stream, and what is refused of what is sent for it.

use base64::Engine as _;
use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};
use ssf_common::protocol::DefaultSubjects;
use ssf_common::random::SystemRandom;
use ssf_common::runtime::Env;
use ssf_harness::idp::{Party, opaque};
use ssf_transmitter::admin;
use ssf_transmitter::audit::Actor;

use super::ENDPOINTS;
use crate::subjects::Scene;

// SSF 1.0 §8.1.3.2, §8.1.3.3: 400 for what is not a request, with the member named and nothing quoted
#[tokio::test]
async fn what_is_no_subject_is_refused_by_the_member_that_is_wrong() {
    let scene = Scene::start("NONE", &[]).await;
    let of = |subject: Value| json!({"stream_id": scene.stream, "subject": subject}).to_string();
    let many: Vec<Value> = (0..32).map(|n| opaque(&n.to_string())).collect();
    let aliases = json!({"format": "aliases", "identifiers": many});
    let cases = [
        (String::new(), "the body must be a JSON object"),
        ("[]".into(), "the body must be a JSON object"),
        ("{".into(), "the body is not JSON"),
        (json!({"subject": opaque("x")}).to_string(), "`stream_id`"),
        (json!({"stream_id": scene.stream}).to_string(), "`subject`"),
        (of(json!("secret-name")), "`subject` is not valid"),
        (of(json!({"format": "email", "email": "secret-name"})), "subject member email"),
        (
            of(json!({"format": "complex", "user": {"format": "iss_sub", "iss": "secret-name"}})),
            "subject member user.sub",
        ),
        (of(json!({"format": "complex"})), "subject member sub_id: is empty"),
        (of(json!({"format": "opaque", "id": "secret-name\u{0}"})), "subject member id"),
        (of(json!({"format": "complex", "user": aliases, "device": aliases})), "more than 300 combinations"),
    ];
    for (body, says) in cases {
        for path in ENDPOINTS {
            let header = format!("Bearer {}", scene.rp.token);
            let reply = scene.idp.send(Method::POST, path, &[("authorization", &header)], body.clone()).await;
            assert_eq!((reply.status, reply.header("cache-control")), (400, "no-store"), "{path} {body}");
            let said = reply.text("error_description");
            assert!(said.contains(says) && !said.contains("secret-name"), "{body}: {said}");
        }
    }
    let unsure = json!({"stream_id": scene.stream, "subject": opaque("x"), "verified": "yes"});
    assert_eq!(scene.idp.post(ENDPOINTS[0], &scene.rp, &unsure).await.status, 400);
    assert_eq!(scene.idp.count("select count(*) from stream_subject").await, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1))]
    #[test]
    fn any_json_for_a_subject_is_taken_or_refused(bodies in prop::collection::vec(any_json(), 60)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let scene = Scene::start("ALL", &[]).await;
            let (mut taken, mut refused) = (0, 0);
            for body in bodies.into_iter().chain([opaque("x")]) {
                let whole = json!({"stream_id": scene.stream, "subject": body, "verified": body});
                let unverified = json!({"stream_id": scene.stream, "subject": body});
                for (path, body) in ENDPOINTS.iter().flat_map(|path| [(path, &whole), (path, &unverified), (path, &body)]) {
                    let reply = scene.idp.post(path, &scene.rp, body).await;
                    if matches!(reply.status, 200 | 204) {
                        taken += 1;
                    } else {
                        assert_eq!(reply.status, 400, "{path} {body}");
                        assert!(reply.text("error_description").len() > 5, "{path} {body}: {}", reply.body);
                        refused += 1;
                    }
                }
            }
            assert!(taken >= 2 && refused > 100, "{taken} taken, {refused} refused");
        });
    }
}

// SSF 1.0 §8.1.3.2, §8.1.3.3: 401, 403, 404
#[tokio::test]
async fn only_the_streams_own_receiver_may_change_its_list_and_others_learn_nothing() {
    let scene = Scene::start("NONE", &[]).await;
    let idp = &scene.idp;
    let other = idp.add_receiver("other").await;
    let reader = {
        let pair = base64::prelude::BASE64_STANDARD.encode(format!("rp:{}", scene.rp.secret));
        let basic = format!("Basic {pair}");
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", basic.as_str())];
        let form = "grant_type=client_credentials&scope=ssf.read";
        let granted = idp.send(Method::POST, "/oauth2/token", &headers, form).await;
        Party { token: granted.text("access_token").to_owned(), ..scene.rp.clone() }
    };
    let body = json!({"stream_id": scene.stream, "subject": opaque("x")});
    let unknown = json!({"stream_id": "018f0000-0000-4000-8000-000000000000", "subject": opaque("x")});
    for path in ENDPOINTS {
        let nobody = Party { token: "wrong".into(), ..other.clone() };
        assert_eq!(idp.post(path, &nobody, &json!("garbage")).await.status, 401);
        let refused = idp.post(path, &reader, &body).await;
        assert_eq!((refused.status, refused.text("error")), (403, "insufficient_scope"));
        assert_eq!(idp.post(path, &scene.producer, &body).await.status, 403);
        let (theirs, none) = (idp.post(path, &other, &body).await, idp.post(path, &other, &unknown).await);
        assert_eq!((theirs.status, &theirs.body), (404, &none.body));
        assert_eq!(idp.get(path, &scene.rp).await.status, 405);
    }
    assert_eq!(idp.count("select count(*) from stream_subject").await, 0);
    assert_eq!(idp.count("select count(*) from audit where action like 'subject.%'").await, 0);
}

// every row belongs to one issuer
#[tokio::test]
async fn another_issuers_credential_reaches_no_list_and_its_subjects_are_other_keys() {
    let scene = Scene::start("NONE", &[]).await;
    let idp = &scene.idp;
    let env = Env { clock: idp.clock.clone(), random: std::sync::Arc::new(SystemRandom) };
    let sealing = ssf_transmitter::keys::SealingKey::parse(&ssf_harness::idp::SEALING_KEY.into()).unwrap();
    let url = format!("{}/two", idp.issuer).as_str().into();
    let algorithm = ssf_common::jwks::Algorithm::Es256;
    let actor = ssf_transmitter::audit::Actor::Service;
    let own =
        ssf_transmitter::issuer::OwnDefaults { default_subjects: Some(DefaultSubjects::None), ..Default::default() };
    let two = admin::add_issuer(&idp.pool, &url, &own, algorithm, &sealing, &actor, &env).await.unwrap();
    let new = admin::NewClient { with_token: true, ..admin::NewClient::receiver("rp", "https://rp.example") };
    let token = admin::add_client(&idp.pool, &two, &new, &Actor::Service, &env).await.unwrap().unwrap().token.unwrap();
    let theirs = Party { token: secrecy::ExposeSecret::expose_secret(&token).to_owned(), ..scene.rp.clone() };
    let twin = idp.twin().await;
    let ours = json!({"stream_id": scene.stream, "subject": opaque("x")});
    for path in ENDPOINTS {
        assert_eq!(twin.post(path, &theirs, &ours).await.status, 401);
        assert_eq!(twin.post(&format!("/two{path}"), &theirs, &ours).await.status, 404);
    }
    let made = twin
        .post("/two/ssf/streams", &theirs, &json!({"events_requested": ssf_harness::idp::uris(&["session-revoked"])}))
        .await;
    let body = json!({"stream_id": made.text("stream_id"), "subject": opaque("x")});
    assert_eq!(twin.post("/two/ssf/subjects/add", &theirs, &body).await.status, 200);
    assert!(!scene.hears_of(&opaque("x")).await, "what the other issuer's receiver added");
    scene.add(&opaque("x")).await;
    assert!(scene.hears_of(&opaque("x")).await);
    assert_eq!(idp.count("select count(distinct digest) from stream_subject").await, 2);
    assert_eq!(idp.count("select count(*) from delivery_history h join stream s on s.id = h.stream_id where s.issuer_id <> h.issuer_id").await, 0);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "complex|aliases|email|a@b|\u{0}|[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let names = "format|identifiers|email|uri|iss|sub|user|[a-c]{1,2}";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names, inner.clone(), 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
            ("opaque|x-[ab]|complex|aliases", prop::collection::btree_map(names, inner, 0..3)).prop_map(
                |(format, members)| {
                    Value::Object(members.into_iter().chain([("format".to_owned(), json!(format))]).collect())
                }
            ),
        ]
    })
}
