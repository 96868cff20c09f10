//! Stories about the audit log: what is done to streams and issuers, by whomever, is found in it.

use http::Method;
use serde_json::{Value, json};
use ssf_common::jwks::Algorithm;
use ssf_harness::idp::{Idp, Party, uris};

use crate::operator::{Operator, jwk};

async fn entries(idp: &Idp, operator: &Party, of: &str) -> Vec<Value> {
    let log = idp.get("/admin/v1/audit?limit=1000", operator).await;
    let entries = log.body["items"].as_array().unwrap().iter();
    entries.filter(|entry| entry["action"].as_str().unwrap().starts_with(of)).cloned().collect()
}

#[tokio::test]
async fn what_a_receiver_does_to_its_stream_is_written_down_without_what_is_secret() {
    let idp = Idp::start().await;
    let (operator, rp) = (idp.add_operator().await, idp.add_receiver("rp").await);
    let at = |host: &str| {
        json!({"method": "urn:ietf:rfc:8935", "endpoint_url": format!("https://{host}/push?key=s3cret"),
               "authorization_header": "Bearer s3cret"})
    };
    let stream =
        idp.post("/ssf/streams", &rp, &json!({"delivery": at("rp.example")})).await.text("stream_id").to_owned();
    let moved = json!({"stream_id": stream, "delivery": at("thief.example")});
    assert_eq!(idp.call(Method::PATCH, "/ssf/streams", &rp.token, Some(&moved)).await.status, 200);
    let replaced =
        json!({"stream_id": stream, "events_requested": uris(&["session-revoked"]), "delivery": at("thief.example")});
    assert_eq!(idp.call(Method::PUT, "/ssf/streams", &rp.token, Some(&replaced)).await.status, 200);
    let status = json!({"stream_id": stream, "status": "disabled"});
    assert_eq!(idp.post("/ssf/status", &rp, &status).await.status, 200);
    let delete = format!("/ssf/streams?stream_id={stream}");
    assert_eq!(idp.call(Method::DELETE, &delete, &rp.token, None).await.status, 204);

    let log = entries(&idp, &operator, "stream.").await;
    let seen: Vec<(&str, &str, &str)> = log
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap();
            (text("action"), text("actor"), text("target"))
        })
        .collect();
    let by_rp = |action| (action, "client:rp", stream.as_str());
    let (changed, set) = ("stream.changed", "stream.status_set");
    assert_eq!(seen, ["stream.created", changed, changed, set, "stream.deleted"].map(by_rp));
    let details = |place: usize| &log[place]["details"];
    assert_eq!(
        (&details(0)["endpoint_host"], &details(1)["endpoint_host"]),
        (&json!("rp.example"), &json!("thief.example"))
    );
    assert_eq!((&details(1)["endpoint"], &details(1)["events"]), (&json!(true), &json!(false)));
    assert_eq!((&details(2)["endpoint"], &details(2)["events"]), (&json!(false), &json!(true)));
    assert_eq!((&details(3)["from"], &details(3)["to"]), (&json!("enabled"), &json!("disabled")));
    assert!(!json!(log).to_string().contains("s3cret"));
    let verdict = idp.get("/admin/v1/audit/verify", &operator).await;
    assert_eq!(verdict.body["intact"], true);
}

#[tokio::test]
async fn an_issuer_that_is_made_by_the_first_start_begins_its_log_with_that() {
    let idp = Idp::start().await;
    let operator = idp.add_operator().await;
    let log = entries(&idp, &operator, "issuer.").await;
    assert_eq!((log.len(), &log[0]["actor"], &log[0]["details"]["url"]), (1, &json!("service"), &json!(idp.issuer)));
    idp.twin().await;
    assert_eq!(entries(&idp, &operator, "issuer.").await.len(), 1, "a further start adds nothing");
}

#[tokio::test]
async fn a_changed_issuer_and_an_imported_key_are_written_down_with_who_did_it() {
    let operator = Operator::start().await;
    let (idp, issuer) = (&operator.idp, operator.idp.transmitter.issuer.id);
    let asks = idp.add_operator().await;
    let change = json!({"max_streams": 3, "default_subjects": "NONE"});
    let path = format!("/admin/v1/issuers/{issuer}");
    assert_eq!(idp.call(Method::PATCH, &path, &asks.token, Some(&change)).await.status, 200);
    let key = jwk(Algorithm::EdDsa, "of-our-own");
    operator.keys().import(&key.to_string().into(), None, false).await.unwrap();

    let log = entries(idp, &asks, "").await;
    let of = |action: &str| {
        let found: Vec<&Value> = log.iter().filter(|entry| entry["action"] == action).collect();
        assert_eq!(found.len(), 1, "{action}");
        found[0]
    };
    let updated = of("issuer.updated");
    assert_eq!((&updated["actor"], &updated["target"]), (&json!("operator:operator"), &json!(issuer)));
    assert!(updated["details"].to_string().contains("max_streams"), "{updated}");
    let imported = of("key.imported");
    assert_eq!((&imported["actor"], &imported["target"]), (&json!("cli:ops"), &json!("of-our-own")));
    assert_eq!(imported["details"]["algorithm"], "EdDSA");
    let private = key["d"].as_str().unwrap();
    assert!(!json!(log).to_string().contains(private), "and nothing of the key itself");
    assert_eq!(idp.get("/admin/v1/audit/verify", &asks).await.body["intact"], true);
}
