//! Stories about how a stream is signed: by the operator's word, and never with a key that is not published long enough.

use std::time::Duration;

use serde_json::json;
use ssf_common::jwks::Algorithm;
use ssf_common::random::SystemRandom;
use ssf_harness::idp::opaque;
use ssf_transmitter::admin::{AlgorithmChange, KeysError, NewClient};
use ssf_transmitter::stream::StreamKey;

use crate::operator::{Operator, Stream};
use crate::rotation::{Cached, header, kid};

#[tokio::test]
async fn a_stream_that_is_created_while_its_algorithms_key_is_retired_is_signed_with_another() {
    let operator = Operator::start().await;
    operator.keys().rotate(Some(Algorithm::EdDsa), true).await.unwrap();
    let new = NewClient {
        with_token: true,
        algorithm: Some(Algorithm::EdDsa),
        ..NewClient::receiver("rp", "https://rp.example")
    };
    let rp = operator.idp.add_client(new).await;
    // as the worker does it: with the issuer's lock
    let mut tx = operator.idp.pool.begin().await.unwrap();
    let lock = "select pg_advisory_xact_lock(hashtext('ssf_transmitter.keys'), hashtext(current_schema || $1::text))";
    sqlx::query(lock).bind(operator.idp.transmitter.issuer.id).execute(&mut *tx).await.unwrap();
    let (stream, ()) = tokio::join!(operator.idp.poll_stream(&rp, &["session-revoked"]), async {
        let waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted
                      and database = (select oid from pg_database where datname = current_database())";
        while operator.idp.count(waits).await == 0 {
            tokio::task::yield_now().await;
        }
        let retire = "update signing_key set state = 'retired', retired_at = created_at where algorithm = 'EdDSA'";
        sqlx::query(retire).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    });
    let signed: (String, Option<String>) =
        sqlx::query_as("select algorithm, algorithm_wanted from stream where id = $1::uuid")
            .bind(stream)
            .fetch_one(&operator.idp.pool)
            .await
            .unwrap();
    assert_eq!(signed, ("ES256".to_owned(), Some("EdDSA".to_owned())));
}

#[tokio::test]
async fn a_process_that_has_not_heard_of_a_first_key_reads_it_before_it_gives_up() {
    let operator = Operator::start().await;
    let twin = operator.idp.twin().await;
    let scene = operator.stream("rp").await;
    operator.keys().rotate(Some(Algorithm::EdDsa), true).await.unwrap();
    let changed = operator.keys().set_stream_algorithm(scene.key(), Algorithm::EdDsa).await.unwrap();
    assert_eq!(changed, AlgorithmChange::Now);
    operator.idp.revoke(&scene.producer, "s").await;
    operator.idp.fan_out().await;
    let reply = twin.poll(&scene.rp, &scene.id, &json!({})).await;
    let set = reply.body["sets"].as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
    assert_eq!(header(&set, "alg"), "EdDSA");
}

#[tokio::test]
async fn a_stream_goes_on_with_its_algorithm_until_the_first_key_of_the_new_one_has_been_published_long_enough() {
    let operator = Operator::start().await;
    let (scene, other) = (operator.stream("rp").await, operator.idp.add_receiver("other").await);
    operator.idp.poll_stream(&other, &["session-revoked"]).await;
    let changed = operator.keys().set_stream_algorithm(scene.key(), Algorithm::Ps256).await.unwrap();
    let AlgorithmChange::Later { kid: awaited, at } = changed else { panic!("there is no key yet") };
    assert_eq!(at, operator.env.now().plus(Duration::from_hours(24)));
    operator.rotate().await;
    assert!(operator.published().await.contains(&awaited.to_string()), "it is published ahead");
    operator.hours(23).await;
    assert_eq!(header(&operator.next_set(&scene, "1").await, "alg"), "ES256");
    let mut receiver = Cached::new(&scene.rp, &operator.idp).await;
    operator.hours(1).await;
    let set = operator.next_set(&scene, "2").await;
    assert_eq!((header(&set, "alg").as_str(), kid(&set)), ("PS256", awaited.to_string()));
    assert!(receiver.verifies(&set, &operator.idp));
    let signed: Vec<(String, Option<String>)> =
        sqlx::query_as("select algorithm, algorithm_wanted from stream order by created_at, algorithm desc")
            .fetch_all(&operator.idp.pool)
            .await
            .unwrap();
    assert_eq!(signed, [("PS256".to_owned(), None), ("ES256".to_owned(), None)], "and no other stream is touched");
    // back: there is an active key, so at once; and a wish can be taken back
    let back = operator.keys().set_stream_algorithm(scene.key(), Algorithm::Es256).await.unwrap();
    assert_eq!(back, AlgorithmChange::Now);
    assert_eq!(header(&operator.next_set(&scene, "3").await, "alg"), "ES256");
    operator.keys().set_stream_algorithm(scene.key(), Algorithm::EdDsa).await.unwrap();
    operator.keys().set_stream_algorithm(scene.key(), Algorithm::Es256).await.unwrap();
    operator.hours(25).await;
    assert_eq!(header(&operator.next_set(&scene, "4").await, "alg"), "ES256");
    let nobodys = StreamKey::unguessable(&SystemRandom);
    let refused = operator.keys().set_stream_algorithm(nobodys, Algorithm::Es256).await.unwrap_err();
    assert!(matches!(refused, KeysError::NoStream), "{refused}");
}

#[tokio::test]
async fn a_client_with_an_algorithm_of_its_own_has_its_new_streams_signed_so() {
    let operator = Operator::start().await;
    let new = NewClient {
        with_token: true,
        algorithm: Some(Algorithm::Rs256),
        ..NewClient::receiver("rp", "https://rp.example")
    };
    let (rp, producer) =
        (operator.idp.add_client(NewClient { max_streams: 2, ..new }).await, operator.idp.add_producer().await);
    let id = operator.idp.poll_stream(&rp, &["session-revoked"]).await;
    let first = Stream { rp: rp.clone(), producer: producer.clone(), id };
    assert_eq!(header(&operator.next_set(&first, "1").await, "alg"), "ES256", "there is no other key yet");
    operator.rotate().await;
    operator.hours(24).await;
    assert_eq!(header(&operator.next_set(&first, "2").await, "alg"), "RS256");
    let second = Stream { id: operator.idp.poll_stream(&rp, &["session-revoked"]).await, rp, producer };
    assert_eq!(header(&operator.next_set(&second, "3").await, "alg"), "RS256", "and now at once");
}

#[tokio::test]
async fn an_algorithm_that_is_not_used_any_more_may_be_retired_and_one_in_use_may_not() {
    let operator = Operator::start().await;
    let scene = operator.stream("rp").await;
    let [entered] = &operator.keys().rotate(Some(Algorithm::EdDsa), true).await.unwrap()[..] else { panic!("one") };
    operator.keys().set_stream_algorithm(scene.key(), Algorithm::EdDsa).await.unwrap();
    let refused = operator.keys().retire(&entered.kid, false).await.unwrap_err();
    assert!(matches!(refused, KeysError::InUse(Algorithm::EdDsa)), "{refused}");
    operator.keys().set_stream_algorithm(scene.key(), Algorithm::Es256).await.unwrap();
    let retired = operator.keys().retire(&entered.kid, false).await.unwrap();
    assert_eq!(retired.published_until, Some(operator.env.now().plus(Duration::from_hours(24 * 8))));
    assert!(operator.published().await.contains(&entered.kid.to_string()));
    operator.idp.revoke(&scene.producer, &opaque("x").to_string()).await;
    assert_eq!(header(&operator.next_set(&scene, "s").await, "alg"), "ES256");
}
