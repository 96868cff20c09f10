//! What nobody took is given up, seen, and sent again; what was told long ago is forgotten.

use std::time::Duration;

use axum::http::StatusCode;
use reqwest::Method as Verb;
use serde_json::{Value, json};
use ssf_common::runtime::Worker as _;

use super::{House, decided, user};

const DAY: Duration = Duration::from_hours(24);

async fn told_in_vain(house: &House) {
    house.app().answer_with(StatusCode::BAD_GATEWAY);
    for (sid, name) in [("a-1", "alice"), ("b-1", "bob")] {
        house.session(sid, &user(name)).await;
        house.rp.tell("session-revoked", &user(name), &decided(0)).await;
    }
    house.spread().await;
    house.call("app").await;
    house.rp.clock.advance(DAY + Duration::from_secs(1));
    while house.effects.upkeep().tick().await.unwrap() > 0 {}
}

async fn list(house: &House, query: &str) -> Vec<Value> {
    let (status, body) = house.rp.call(Verb::GET, &format!("/admin/effects{query}"), None).await;
    assert_eq!(status, 200, "{body}");
    body["callbacks"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_nobody_took_for_a_day_is_a_dead_letter_that_says_why_and_is_sent_again_on_demand() {
    let house = House::start().await;
    told_in_vain(&house).await;
    house.app().answer_with(StatusCode::OK);
    house.rp.clock.advance(Duration::from_mins(2));
    assert_eq!(house.call("app").await, 0, "given up");
    let dead = list(&house, "").await;
    assert_eq!(dead.iter().map(|one| one["sid"].as_str().unwrap()).collect::<Vec<_>>(), ["a-1", "b-1"]);
    assert_eq!(dead[0]["trouble"], "the application answered 502");
    assert_eq!(
        (list(&house, "?standing=waiting").await.len(), list(&house, "?after=1&target=app").await.len()),
        (0, 1)
    );
    let id = dead[0]["id"].as_str().unwrap();
    let shown = house.rp.call(Verb::GET, &format!("/admin/effects/{id}"), None).await.1;
    assert_eq!((&shown["effect"]["sid"], &shown["callbacks"][0]["standing"]), (&json!("a-1"), &json!("dead")));

    let again = house.rp.call(Verb::POST, "/admin/effects/replay", Some(&json!({"target": "app"}))).await;
    assert_eq!(again, (200, json!({"replayed": 2})));
    assert_eq!((house.call("app").await, list(&house, "").await.len()), (2, 0));
    let ids: Vec<String> = house.app().heard().iter().map(|heard| heard.header("webhook-id").to_owned()).collect();
    assert_eq!(ids[ids.len() - 2..].iter().filter(|one| *one == id).count(), 1, "under the same id");
    let one = house.rp.call(Verb::POST, "/admin/effects/replay", Some(&json!({"id": id}))).await;
    assert_eq!((one, house.call("app").await), ((200, json!({"replayed": 1})), 1), "what was taken can be told again");
    let log = house.rp.call(Verb::GET, "/admin/audit", None).await.1;
    let deeds: Vec<_> =
        log["entries"].as_array().unwrap().iter().map(|entry| entry["details"]["count"].clone()).collect();
    assert_eq!((deeds, &log["entries"][0]["action"]), (vec![json!(2), json!(1)], &json!("effect.replay")));
}

#[tokio::test]
async fn a_replay_of_nothing_is_said_to_be_one() {
    let house = House::start().await;
    for (body, status, member) in [
        (json!({}), 400, "target"),
        (json!({"target": "nobody"}), 404, "target"),
        (json!({"id": "0190a0a0-0000-7000-8000-000000000000"}), 404, "id"),
        (json!({"id": "x"}), 400, "id"),
    ] {
        let (answered, said) = house.rp.call(Verb::POST, "/admin/effects/replay", Some(&body)).await;
        assert_eq!(answered, status, "{body} {said}");
        assert!(said["error_description"].as_str().unwrap().contains(member), "{body} {said}");
    }
    assert_eq!(house.rp.call(Verb::GET, "/admin/effects?limit=0", None).await.0, 400);
    assert_eq!(house.rp.call(Verb::GET, "/admin/effects/x", None).await.0, 404);
}

#[tokio::test]
async fn what_was_told_is_forgotten_after_a_week_but_nothing_that_still_waits() {
    let house = House::start().await;
    told_in_vain(&house).await;
    house.app().answer_with(StatusCode::OK);
    house.rp.clock.advance(7 * DAY);
    house.session("c-1", &user("carol")).await;
    house.rp.tell("session-revoked", &user("carol"), &decided(0)).await;
    house.spread().await;
    while house.effects.upkeep().tick().await.unwrap() > 0 {}
    let kept: Vec<String> = sqlx::query_scalar("select sid from effect").fetch_all(&house.rp.pool).await.unwrap();
    assert_eq!((kept, list(&house, "").await.len()), (vec!["c-1".to_owned()], 0), "dead letters go with them");
    house.rp.clock.advance(Duration::from_mins(2));
    assert_eq!(house.call("app").await, 1);
    let forgotten: i64 =
        sqlx::query_scalar("select forgotten from effect_feed").fetch_one(&house.rp.pool).await.unwrap();
    assert_eq!(forgotten, 2);
}
