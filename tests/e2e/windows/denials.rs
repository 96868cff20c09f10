//! The last yes and the first no: which sessions, by which decision, at which enforcement point.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use ssf_common::runtime::Worker as _;

use super::{asks, at, cutoffs, decided, login, pass, settle, user, with_gateway};
use crate::rp::{ISSUER, Rp, START};

/// What a session is told that comes with a proof; its state and the class it was judged in.
async fn shows(rp: &Rp, sid: &str, binding: &str) -> (String, String) {
    let (status, body) = rp.call(Method::POST, "/v1/check", Some(&json!({"sid": sid, "binding": binding}))).await;
    assert_eq!(status, 200, "{body}");
    (body["state"].as_str().unwrap().to_owned(), body["class"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_cut_off_knows_when_each_point_last_said_yes_to_what_it_hits() {
    let rp = with_gateway().await;
    login(&rp, "s-1", "alice", "bearer").await;
    login(&rp, "s-2", "alice", "dpop").await;
    login(&rp, "s-3", "bob", "bearer").await;
    pass(&rp, 1_000);
    for (point, sid) in [("api", "s-1"), ("gateway", "s-1"), ("api", "s-2"), ("api", "s-3")] {
        assert_eq!(asks(&rp, point, sid).await, "active");
    }
    assert_eq!(shows(&rp, "s-2", "dpop").await, ("active".to_owned(), "bound".to_owned()));
    // what is bound to nothing is not bound by a proof of some key
    assert_eq!(shows(&rp, "s-1", "dpop").await, ("active".to_owned(), "bearer".to_owned()));
    pass(&rp, 500);
    assert_eq!(asks(&rp, "gateway", "s-1").await, "active");
    pass(&rp, 500);
    decided(&rp, 700, "over", "session-revoked", "alice").await;
    pass(&rp, 3_000);
    for (point, sid) in [("api", "s-1"), ("gateway", "s-1"), ("api", "s-2"), ("api", "s-2")] {
        assert_eq!(asks(&rp, point, sid).await, "revoked");
    }
    assert_eq!(shows(&rp, "s-2", "mtls").await, ("revoked".to_owned(), "bound".to_owned()));
    assert_eq!(asks(&rp, "api", "s-3").await, "active");
    settle(&rp).await;
    let all = cutoffs(&rp).await;
    assert_eq!(all.len(), 1);
    let expected = json!([
        // s-1, and s-2 by whoever showed no key: it may have been stolen
        {"point": "api", "class": "bearer", "last_allowed_at": at(1_000), "denied": 2},
        {"point": "api", "class": "bound", "last_allowed_at": at(1_000), "denied": 1},
        {"point": "gateway", "class": "bearer", "last_allowed_at": at(1_500), "denied": 1},
    ]);
    assert_eq!(all[0]["seen"], expected, "{}", all[0]);
    assert_eq!(
        ["decided_at", "taken_at", "received_at", "applied_at", "last_allowed_at"].map(|of| all[0][of].clone()),
        [at(1_300), at(1_330), at(2_000), at(2_000), at(1_500)]
    );
}

#[tokio::test]
async fn each_of_two_decisions_is_told_and_a_later_login_is_nobodys_fault() {
    let rp = Rp::start().await;
    login(&rp, "s", "alice", "bearer").await;
    pass(&rp, 10_000);
    decided(&rp, 100, "first", "session-revoked", "alice").await;
    pass(&rp, 10_000);
    decided(&rp, 100, "second", "revalidate", "alice").await;
    pass(&rp, 10_000);
    assert_eq!(asks(&rp, "api", "s").await, "revoked");
    // a new login is not what was cut off: it is allowed long after, and then cut off by a decision of its own
    let again = json!({"subject": user("alice"), "origin": START + 29});
    assert_eq!(rp.register("s", again).await.1["state"], "active");
    pass(&rp, 60_000);
    assert_eq!(asks(&rp, "api", "s").await, "active");
    decided(&rp, 100, "third", "session-revoked", "alice").await;
    pass(&rp, 10_000);
    assert_eq!(asks(&rp, "api", "s").await, "revoked");
    settle(&rp).await;
    let last: Vec<(Value, Value)> =
        cutoffs(&rp).await.iter().map(|c| (c["jti"].clone(), c["last_allowed_at"].clone())).collect();
    assert_eq!(last, [(json!("first"), at(0)), (json!("second"), at(0)), (json!("third"), at(90_000))]);
}

#[tokio::test]
async fn a_described_token_is_told_apart_from_one_that_was_minted_later() {
    let rp = Rp::start().await;
    let ask = async |origin: i64| {
        let body = json!({"issuer": ISSUER, "subject": user("alice"), "origin": origin});
        rp.call(Method::POST, "/v1/check", Some(&body)).await.1["state"].clone()
    };
    assert_eq!(ask(START - 50).await, "active");
    pass(&rp, 5_000);
    decided(&rp, 0, "over", "session-revoked", "alice").await;
    pass(&rp, 60_000);
    assert_eq!((ask(START + 65).await, ask(START - 50).await), (json!("active"), json!("revoked")));
    settle(&rp).await;
    assert_eq!(cutoffs(&rp).await[0]["last_allowed_at"], at(0));
}

#[tokio::test]
async fn who_is_shut_out_is_told_whenever_the_session_began() {
    let rp = Rp::start().await;
    login(&rp, "s", "alice", "mtls").await;
    pass(&rp, 20_000);
    decided(&rp, 0, "disabled", "account-disabled", "alice").await;
    let later = json!({"subject": user("alice"), "origin": START + 20, "binding": "mtls"});
    pass(&rp, 1_000);
    assert_eq!(rp.register("s", later).await.1["state"], "revoked");
    settle(&rp).await;
    let all = cutoffs(&rp).await;
    assert_eq!(all[0]["last_allowed_at"], at(0), "{}", all[0]);
    assert_eq!(all[0]["seen"][0]["class"], "bearer", "nobody showed the certificate");
}

#[tokio::test]
async fn several_names_of_one_subject_are_one_cut_off() {
    let rp = Rp::start().await;
    let names = json!({"format": "aliases", "identifiers": [user("alice"), user("a-17")]});
    login(&rp, "s-1", "alice", "bearer").await;
    login(&rp, "s-2", "a-17", "bearer").await;
    pass(&rp, 1_000);
    rp.tell("session-revoked", &names, &json!({})).await;
    rp.tell("account-enabled", &names, &json!({})).await;
    assert_eq!((asks(&rp, "api", "s-1").await, asks(&rp, "api", "s-2").await), ("revoked".into(), "revoked".into()));
    settle(&rp).await;
    let all = cutoffs(&rp).await;
    assert_eq!(all.len(), 1, "letting somebody in again cuts nothing off");
    assert_eq!(all[0]["seen"][0]["denied"], 2);
}

#[tokio::test]
async fn an_unknown_enforcement_point_is_refused_and_a_header_is_as_good_as_a_member() {
    let rp = with_gateway().await;
    login(&rp, "s", "alice", "bearer").await;
    for (path, body) in [
        ("/v1/check", json!({"sid": "s", "enforcement_point": "nobody"})),
        ("/v1/check/batch", json!({"checks": [{"sid": "s"}], "enforcement_point": "nobody"})),
        ("/v1/check", json!({"sid": "s", "enforcement_point": 7})),
    ] {
        let (status, said) = rp.call(Method::POST, path, Some(&body)).await;
        let text = said["error_description"].as_str().unwrap();
        assert!(status == 400 && text.starts_with("enforcement_point: "), "{path}: {said}");
    }
    let batch = json!({"checks": [{"sid": "s"}], "enforcement_point": "gateway"});
    assert_eq!(rp.call(Method::POST, "/v1/check/batch", Some(&batch)).await.0, 200);
    pass(&rp, 4_000);
    assert_eq!(rp.show_as("gateway", "s").await, (200, "active".to_owned()));
    assert_eq!(rp.show_as("nobody", "s").await.0, 400);
    decided(&rp, 0, "over", "session-revoked", "alice").await;
    pass(&rp, 1_000);
    assert_eq!(asks(&rp, "gateway", "s").await, "revoked");
    settle(&rp).await;
    let seen = cutoffs(&rp).await[0]["seen"].clone();
    let gateway = json!([{"point": "gateway", "class": "bearer", "last_allowed_at": at(4_000), "denied": 1}]);
    assert_eq!(seen, gateway, "the registration's own yes was told to api, which did not ask again");
}

#[tokio::test]
async fn what_is_too_old_is_removed_with_all_its_names_and_denials() {
    let rp = Rp::start().await;
    let names = json!({"format": "aliases", "identifiers": [user("alice"), user("a-17")]});
    login(&rp, "s", "alice", "bearer").await;
    rp.tell("session-revoked", &names, &json!({})).await;
    assert_eq!(asks(&rp, "api", "s").await, "revoked");
    settle(&rp).await;
    pass(&rp, 3_600_000);
    decided(&rp, 0, "young", "session-revoked", "bob").await;
    let count = async || {
        let count = "select (select count(*) from enforcement), (select count(*) from denial)";
        sqlx::query_as::<_, (i64, i64)>(count).fetch_one(&rp.pool).await.unwrap()
    };
    assert_eq!(count().await, (3, 1));
    let log = rp.denial_log(Duration::from_mins(30));
    assert_eq!((log.tick().await.unwrap(), log.tick().await.unwrap()), (2, 0));
    assert_eq!(count().await, (1, 0));
}

#[tokio::test]
async fn while_the_database_is_away_denials_wait() {
    let rp = Rp::start().await;
    login(&rp, "s", "alice", "bearer").await;
    decided(&rp, 0, "over", "session-revoked", "alice").await;
    assert_eq!(asks(&rp, "api", "s").await, "revoked");
    sqlx::query("alter table denial rename to away").execute(&rp.pool).await.unwrap();
    let log = rp.denial_log(Duration::from_hours(1));
    log.tick().await.unwrap_err();
    sqlx::query("alter table away rename to denial").execute(&rp.pool).await.unwrap();
    assert_eq!(log.tick().await.unwrap(), 1);
    assert_eq!(cutoffs(&rp).await[0]["last_allowed_at"], at(0));
}
