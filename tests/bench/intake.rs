//! Scenario `intake`: decisions recorded durably per second, beside bare committed inserts on the same server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use ssf_harness::road::Plan;

use crate::field::Field;
use crate::figures::Figure;

/// Bare, singles, batches, and bare again: the limit is the mean of both.
pub(crate) async fn measure(seconds: Option<u64>) -> anyhow::Result<Vec<Figure>> {
    let time = Duration::from_secs(seconds.unwrap_or(20).max(4) / 4);
    let field = Field::open(&Plan { receivers: Vec::new(), ..Plan::default() }).await?;
    let before = bare(&field, time).await?;
    let singles = post(&field, time, 1).await?;
    let batches = post(&field, time, 500).await?;
    // what was accepted is fanned out first, or the limit would be measured beside that
    field.fanned_out().await?;
    let limit = f64::midpoint(before, bare(&field, time).await?);
    field.close().await?;
    let figure = Figure::new("intake", "single decisions from 32 connections", singles, "1/s").beside(limit);
    let is_met = figure.ratio.is_some_and(|ratio| ratio >= 0.5);
    Ok(vec![
        figure.aiming("≥ 0.5 × bare inserts", is_met),
        Figure::new("intake", "decisions in batches of 500", batches, "1/s").beside(limit),
    ])
}

/// Committed single-row inserts per second from 32 connections, rows as wide as a decision.
async fn bare(field: &Field, time: Duration) -> anyhow::Result<f64> {
    let database = field.road.scratch_database("bare").await?;
    let mut connection = PgConnection::connect_with(&database.options).await?;
    let table = "create table bare (seq bigint generated always as identity primary key, id uuid not null unique, body jsonb not null)";
    sqlx::query(table).execute(&mut connection).await?;
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (options, done) = (database.options.clone(), Arc::clone(&done));
        clients.spawn(async move {
            let mut connection = PgConnection::connect_with(&options).await?;
            let insert = "insert into bare (id, body) values (gen_random_uuid(), $1)";
            let body =
                json!({"type": "session-revoked", "subject": {"format": "opaque", "id": "a-session-of-this-length"}});
            while began.elapsed() < time {
                sqlx::query(insert).bind(&body).execute(&mut connection).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(per_second(&done, began))
}

/// Decisions accepted per second, `batch` in each request.
async fn post(field: &Field, time: Duration, batch: usize) -> anyhow::Result<f64> {
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    let connections = if batch == 1 { CONNECTIONS } else { 4 };
    for client in 0..connections {
        let (http, done) = (field.road.http.clone(), Arc::clone(&done));
        let (url, token) = (format!("{}/events", field.road.issuer), field.road.producer_token.clone());
        clients.spawn(async move {
            let mut number = 0_usize;
            while began.elapsed() < time {
                let event = |n: usize| json!({"type": "session-revoked", "subject": {"format": "opaque", "id": format!("s-{client}-{number}-{n}")}});
                let body = if batch == 1 { event(0) } else { Value::Array((0..batch).map(event).collect()) };
                let answer = http.post(&url).bearer_auth(&token).json(&body).send().await?;
                ensure!(answer.status() == http::StatusCode::ACCEPTED, "POST /events answered {}", answer.status());
                answer.bytes().await?;
                number += 1;
                done.fetch_add(batch as u64, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(per_second(&done, began))
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn per_second(done: &AtomicU64, began: Instant) -> f64 {
    done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

const CONNECTIONS: usize = 32;
