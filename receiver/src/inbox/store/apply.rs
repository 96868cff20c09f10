//! The one statement: writes `received_set`, `feed`, `cutoff`, `enforcement`, `effect_source`, `fact`, `withheld`,
//! `applied_batch`, and what a SET changes in `upstream`.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use super::columns::{Marks, Rows, Told};
use crate::inbox::applied::BatchId;
use crate::inbox::arrival::Arrival;
use crate::inbox::batches::Outcome;
use crate::session::SubjectKey;
use crate::upstream::UpstreamId;

/// What one statement is to do.
pub(in crate::inbox) struct Batch<'a> {
    pub(in crate::inbox) id: BatchId,
    /// No two of them with the same upstream and `jti`.
    pub(in crate::inbox) arrivals: &'a [Arrival],
    /// When earlier batches were done.
    pub(in crate::inbox) applied: &'a [(BatchId, Timestamp)],
    pub(in crate::inbox) now: Timestamp,
}

/// What became of one arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inbox) enum Answer {
    Fresh,
    Known,
    WrongState,
    NoUpstream,
}

impl Answer {
    pub(in crate::inbox) const fn at(self, applied_at: Timestamp) -> Outcome {
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
pub(in crate::inbox) async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<Vec<Answer>, sqlx::Error> {
    let (rows, marks, told) = (Rows::of(batch.arrivals), Marks::of(batch.arrivals), Told::of(batch.arrivals));
    let (applied_ids, applied_ats): (Vec<BatchId>, Vec<Timestamp>) = batch.applied.iter().copied().unzip();
    let answers = sqlx::query!(
        r#"with arrival as (
               select a.*, u.issuer_id, (a.filed_at at time zone 'UTC')::date as day,
                      -- a state that is not the pending one; a redelivered answer is known below before it is wrong
                      a.effect = 'verified' and a.state is not null and a.state is distinct from u.verification_state
                          and a.state is distinct from u.verification_answered_state
                          as in_wrong_state
               from unnest(
                   $1::int4[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                   $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
                   $13::text[], $14::text[], $15::text[], $16::timestamptz[], $27::text[],
                   $29::timestamptz[], $30::text[], $31::text[], $32::bytea[]
               ) as a (
                   place, upstream_id, jti, event_type, txn, method, effect,
                   occurred_at, recorded_at, fanned_out_at, taken_at, received_at,
                   state, status, status_reason, decided_at, level,
                   filed_at, withheld, withheld_effect, about
               )
               join upstream u on u.id = a.upstream_id
           ), claimed as (
               insert into received_set (
                   upstream_id, jti, day, event_type, txn, method, effect,
                   occurred_at, recorded_at, fanned_out_at, taken_at, received_at, batch_id
               )
               select upstream_id, jti, day, event_type, txn, method, effect,
                      occurred_at, recorded_at, fanned_out_at, taken_at, received_at, $17
               from arrival
               where not in_wrong_state
               order by upstream_id, jti
               on conflict do nothing
               returning upstream_id, jti
           ), fresh as (
               select arrival.* from arrival join claimed using (upstream_id, jti)
           ), due as (
               -- what is withheld touches nobody
               select * from fresh where withheld is null
           ), mark as (
               select due.issuer_id, m.key, max(m.revoked_before) as revoked_before,
                      max(m.revalidate_before) as revalidate_before, max(m.blocked_at) as blocked_at,
                      max(m.unblocked_at) as unblocked_at
               from unnest($18::int4[], $19::bytea[], $20::timestamptz[], $21::timestamptz[], $22::timestamptz[],
                           $23::timestamptz[])
                    as m (place, key, revoked_before, revalidate_before, blocked_at, unblocked_at)
               join due using (place)
               group by due.issuer_id, m.key
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
               select due.upstream_id, due.jti, due.issuer_id, m.key, m.is_first, due.event_type, due.effect,
                      due.level, coalesce(due.occurred_at, due.decided_at),
                      coalesce(m.revoked_before, m.revalidate_before), due.received_at, numbered.seq, $17
               from unnest($18::int4[], $19::bytea[], $20::timestamptz[], $21::timestamptz[], $28::boolean[])
                    as m (place, key, revoked_before, revalidate_before, is_first)
               join due using (place)
               cross join numbered
               -- letting somebody in again cuts nothing off
               where coalesce(m.revoked_before, m.revalidate_before) is not null
           ), noted as (
               -- which sessions a cut-off reaches may be a long list: it is gone through later, from these rows
               insert into effect_source (
                   issuer_id, key, cut, upstream_id, jti, txn, event_type, decided_at, received_at, feed_seq, noted_at
               )
               select cut.issuer_id, cut.key, due.effect, due.upstream_id, due.jti, due.txn, due.event_type,
                      due.decided_at, due.received_at, cut.feed_seq, $24
               from unnest($18::int4[], $19::bytea[]) as m (place, key)
               join due using (place)
               join cut on cut.issuer_id = due.issuer_id and cut.key = m.key
           ), withheld_now as (
               insert into withheld (
                   upstream_id, issuer_id, jti, event_type, txn, effect, reason, level, decided_at, received_at,
                   revoked_before, revalidate_before, blocked_at, unblocked_at, about
               )
               select fresh.upstream_id, fresh.issuer_id, fresh.jti, fresh.event_type, fresh.txn, fresh.withheld_effect,
                      fresh.withheld, fresh.level, fresh.decided_at, fresh.received_at,
                      m.revoked_before, m.revalidate_before, m.blocked_at, m.unblocked_at, fresh.about
               from fresh
               -- the registers of all its keys are the same
               left join unnest($18::int4[], $20::timestamptz[], $21::timestamptz[], $22::timestamptz[],
                                $23::timestamptz[], $28::boolean[])
                    as m (place, revoked_before, revalidate_before, blocked_at, unblocked_at, is_first)
                    on m.place = fresh.place and m.is_first
               where fresh.withheld is not null
               returning id, upstream_id, jti
           ), withheld_keys as (
               insert into withheld_key (withheld_id, key)
               select withheld_now.id, m.key
               from unnest($18::int4[], $19::bytea[]) as m (place, key)
               join fresh using (place)
               join withheld_now using (upstream_id, jti)
           ), told as (
               insert into fact (
                   issuer_id, key, kind, name, value, weight, occurred_at, received_at, event_type, about
               )
               select distinct on (due.issuer_id, f.key, f.kind, f.name)
                      due.issuer_id, f.key, f.kind, f.name, f.value, f.weight, f.occurred_at, due.received_at,
                      due.event_type, due.about
               from unnest($33::int4[], $34::bytea[], $35::text[], $36::text[], $37::text[], $38::int2[],
                           $39::timestamptz[])
                    as f (place, key, kind, name, value, weight, occurred_at)
               join due using (place)
               -- in the order of the key, as all who write facts do; of one the weightiest of the latest
               order by due.issuer_id, f.key, f.kind, f.name, f.occurred_at desc, f.weight desc,
                        f.value collate "C" desc
               on conflict (issuer_id, key, kind, name) do update
               set value = excluded.value, weight = excluded.weight, occurred_at = excluded.occurred_at,
                   received_at = excluded.received_at, event_type = excluded.event_type, about = excluded.about
               where (excluded.occurred_at, excluded.weight, excluded.value collate "C")
                   > (fact.occurred_at, fact.weight, fact.value collate "C")
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
                   verification_answered_state = case when u.verification_state = said.state
                       then said.state else u.verification_answered_state end,
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
                          select from received_set r
                          where r.upstream_id = arrival.upstream_id and r.jti = arrival.jti and r.day = arrival.day
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
        &rows.filed_at as &[Timestamp],
        &rows.withheld as &[Option<&str>],
        &rows.withheld_effect as &[Option<&str>],
        &rows.about,
        &told.place,
        &told.key as &[SubjectKey],
        &told.kind as &[&str],
        &told.name as &[&str],
        &told.value as &[&str],
        &told.weight,
        &told.occurred_at as &[Timestamp],
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
pub(in crate::inbox) async fn log_applied(
    db: &mut PgConnection,
    done: &[(BatchId, Timestamp)],
) -> Result<(), sqlx::Error> {
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
