//! Forgetting a subject: nothing is kept that leads to it, and nothing is good again because of it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{complex, mail, number, opaque, rules, tell};
use crate::rp::{ISSUER, Rp, START};

async fn forget(rp: &Rp, subject: &Value, blocks: bool) -> Value {
    let body = json!({"issuer": ISSUER, "subject": subject, "blocks": blocks});
    let (status, answer) = rp.call(Method::POST, "/admin/forget", Some(&body)).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn sessions_facts_and_withheld_decisions_go_and_cut_offs_stay() {
    let rp = Rp::start().await;
    let (alice, bob) = (mail("alice@example.com"), mail("bob@example.com"));
    rp.register("alice", json!({"subject": [alice, opaque("a")], "device": "d", "tenant": "t"})).await;
    rp.register("ended", json!({"subject": alice})).await;
    rp.call(Method::DELETE, "/v1/sessions/ended", None).await;
    rp.register("bob", json!({"subject": bob, "device": "d2", "tenant": "t"})).await;
    let with_device = json!({"format": "complex", "user": alice, "device": opaque("d")});
    let risk = json!({"principal": "USER", "current_level": "LOW"});
    for subject in [&alice, &bob, &with_device, &complex(&[("device", "d2")])] {
        rp.tell("risk-level-change", subject, &risk).await;
    }
    rp.tell("session-revoked", &alice, &json!({"event_timestamp": START - 10})).await;
    let none = rules(&json!({"authority": {"formats": ["opaque"]}}));
    tell(&rp, &none, "session-revoked", &alice, &json!({})).await;
    tell(&rp, &none, "session-revoked", &bob, &json!({})).await;
    assert_eq!(rp.state("alice").await, "revoked");

    let done = forget(&rp, &alice, false).await;
    let figures = json!({"sessions": 2, "facts": 2, "withheld": 1, "unlinked": 1, "cutoffs": 0, "cutoffs_kept": 1});
    assert_eq!(done, figures);
    let (_, answer) = rp.call(Method::GET, "/v1/sessions/alice", None).await;
    assert_eq!((&answer["state"], &answer["reason"]), (&json!("unknown"), &json!("not_registered")));
    assert_eq!(rp.state("bob").await, "active");
    assert_eq!(number(&rp, "select count(*) from fact").await, 2);
    assert_eq!(number(&rp, "select count(*) from enforcement").await, 1, "the evidence stays");
    assert_eq!(number(&rp, "select count(*) from withheld").await, 1);
    rp.register("again", json!({"subject": alice})).await;
    assert_eq!(rp.state("again").await, "revoked", "a token of before is not good again");
    assert_eq!(forget(&rp, &alice, false).await["sessions"], 1);

    let (_, audit) = rp.call(Method::GET, "/admin/audit", None).await;
    let entry = &audit["entries"][0];
    assert_eq!(
        (&entry["action"], &entry["target"], &entry["details"]["done"]),
        (&json!("subject.forget"), &Value::Null, &figures)
    );
    assert!(!audit.to_string().contains("alice"), "{audit}");
}

#[tokio::test]
async fn a_block_stays_until_it_is_as_old_as_any_lineage_and_the_operator_asks() {
    let rp = Rp::start().await;
    rp.tell("account-purged", &opaque("u"), &json!({"event_timestamp": START - 10})).await;
    assert_eq!(forget(&rp, &opaque("u"), true).await["cutoffs"], 0, "it could still matter");
    rp.clock.advance(Duration::from_hours(90 * 24 + 1));
    assert_eq!(forget(&rp, &opaque("u"), false).await["cutoffs_kept"], 1);
    let done = forget(&rp, &opaque("u"), true).await;
    assert_eq!((&done["cutoffs"], &done["cutoffs_kept"]), (&json!(1), &json!(0)));
    rp.look().await;
    assert!(rp.replica.memory().facts().cutoffs.is_empty());
    let old = json!({"issuer": ISSUER, "subject": opaque("u"), "origin": START - 100});
    rp.tell("session-presented", &opaque("x"), &json!({})).await;
    rp.look().await;
    let (_, answer) = rp.call(Method::POST, "/v1/check", Some(&old)).await;
    assert_eq!((&answer["state"], &answer["reason"]), (&json!("revoked"), &json!("too_old")), "{answer}");
}

#[tokio::test]
async fn who_is_to_be_forgotten_must_be_one_and_of_a_known_issuer() {
    let rp = Rp::start().await;
    for (issuer, subject, named) in [
        (ISSUER, json!("alice"), "subject:"),
        (ISSUER, complex(&[("user", "u"), ("device", "d")]), "subject:"),
        ("https://other.example", opaque("u"), "issuer:"),
    ] {
        let body = json!({"issuer": issuer, "subject": subject});
        let (status, answer) = rp.call(Method::POST, "/admin/forget", Some(&body)).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["error_description"].as_str().unwrap().starts_with(named), "{answer}");
    }
    assert_eq!(number(&rp, "select count(*) from audit").await, 0);
}
