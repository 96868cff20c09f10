//! Stories about poll delivery (RFC 8936).

use std::time::Duration;

use serde_json::{Value, json};
use ssf_common::runtime::shutdown::Shutdown;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party, Reply, claims};

/// One receiver that polls.
struct Scene {
    idp: Idp,
    rp: Party,
    producer: Party,
    stream: String,
}

impl Scene {
    async fn start() -> Self {
        let idp = Idp::start_with(&[("poll.max_events", "3"), ("poll.wait", "60s")]).await;
        let (rp, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
        let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
        Self { idp, rp, producer, stream }
    }

    async fn revoke(&self, sessions: &[&str]) {
        for session in sessions {
            self.idp.revoke(&self.producer, session).await;
        }
        self.idp.fan_out().await;
    }

    async fn poll(&self, body: Value) -> Reply {
        let reply = self.idp.poll(&self.rp, &self.stream, &body).await;
        assert_eq!((reply.status, reply.header("cache-control")), (200, "no-store"), "{}", reply.body);
        reply
    }
}

/// The `jti`s handed out, and whom they are about, in order of the latter.
fn handed_out(reply: &Reply) -> Vec<(String, String)> {
    let sets = reply.body["sets"].as_object().unwrap();
    let about = |set: &Value| claims(set.as_str().unwrap())["sub_id"]["id"].as_str().unwrap().to_owned();
    let mut all: Vec<_> = sets.iter().map(|(jti, set)| (about(set), jti.clone())).collect();
    all.sort();
    all.into_iter().map(|(subject, jti)| (jti, subject)).collect()
}

fn subjects(reply: &Reply) -> Vec<String> {
    handed_out(reply).into_iter().map(|(_, subject)| subject).collect()
}

#[tokio::test]
async fn what_is_acknowledged_makes_room_for_the_same_subjects_next_in_the_same_answer() {
    let scene = Scene::start().await;
    scene.revoke(&["a", "b", "a"]).await;
    let first = scene.poll(json!({})).await;
    assert_eq!(subjects(&first), ["a", "b"], "a subject's second waits for its first");
    let set = first.body["sets"][&handed_out(&first)[0].0].as_str().unwrap();
    assert_eq!(scene.idp.verify(set, &scene.rp).await.jti.as_str(), handed_out(&first)[0].0);
    let acked: Vec<String> = handed_out(&first).into_iter().map(|(jti, _)| jti).collect();
    let second = scene.poll(json!({"ack": acked})).await;
    assert_eq!(subjects(&second), ["a"]);
    assert!(!acked.contains(&handed_out(&second)[0].0));
    scene.poll(json!({"ack": [handed_out(&second)[0].0], "maxEvents": 0})).await;
    assert_eq!(scene.poll(json!({})).await.body, json!({"sets": {}}));
    assert_eq!(scene.idp.count("select count(*) from delivery_history where outcome = 'acknowledged'").await, 3);
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_with_the_same_claims() {
    let scene = Scene::start().await;
    scene.revoke(&["a"]).await;
    let first = scene.poll(json!({})).await;
    scene.idp.advance(Duration::from_mins(5));
    let again = scene.poll(json!({})).await;
    let signed = |reply: &Reply| {
        let set = reply.body["sets"].as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        set.rsplit_once('.').unwrap().0.to_owned()
    };
    assert_eq!(signed(&first), signed(&again));
}

#[tokio::test]
async fn an_error_of_the_set_buries_it_and_one_of_the_stream_keeps_it() {
    let scene = Scene::start().await;
    scene.revoke(&["a", "b", "c"]).await;
    let first = handed_out(&scene.poll(json!({})).await);
    let error = |code: &str| json!({"err": code, "description": "said the receiver"});
    let reply = scene
        .poll(json!({"setErrs": {
            first[0].0.clone(): error("invalid_request"),
            first[1].0.clone(): error("authentication_failed"),
            first[2].0.clone(): error("invalid_state"),
        }, "ack": [first[2].0]}))
        .await;
    assert_eq!(reply.body, json!({"sets": {}}), "an acknowledgement counts more than an error");
    let dead: Vec<(String, String, String)> =
        sqlx::query_as("select subject ->> 'id', error_code, error from dead_letter")
            .fetch_all(&scene.idp.pool)
            .await
            .unwrap();
    assert_eq!(dead, [("a".to_owned(), "invalid_request".to_owned(), "said the receiver".to_owned())]);
    scene.idp.advance(Duration::from_secs(10));
    assert_eq!(subjects(&scene.poll(json!({})).await), ["b"]);
}

#[tokio::test]
async fn more_available_stands_there_only_when_it_is_true() {
    let scene = Scene::start().await;
    scene.revoke(&["a", "b", "c", "d"]).await;
    let three = scene.poll(json!({})).await;
    assert_eq!((subjects(&three).len(), &three.body["moreAvailable"]), (3, &json!(true)));
    let asks_for_more = scene.poll(json!({"maxEvents": 1_000})).await;
    assert_eq!(subjects(&asks_for_more).len(), 3, "the transmitter has a limit of its own");
    let one = scene.poll(json!({"maxEvents": 1})).await;
    assert_eq!((subjects(&one), &one.body["moreAvailable"]), (vec!["a".to_owned()], &json!(true)));
    let rest = scene.poll(json!({"ack": [handed_out(&one)[0].0]})).await;
    assert_eq!(subjects(&rest), ["b", "c", "d"]);
    assert!(rest.body.get("moreAvailable").is_none(), "{}", rest.body);
    let acknowledges = scene.poll(json!({"maxEvents": 0, "returnImmediately": false}));
    let nothing = tokio::time::timeout(Duration::from_secs(10), acknowledges).await;
    assert_eq!(nothing.expect("an acknowledge-only poll does not wait").body, json!({"sets": {}}));
}

#[tokio::test]
async fn an_acknowledgement_of_something_else_is_ignored() {
    let scene = Scene::start().await;
    let other = scene.idp.add_receiver("other").await;
    let theirs = scene.idp.poll_stream(&other, &["session-revoked"]).await;
    scene.revoke(&["a"]).await;
    let jti = handed_out(&scene.poll(json!({})).await)[0].0.clone();
    let meddling =
        json!({"ack": [jti, "unknown", ""], "setErrs": {"strange": {"err": "invalid_request"}}, "unknown": 1});
    assert_eq!(scene.idp.poll(&other, &theirs, &meddling).await.status, 200);
    assert_eq!(subjects(&scene.poll(json!({"ack": ["018f0000-0000-7000-8000-000000000000"]})).await), ["a"]);
    assert_eq!(scene.idp.poll(&scene.rp, &theirs, &json!({})).await.status, 404);
    let wrong = scene.idp.poll(&scene.rp, &scene.stream, &json!({"maxEvents": "many"})).await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn a_push_stream_is_not_polled_and_a_paused_one_holds() {
    let scene = Scene::start().await;
    scene.idp.execute("update stream set status = 'paused'").await;
    scene.revoke(&["a"]).await;
    assert_eq!(scene.poll(json!({})).await.body, json!({"sets": {}}));
    scene.idp.execute("update stream set status = 'enabled'").await;
    assert_eq!(subjects(&scene.poll(json!({})).await), ["a"]);
    scene.idp.execute("update stream set delivery_method = 'push', endpoint_url = 'http://127.0.0.1:1/'").await;
    assert_eq!(scene.idp.poll(&scene.rp, &scene.stream, &json!({})).await.status, 400);
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_set() {
    let scene = Scene::start().await;
    let (polled, ()) = tokio::join!(scene.long_poll(&scene.idp), async {
        scene.until_it_waits().await;
        scene.revoke(&["a"]).await;
    });
    assert_eq!(subjects(&polled), ["a"]);
}

#[tokio::test]
async fn a_long_poll_at_one_process_ends_with_what_another_fans_out() {
    let scene = Scene::start().await;
    let twin = scene.idp.twin().await;
    let shutdown = Shutdown::default();
    // only listens: what is recorded is fanned out by whoever ticks first, and the poll hears of it either way
    twin.transmitter.spawn_workers(&shutdown);
    let (polled, ()) = tokio::join!(scene.long_poll(&twin), async {
        scene.until_it_waits().await;
        scene.revoke(&["a"]).await;
    });
    assert_eq!(subjects(&polled), ["a"]);
    shutdown.begin();
    shutdown.wait().await;
}

#[tokio::test]
async fn a_long_poll_ends_with_the_service() {
    let scene = Scene::start().await;
    let shutdown = Shutdown::default();
    scene.idp.transmitter.spawn_workers(&shutdown);
    let (polled, ()) = tokio::join!(scene.long_poll(&scene.idp), async {
        scene.until_it_waits().await;
        shutdown.begin();
        shutdown.wait().await;
    });
    assert_eq!((polled.status, polled.body), (200, json!({"sets": {}})));
}

impl Scene {
    async fn long_poll(&self, at: &Idp) -> Reply {
        self.idp.advance(Duration::from_secs(1));
        at.poll(&self.rp, &self.stream, &json!({"returnImmediately": false})).await
    }

    /// Until the poll has been let in; it counts as activity of the stream, and the clock was moved before it.
    async fn until_it_waits(&self) {
        while self.idp.count("select count(*) from stream where last_activity_at > created_at").await == 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn what_waits_for_a_removed_client_is_recorded_as_discarded() {
    let idp = Idp::start().await;
    let (rp, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
    idp.poll_stream(&rp, &["session-revoked"]).await;
    idp.revoke(&producer, "s1").await;
    idp.fan_out().await;
    let (issuer, client_id) = (&idp.transmitter.issuer, rp.client_id.as_str().into());
    let env = ssf_common::runtime::Env::system();
    assert!(
        ssf_transmitter::admin::remove_client(
            &idp.pool,
            issuer,
            &client_id,
            &ssf_transmitter::audit::Actor::Service,
            &env
        )
        .await
        .unwrap()
    );
    assert!(
        !ssf_transmitter::admin::remove_client(
            &idp.pool,
            issuer,
            &client_id,
            &ssf_transmitter::audit::Actor::Service,
            &env
        )
        .await
        .unwrap(),
        "only once"
    );
    idp.transmitter.maintenance.tick().await.unwrap();
    assert_eq!(idp.count("select count(*) from delivery").await, 0);
    let discarded =
        "select count(*) from delivery_history where outcome = 'discarded' and error_code = 'client_removed'";
    assert_eq!(idp.count(discarded).await, 1);
}
