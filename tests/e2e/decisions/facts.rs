//! Facts: the newest by the issuer's time counts, whatever the order of arrival; asked for by session and by subject.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use ssf_common::random::{Random as _, SeededRandom};
use ssf_common::set::VerifiedSet;

use super::{complex, mail, number, opaque};
use crate::rp::{ISSUER, Rp, START};

fn compliance(now: &str, at: i64) -> Value {
    let before = if now == "compliant" { "not-compliant" } else { "compliant" };
    json!({"current_status": now, "previous_status": before, "event_timestamp": at})
}

/// Kind, name and value of each.
fn shown(answer: &Value) -> Vec<String> {
    let text = |fact: &Value, member: &str| fact[member].as_str().unwrap_or_default().to_owned();
    let facts = answer["facts"].as_array().unwrap().iter();
    facts.map(|fact| format!("{} {} {}", text(fact, "kind"), text(fact, "name"), text(fact, "value"))).collect()
}

#[tokio::test]
async fn what_issuers_told_of_user_and_device_is_answered_by_session_and_by_subject() {
    let rp = Rp::start().await;
    let user = mail("a@example.com");
    rp.register("s", json!({"subject": user, "device": "d"})).await;
    let both = json!({"format": "complex", "user": user, "device": opaque("d")});
    rp.tell("device-compliance-change", &complex(&[("device", "d")]), &compliance("not-compliant", START - 50)).await;
    rp.tell("device-compliance-change", &complex(&[("device", "other")]), &compliance("compliant", START - 5)).await;
    let aal = json!({"namespace": "NIST-AAL", "current_level": "nist-aal2", "change_direction": "increase"});
    rp.tell("assurance-level-change", &both, &aal).await;
    let pin = json!({"credential_type": "pin", "change_type": "create", "friendly_name": "my pin"});
    rp.tell("credential-change", &user, &pin).await;
    rp.tell("account-disabled", &user, &json!({"event_timestamp": START - 20})).await;
    rp.tell("account-enabled", &user, &json!({"event_timestamp": START - 10})).await;
    let all =
        ["account status enabled", "assurance NIST-AAL nist-aal2", "credential pin create", "device  not-compliant"];

    let (status, of_session) = rp.call(Method::GET, "/v1/facts?sid=s", None).await;
    assert_eq!((status, shown(&of_session)), (200, all.map(str::to_owned).to_vec()));
    let fact = &of_session["facts"][3];
    assert_eq!(
        (&fact["occurred_at"], &fact["event_type"]),
        (&json!("2026-11-18T11:05:50.999999Z"), &json!("device-compliance-change")),
        "{fact}"
    );
    let ask = async |body: Value| rp.call(Method::POST, "/v1/facts", Some(&body)).await;
    let (_, of_subject) = ask(json!({"issuer": ISSUER, "subject": user, "device": "d"})).await;
    assert_eq!(of_subject, of_session);
    let (_, of_user) = ask(json!({"issuer": ISSUER, "subject": user})).await;
    assert_eq!(shown(&of_user), ["account status enabled", "credential pin create"]);
    let (_, nothing) = ask(json!({"issuer": "https://other.example", "subject": user})).await;
    assert_eq!(shown(&nothing), [""; 0]);
}

#[tokio::test]
async fn a_question_for_facts_that_makes_no_sense_is_refused_by_its_member() {
    let rp = Rp::start().await;
    let (status, answer) = rp.call(Method::GET, "/v1/facts?sid=nobody", None).await;
    assert_eq!((status, &answer["error"]), (404, &json!("not_found")));
    assert_eq!(rp.call(Method::GET, "/v1/facts?sid=%00", None).await.0, 400);
    assert_eq!(rp.call(Method::GET, "/v1/facts", None).await.0, 400);
    let (status, answer) = rp.call(Method::POST, "/v1/facts", Some(&json!({"issuer": ISSUER, "subject": "a"}))).await;
    assert_eq!(status, 400);
    assert!(answer["error_description"].as_str().unwrap().starts_with("subject: "), "{answer}");
}

/// Random histories of three users, told in two orders, in batches of any size and now and then twice: both receivers
/// know the same, and it is what a plain maximum over the history says.
#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_arrival_does_not_matter() {
    let random = SeededRandom::new(7);
    let draw = |below: u64| {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        u64::from_be_bytes(bytes) % below
    };
    for _ in 0..4 {
        let (one, two) = (Rp::start().await, Rp::start().await);
        let mut history = Vec::new();
        let mut model = BTreeMap::<(u64, &str), (i64, u64, &str)>::new();
        for _ in 0..40 {
            let (user, at) = (draw(3), START - 100 + i64::try_from(draw(6)).unwrap());
            let (event, payload, fact) = if draw(2) == 0 {
                let (value, weight) = [("compliant", 0), ("not-compliant", 1)][usize::try_from(draw(2)).unwrap()];
                ("device-compliance-change", compliance(value, at), ("device", weight, value))
            } else {
                let level = draw(3);
                let value = ["LOW", "MEDIUM", "HIGH"][usize::try_from(level).unwrap()];
                let payload = json!({"principal": "USER", "current_level": value, "event_timestamp": at});
                ("risk-level-change", payload, ("risk", level, value))
            };
            let known = model.entry((user, fact.0)).or_insert((i64::MIN, 0, ""));
            *known = (*known).max((at, fact.1, fact.2));
            history.push((user, event, payload));
        }
        for (rp, is_reversed) in [(&one, false), (&two, true)] {
            let mut sets: Vec<VerifiedSet> = history
                .iter()
                .map(|(user, event, payload)| rp.set(event, &opaque(&format!("u{user}")), payload))
                .collect();
            if is_reversed {
                sets.reverse();
            }
            let again: Vec<VerifiedSet> = sets.iter().step_by(7).cloned().collect();
            for chunk in sets.chunks(9).chain([again.as_slice()]) {
                let tasks: Vec<_> = chunk
                    .iter()
                    .map(|set| {
                        tokio::spawn({
                            let (inbox, set, context) = (rp.inbox.clone(), set.clone(), rp.context());
                            async move { inbox.receive(set, context).await.unwrap() }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            }
            assert_eq!(number(rp, "select count(*) from fact").await, i64::try_from(model.len()).unwrap());
            for ((user, kind), (_, _, value)) in &model {
                let asked = json!({"issuer": ISSUER, "subject": opaque(&format!("u{user}"))});
                let (_, answer) = rp.call(Method::POST, "/v1/facts", Some(&asked)).await;
                let fact = answer["facts"].as_array().unwrap().iter().find(|fact| fact["kind"] == *kind).unwrap();
                assert_eq!(fact["value"], *value, "u{user} {kind}, reversed: {is_reversed}");
            }
        }
    }
}
