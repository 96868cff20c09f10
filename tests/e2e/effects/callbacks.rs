//! How the application is called: signed, in order, again if it must be, and no target for another's trouble.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use serde_json::json;
use ssf_common::runtime::Worker as _;
use ssf_receiver::signature::NotVerified;

use super::application::SECRET;
use super::{House, decided, user};
use crate::rp::START;

const OTHER_SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[tokio::test]
async fn a_callback_says_what_happened_and_is_signed() {
    let house = House::start().await;
    house.session("a-1", &user("alice")).await;
    house.rp.tell("session-revoked", &user("alice"), &decided(0)).await;
    house.spread().await;
    assert_eq!(house.call("app").await, 1);
    let heard = house.app().heard();
    let [callback] = &heard[..] else { panic!("{heard:?}") };
    let now = house.rp.env.now();
    assert_eq!(callback.verify(SECRET, now), Ok(()));
    assert_eq!(callback.verify(OTHER_SECRET, now), Err(NotVerified::WrongSignature));
    assert_eq!(callback.verify(SECRET, now.plus(Duration::from_mins(6))), Err(NotVerified::TooFar));
    assert_eq!(callback.header("content-type"), "application/json");
    let mut body = callback.body.clone();
    assert_eq!(body["data"]["id"], callback.header("webhook-id"));
    body["data"]["id"] = json!("its id");
    assert!(body["data"]["jti"].as_str().unwrap().starts_with("set-"));
    body["data"]["jti"] = json!("the SET's");
    insta::assert_json_snapshot!(body, @r#"
    {
      "type": "session.revoked",
      "timestamp": "2026-11-18T11:06:40Z",
      "data": {
        "id": "its id",
        "position": 1,
        "sid": "a-1",
        "issuer": "https://idp.example",
        "change": "revoked",
        "reason": "revoked_by_issuer",
        "event_type": "session-revoked",
        "jti": "the SET's",
        "txn": "txn-1",
        "decided_at": "2026-11-18T11:06:40Z",
        "received_at": "2026-11-18T11:06:40Z",
        "made_at": "2026-11-18T11:06:40Z",
        "feed_seq": 1
      }
    }
    "#);
    assert_eq!(house.call("app").await, 0, "it was taken");
    let standing = house.standing("app").await;
    assert_eq!((&standing["waiting"], &standing["dead"], &standing["trouble"]), (&json!(0), &json!(0), &json!(null)));
    assert_eq!(standing["last_success_at"], json!(now));
}

#[tokio::test]
async fn a_new_secret_takes_an_old_ones_place_without_a_gap() {
    let settings = [("effects.app.secret", OTHER_SECRET), ("effects.app.old_secret", SECRET)];
    let house = House::with(&["app"], &settings).await;
    house.session("a-1", &user("alice")).await;
    house.rp.tell("session-revoked", &user("alice"), &decided(0)).await;
    house.spread().await;
    house.call("app").await;
    let heard = house.app().heard();
    for known in [SECRET, OTHER_SECRET] {
        assert_eq!(heard[0].verify(known, house.rp.env.now()), Ok(()), "{known}");
    }
}

#[tokio::test]
async fn a_target_is_told_of_the_changes_it_wants() {
    let settings = [("effects.hard.changes", "[\"revoked\"]")];
    let house = House::with(&["all", "hard"], &settings).await;
    house.session("a-1", &user("alice")).await;
    for (event, seconds) in [("revalidate", 0), ("session-revoked", 1)] {
        house.rp.tell(event, &user("alice"), &decided(seconds)).await;
        house.spread().await;
    }
    assert_eq!((house.call("all").await, house.call("hard").await), (2, 1));
    let types = |name: &str| -> Vec<String> {
        house.applications[name].heard().iter().map(|heard| heard.body["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(types("all"), ["session.revalidate_required", "session.revoked"]);
    assert_eq!(types("hard"), ["session.revoked"]);
}

#[tokio::test]
async fn an_application_that_is_down_is_probed_gets_the_same_again_in_order_and_holds_up_no_other() {
    let house = House::with(&["app", "other"], &[]).await;
    house.app().answer_with(StatusCode::INTERNAL_SERVER_ERROR);
    house.session("a-1", &user("alice")).await;
    house.session("b-1", &user("bob")).await;
    house.rp.tell("revalidate", &user("alice"), &decided(0)).await;
    house.spread().await;
    house.rp.tell("session-revoked", &user("alice"), &decided(1)).await;
    house.rp.tell("session-revoked", &user("bob"), &decided(1)).await;
    house.spread().await;
    assert_eq!(house.call("app").await, 2, "one per session");
    assert_eq!(house.call("other").await, 3);
    let standing = house.standing("app").await;
    assert_eq!((&standing["waiting"], &standing["failures"]), (&json!(3), &json!(1)), "they failed together");
    assert_eq!(standing["trouble"], "the application answered 500");
    for _ in 0..2 {
        house.rp.clock.advance(Duration::from_secs(70));
        assert_eq!(house.call("app").await, 1, "a probe");
    }
    house.app().answer_with(StatusCode::OK);
    house.rp.clock.advance(Duration::from_secs(70));
    house.call("app").await;
    house.rp.clock.advance(Duration::from_secs(70));
    house.call("app").await;
    let heard = house.app().heard();
    let positions = |sid: &str| -> Vec<(i64, String)> {
        let of_this = heard.iter().filter(|callback| callback.sid() == sid);
        of_this.map(|c| (c.body["data"]["position"].as_i64().unwrap(), c.header("webhook-id").to_owned())).collect()
    };
    let alice = positions("a-1");
    assert!(alice.is_sorted_by_key(|(position, _)| *position), "in order: {alice:?}");
    assert_eq!(alice.iter().map(|(_, id)| id).collect::<std::collections::BTreeSet<_>>().len(), 2, "the same ids");
    assert!(!positions("b-1").is_empty());
    let standing = house.standing("app").await;
    assert_eq!((&standing["waiting"], &standing["failures"]), (&json!(0), &json!(0)), "{standing}");
}

#[tokio::test]
async fn a_wish_to_wait_is_heard_within_bounds() {
    let house = House::with(&["app"], &[("callbacks.retry_ceiling", "30s")]).await;
    let busy = |wish: &'static str| (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, wish)]).into_response();
    house.app().answer(move |_| busy("20"));
    house.session("a-1", &user("alice")).await;
    house.rp.tell("session-revoked", &user("alice"), &decided(0)).await;
    house.spread().await;
    assert_eq!(house.call("app").await, 1);
    house.rp.clock.advance(Duration::from_secs(19));
    assert_eq!(house.call("app").await, 0, "not yet");
    house.app().answer(move |_| busy("86400"));
    house.rp.clock.advance(Duration::from_secs(1));
    assert_eq!(house.call("app").await, 1);
    house.rp.clock.advance(Duration::from_secs(30));
    assert_eq!(house.call("app").await, 1, "no longer than the ceiling");
}

#[tokio::test]
async fn what_is_always_refused_is_in_the_way_of_its_own_session_only() {
    let house = House::with(&["app"], &[("callbacks.window", "1")]).await;
    house.app().answer(|callback| match callback.sid() {
        "a-1" => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
        _ => StatusCode::OK.into_response(),
    });
    for (sid, name) in [("a-1", "alice"), ("b-1", "bob"), ("c-1", "carol")] {
        house.session(sid, &user(name)).await;
        house.rp.tell("revalidate", &user(name), &decided(0)).await;
    }
    house.spread().await;
    house.rp.tell("session-revoked", &user("alice"), &decided(1)).await;
    house.spread().await;
    assert_eq!(house.call("app").await, 3);
    assert_eq!(house.app().sids(), ["a-1", "b-1", "c-1"]);
    let standing = house.standing("app").await;
    assert_eq!((&standing["waiting"], &standing["failures"]), (&json!(2), &json!(0)), "it is alive: {standing}");
    house.app().answer_with(StatusCode::OK);
    house.rp.clock.advance(Duration::from_secs(2));
    assert_eq!(house.call("app").await, 2);
    let heard = house.app().heard();
    let types: Vec<_> = heard[3..].iter().map(|callback| callback.body["type"].clone()).collect();
    assert_eq!(types, ["session.revalidate_required", "session.revoked"]);
}

#[tokio::test]
async fn what_a_killed_process_had_in_hand_is_sent_by_another_when_its_lease_ends() {
    let house = House::start().await;
    house.session("a-1", &user("alice")).await;
    house.rp.tell("session-revoked", &user("alice"), &decided(0)).await;
    house.spread().await;
    // a process that took it and came no further
    let lease = "update callback set lease_id = gen_random_uuid(), attempts = 1, due_at = due_at + interval '15s'";
    sqlx::query(lease).execute(&house.rp.pool).await.unwrap();
    let other = House::open(&house.rp, &house.applications, &[]).await;
    house.rp.clock.advance(Duration::from_secs(14));
    assert_eq!(other.targets()[0].tick().await.unwrap(), 0);
    house.rp.clock.advance(Duration::from_secs(1));
    assert_eq!(other.targets()[0].tick().await.unwrap(), 1);
    other.targets()[0].idle().await;
    assert_eq!(house.app().sids(), ["a-1"]);
    assert_eq!(
        house.app().heard()[0].body["data"]["decided_at"],
        json!(ssf_common::clock::Timestamp::from_unix_seconds(START))
    );
}

#[tokio::test]
async fn two_processes_share_the_work_and_send_nothing_twice() {
    let house = House::start().await;
    for number in 0..60 {
        house.session(&format!("s-{number}"), &user("alice")).await;
    }
    house.rp.tell("session-revoked", &user("alice"), &decided(0)).await;
    house.spread().await;
    let other = House::open(&house.rp, &house.applications, &[]).await;
    let (one, two) = (house.target("app"), &other.targets()[0]);
    loop {
        let (a, b) = tokio::join!(one.tick(), two.tick());
        tokio::join!(one.idle(), two.idle());
        if a.unwrap() + b.unwrap() == 0 {
            break;
        }
    }
    let sids = house.app().sids();
    assert_eq!((sids.len(), sids.iter().collect::<std::collections::BTreeSet<_>>().len()), (60, 60));
}
