//! Scenario `fanout`: one decision to 1,000 streams, half push, half poll: the time to the last acknowledgement.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_harness::road::Plan;

use crate::crowd::{Crowd, Health};
use crate::field::Field;
use crate::figures::{Figure, note, percentile};
use crate::openssl_signer::BareSigner;

/// Several decisions, one after the other; the median.
pub(crate) async fn measure(seconds: Option<u64>, streams: usize) -> anyhow::Result<Vec<Figure>> {
    let time = Duration::from_secs(seconds.unwrap_or(30));
    // one client makes all the streams
    let limits = "[limits]\nmanagement_per_10s = 0\n".to_owned();
    let plan = Plan { receivers: Vec::new(), transmitter: limits, ..Plan::default() };
    let field = Field::open(&plan).await?;
    let crowd = Crowd::start().await?;
    note(&format!("{streams} streams"));
    let mut polled = Vec::new();
    for number in 0..streams {
        let endpoint = crowd.endpoint(Health::Good, number);
        let (_, at) = field.stream((number % 2 == 0).then_some(endpoint.as_str())).await?;
        if number % 2 == 1 {
            polled.push(at);
        }
    }
    let (key, mut took) = (SigningKey::generate(Algorithm::Rs256)?, Vec::new());
    let (signer, began) = (BareSigner::of(&key)?, Instant::now());
    let mut bare = Duration::ZERO;
    while took.len() < 15 && began.elapsed() < time {
        let signing = Instant::now();
        for _ in 0..streams {
            signer.sign(&[7; 700])?;
        }
        bare += signing.elapsed();
        took.push(decide(&field, &polled).await?);
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let bare_ms = bare.as_secs_f64() * 1_000.0 / took.len() as f64;
    field.close().await?;
    let figure = Figure::new(
        "fanout",
        format!("1 decision × {streams} streams, last acknowledgement"),
        percentile(&mut took, 0.5),
        "ms",
    )
    .beside(bare_ms);
    let is_met = figure.ratio.is_some_and(|ratio| ratio <= 3.0);
    Ok(vec![figure.aiming("≤ 3 × as many bare signatures", is_met)])
}

/// One decision, until everybody has acknowledged it; every poll stream is waited at by a long poll, as receivers do.
async fn decide(field: &Field, polled: &[String]) -> anyhow::Result<f64> {
    let mut polls = tokio::task::JoinSet::new();
    for at in polled {
        let (http, at, token) = (field.road.http.clone(), at.clone(), field.receiver_token().to_owned());
        polls.spawn(async move {
            let poll = |body: serde_json::Value| http.post(&at).bearer_auth(&token).json(&body).send();
            let answer: serde_json::Value = poll(json!({})).await?.error_for_status()?.json().await?;
            let sets =
                answer["sets"].as_object().map(|sets| sets.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
            ensure!(sets.len() == 1, "{} SETs came", sets.len());
            poll(json!({"ack": sets, "maxEvents": 0})).await?.error_for_status()?;
            anyhow::Ok(())
        });
    }
    // the polls wait before anything is decided
    tokio::time::sleep(Duration::from_millis(700)).await;
    let id = format!("s-{}", crate::field::now().unix_micros());
    let events =
        field.road.emit(&json!({"type": "session-revoked", "subject": {"format": "opaque", "id": id}})).await?;
    while let Some(poll) = polls.join_next().await {
        poll??;
    }
    let patience = Instant::now();
    loop {
        let progress = field.road.progress(&events[0]).await?;
        if progress["streams"].as_u64() > Some(0) && progress["streams"] == progress["delivered"] {
            return Ok(progress["slowest"]["ms"].as_f64().unwrap_or(f64::NAN));
        }
        ensure!(patience.elapsed() < Duration::from_mins(1), "not everybody acknowledged");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
