//! Arrivals as columns: what the one statement unnests.

use ssf_common::clock::Timestamp;
use ssf_common::id::Txn;

use crate::cutoff::Withheld;
use crate::inbox::arrival::Arrival;
use crate::session::SubjectKey;
use crate::upstream::UpstreamId;

/// The arrivals as columns.
#[derive(Default)]
pub(super) struct Rows<'a> {
    pub(super) place: Vec<i32>,
    pub(super) upstream_id: Vec<UpstreamId>,
    pub(super) jti: Vec<&'a str>,
    pub(super) event_type: Vec<&'a str>,
    pub(super) txn: Vec<Option<&'a str>>,
    pub(super) method: Vec<&'static str>,
    pub(super) effect: Vec<&'static str>,
    pub(super) occurred_at: Vec<Option<Timestamp>>,
    pub(super) recorded_at: Vec<Option<Timestamp>>,
    pub(super) fanned_out_at: Vec<Option<Timestamp>>,
    pub(super) taken_at: Vec<Option<Timestamp>>,
    pub(super) received_at: Vec<Timestamp>,
    pub(super) state: Vec<Option<&'a str>>,
    pub(super) status: Vec<Option<&'static str>>,
    pub(super) status_reason: Vec<Option<&'a str>>,
    pub(super) decided_at: Vec<Timestamp>,
    pub(super) level: Vec<&'static str>,
    pub(super) filed_at: Vec<Timestamp>,
    /// Why it is withheld, and what it would have become.
    pub(super) withheld: Vec<Option<&'static str>>,
    pub(super) withheld_effect: Vec<Option<&'static str>>,
    pub(super) about: Vec<Vec<u8>>,
}

impl<'a> Rows<'a> {
    pub(super) fn of(arrivals: &'a [Arrival]) -> Self {
        let mut rows = Self::default();
        for (place, arrival) in (0..).zip(arrivals) {
            rows.place.push(place);
            rows.upstream_id.push(arrival.upstream_id);
            rows.jti.push(arrival.jti.as_str());
            rows.event_type.push(&arrival.event_type);
            rows.txn.push(arrival.txn.as_ref().map(Txn::as_str));
            rows.method.push(arrival.method.as_str());
            rows.effect.push(if arrival.withheld.is_some() { "withheld" } else { arrival.effect.as_str() });
            rows.occurred_at.push(arrival.timeline.map(|t| t.occurred));
            rows.recorded_at.push(arrival.timeline.map(|t| t.recorded));
            rows.fanned_out_at.push(arrival.timeline.map(|t| t.fanned_out));
            rows.taken_at.push(arrival.timeline.map(|t| t.taken));
            rows.received_at.push(arrival.received_at);
            rows.state.push(arrival.state());
            rows.status.push(arrival.stream_status().map(|(status, _)| status.as_str()));
            rows.status_reason.push(arrival.stream_status().and_then(|(_, reason)| reason));
            rows.decided_at.push(arrival.decided_at);
            rows.level.push(arrival.level.as_str());
            rows.filed_at.push(arrival.filed_at);
            rows.withheld.push(arrival.withheld.map(Withheld::as_str));
            rows.withheld_effect.push(arrival.withheld.map(|_| arrival.effect.as_str()));
            rows.about.push(arrival.about.iter().flat_map(|key| key.0).collect());
        }
        rows
    }
}

/// What the arrivals do to subject keys, as columns; `place` is that of the arrival.
#[derive(Default)]
pub(super) struct Marks {
    pub(super) place: Vec<i32>,
    pub(super) key: Vec<SubjectKey>,
    pub(super) revoked_before: Vec<Option<Timestamp>>,
    pub(super) revalidate_before: Vec<Option<Timestamp>>,
    pub(super) blocked_at: Vec<Option<Timestamp>>,
    pub(super) unblocked_at: Vec<Option<Timestamp>>,
    /// The first of its arrival?
    pub(super) is_first: Vec<bool>,
}

impl Marks {
    pub(super) fn of(arrivals: &[Arrival]) -> Self {
        let mut marks = Self::default();
        for (place, arrival) in (0..).zip(arrivals) {
            for (nth, (key, registers)) in arrival.marks.iter().enumerate() {
                marks.is_first.push(nth == 0);
                marks.place.push(place);
                marks.key.push(*key);
                marks.revoked_before.push(registers.revoked_before);
                marks.revalidate_before.push(registers.revalidate_before);
                marks.blocked_at.push(registers.blocked_at);
                marks.unblocked_at.push(registers.unblocked_at);
            }
        }
        marks
    }
}

/// The facts that the arrivals tell, one per key, as columns; `place` is that of the arrival.
#[derive(Default)]
pub(super) struct Told<'a> {
    pub(super) place: Vec<i32>,
    pub(super) key: Vec<SubjectKey>,
    pub(super) kind: Vec<&'static str>,
    pub(super) name: Vec<&'static str>,
    pub(super) value: Vec<&'a str>,
    pub(super) weight: Vec<i16>,
    pub(super) occurred_at: Vec<Timestamp>,
}

impl<'a> Told<'a> {
    pub(super) fn of(arrivals: &'a [Arrival]) -> Self {
        let mut told = Self::default();
        for (place, arrival) in (0..).zip(arrivals) {
            let Some((fact, keys)) = &arrival.fact else { continue };
            for key in keys {
                told.place.push(place);
                told.key.push(*key);
                told.kind.push(fact.kind);
                told.name.push(fact.name);
                told.value.push(&fact.value);
                told.weight.push(fact.weight);
                told.occurred_at.push(fact.occurred_at);
            }
        }
        told
    }
}
