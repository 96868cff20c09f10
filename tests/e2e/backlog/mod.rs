//! Stories about what waits: it is counted, watched, alarmed before its window is missed, and shown; and about batches.

mod alarms;
mod batches;
mod commands;
mod counts;
mod metrics;
mod webhooks;

use std::time::Duration;

use serde_json::{Value, json};
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party, opaque};
use ssf_harness::sink::Sink;

/// A transmitter with one push stream, its receiver, a producer and an operator.
struct Scene {
    idp: Idp,
    producer: Party,
    operator: Party,
    receiver: Party,
    sink: Sink,
    stream: String,
}

impl Scene {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let idp = Idp::start_with(settings).await;
        let (producer, operator) = (idp.add_producer().await, idp.add_operator().await);
        let (receiver, sink) = (idp.add_receiver("rp").await, Sink::start().await);
        let stream = idp.push_stream(&receiver, &sink.url, &["session-revoked", "account-enabled"]).await;
        Self { idp, producer, operator, receiver, sink, stream }
    }

    /// What waits on the stream.
    async fn backlog(&self) -> Value {
        backlog(&self.idp, &self.operator, &self.stream).await
    }

    /// How much waits, lane by lane.
    async fn waiting(&self) -> [u64; 3] {
        let backlog = self.backlog().await;
        ["urgent", "prompt", "bulk"].map(|lane| backlog[lane]["waiting"].as_u64().unwrap())
    }

    async fn breaches(&self) -> Vec<Value> {
        let reply = self.idp.get("/admin/v1/breaches", &self.operator).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body["items"].as_array().unwrap().clone()
    }

    /// Hands in decisions that sessions are over, all in this lane.
    async fn revoke_all(&self, sessions: std::ops::Range<usize>, lane: &str) -> String {
        let events: Vec<Value> = sessions
            .map(|n| json!({"type": "session-revoked", "subject": opaque(&format!("s{n}")), "lane": lane}))
            .collect();
        let reply = self.idp.post("/events", &self.producer, &json!(events)).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        reply.text("batch_id").to_owned()
    }
}

async fn backlog(idp: &Idp, operator: &Party, stream: &str) -> Value {
    let reply = idp.get(&format!("/admin/v1/streams/{stream}/backlog"), operator).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

/// One look of the watch.
async fn look(idp: &Idp) {
    while idp.transmitter.watch.tick().await.unwrap() > 0 {}
}

/// So many seconds pass, with a look at each.
async fn pass(idp: &Idp, seconds: u64) {
    for _ in 0..seconds {
        idp.advance(Duration::from_secs(1));
        look(idp).await;
    }
}

/// Alarms so far, and how many of them ring.
async fn alarms(idp: &Idp) -> (i64, i64) {
    let ringing = idp.count("select count(*) from backlog_alarm where cleared_at is null").await;
    (idp.count("select count(*) from backlog_alarm").await, ringing)
}
