//! The tables `received_set`, `applied_batch`, `refusal`, `feed`, `cutoff` and `enforcement`, and what a SET changes in `upstream`.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::Txn;

use super::Refused;
use super::applied::BatchId;
use super::arrival::Arrival;
use super::batches::Outcome;
use crate::session::SubjectKey;
use crate::upstream::UpstreamId;

/// What one statement is to do.
pub(super) struct Batch<'a> {
    pub(super) id: BatchId,
    /// No two of them with the same upstream and `jti`.
    pub(super) arrivals: &'a [Arrival],
    /// When earlier batches were done.
    pub(super) applied: &'a [(BatchId, Timestamp)],
    pub(super) now: Timestamp,
}

/// What became of one arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Fresh,
    Known,
    WrongState,
    NoUpstream,
}

impl Answer {
    pub(super) const fn at(self, applied_at: Timestamp) -> Outcome {
        match self {
            Self::Fresh => Outcome::Fresh { applied_at },
            Self::Known => Outcome::Known,
            Self::WrongState => Outcome::WrongState,
            Self::NoUpstream => Outcome::NoUpstream,
        }
    }
}

/// Claims the SETs, applies the fresh ones, and commits: one statement, on a connection without a transaction.
///
/// Several processes may do this at once. SETs are claimed in the order of their ids, then the one row of `feed` is
/// taken, then cut-offs in the order of their keys; and each step reads the whole of the one before it (an aggregate
/// or a sort) before it takes its first lock. So no two statements ever wait for each other.
#[expect(clippy::too_many_lines, reason = "one statement, which is the point of it")]
pub(super) async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<Vec<Answer>, sqlx::Error> {
    let (rows, marks) = (Rows::of(batch.arrivals), Marks::of(batch.arrivals));
    let (applied_ids, applied_ats): (Vec<BatchId>, Vec<Timestamp>) = batch.applied.iter().copied().unzip();
    let answers = sqlx::query!(
        r#"with arrival as (
               select a.*, u.issuer_id,
                      -- a state that is not the pending one; a redelivered answer is known below before it is wrong
                      a.effect = 'verified' and a.state is not null and a.state is distinct from u.verification_state
                          as in_wrong_state
               from unnest(
                   $1::int4[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                   $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
                   $13::text[], $14::text[], $15::text[], $16::timestamptz[], $27::text[]
               ) as a (
                   place, upstream_id, jti, event_type, txn, method, effect,
                   occurred_at, recorded_at, fanned_out_at, taken_at, received_at,
                   state, status, status_reason, decided_at, level
               )
               join upstream u on u.id = a.upstream_id
           ), claimed as (
               insert into received_set (
                   upstream_id, jti, event_type, txn, method, effect,
                   occurred_at, recorded_at, fanned_out_at, taken_at, received_at, batch_id
               )
               select upstream_id, jti, event_type, txn, method, effect,
                      occurred_at, recorded_at, fanned_out_at, taken_at, received_at, $17
               from arrival
               where not in_wrong_state
               order by upstream_id, jti
               on conflict do nothing
               returning upstream_id, jti
           ), fresh as (
               select arrival.* from arrival join claimed using (upstream_id, jti)
           ), mark as (
               select fresh.issuer_id, m.key, max(m.revoked_before) as revoked_before,
                      max(m.revalidate_before) as revalidate_before, max(m.blocked_at) as blocked_at,
                      max(m.unblocked_at) as unblocked_at
               from unnest($18::int4[], $19::bytea[], $20::timestamptz[], $21::timestamptz[], $22::timestamptz[],
                           $23::timestamptz[])
                    as m (place, key, revoked_before, revalidate_before, blocked_at, unblocked_at)
               join fresh using (place)
               group by fresh.issuer_id, m.key
           ), numbered as (
               update feed set seq = seq + 1
               -- counting the claims makes sure that all of them are made before the row of feed is locked
               from (select (select count(*) from mark) as marks, (select count(*) from claimed) as claims) as counted
               where counted.marks > 0 and counted.claims > 0
               returning feed.seq
           ), cut as (
               insert into cutoff (
                   issuer_id, key, revoked_before, revalidate_before, blocked_at, unblocked_at, feed_seq, updated_at
               )
               select issuer_id, key, revoked_before, revalidate_before, blocked_at, unblocked_at, seq, $24
               from mark cross join numbered
               order by issuer_id, key
               on conflict (issuer_id, key) do update
               set revoked_before = greatest(cutoff.revoked_before, excluded.revoked_before),
                   revalidate_before = greatest(cutoff.revalidate_before, excluded.revalidate_before),
                   blocked_at = greatest(cutoff.blocked_at, excluded.blocked_at),
                   unblocked_at = greatest(cutoff.unblocked_at, excluded.unblocked_at),
                   feed_seq = excluded.feed_seq, updated_at = excluded.updated_at
               -- a row that nothing moves is left alone; greatest and this comparison both pass over nulls
               where excluded.revoked_before > coalesce(cutoff.revoked_before, '-infinity')
                  or excluded.revalidate_before > coalesce(cutoff.revalidate_before, '-infinity')
                  or excluded.blocked_at > coalesce(cutoff.blocked_at, '-infinity')
                  or excluded.unblocked_at > coalesce(cutoff.unblocked_at, '-infinity')
               returning cutoff.issuer_id, cutoff.key, cutoff.feed_seq
           ), enforced as (
               -- for reports: a row per SET and key, whatever other SETs of this batch say about the key
               insert into enforcement (
                   upstream_id, jti, issuer_id, key, is_first, event_type, effect, level, decided_at, cut_at,
                   received_at, feed_seq, batch_id
               )
               select fresh.upstream_id, fresh.jti, fresh.issuer_id, m.key, m.is_first, fresh.event_type, fresh.effect,
                      fresh.level, coalesce(fresh.occurred_at, fresh.decided_at),
                      coalesce(m.revoked_before, m.revalidate_before), fresh.received_at, numbered.seq, $17
               from unnest($18::int4[], $19::bytea[], $20::timestamptz[], $21::timestamptz[], $28::boolean[])
                    as m (place, key, revoked_before, revalidate_before, is_first)
               join fresh using (place)
               cross join numbered
               -- letting somebody in again cuts nothing off
               where coalesce(m.revoked_before, m.revalidate_before) is not null
           ), noted as (
               -- which sessions a cut-off reaches may be a long list: it is gone through later, from these rows
               insert into effect_source (
                   issuer_id, key, cut, upstream_id, jti, txn, event_type, decided_at, received_at, feed_seq, noted_at
               )
               select cut.issuer_id, cut.key, fresh.effect, fresh.upstream_id, fresh.jti, fresh.txn, fresh.event_type,
                      fresh.decided_at, fresh.received_at, cut.feed_seq, $24
               from unnest($18::int4[], $19::bytea[]) as m (place, key)
               join fresh using (place)
               join cut on cut.issuer_id = fresh.issuer_id and cut.key = m.key
           ), said as (
               select upstream_id,
                      max(received_at) filter (where effect = 'verified') as verified_at,
                      max(state) as state,
                      min(received_at) filter (where state is not null) as answered_at,
                      -- the issuer's times of the SET that was the answer, the first if there are several
                      (array_agg(occurred_at order by received_at, place) filter (where state is not null))[1]
                          as answer_occurred_at,
                      (array_agg(taken_at order by received_at, place) filter (where state is not null))[1]
                          as answer_taken_at,
                      (array_agg(status order by decided_at desc, place desc) filter (where status is not null))[1]
                          as status,
                      (array_agg(status_reason order by decided_at desc, place desc)
                          filter (where status is not null))[1] as status_reason,
                      max(decided_at) filter (where status is not null) as status_at,
                      min(least(decided_at, received_at)) filter (where status = 'disabled') as disabled_at,
                      (array_agg(received_at order by decided_at desc, place desc)
                          filter (where status is not null))[1] as status_received_at
               from fresh
               where effect in ('verified', 'stream_status')
               group by upstream_id
           ), heard as (
               update upstream as u
               set last_verified_at = greatest(u.last_verified_at, said.verified_at),
                   verified_asked_at = case when u.verification_state = said.state
                       then u.verification_asked_at else u.verified_asked_at end,
                   verified_answered_at = case when u.verification_state = said.state
                       then said.answered_at else u.verified_answered_at end,
                   verified_occurred_at = case when u.verification_state = said.state
                       then said.answer_occurred_at else u.verified_occurred_at end,
                   verified_taken_at = case when u.verification_state = said.state
                       then said.answer_taken_at else u.verified_taken_at end,
                   verification_state =
                       case when u.verification_state = said.state then null else u.verification_state end,
                   verification_sent_at =
                       case when u.verification_state = said.state then null else u.verification_sent_at end,
                   verification_asked_at =
                       case when u.verification_state = said.state then null else u.verification_asked_at end,
                   -- by the issuer's clock newer than what it said before, by ours not older than what it answered
                   (stream_status, status_reason, status_at, status_received_at) = (
                       select case when is_news then said.status else u.stream_status end,
                              case when is_news then said.status_reason else u.status_reason end,
                              case when is_news then said.status_at else u.status_at end,
                              case when is_news then said.status_received_at else u.status_received_at end
                       from (select u.stream_status <> 'absent'
                                and said.status_at >= coalesce(u.status_at, '-infinity')
                                and said.status_received_at >= coalesce(u.status_read_at, '-infinity')
                            ) as compared (is_news)
                   ),
                   -- whatever follows it in this batch: events may be lost since then (the keeper makes a gap of it)
                   lost_since = case when said.disabled_at is null then u.lost_since
                       else least(u.lost_since, greatest(said.disabled_at, u.created_at)) end,
                   lost_cause = case when said.disabled_at is null then u.lost_cause
                       else coalesce(u.lost_cause, 'stream_disabled') end,
                   updated_at = $24
               from said
               where u.id = said.upstream_id
           ), logged as (
               insert into applied_batch (id, applied_at)
               select * from unnest($25::uuid[], $26::timestamptz[])
               on conflict do nothing
           )
           select case
                      when fresh.place is not null then 'fresh'
                      when arrival.place is null then 'no upstream'
                      when arrival.in_wrong_state and not exists (
                          select from received_set r where r.upstream_id = arrival.upstream_id and r.jti = arrival.jti
                      ) then 'wrong state'
                      else 'known'
                  end as "answer!"
           from unnest($1::int4[]) as asked (place)
           left join arrival on arrival.place = asked.place
           left join fresh on fresh.place = asked.place
           order by asked.place"#,
        &rows.place,
        &rows.upstream_id as &[UpstreamId],
        &rows.jti as &[&str],
        &rows.event_type as &[&str],
        &rows.txn as &[Option<&str>],
        &rows.method as &[&str],
        &rows.effect as &[&str],
        &rows.occurred_at as &[Option<Timestamp>],
        &rows.recorded_at as &[Option<Timestamp>],
        &rows.fanned_out_at as &[Option<Timestamp>],
        &rows.taken_at as &[Option<Timestamp>],
        &rows.received_at as &[Timestamp],
        &rows.state as &[Option<&str>],
        &rows.status as &[Option<&str>],
        &rows.status_reason as &[Option<&str>],
        &rows.decided_at as &[Timestamp],
        batch.id as BatchId,
        &marks.place,
        &marks.key as &[SubjectKey],
        &marks.revoked_before as &[Option<Timestamp>],
        &marks.revalidate_before as &[Option<Timestamp>],
        &marks.blocked_at as &[Option<Timestamp>],
        &marks.unblocked_at as &[Option<Timestamp>],
        batch.now as Timestamp,
        &applied_ids as &[BatchId],
        &applied_ats as &[Timestamp],
        &rows.level as &[&str],
        &marks.is_first,
    )
    .fetch_all(db)
    .await?;
    answers
        .into_iter()
        .map(|row| match row.answer.as_str() {
            "fresh" => Ok(Answer::Fresh),
            "known" => Ok(Answer::Known),
            "wrong state" => Ok(Answer::WrongState),
            "no upstream" => Ok(Answer::NoUpstream),
            _ => Err(sqlx::Error::Decode("the inbox statement gave an answer that is not one of its own".into())),
        })
        .collect()
}

/// Writes down when batches were done.
pub(super) async fn log_applied(db: &mut PgConnection, done: &[(BatchId, Timestamp)]) -> Result<(), sqlx::Error> {
    let (ids, ats): (Vec<BatchId>, Vec<Timestamp>) = done.iter().copied().unzip();
    sqlx::query!(
        "insert into applied_batch (id, applied_at)
         select * from unnest($1::uuid[], $2::timestamptz[])
         on conflict do nothing",
        &ids as &[BatchId],
        &ats as &[Timestamp],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes a refusal down and returns its number.
pub(super) async fn note_refusal(db: &mut PgConnection, refused: &Refused) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into refusal (upstream_id, refused_at, method, code, description, jti) values ($1, $2, $3, $4, $5, $6)
         returning id",
        refused.upstream_id as UpstreamId,
        refused.at as Timestamp,
        refused.method.as_str(),
        refused.code.as_str(),
        refused.description,
        refused.jti,
    )
    .fetch_one(db)
    .await
}

/// Leaves the newest `kept` refusals of an upstream.
pub(super) async fn trim_refusals(db: &mut PgConnection, of: UpstreamId, kept: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from refusal
         where upstream_id = $1
           and id <= (select id from refusal where upstream_id = $1 order by id desc offset $2 limit 1)",
        of as UpstreamId,
        kept,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The arrivals as columns.
#[derive(Default)]
struct Rows<'a> {
    place: Vec<i32>,
    upstream_id: Vec<UpstreamId>,
    jti: Vec<&'a str>,
    event_type: Vec<&'a str>,
    txn: Vec<Option<&'a str>>,
    method: Vec<&'static str>,
    effect: Vec<&'static str>,
    occurred_at: Vec<Option<Timestamp>>,
    recorded_at: Vec<Option<Timestamp>>,
    fanned_out_at: Vec<Option<Timestamp>>,
    taken_at: Vec<Option<Timestamp>>,
    received_at: Vec<Timestamp>,
    state: Vec<Option<&'a str>>,
    status: Vec<Option<&'static str>>,
    status_reason: Vec<Option<&'a str>>,
    decided_at: Vec<Timestamp>,
    level: Vec<&'static str>,
}

impl<'a> Rows<'a> {
    fn of(arrivals: &'a [Arrival]) -> Self {
        let mut rows = Self::default();
        for (place, arrival) in (0..).zip(arrivals) {
            rows.place.push(place);
            rows.upstream_id.push(arrival.upstream_id);
            rows.jti.push(arrival.jti.as_str());
            rows.event_type.push(&arrival.event_type);
            rows.txn.push(arrival.txn.as_ref().map(Txn::as_str));
            rows.method.push(arrival.method.as_str());
            rows.effect.push(arrival.effect.as_str());
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
        }
        rows
    }
}

/// What the arrivals do to subject keys, as columns; `place` is that of the arrival.
#[derive(Default)]
struct Marks {
    place: Vec<i32>,
    key: Vec<SubjectKey>,
    revoked_before: Vec<Option<Timestamp>>,
    revalidate_before: Vec<Option<Timestamp>>,
    blocked_at: Vec<Option<Timestamp>>,
    unblocked_at: Vec<Option<Timestamp>>,
    /// The first of its arrival?
    is_first: Vec<bool>,
}

impl Marks {
    fn of(arrivals: &[Arrival]) -> Self {
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
