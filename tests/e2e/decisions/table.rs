//! The policy: every row of the defaults on a living session, and whose table counts before whose.

use reqwest::Method;
use serde_json::{Value, json};
use ssf_harness::idp::Idp;
use ssf_receiver::config::Rules;

use super::{complex, mail, number, opaque, rules, tell};
use crate::rp::{Rp, START};
use crate::upstreams::pair;

/// Registers a session of this user, hands the event in, and says what became of the session.
async fn after(rp: &Rp, rules: &Rules, subject: &Value, event: &str, payload: &Value) -> String {
    let sid = format!("s-{}", number(rp, "select count(*) from session").await);
    rp.register(&sid, json!({"subject": subject})).await;
    tell(rp, rules, event, subject, payload).await;
    rp.state(&sid).await
}

#[tokio::test]
async fn every_row_of_the_defaults_does_to_a_session_what_it_says() {
    let rp = Rp::start().await;
    let credential = |change: &str| json!({"credential_type": "password", "change_type": change});
    let assurance =
        |direction: &str| json!({"namespace": "NIST-AAL", "current_level": "nist-aal1", "change_direction": direction});
    let risk = |level: &str| json!({"principal": "USER", "current_level": level});
    let device = |now: &str, before: &str| json!({"current_status": now, "previous_status": before});
    let unstated = json!({"namespace": "NIST-AAL", "current_level": "nist-aal1"});
    let table = [
        ("session-revoked", json!({}), "revoked"),
        ("sessions-revoked", json!({}), "revoked"),
        ("credential-compromise", json!({"credential_type": "password"}), "revoked"),
        ("identifier-recycled", json!({}), "revoked"),
        ("account-disabled", json!({}), "revoked"),
        ("account-purged", json!({}), "revoked"),
        ("account-enabled", json!({}), "active"),
        ("revalidate", json!({"event_timestamp": START}), "revalidate_required"),
        ("token-claims-change", json!({"claims": {"role": "guest"}}), "revalidate_required"),
        ("account-credential-change-required", json!({}), "revalidate_required"),
        ("credential-change", credential("revoke"), "revalidate_required"),
        ("credential-change", credential("update"), "revalidate_required"),
        ("credential-change", credential("delete"), "revalidate_required"),
        ("credential-change", credential("create"), "active"),
        ("assurance-level-change", assurance("decrease"), "revalidate_required"),
        ("assurance-level-change", assurance("increase"), "active"),
        ("assurance-level-change", unstated, "revalidate_required"),
        ("risk-level-change", risk("HIGH"), "revalidate_required"),
        ("risk-level-change", risk("MEDIUM"), "active"),
        ("risk-level-change", risk("LOW"), "active"),
        ("device-compliance-change", device("not-compliant", "compliant"), "revalidate_required"),
        ("device-compliance-change", device("compliant", "not-compliant"), "active"),
        ("identifier-changed", json!({"new-value": "b@example.com"}), "active"),
        ("recovery-activated", json!({}), "active"),
        ("recovery-information-changed", json!({}), "active"),
        ("opt-in", json!({}), "active"),
        ("opt-out-initiated", json!({}), "active"),
        ("opt-out-cancelled", json!({}), "active"),
        ("opt-out-effective", json!({}), "active"),
        ("session-established", json!({}), "active"),
        ("session-presented", json!({}), "active"),
        ("urn:example:nobody-knows", json!({}), "active"),
    ];
    for (row, (event, payload, state)) in table.iter().enumerate() {
        let subject = mail(&format!("user-{row}@example.com"));
        assert_eq!(after(&rp, &Rules::default(), &subject, event, payload).await, *state, "{event} {payload}");
    }
}

#[tokio::test]
async fn an_account_that_is_enabled_again_is_let_in_and_its_old_sessions_are_not() {
    let rp = Rp::start().await;
    let user = mail("a@example.com");
    rp.register("old", json!({"subject": user})).await;
    rp.tell("account-disabled", &user, &json!({"event_timestamp": START - 50})).await;
    rp.register("new", json!({"subject": user, "origin": START - 10})).await;
    assert_eq!((rp.state("old").await, rp.state("new").await), ("revoked".to_owned(), "revoked".to_owned()));
    rp.tell("account-enabled", &user, &json!({"event_timestamp": START - 20})).await;
    assert_eq!((rp.state("old").await, rp.state("new").await), ("revoked".to_owned(), "active".to_owned()));
}

#[tokio::test]
async fn a_presented_session_never_satisfies_a_call_to_revalidate() {
    let rp = Rp::start().await;
    let user = mail("a@example.com");
    rp.register("s", json!({"subject": user})).await;
    rp.tell("revalidate", &user, &json!({"event_timestamp": START - 5})).await;
    rp.tell("session-established", &user, &json!({"event_timestamp": START})).await;
    rp.tell("session-presented", &user, &json!({"event_timestamp": START})).await;
    assert_eq!(rp.state("s").await, "revalidate_required");
}

#[tokio::test]
async fn the_table_of_a_tenant_counts_before_that_of_the_upstream_and_that_before_the_defaults() {
    let rp = Rp::start().await;
    let ours = rules(&json!({
        "policy": {"risk-level-change.HIGH": "revoke", "credential-change": "ignore", "urn:example:fired": "revoke"},
        "tenants": {"acme": {"policy": {"risk-level-change.HIGH": "fact"}}},
    }));
    let risk = json!({"principal": "USER", "current_level": "HIGH"});
    let user = |name: &str, tenant: &str| complex(&[("user", name), ("tenant", tenant)]);
    assert_eq!(after(&rp, &ours, &user("a", "acme"), "risk-level-change", &risk).await, "active");
    assert_eq!(after(&rp, &ours, &user("b", "other"), "risk-level-change", &risk).await, "revoked");
    assert_eq!(after(&rp, &ours, &opaque("c"), "risk-level-change", &risk).await, "revoked");
    let deleted = json!({"credential_type": "pin", "change_type": "delete"});
    assert_eq!(after(&rp, &ours, &opaque("d"), "credential-change", &deleted).await, "active");
    assert_eq!(number(&rp, "select count(*) from received_set where effect = 'ignored'").await, 1);
    assert_eq!(number(&rp, "select count(*) from fact where kind = 'credential'").await, 0, "ignored is not kept");
    assert_eq!(after(&rp, &ours, &opaque("e"), "urn:example:fired", &json!({})).await, "revoked");
}

#[tokio::test]
async fn an_upstream_that_is_made_while_running_brings_its_table_and_a_wrong_one_is_refused() {
    let idp = Idp::start().await;
    let party = idp.add_receiver("rp").await;
    let rp = pair::Rp::on(pair::empty().await, &idp, &[("policy.token-claims-change", "fact")]).await;
    let said = |policy: Value| {
        json!({"name": "blue", "issuer": idp.issuer, "delivery": "push", "client_id": party.client_id,
               "client_secret": party.secret, "policy": policy})
    };
    let lowered = rp.call(Method::POST, "/admin/upstreams", Some(&said(json!({"session-revoked": "fact"})))).await;
    assert_eq!(lowered.0, 400, "{}", lowered.1);
    let text = lowered.1["error_description"].as_str().unwrap();
    assert!(text.contains("upstreams.blue.policy.\"session-revoked\" must be \"revoke\""), "{text}");
    let made = rp.call(Method::POST, "/admin/upstreams", Some(&said(json!({"opt-in": "revoke"})))).await;
    assert_eq!(made.0, 201, "{}", made.1);
    rp.look().await;
    let policy = rp.link("blue").upstream.rules.policy.clone();
    let becomes = |event: &str| policy.becomes(event, None, None).unwrap().0.as_str();
    assert_eq!(
        (becomes("opt-in"), becomes("token-claims-change"), becomes("session-revoked")),
        ("revoke", "fact", "revoke")
    );
}
