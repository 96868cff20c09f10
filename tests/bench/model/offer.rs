//! A load that does not wait for answers, and what became of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_harness::idp::uris;
use tokio::sync::{Semaphore, mpsc};

use super::arrivals::{Arrival, Lane};
use crate::field::{Field, now};

/// How one decision went, in seconds, on the transmitter's clock.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(super) struct Trip {
    pub(super) lane: i16,
    pub(super) occurred_to_fanned_out: f64,
    pub(super) fanned_out_to_taken: f64,
    pub(super) taken_to_signed: f64,
    pub(super) signed_to_answered: f64,
    pub(super) whole: f64,
}

/// What came of a load.
pub(super) struct Offered {
    /// In the order of the decisions.
    pub(super) trips: Vec<Trip>,
    /// From bytes to commit at the receiver, in seconds.
    pub(super) received_to_applied: Vec<f64>,
    /// From the first decision to the last answer.
    pub(super) time: Duration,
}

/// Hands in decisions one by one, each at its time, and waits until all are acknowledged. `numbers` are those of the first
/// user.
pub(super) async fn offer(field: &Field, arrivals: &[Arrival], first: usize) -> anyhow::Result<Offered> {
    let (since, began) = (now(), Instant::now());
    let (due, mut dues) = mpsc::unbounded_channel();
    let times: Vec<f64> = arrivals.iter().map(|arrival| arrival.at).collect();
    // a thread of its own: the timer of the runtime knows whole milliseconds only
    let clock = std::thread::spawn(move || {
        for (number, at) in times.into_iter().enumerate() {
            std::thread::sleep(Duration::from_secs_f64(at).saturating_sub(began.elapsed()));
            if due.send(number).is_err() {
                break;
            }
        }
    });
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let mut calls = Vec::with_capacity(arrivals.len());
    while let Some(number) = dues.recv().await {
        let subject = json!({"format": "opaque", "id": format!("user-{}", first + number)});
        let lane = match arrivals[number].lane {
            Lane::Urgent => "urgent",
            Lane::Prompt => "prompt",
        };
        let body = json!({"type": "session-revoked", "subject": subject, "lane": lane});
        let request = field.road.http.post(format!("{}/events", field.road.issuer));
        let request = request.bearer_auth(&field.road.producer_token).json(&body);
        let connection = Arc::clone(&connections).acquire_owned().await?;
        calls.push(tokio::spawn(async move {
            let answer = request.send().await?;
            let (status, _) = (answer.status(), answer.bytes().await?);
            drop(connection);
            ensure!(status.as_u16() == 202, "/events answered {status}");
            anyhow::Ok(())
        }));
    }
    for call in calls {
        call.await??;
    }
    clock.join().map_err(|_| anyhow::anyhow!("the clock of the load panicked"))?;
    settled(field, since, arrivals.len()).await?;
    let trips = trips(field, since).await?;
    ensure!(trips.len() == arrivals.len(), "{} of {} were acknowledged", trips.len(), arrivals.len());
    let last = span(field, since).await?;
    Ok(Offered {
        trips,
        received_to_applied: at_the_receiver(field, since).await?,
        time: Duration::from_secs_f64(last),
    })
}

async fn settled(field: &Field, since: Timestamp, count: usize) -> anyhow::Result<()> {
    let patience = Instant::now();
    loop {
        let query = "select count(*) from delivery_history where occurred_at >= $1 and event_type = $2";
        let done: i64 = sqlx::query_scalar(query).bind(since).bind(revoked()?).fetch_one(&field.pool).await?;
        if usize::try_from(done)? >= count {
            return Ok(());
        }
        ensure!(patience.elapsed() < Duration::from_mins(3), "{done} of {count} were settled");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn trips(field: &Field, since: Timestamp) -> anyhow::Result<Vec<Trip>> {
    let query = "select lane, extract(epoch from fanned_out_at - occurred_at)::float8 as occurred_to_fanned_out,
                        extract(epoch from first_taken_at - fanned_out_at)::float8 as fanned_out_to_taken,
                        extract(epoch from signed_at - first_taken_at)::float8 as taken_to_signed,
                        extract(epoch from settled_at - signed_at)::float8 as signed_to_answered,
                        extract(epoch from settled_at - occurred_at)::float8 as whole
                   from delivery_history where occurred_at >= $1 and event_type = $2 and outcome = 'acknowledged'
                  order by occurred_at, id";
    Ok(sqlx::query_as(query).bind(since).bind(revoked()?).fetch_all(&field.pool).await?)
}

async fn span(field: &Field, since: Timestamp) -> anyhow::Result<f64> {
    let query = "select extract(epoch from max(settled_at) - min(occurred_at))::float8
                   from delivery_history where occurred_at >= $1 and event_type = $2";
    Ok(sqlx::query_scalar(query).bind(since).bind(revoked()?).fetch_one(&field.pool).await?)
}

async fn at_the_receiver(field: &Field, since: Timestamp) -> anyhow::Result<Vec<f64>> {
    use sqlx::Connection as _;
    let receiver = field.road.receivers.first().context("a receiver")?;
    let mut connection = PgConnection::connect_with(&receiver.database.options).await?;
    let query = "select extract(epoch from b.applied_at - s.received_at)::float8
                   from ssf_receiver.received_set s join ssf_receiver.applied_batch b on b.id = s.batch_id
                  where s.received_at >= $1 and s.effect = 'revoke'";
    // when a batch was committed is written down a moment later
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(sqlx::query_scalar(query).bind(since).fetch_all(&mut connection).await?)
}

fn revoked() -> anyhow::Result<String> {
    uris(&["session-revoked"]).into_iter().next().context("one type")
}

/// More wait at the bench: a queue at the transmitter's door would be no other.
const CONNECTIONS: usize = 256;
