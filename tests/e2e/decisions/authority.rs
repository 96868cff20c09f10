//! About whom an issuer may decide: what is about others, or about too many, is withheld until an operator says.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use ssf_receiver::cutoff::Withheld;
use ssf_receiver::inbox::Receipt;

use super::{complex, mail, number, opaque, rules, tell};
use crate::rp::{ISSUER, Rp, START};
use crate::upstreams::pair::Pair;

const WITHHELD: fn(Withheld) -> Receipt = |why| Receipt::Withheld { why };

fn revoked_at(at: i64) -> Value {
    json!({"event_timestamp": at})
}

async fn waiting(rp: &Rp) -> Vec<Value> {
    let (status, answer) = rp.call(Method::GET, "/admin/withheld", None).await;
    assert_eq!(status, 200, "{answer}");
    answer["withheld"].as_array().unwrap().clone()
}

async fn settle(rp: &Rp, held: &Value, how: &str) -> u16 {
    rp.call(Method::POST, &format!("/admin/withheld/{}/{how}", held["id"]), None).await.0
}

#[tokio::test]
async fn a_decision_about_somebody_elses_user_has_no_effect_until_an_operator_applies_it() {
    let rp = Rp::start().await;
    let stranger = json!({"format": "iss_sub", "iss": "https://other.example", "sub": "1"});
    rp.register("s", json!({"subject": stranger})).await;
    rp.register("late", json!({"subject": stranger, "origin": START - 10})).await;
    let strict = rules(&json!({}));
    let set = rp.set("session-revoked", &stranger, &revoked_at(START - 50));
    let receive = async || rp.inbox.receive_under(&strict, set.clone(), rp.context()).await.unwrap();
    assert_eq!(receive().await, WITHHELD(Withheld::Issuer));
    assert_eq!(receive().await, Receipt::Known, "it is acknowledged, and so is its redelivery");
    assert_eq!(rp.state("s").await, "active");
    assert_eq!(number(&rp, "select count(*) from cutoff").await, 0);
    assert_eq!(number(&rp, "select count(*) from received_set where effect = 'withheld'").await, 1);

    let held = waiting(&rp).await;
    assert_eq!(held.len(), 1);
    let is = |member: &str| held[0][member].as_str().unwrap().to_owned();
    assert_eq!((is("upstream"), is("effect"), is("reason")), ("idp".into(), "revoke".into(), "issuer".into()));
    assert!(!held[0].to_string().contains("other.example"), "{}", held[0]);
    assert_eq!(settle(&rp, &held[0], "apply").await, 204);
    assert_eq!(rp.state("s").await, "revoked");
    assert_eq!(rp.state("late").await, "active", "it counts from the issuer's time, not the operator's");
    assert_eq!(number(&rp, "select count(*) from effect_source").await, 1, "the application will be told");
    assert_eq!((settle(&rp, &held[0], "apply").await, settle(&rp, &held[0], "discard").await), (404, 404));
    assert!(waiting(&rp).await.is_empty());
    let (_, all) = rp.call(Method::GET, "/admin/withheld?all=true", None).await;
    assert_eq!(
        (&all["withheld"][0]["state"], &all["withheld"][0]["settled_by"]),
        (&json!("applied"), &json!("admin-api"))
    );
    let (_, audit) = rp.call(Method::GET, "/admin/audit", None).await;
    assert_eq!(
        (&audit["entries"][0]["action"], &audit["entries"][0]["target"]),
        (&json!("withheld.apply"), &json!("idp"))
    );
}

#[tokio::test]
async fn what_is_discarded_never_has_an_effect_and_a_fact_about_others_is_not_kept() {
    let rp = Rp::start().await;
    rp.register("s", json!({"subject": mail("a@other.example")})).await;
    let ours = rules(&json!({"authority": {"email_domains": ["example.com"]}}));
    let stranger = mail("a@other.example");
    assert_eq!(tell(&rp, &ours, "account-disabled", &stranger, &json!({})).await, WITHHELD(Withheld::EmailDomain));
    let risk = json!({"principal": "USER", "current_level": "LOW"});
    assert_eq!(tell(&rp, &ours, "risk-level-change", &stranger, &risk).await, WITHHELD(Withheld::EmailDomain));
    assert_eq!(number(&rp, "select count(*) from fact").await, 0);
    let held = waiting(&rp).await;
    assert_eq!(settle(&rp, &held[0], "discard").await, 204);
    assert_eq!(settle(&rp, &held[1], "apply").await, 409, "a fact cuts nothing off");
    assert_eq!(settle(&rp, &held[1], "discard").await, 204);
    assert_eq!(settle(&rp, &json!({"id": "x"}), "apply").await, 404);
    assert_eq!(rp.state("s").await, "active");
    let verification =
        tell(&rp, &rules(&json!({"authority": {"formats": ["email"]}})), "verification", &opaque("stream"), &json!({}))
            .await;
    assert!(matches!(verification, Receipt::Applied { .. }), "what is about the stream is about nobody");
}

#[tokio::test]
async fn a_tenant_wide_cut_off_needs_permission_and_only_so_many_are_applied_in_a_span() {
    let rp = Rp::start().await;
    for tenant in ["a", "b", "c"] {
        rp.register(tenant, json!({"subject": opaque("u"), "tenant": tenant})).await;
    }
    let none = rules(&json!({}));
    let whole = |tenant: &str| complex(&[("tenant", tenant)]);
    assert_eq!(tell(&rp, &none, "session-revoked", &whole("a"), &json!({})).await, WITHHELD(Withheld::TenantWide));
    let risk = json!({"principal": "TENANT", "current_level": "HIGH"});
    assert_eq!(tell(&rp, &none, "risk-level-change", &opaque("x"), &risk).await, WITHHELD(Withheld::TenantWide));
    assert_eq!(rp.state("a").await, "active");

    let two = rules(&json!({"authority": {"tenant_wide": {"limit": 2, "per": "1h"}}}));
    let first = rp.set("session-revoked", &whole("a"), &json!({}));
    let receive = async |set| rp.inbox.receive_under(&two, set, rp.context()).await.unwrap();
    assert!(matches!(receive(first.clone()).await, Receipt::Applied { .. }));
    assert_eq!(receive(first).await, Receipt::Known, "a redelivery takes no second permission");
    assert!(matches!(tell(&rp, &two, "session-revoked", &whole("b"), &json!({})).await, Receipt::Applied { .. }));
    let third = rp.set("session-revoked", &whole("c"), &json!({}));
    assert_eq!(receive(third.clone()).await, WITHHELD(Withheld::TooMany));
    let states = [rp.state("a").await, rp.state("b").await, rp.state("c").await];
    assert_eq!(states, ["revoked", "revoked", "active"]);
    assert!(matches!(tell(&rp, &two, "session-revoked", &opaque("u9"), &json!({})).await, Receipt::Applied { .. }));

    rp.clock.advance(Duration::from_secs(3_601));
    assert_eq!(receive(third).await, Receipt::Known, "it waits for an operator, whatever time passes");
    assert!(matches!(tell(&rp, &two, "session-revoked", &whole("d"), &json!({})).await, Receipt::Applied { .. }));
    let held = waiting(&rp).await;
    assert_eq!(held.last().unwrap()["reason"], "tenant_wide_limit");
    assert_eq!(settle(&rp, held.last().unwrap(), "apply").await, 204);
    assert_eq!(rp.state("c").await, "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_are_asked_at_once_let_no_more_through_than_one_would() {
    let one = Rp::start().await;
    let two = Rp::on(one.pool.clone()).await;
    let three = rules(&json!({"authority": {"tenant_wide": {"limit": 3, "per": "1h"}}}));
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let rp = if n % 2 == 0 { &one } else { &two };
            let set = rp.set("session-revoked", &complex(&[("tenant", &format!("t{n}"))]), &json!({}));
            let (inbox, rules, context) = (rp.inbox.clone(), three.clone(), rp.context());
            tokio::spawn(async move { inbox.receive_under(&rules, set, context).await.unwrap() })
        })
        .collect();
    let mut applied = 0;
    for task in tasks {
        applied += usize::from(matches!(task.await.unwrap(), Receipt::Applied { .. }));
    }
    assert_eq!(applied, 3);
    assert_eq!(number(&one, "select count(*) from withheld").await, 13);
}

#[tokio::test]
async fn a_cut_off_on_a_tenant_touches_sessions_registered_with_it_and_no_name_that_is_alike() {
    let rp = Rp::start().await;
    rp.register("of-acme", json!({"subject": opaque("u"), "tenant": "acme"})).await;
    rp.register("of-other", json!({"subject": opaque("u2"), "tenant": "other"})).await;
    rp.register("called-acme", json!({"subject": opaque("acme")})).await;
    let permitted = rules(&json!({"authority": {"tenant_wide": {"limit": 9, "per": "1h"}}}));
    tell(&rp, &permitted, "session-revoked", &complex(&[("tenant", "acme")]), &json!({})).await;
    let states = [rp.state("of-acme").await, rp.state("of-other").await, rp.state("called-acme").await];
    assert_eq!(states, ["revoked", "active", "active"]);
    tell(&rp, &permitted, "session-revoked", &opaque("other"), &json!({})).await;
    assert_eq!(rp.state("of-other").await, "active", "an id alone is nobody's tenant");
    let issuer_is_part_of_it = number(&rp, "select count(distinct issuer_id) from cutoff").await;
    assert_eq!((issuer_is_part_of_it, ISSUER), (1, "https://idp.example"));
}

#[tokio::test]
async fn a_withheld_decision_is_shown_at_its_upstream_and_acknowledged_to_its_issuer() {
    let pair = Pair::start("push").await;
    pair.settle().await;
    let producer = pair.idp.add_producer().await;
    let stranger = json!({"format": "iss_sub", "iss": "https://other.example", "sub": "1"});
    let event = pair.idp.emit(&producer, &json!({"type": "session-revoked", "subject": stranger})).await;
    pair.settle().await;
    let progress = pair.idp.progress(&producer, &event).await;
    assert_eq!(progress["delivered"], 1, "{progress}");
    let shown = pair.rp.show("idp").await;
    assert_eq!((&shown["withheld"], &shown["state"]), (&json!(1), &json!("verified")), "{shown}");
    assert!(pair.rp.history("idp").await.contains(&"withheld".to_owned()));
    let (_, history) = pair.rp.call(Method::GET, "/admin/upstreams/idp/history", None).await;
    assert!(!history.to_string().contains("other.example"), "{history}");
}
