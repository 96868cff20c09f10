//! `/metrics`: the backlog and what became of deliveries, in OpenMetrics text, for operators of the service.
//!
//! The figures are those of the whole service and stand in the database, so any process answers for all of them, and a
//! registry is made for each scrape: a stream that is gone leaves nothing behind. Only what is said to be of the process
//! is its own.

use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::ApiState;
use super::admin::Admin;
use super::error::ApiError;
use crate::admin::{Backlog, BreakerState, Outcomes, StreamBacklog};

/// The figures of the whole service for monitoring, for its operators only
///
/// At most `backlog.named_streams` streams are named, those with the most waiting first; the rest is added up as `other`.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics", security(("bearer" = ["ssf.admin"])),
    responses((status = 200, description = "OpenMetrics 1.0", body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn scrape(State(state): State<ApiState>, admin: Admin) -> Result<Response, ApiError> {
    admin.operator()?;
    let backlog = crate::admin::whole_backlog(&state.pool, None, &state.promise, &state.env).await?;
    let outcomes = crate::admin::outcomes(&state.pool).await?;
    let mut registry = Registry::with_prefix("ssf_transmitter");
    of_streams(&mut registry, &backlog, state.named_streams);
    of_service(&mut registry, &backlog, &outcomes);
    of_process(&mut registry, &state);
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|_| ApiError::Unavailable)?;
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, media), (CACHE_CONTROL, "no-store")], text).into_response())
}

type Figure = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfStream {
    issuer: String,
    stream: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLane {
    issuer: String,
    stream: String,
    lane: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Lane {
    lane: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    lane: &'static str,
    outcome: &'static str,
}

fn of_streams(registry: &mut Registry, backlog: &Backlog, named: usize) {
    let waiting: Family<OfLane, Figure> = Family::default();
    let oldest: Family<OfLane, Figure> = Family::default();
    let predicted: Family<OfLane, Figure> = Family::default();
    let used: Family<OfLane, Figure> = Family::default();
    let alarms: Family<OfLane, Figure> = Family::default();
    let drain: Family<OfStream, Figure> = Family::default();
    let empty: Family<OfStream, Figure> = Family::default();
    let breakers: Family<OfStream, Figure> = Family::default();
    let held: Family<OfStream, Figure> = Family::default();
    let in_flight: Family<OfStream, Figure> = Family::default();
    let mut streams: Vec<&StreamBacklog> = backlog.streams.items.iter().collect();
    streams.sort_by_key(|stream| (std::cmp::Reverse(stream.waiting), stream.stream_id));
    for (place, stream) in streams.into_iter().enumerate() {
        let (issuer, name) = if place < named {
            (stream.issuer.clone(), stream.stream_id.to_string())
        } else {
            (OTHER.to_owned(), OTHER.to_owned())
        };
        for (lane, figures) in stream.lanes() {
            let labels = OfLane { issuer: issuer.clone(), stream: name.clone(), lane: lane.as_str() };
            add(&waiting, &labels, float(figures.waiting));
            most(&oldest, &labels, figures.oldest_age_ms.map_or(0.0, seconds));
            most(&predicted, &labels, figures.predicted_ms.map_or(0.0, seconds));
            most(&used, &labels, figures.window_used.unwrap_or(0.0));
            add(&alarms, &labels, if figures.alarm.is_some() { 1.0 } else { 0.0 });
        }
        let labels = OfStream { issuer, stream: name };
        add(&drain, &labels, stream.drain_per_second);
        if let Some(time) = stream.time_to_empty_ms {
            most(&empty, &labels, seconds(time));
        }
        add(&breakers, &labels, if stream.breaker.state == BreakerState::Open { 1.0 } else { 0.0 });
        add(&held, &labels, float(stream.held));
        add(&in_flight, &labels, float(stream.in_flight));
    }
    registry.register("backlog_deliveries", "Deliveries that wait", waiting);
    registry.register("backlog_oldest_age_seconds", "Age of the oldest since its decision", oldest);
    registry.register(
        "backlog_predicted_seconds",
        "When the slowest will be settled, counted from its decision",
        predicted,
    );
    registry.register("backlog_window_used_ratio", "Part of the window that the oldest has used; 1 is a breach", used);
    registry.register("backlog_alarms", "Alarms that ring: a window would be missed", alarms);
    registry.register("backlog_drain_per_second", "SETs taken or refused per second", drain);
    registry.register("backlog_time_to_empty_seconds", "How long until nothing waits; absent if nobody knows", empty);
    registry.register("backlog_held_deliveries", "Deliveries held by paused streams", held);
    registry.register(
        "backlog_in_flight_deliveries",
        "Deliveries being sent, of the first 100 of each lane",
        in_flight,
    );
    registry.register("stream_breakers_open", "Push streams whose receiver fails", breakers);
}

fn of_service(registry: &mut Registry, backlog: &Backlog, outcomes: &[Outcomes]) {
    let settled: Family<Outcome, Counter> = Family::default();
    let breaches: Family<Lane, Counter> = Family::default();
    for of_lane in outcomes {
        let lane = of_lane.lane.as_str();
        let totals = &of_lane.totals;
        let each = [
            ("acknowledged", totals.acknowledged),
            ("refused", totals.refused),
            ("expired", totals.expired),
            ("discarded", totals.discarded),
        ];
        for (outcome, count) in each {
            settled.get_or_create(&Outcome { lane, outcome }).inc_by(count);
        }
        breaches.get_or_create(&Lane { lane }).inc_by(totals.breached);
    }
    registry.register("deliveries", "Deliveries that were settled, by outcome", settled);
    registry.register("breaches", "Deliveries that missed their window", breaches);
    let waiting: Family<Lane, Figure> = Family::default();
    let lag: Family<Lane, Figure> = Family::default();
    let alarms: Family<Lane, Figure> = Family::default();
    for lane in crate::outbox::Lane::ALL {
        let labels = Lane { lane: lane.as_str() };
        let of_lane = || backlog.outbox.iter().filter(|one| one.lane == lane);
        waiting.get_or_create(&labels).set(of_lane().map(|one| float(one.waiting)).sum());
        let rings = of_lane().any(|one| one.alarm.is_some());
        alarms.get_or_create(&labels).set(if rings { 1.0 } else { 0.0 });
        lag.get_or_create(&labels).set(seconds(of_lane().map(|one| one.fan_out_lag_ms).max().unwrap_or(0)));
    }
    registry.register("outbox_events", "Decisions not fanned out, up to 10000 a lane", waiting);
    registry.register("outbox_alarms", "Alarms that ring: decisions stay in the outbox", alarms);
    registry.register("fan_out_lag_seconds", "How long the first decision in the outbox has been recorded", lag);
}

fn of_process(registry: &mut Registry, state: &ApiState) {
    let waiting: Figure = Gauge::default();
    waiting.set(float(u64::try_from(state.recorder.waiting()).unwrap_or(u64::MAX)));
    registry.register("intake_waiting_events", "Decisions that wait for their commit in this process", waiting);
    let raised: Counter = Counter::default();
    raised.inc_by(state.watch.raised());
    registry.register("backlog_alarms_raised", "Alarms this process raised since it started", raised);
}

fn add<L>(family: &Family<L, Figure>, labels: &L, value: f64)
where
    L: Clone + std::hash::Hash + Eq,
{
    family.get_or_create(labels).inc_by(value);
}

/// The greatest of those that share their labels.
fn most<L>(family: &Family<L, Figure>, labels: &L, value: f64)
where
    L: Clone + std::hash::Hash + Eq,
{
    let gauge = family.get_or_create(labels);
    gauge.set(gauge.get().max(value));
}

fn seconds(millis: u64) -> f64 {
    std::time::Duration::from_millis(millis).as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a count of what waits is far below 2^52")]
const fn float(count: u64) -> f64 {
    count as f64
}

/// The issuer and the stream of what is not named.
const OTHER: &str = "other";
