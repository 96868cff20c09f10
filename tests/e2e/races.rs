//! Stories of two who want the same at once: whoever comes first, nothing is lost, nothing outlives its owner, and neither
//! waits for the other for ever. A lock held by the story makes them meet.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use http::Method;
use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};
use ssf_common::jwks::Algorithm;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party};
use ssf_harness::sink::{Answer, Sink};
use ssf_transmitter::issuer::OwnDefaults;

use crate::operator::Operator;

#[tokio::test]
async fn what_is_decided_for_a_stream_that_was_just_enabled_again_is_not_discarded_with_what_came_back_before() {
    let idp = Idp::start().await;
    let (one, other, producer) =
        (idp.add_receiver("one").await, idp.add_receiver("other").await, idp.add_producer().await);
    let (of_one, of_other) =
        (idp.poll_stream(&one, &["session-revoked"]).await, idp.poll_stream(&other, &["session-revoked"]).await);
    idp.revoke(&producer, "before").await;
    idp.fan_out().await;
    idp.execute(
        "update delivery set state = 'leased', lease_id = gen_random_uuid(), first_taken_at = due_at, attempts = 1,
                due_at = due_at + interval '1 minute'",
    )
    .await;
    set(&idp, &one, &of_one, "disabled").await;
    set(&idp, &other, &of_other, "disabled").await;
    idp.advance(Duration::from_mins(2));

    let taken = held(&idp, &format!("select id from delivery where stream_id = '{of_one}' for update")).await;
    let worker = Arc::clone(&idp.transmitter.maintenance);
    let upkeep = tokio::spawn(async move { worker.tick().await.unwrap() });
    while !upkeep.is_finished() && idp.blocked().await == 0 {
        tokio::task::yield_now().await;
    }
    set(&idp, &other, &of_other, "enabled").await;
    idp.revoke(&producer, "after").await;
    idp.fan_out().await;
    taken.commit().await.unwrap();
    upkeep.await.unwrap();

    let polled = idp.poll(&other, &of_other, &json!({})).await;
    assert_eq!(polled.body["sets"].as_object().unwrap().len(), 1, "{}", polled.body);
    idp.transmitter.maintenance.tick().await.unwrap();
    let counted =
        "select count(*) from delivery_history where outcome = 'discarded' and error_code = 'stream_disabled'";
    assert_eq!(idp.count(counted).await, 2, "what came back is gone from both");
    assert_eq!(idp.count("select count(*) from delivery").await, 1);
}

#[tokio::test]
async fn a_stream_that_is_created_while_its_client_is_removed_does_not_outlive_it() {
    for creates_first in [true, false] {
        let idp = Idp::start().await;
        let (rp, operator) = (idp.add_receiver("rp").await, idp.add_operator().await);
        let held = held(&idp, "select id from client where client_id = 'rp' for update").await;
        let create = async || idp.post("/ssf/streams", &rp, &json!({})).await.status;
        let remove = async || idp.call(Method::DELETE, "/admin/v1/clients/rp", &operator.token, None).await.status;
        let (created, removed) = if creates_first {
            in_this_order(&idp, held, create(), remove()).await
        } else {
            let (removed, created) = in_this_order(&idp, held, remove(), create()).await;
            (created, removed)
        };
        assert_eq!((created, removed), (if creates_first { 201 } else { 401 }, 204));
        assert_eq!(idp.count("select count(*) from stream where status <> 'disabled'").await, 0, "{creates_first}");
    }
}

#[tokio::test]
async fn nor_does_one_that_is_created_while_its_issuer_is_removed() {
    for creates_first in [true, false] {
        let idp = Idp::start().await;
        let operator = idp.add_operator().await;
        let tenant = idp.tenant("/acme", &OwnDefaults::default()).await;
        let rp = tenant.add_receiver("rp").await;
        let of_tenant = format!("/admin/v1/issuers/{}", tenant.row.id);
        let held = held(&idp, &format!("select id from issuer where id = '{}' for update", tenant.row.id)).await;
        let create = async || tenant.post("/ssf/streams", &rp, &json!({})).await.status;
        let remove = async || idp.call(Method::DELETE, &of_tenant, &operator.token, None).await.status;
        let (created, removed) = if creates_first {
            in_this_order(&idp, held, create(), remove()).await
        } else {
            let (removed, created) = in_this_order(&idp, held, remove(), create()).await;
            (created, removed)
        };
        assert_eq!((created, removed), (if creates_first { 201 } else { 401 }, 204));
        assert_eq!(idp.count("select count(*) from stream where status <> 'disabled'").await, 0, "{creates_first}");
    }
}

#[tokio::test]
async fn a_stream_is_disabled_while_its_dead_letters_are_sent_again_and_neither_waits_for_ever() {
    let idp = Idp::start().await;
    let (rp, producer, operator) = (idp.add_receiver("rp").await, idp.add_producer().await, idp.add_operator().await);
    let sink = Sink::start().await;
    let stream = idp.push_stream(&rp, &sink.url, &["session-revoked"]).await;
    sink.next([Answer::refusal("invalid_request")]);
    idp.revoke(&producer, "s").await;
    idp.drain().await;
    let held =
        held(&idp, "select pg_advisory_xact_lock(hashtext('ssf_transmitter.fan_out'), hashtext(current_schema))").await;
    let replay = async { idp.post("/admin/v1/dead-letters/replay", &operator, &json!({"stream_id": stream})).await };
    let (replayed, ()) = in_this_order(&idp, held, replay, set(&idp, &rp, &stream, "disabled")).await;
    assert_eq!((replayed.status, replayed.body), (200, json!({"done": 1, "left": 0})));
    assert_eq!(idp.count("select count(*) from delivery").await, 0);
    assert_eq!(idp.count("select count(*) from delivery_history where outcome = 'discarded'").await, 1);
}

#[tokio::test]
async fn a_stream_is_changed_while_a_key_is_activated_for_it_and_neither_waits_for_ever() {
    let operator = Operator::start().await;
    let idp = &operator.idp;
    let (rp, on_call) = (idp.add_receiver("rp").await, idp.add_operator().await);
    let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
    operator.keys().set_stream_algorithm(stream.parse().unwrap(), Algorithm::EdDsa).await.unwrap();
    let log = "select pg_advisory_xact_lock(hashtext('ssf_transmitter.audit'), hashtext(current_schema || id::text)) from issuer";
    let held = held(idp, log).await;
    let rotate = Box::pin(async { operator.keys().rotate(Some(Algorithm::EdDsa), true).await });
    let path = format!("/admin/v1/streams/{stream}/status");
    let pause = async { idp.call(Method::PUT, &path, &on_call.token, Some(&json!({"status": "paused"}))).await };
    let (rotated, paused) = in_this_order(idp, held, rotate, pause).await;
    assert_eq!((rotated.unwrap().len(), paused.status), (1, 200), "{}", paused.body);
    let switched =
        "select count(*) from stream where algorithm = 'EdDSA' and algorithm_wanted is null and status = 'paused'";
    assert_eq!(idp.count(switched).await, 1);
}

#[tokio::test]
async fn outcomes_whose_batch_gives_way_to_another_transaction_are_settled_all_the_same() {
    let idp = Idp::start().await;
    let (rp, producer, sink) = (idp.add_receiver("rp").await, idp.add_producer().await, Sink::start().await);
    idp.push_stream(&rp, &sink.url, &["session-revoked"]).await;
    // the first to write the history, and the first to postpone, is the victim of a deadlock; a sequence remembers
    let victims = "create sequence met;
        create function gives_way() returns trigger language plpgsql as $$
            begin if nextval('met') = 1 then raise exception using errcode = '40P01', message = 'deadlock detected'; end if; return new; end $$;
        create trigger gives_way before insert on delivery_history for each row execute function gives_way();
        create trigger gives_way before insert on stream_health for each row execute function gives_way()";
    idp.execute(victims).await;
    sink.next([Answer::status(202), Answer::status(503)]);
    idp.revoke(&producer, "taken").await;
    idp.drain().await;
    assert_eq!(idp.count("select count(*) from delivery_history where outcome = 'acknowledged'").await, 1);
    idp.execute("alter sequence met restart").await;
    idp.revoke(&producer, "postponed").await;
    idp.drain().await;
    assert_eq!(idp.count("select count(*) from delivery where state = 'waiting' and last_error is not null").await, 1);
    assert_eq!(idp.count("select sum(failures) from stream_health").await, 1);
    assert_eq!(sink.requests().len(), 2, "each was sent once");
}

/// A transaction that has done this and goes on.
async fn held(idp: &Idp, statement: &str) -> Transaction<'static, Postgres> {
    let mut tx = idp.pool.begin().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await.unwrap();
    tx
}

/// Lets `first` and then `second` queue up behind what is held, and lets go.
async fn in_this_order<A, B>(
    idp: &Idp,
    held: Transaction<'static, Postgres>,
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> (A, B) {
    let behind = async {
        idp.until_blocked(1).await;
        second.await
    };
    let let_go = async {
        idp.until_blocked(2).await;
        held.commit().await.unwrap();
    };
    let all = async { tokio::join!(first, behind, let_go) };
    let (first, second, ()) =
        tokio::time::timeout(Duration::from_secs(30), all).await.expect("they have met and parted");
    (first, second)
}

async fn set(idp: &Idp, rp: &Party, stream: &str, status: &str) {
    let body: Value = json!({"stream_id": stream, "status": status});
    let reply = idp.post("/ssf/status", rp, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[tokio::test]
async fn a_token_that_is_asked_for_while_its_secret_ends_is_not_granted() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let mut rotating = held(&idp, "select id from client where client_id = 'rp' for update").await;
    let basic = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("rp:{}", rp.secret)));
    let headers = [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let asking = idp.send(Method::POST, "/oauth2/token", &headers, "grant_type=client_credentials");
    let (reply, ()) = tokio::join!(asking, async {
        idp.until_blocked(1).await;
        let end = "update client set secret_digest = decode(repeat('00', 32), 'hex') where client_id = 'rp'";
        sqlx::query(end).execute(&mut *rotating).await.unwrap();
        rotating.commit().await.unwrap();
    });
    assert_eq!((reply.status, reply.text("error")), (401, "invalid_client"));
    assert_eq!(idp.count("select count(*) from access_token where kind = 'issued'").await, 0);
}

#[tokio::test]
async fn the_history_gets_its_next_days_later_while_somebody_reads_it_and_nobody_waits_for_that() {
    let idp = Idp::start().await;
    let (rp, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
    let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
    let partitions = "select count(*) from pg_inherits where inhparent = 'event'::regclass";
    let before = idp.count(partitions).await;
    idp.revoke(&producer, "old").await;
    idp.fan_out().await;
    idp.advance(Duration::from_hours(24 * 8));
    // a dump of the whole database holds such a lock for as long as it takes
    let reading = held(&idp, "select 1 from event limit 1").await;
    idp.transmitter.maintenance.tick().await.unwrap();
    assert_eq!(idp.count(partitions).await, before, "it was not waited for");
    let expired = "select count(*) from dead_letter where error_code = 'expired'";
    assert_eq!(idp.count(expired).await, 1, "and the rest of the upkeep was done");
    idp.revoke(&producer, "new").await;
    idp.fan_out().await;
    assert_eq!(idp.poll(&rp, &stream, &json!({})).await.body["sets"].as_object().unwrap().len(), 1);
    reading.commit().await.unwrap();
    idp.transmitter.maintenance.tick().await.unwrap();
    assert!(idp.count(partitions).await > before);
}
