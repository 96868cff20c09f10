//! A dead letter that is sent again is the same SET in its old place, however old it is and whatever became of its stream.

use std::collections::HashSet;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, opaque, uris};
use ssf_harness::sink::Answer;

use super::{Scene, jtis};

#[tokio::test]
async fn what_is_sent_again_is_the_same_set_and_is_acknowledged_in_the_end() {
    let scene = Scene::start().await;
    scene.refused(&["s1"]).await;
    let [listed] = scene.list("").await.try_into().unwrap();
    let jti = listed["jti"].as_str().unwrap();
    scene.idp.advance(Duration::from_hours(2));
    let reply = scene.ask(&format!("/{jti}/replay"), &json!({})).await;
    assert_eq!((reply.status, &reply.body), (200, &json!({"done": 1, "left": 0})));
    let waiting = scene.idp.get(&format!("/admin/v1/streams/{}/deliveries", scene.stream), &scene.operator).await.body;
    assert_eq!((&waiting["items"][0]["jti"], &waiting["items"][0]["attempts"]), (&json!(jti), &json!(1)));
    scene.idp.drain().await;
    let [first, again] = scene.sink.requests().try_into().unwrap();
    assert_eq!(first.claims().to_string(), again.claims().to_string(), "jti, iat, txn and every other claim");
    assert!(scene.list("").await.is_empty());
    let event = listed["event_id"].as_str().unwrap();
    let progress = scene.idp.progress(&scene.producer, event).await;
    assert_eq!(
        (&progress["delivered"], &progress["refused"], &progress["pending"]),
        (&json!(1), &json!(0), &json!(0)),
        "one stream, one outcome"
    );
    assert_eq!(scene.ask(&format!("/{jti}/replay"), &json!({})).await.status, 404, "it is a dead letter no more");
    assert_eq!(scene.audited().await, [("dead_letters.replayed".to_owned(), json!({"count": 1}))]);
}

#[tokio::test]
async fn what_dies_again_can_be_sent_again_and_remembers_every_failure() {
    let scene = Scene::start().await;
    scene.refused(&["s1"]).await;
    for round in 1..=12 {
        let [listed] = scene.list("").await.try_into().unwrap();
        let jti = listed["jti"].as_str().unwrap();
        let shown = scene.idp.get(&format!("/admin/v1/dead-letters/{jti}"), &scene.operator).await.body;
        assert_eq!(shown["failures"].as_array().unwrap().len(), round.min(11), "bounded");
        assert_eq!(shown["attempts"], json!(round));
        scene.sink.next([Answer::refusal("invalid_request")]);
        assert_eq!(scene.ask(&format!("/{jti}/replay"), &json!({})).await.status, 200);
        scene.idp.drain().await;
        scene.idp.advance(Duration::from_secs(1));
    }
    assert_eq!(scene.idp.count("select count(*) from delivery_history").await, 1, "and one outcome");
}

#[tokio::test]
async fn what_is_sent_again_takes_its_old_place_among_what_its_subject_has_waiting() {
    let scene = Scene::start().await;
    scene.refused(&["s1", "s1"]).await;
    // a later decision about the same session waits, urgent, and one about another
    scene.idp.emit(&scene.producer, &json!({"type": "account-enabled", "subject": opaque("s1"), "lane": "bulk"})).await;
    scene.idp.emit(&scene.producer, &json!({"type": "session-revoked", "subject": opaque("other")})).await;
    scene.idp.emit(&scene.producer, &json!({"type": "session-revoked", "subject": opaque("s1")})).await;
    scene.idp.fan_out().await;
    // what died in the lane of backfills must not hold up what waits behind it now
    scene.idp.execute("update dead_letter set lane = 2").await;
    let dead = scene.list("").await;
    let all = scene.ask("/replay", &json!({"subject": opaque("s1")})).await;
    assert_eq!(all.body, json!({"done": 2, "left": 0}));
    assert_eq!(
        scene.idp.count("select count(*) from delivery where lane <> 0").await,
        0,
        "all are as urgent as the last"
    );
    let before = scene.sink.requests().len();
    scene.idp.drain().await;
    let after = scene.sink.requests().split_off(before);
    let of_s1: Vec<String> =
        after.iter().filter(|set| set.subject() == "s1").map(ssf_harness::sink::Received::jti).collect();
    assert_eq!(of_s1[..2], jtis(&dead), "in the order of the decisions, before what was decided later");
    let types: Vec<bool> = after
        .iter()
        .filter(|set| set.subject() == "s1")
        .map(|set| set.claims()["events"].get(&uris(&["account-enabled"])[0]).is_some())
        .collect();
    assert_eq!(types, [false, false, true, false]);
}

#[tokio::test]
async fn a_replay_in_batches_ends_even_if_everything_dies_again() {
    let scene = Scene::start().await;
    scene.refused(&["s1", "s2", "s3", "s4", "s5"]).await;
    scene.sink.script(|_| Answer::refusal("invalid_request"));
    let (mut done, mut calls, mut after) = (0, 0, None::<String>);
    loop {
        let reply = scene.ask("/replay", &json!({"stream_id": scene.stream, "limit": 2, "after": after})).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        done += reply.body["done"].as_i64().unwrap();
        calls += 1;
        scene.idp.advance(Duration::from_secs(1));
        scene.idp.drain().await;
        after = reply.body["next"].as_str().map(ToOwned::to_owned);
        if after.is_none() {
            break;
        }
    }
    assert_eq!((done, calls), (5, 3), "each once");
    assert_eq!(scene.list("").await.len(), 5, "and all are dead again");
}

#[tokio::test]
async fn two_who_replay_the_same_at_once_send_it_once() {
    let scene = Scene::start().await;
    scene.refused(&["s1", "s2", "s3"]).await;
    let body = json!({"stream_id": scene.stream});
    let replies = tokio::join!(scene.ask("/replay", &body), scene.ask("/replay", &body), scene.ask("/replay", &body));
    let done: i64 = [&replies.0, &replies.1, &replies.2].iter().map(|reply| reply.body["done"].as_i64().unwrap()).sum();
    assert_eq!(done, 3);
    let before = scene.sink.requests().len();
    scene.idp.drain().await;
    assert_eq!(scene.sink.requests().len() - before, 3);
}

#[tokio::test]
async fn a_disabled_stream_keeps_its_dead_letters_and_a_paused_one_holds_what_is_sent_again() {
    let scene = Scene::start().await;
    scene.refused(&["s1", "s2"]).await;
    let [first, second] = jtis(&scene.list("").await).try_into().unwrap();
    scene.idp.execute("update stream set status = 'disabled'").await;
    assert_eq!(scene.ask(&format!("/{first}/replay"), &json!({})).await.status, 409);
    assert_eq!(scene.ask("/replay", &json!({"stream_id": scene.stream})).await.status, 409);
    let left = scene.ask("/replay", &json!({"jtis": [first, second]})).await;
    assert_eq!(left.body, json!({"done": 0, "left": 2}));
    scene.idp.execute("update stream set status = 'paused'").await;
    assert_eq!(scene.ask(&format!("/{first}/replay"), &json!({})).await.status, 200);
    let before = scene.sink.requests().len();
    scene.idp.drain().await;
    assert_eq!(scene.sink.requests().len(), before, "held");
    scene.idp.execute("update stream set status = 'enabled'").await;
    scene.idp.drain().await;
    assert_eq!(scene.sink.requests().last().unwrap().jti(), first);
    let deleted = scene
        .idp
        .call(Method::DELETE, &format!("/ssf/streams?stream_id={}", scene.stream), &scene.rp.token, None)
        .await;
    assert_eq!(deleted.status, 204);
    assert_eq!(scene.ask(&format!("/{second}/replay"), &json!({})).await.status, 404, "gone with its stream");
}

#[tokio::test]
async fn what_is_older_than_the_history_can_be_sent_again_and_has_the_whole_retention_before_it() {
    let scene = Scene::start().await;
    scene.refused(&["s1", "s2"]).await;
    let dead = scene.list("").await;
    let first = dead[0]["jti"].as_str().unwrap();
    // forty days later its event is gone, and how it ended too
    scene.idp.advance(Duration::from_hours(24 * 40));
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    assert_eq!(scene.idp.count("select count(*) from event").await, 0);
    assert_eq!(scene.idp.count("select count(*) from delivery_history").await, 0);
    assert_eq!(scene.ask(&format!("/{first}/replay"), &json!({})).await.status, 200);
    // neither does it expire at once, nor is its event forgotten while it waits
    scene.sink.next([Answer::status(503)]);
    scene.idp.drain().await;
    scene.idp.advance(Duration::from_hours(24 * 6));
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    assert_eq!(scene.idp.count("select count(*) from event").await, 1);
    scene.idp.drain().await;
    let sent: HashSet<String> =
        scene.sink.requests().iter().filter(|set| set.jti() == first).map(|set| set.claims().to_string()).collect();
    assert_eq!((scene.sink.requests().len(), sent.len()), (4, 1), "the same SET, to the millisecond of its timeline");
    let event = dead[0]["event_id"].as_str().unwrap();
    assert_eq!(scene.idp.progress(&scene.producer, event).await["delivered"], json!(1));
    // afterwards it goes like every other event so old
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    assert_eq!(scene.idp.count("select count(*) from event").await, 0);
    // and one that nobody takes expires after its retention, not before
    scene.sink.script(|_| Answer::status(503));
    assert_eq!(scene.ask("/replay", &json!({"stream_id": scene.stream})).await.body["done"], json!(1));
    scene.idp.drain().await;
    scene.idp.advance(Duration::from_hours(24 * 7 + 1));
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    let [expired] = scene.list("").await.try_into().unwrap();
    assert_eq!((&expired["error_code"], &expired["jti"]), (&json!("expired"), &dead[1]["jti"]));
}

#[tokio::test]
async fn a_day_whose_events_are_still_needed_is_kept() {
    let scene = Scene::start().await;
    scene.refused(&["s1"]).await;
    // the last day of the history
    scene.idp.advance(Duration::from_hours(24 * 29));
    assert_eq!(scene.ask("/replay", &json!({"stream_id": scene.stream})).await.body["done"], json!(1));
    scene.sink.next([Answer::status(503)]);
    scene.idp.drain().await;
    scene.idp.advance(Duration::from_hours(24 * 5));
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    scene.idp.drain().await;
    assert_eq!(scene.idp.count("select count(*) from delivery").await, 0, "it could be sent");
    let requests = scene.sink.requests();
    assert_eq!(requests.first().unwrap().claims().to_string(), requests.last().unwrap().claims().to_string());
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    assert_eq!(scene.idp.count("select count(*) from event").await, 0, "and then the day went");
}

#[tokio::test]
async fn a_dead_letter_of_an_older_program_is_sent_again_too() {
    let scene = Scene::start().await;
    scene.refused(&["s1"]).await;
    scene.idp.execute("update dead_letter set seq = null, first_taken_at = null, attempt_log = null").await;
    assert_eq!(scene.ask("/replay", &json!({"stream_id": scene.stream})).await.body["done"], json!(1));
    scene.idp.drain().await;
    let [first, again] = scene.sink.requests().try_into().unwrap();
    assert_eq!(first.claims().to_string(), again.claims().to_string(), "the history knew the rest");
}

#[tokio::test]
async fn a_poll_stream_s_refusals_are_dead_letters_that_come_again_in_a_poll() {
    let idp = Idp::start().await;
    let (rp, producer, operator) = (idp.add_receiver("rp").await, idp.add_producer().await, idp.add_operator().await);
    let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
    idp.revoke(&producer, "s1").await;
    idp.fan_out().await;
    let handed = idp.poll(&rp, &stream, &json!({})).await.body;
    let (jti, set) = handed["sets"].as_object().unwrap().iter().next().unwrap();
    idp.advance(Duration::from_secs(1));
    let troubled = json!({"setErrs": {jti.as_str(): {"err": "invalid_key", "description": "which key?"}}});
    assert_eq!(idp.poll(&rp, &stream, &troubled).await.body["sets"], json!({}));
    idp.advance(Duration::from_secs(10));
    let refused = json!({"setErrs": {jti.as_str(): {"err": "invalid_request", "description": "no"}}});
    assert_eq!(idp.poll(&rp, &stream, &refused).await.body["sets"], json!({}));
    let shown = idp.get(&format!("/admin/v1/dead-letters/{jti}"), &operator).await.body;
    let said: Vec<&Value> = shown["failures"].as_array().unwrap().iter().map(|one| &one["said"]).collect();
    assert_eq!(said, ["the receiver answered invalid_key: which key?", "refused with invalid_request: no"]);
    let replayed = idp.post(&format!("/admin/v1/dead-letters/{jti}/replay"), &operator, &json!({})).await;
    assert_eq!(replayed.status, 200);
    let again = idp.poll(&rp, &stream, &json!({})).await.body;
    let claims = |set: &Value| ssf_harness::idp::claims(set.as_str().unwrap());
    assert_eq!(claims(&again["sets"][jti.as_str()]), claims(set));
}

#[tokio::test]
async fn old_news_of_the_stream_itself_is_not_sent_again() {
    // SSF 1.0 §8.1.5: the last status that a receiver hears of is the true one
    let scene = Scene::start().await;
    scene.sink.next([Answer::refusal("invalid_request")]);
    let at = format!("/admin/v1/streams/{}/status", scene.stream);
    for status in ["paused", "enabled"] {
        let reply = scene.idp.call(Method::PUT, &at, &scene.operator.token, Some(&json!({"status": status}))).await;
        assert_eq!(reply.status, 200);
        scene.idp.drain().await;
    }
    let [dead] = scene.list("").await.try_into().unwrap();
    let alone = scene.ask(&format!("/{}/replay", dead["jti"].as_str().unwrap()), &json!({})).await;
    assert_eq!((alone.status, alone.text("error")), (409, "conflict"));
    assert!(alone.text("error_description").contains("old news"), "{}", alone.body);
    let all = scene.ask("/replay", &json!({"stream_id": scene.stream})).await;
    assert_eq!((all.status, &all.body), (200, &json!({"done": 0, "left": 1})));
    scene.idp.drain().await;
    assert_eq!(scene.sink.requests().len(), 2, "paused, which it refused, and enabled");
}
