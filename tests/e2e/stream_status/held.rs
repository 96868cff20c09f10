//! What a paused stream holds, for how long and in which order it goes out, and what a disabled one discards.

use std::time::Duration;

use serde_json::json;
use ssf_common::runtime::shutdown::Shutdown;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::sink::Answer;

use super::{Scene, outcome};

// SSF 1.0 §8.1.2: paused holds; on enabled what was held goes out in generation order per subject.
#[tokio::test]
async fn a_paused_push_stream_lets_the_wire_finish_holds_the_rest_and_sends_it_in_order_once_enabled() {
    let scene = Scene::push().await;
    scene.sink.hold();
    scene.revoke(&["on the wire"]).await;
    assert_eq!(scene.idp.transmitter.push.tick().await.unwrap(), 1);
    scene.sink.arrivals(1).await;
    scene.set("paused").await;
    scene.sink.release();
    scene.revoke(&["a", "b"]).await;
    scene.idp.drain().await;
    assert_eq!(scene.history().await, [outcome("acknowledged", None, 1)]);
    let urgent_first = json!({"type": "session-revoked", "lane": "bulk", "subject": {"format": "opaque", "id": "c"}});
    scene.idp.emit(&scene.producer, &urgent_first).await;
    scene.revoke(&["a", "c"]).await;
    scene.idp.advance(Duration::from_hours(3));
    scene.idp.drain().await;
    assert_eq!(scene.pushed(), ["on the wire"]);
    scene.set("enabled").await;
    scene.idp.drain().await;
    let sent = scene.sink.requests().split_off(1);
    for subject in ["a", "b", "c"] {
        let iats: Vec<_> =
            sent.iter().filter(|set| set.subject() == subject).map(|set| set.claims()["txn"].clone()).collect();
        let recorded: Vec<String> =
            sqlx::query_scalar("select txn from event where subject ->> 'id' = $1 order by seq")
                .bind(subject)
                .fetch_all(&scene.idp.pool)
                .await
                .unwrap();
        assert_eq!(json!(iats), json!(recorded), "{subject}");
    }
    assert_eq!(scene.history().await, [outcome("acknowledged", None, 6)]);
}

// SSF 1.0 §8.1.2: the same over poll, and a poll that waits elsewhere hears of it at once.
#[tokio::test]
async fn a_long_poll_at_another_process_ends_when_its_paused_stream_is_enabled() {
    let scene = Scene::poll().await;
    scene.set("paused").await;
    scene.revoke(&["a", "a", "b"]).await;
    assert_eq!(scene.polled().await, [""; 0]);
    let twin = scene.idp.twin().await;
    let shutdown = Shutdown::default();
    twin.transmitter.spawn_workers(&shutdown);
    scene.idp.advance(Duration::from_secs(1));
    let waits = json!({"returnImmediately": false});
    let (polled, ()) = tokio::join!(twin.poll(&scene.rp, &scene.stream, &waits), async {
        while scene.idp.count("select count(*) from stream where last_activity_at > updated_at").await == 0 {
            tokio::task::yield_now().await;
        }
        scene.set("enabled").await;
    });
    assert_eq!(polled.body["sets"].as_object().unwrap().len(), 2, "each subject's first: {}", polled.body);
    shutdown.begin();
    shutdown.wait().await;
}

// SSF 1.0 §8.1.2: disabled neither transmits nor holds.
#[tokio::test]
async fn a_disabled_stream_discards_what_waits_and_what_comes() {
    for (scene, by_push) in [(Scene::push().await, true), (Scene::poll().await, false)] {
        scene.revoke(&["a", "b"]).await;
        scene.set("disabled").await;
        assert_eq!(scene.history().await, [outcome("discarded", Some("stream_disabled"), 2)]);
        scene.revoke(&["c"]).await;
        scene.set("enabled").await;
        scene.idp.drain().await;
        scene.revoke(&["d"]).await;
        scene.idp.drain().await;
        assert_eq!(if by_push { scene.pushed() } else { scene.polled().await }, ["d"]);
    }
}

#[tokio::test]
async fn what_is_on_the_wire_when_its_stream_is_disabled_settles_itself_or_is_discarded() {
    let scene = Scene::push().await;
    scene.sink.next([Answer::status(202), Answer::status(503)]);
    scene.sink.hold();
    for session in ["taken", "not taken"] {
        scene.revoke(&[session]).await;
        scene.idp.transmitter.push.tick().await.unwrap();
        scene.sink.arrivals(if session == "taken" { 1 } else { 2 }).await;
    }
    scene.set("disabled").await;
    scene.sink.release();
    scene.idp.transmitter.push.idle().await;
    assert_eq!(scene.history().await, [outcome("acknowledged", None, 1)], "it was sent, whatever came after");
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    let expected = [outcome("acknowledged", None, 1), outcome("discarded", Some("stream_disabled"), 1)];
    assert_eq!(scene.history().await, expected);
    assert_eq!(scene.idp.count("select count(*) from delivery").await, 0);
}

#[tokio::test]
async fn what_came_back_to_a_disabled_stream_is_not_sent_when_it_is_enabled_again() {
    let scene = Scene::push().await;
    scene.sink.next([Answer::status(503)]);
    scene.sink.hold();
    scene.revoke(&["old"]).await;
    scene.idp.transmitter.push.tick().await.unwrap();
    scene.sink.arrivals(1).await;
    scene.set("disabled").await;
    scene.sink.release();
    scene.idp.transmitter.push.idle().await;
    scene.set("enabled").await;
    scene.idp.advance(Duration::from_mins(1));
    scene.idp.drain().await;
    assert_eq!(scene.sink.requests().len(), 1);
    assert_eq!(scene.history().await, [outcome("discarded", Some("stream_disabled"), 1)]);
}

#[tokio::test]
async fn a_delivery_that_a_fan_out_is_making_while_its_stream_is_disabled_is_discarded_too() {
    let scene = Scene::poll().await;
    scene.revoke(&["a"]).await;
    let mut fan_out = scene.idp.pool.begin().await.unwrap();
    let columns =
        "issuer_id, stream_id, event_id, recorded_at, event_type, order_key, lane, due_at, occurred_at, fanned_out_at";
    let as_it_does = format!(
        "select pg_advisory_xact_lock(hashtext('ssf_transmitter.fan_out'), hashtext(current_schema));
         insert into delivery (id, {columns}) select gen_random_uuid(), {columns} from delivery"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(as_it_does)).execute(&mut *fan_out).await.unwrap();
    let commit = async {
        scene.idp.until_blocked(1).await;
        fan_out.commit().await.unwrap();
    };
    tokio::join!(scene.set("disabled"), commit);
    assert_eq!(scene.history().await, [outcome("discarded", Some("stream_disabled"), 2)]);
    assert_eq!(scene.idp.count("select count(*) from delivery").await, 0);
}

// CAEP interop: the limits on held events are documented and visible; ours is `delivery.retention`.
#[tokio::test]
async fn what_a_paused_stream_holds_longer_than_the_retention_is_a_dead_letter_that_says_so() {
    let scene = Scene::start(&[("delivery.retention", "1h")], true).await;
    scene.set("paused").await;
    scene.revoke(&["old"]).await;
    scene.idp.advance(Duration::from_mins(59));
    scene.revoke(&["young"]).await;
    assert_eq!(scene.idp.transmitter.maintenance.tick().await.unwrap(), 0);
    scene.idp.advance(Duration::from_mins(2));
    assert_eq!(scene.idp.transmitter.maintenance.tick().await.unwrap(), 1);
    let dead: Vec<(String, String, String)> =
        sqlx::query_as("select subject ->> 'id', error_code, error from dead_letter")
            .fetch_all(&scene.idp.pool)
            .await
            .unwrap();
    assert_eq!(dead, [("old".to_owned(), "expired".to_owned(), "held by a paused stream".to_owned())]);
    scene.set("enabled").await;
    scene.idp.drain().await;
    assert_eq!(scene.pushed(), ["young"]);
    assert_eq!(scene.history().await, [outcome("acknowledged", None, 1), outcome("expired", Some("expired"), 1)]);
}
