//! Reads `enforcement` and `denial`, keeps `receipt_cursor` and `probe`, and reads what `received_set`, `applied_batch`,
//! `replica_seen` and `upstream` say about the same SETs.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use super::figures::millis;
use super::outcome::{CutOff, Seen, Visible};
use super::shape::ProbeRow;
use crate::config::{API, BindingClass, Level};
use crate::timeline::{ClockOffset, RoundTrip};
use crate::upstream::UpstreamId;

/// An upstream to be reported on.
#[derive(Clone, Debug)]
pub(super) struct Reported {
    pub(super) id: UpstreamId,
    pub(super) name: String,
    /// How far its clock is ahead of ours, as at the last verification.
    pub(super) offset: Option<ClockOffset>,
}

/// After which cut-off of an upstream a page begins.
#[derive(Clone, Debug)]
pub(super) struct After {
    pub(super) received_at: Timestamp,
    pub(super) jti: String,
}

/// The upstreams in the order of their names, or the one of this name.
pub(super) async fn upstreams(db: &mut PgConnection, name: Option<&str>) -> Result<Vec<Reported>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id as "id: UpstreamId", name, verified_asked_at, verified_occurred_at, verified_taken_at,
                  verified_answered_at
           from upstream where $1::text is null or name = $1
           order by name"#,
        name,
    )
    .fetch_all(db)
    .await?;
    let reported = rows.into_iter().map(|row| {
        let times = (row.verified_asked_at, row.verified_occurred_at, row.verified_taken_at, row.verified_answered_at);
        let trip = match times {
            (Some(asked), Some(occurred), Some(taken), Some(answered)) => {
                Some(RoundTrip { asked, occurred, taken, answered })
            }
            _ => None,
        };
        Reported { id: row.id, name: row.name, offset: trip.and_then(|trip| ClockOffset::during(&trip)) }
    });
    Ok(reported.collect())
}

/// The next cut-offs of an upstream in the order of their arrival.
pub(super) async fn cut_offs(
    db: &mut PgConnection,
    of: UpstreamId,
    after: &After,
    limit: i64,
) -> Result<Vec<CutOff>, sqlx::Error> {
    let rows = sqlx::query!(
        // laterals with `offset 0` keep each look-up as it stands, by index
        r#"select e.jti as "jti!", e.event_type as "event_type!", e.effect as "effect!", e.level as "level!",
                  e.decided_at as "decided_at!", r.taken_at as "taken_at?", e.received_at as "received_at!",
                  a.applied_at as "applied_at?", d.points, d.classes, d.lasts as "lasts?: Vec<Timestamp>", d.denied,
                  v.names, v.times as "times?: Vec<Timestamp>"
           from (
               select * from enforcement
               where upstream_id = $1 and (received_at, jti) > ($2, $3) and is_first
               order by received_at, jti
               limit $4
           ) e
           left join lateral (select applied_at from applied_batch where id = e.batch_id offset 0) a on true
           left join lateral (
               select taken_at from received_set where upstream_id = e.upstream_id and jti = e.jti offset 0
           ) r on true
           left join lateral (
               select array_agg(point) as points, array_agg(class) as classes, array_agg(last) as lasts,
                      array_agg(denied) as denied
               from (
                   select enforcement_point as point, binding_class as class, max(last_allowed_at) as last,
                          count(*) as denied
                   from denial
                   where upstream_id = e.upstream_id and jti = e.jti
                   group by enforcement_point, binding_class
                   order by 1, 2
               ) each offset 0
           ) d on true
           left join lateral (
               select array_agg(name) as names, array_agg(visible_at) as times
               from (
                   select p.name, s.visible_at
                   from replica p cross join lateral (
                       select first_seq, visible_at from replica_seen
                       where replica = p.name and last_seq >= e.feed_seq
                       order by last_seq limit 1
                   ) s
                   -- a process that was not there yet read it with everything else, before its first answer
                   where s.first_seq <= e.feed_seq
                   order by p.name
               ) each offset 0
           ) v on true
           order by e.received_at, e.jti"#,
        of as UpstreamId,
        after.received_at as Timestamp,
        after.jti,
        limit,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let points = row.points.unwrap_or_default().into_iter();
            let classes = row.classes.unwrap_or_default().into_iter();
            let lasts = row.lasts.unwrap_or_default().into_iter();
            let denied = row.denied.unwrap_or_default().into_iter();
            let seen = points.zip(classes).zip(lasts.zip(denied)).map(|((point, class), (last_allowed_at, denied))| {
                Ok(Seen { point, class: class_of(&class)?, last_allowed_at, denied })
            });
            Ok(CutOff {
                seen: seen.collect::<Result<_, sqlx::Error>>()?,
                jti: row.jti,
                event_type: row.event_type,
                effect: row.effect,
                level: level_of(&row.level)?,
                decided_at: row.decided_at,
                taken_at: row.taken_at,
                received_at: row.received_at,
                applied_at: row.applied_at,
                visible: visible(row.names, row.times),
            })
        })
        .collect()
}

fn visible(names: Option<Vec<String>>, times: Option<Vec<Timestamp>>) -> Vec<Visible> {
    let each = names.unwrap_or_default().into_iter().zip(times.unwrap_or_default());
    each.map(|(replica, visible_at)| Visible { replica, visible_at }).collect()
}

/// A cut-off's place in the order of commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) feed_seq: i64,
    pub(super) jti: String,
}

/// The next cut-offs that the upstream's transmitter was not told of, in the order of commits, up to the first that had not
/// arrived by `until`.
pub(super) async fn untold(
    db: &mut PgConnection,
    of: UpstreamId,
    until: Timestamp,
    limit: i64,
) -> Result<Vec<(Place, CutOff)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with told as (
               select coalesce(max(feed_seq), -1) as feed_seq, coalesce(max(jti), '') as jti
               from receipt_cursor where upstream_id = $1
           )
           select e.jti as "jti!", e.event_type as "event_type!", e.effect as "effect!", e.level as "level!",
                  e.decided_at as "decided_at!", e.received_at as "received_at!", e.feed_seq as "feed_seq!",
                  a.applied_at as "applied_at?", d.last as "last?: Timestamp",
                  v.names, v.times as "times?: Vec<Timestamp>"
           from told
           -- in the order of the index; only within the first commit are some passed over
           cross join lateral (
               select * from enforcement
               where upstream_id = $1 and is_first and feed_seq >= told.feed_seq
                 and (feed_seq, jti) > (told.feed_seq, told.jti)
               order by feed_seq, jti
               limit $2 offset 0
           ) e
           left join lateral (select applied_at from applied_batch where id = e.batch_id offset 0) a on true
           left join lateral (
               select max(last_allowed_at) as last from denial where upstream_id = $1 and jti = e.jti offset 0
           ) d on true
           left join lateral (
               select array_agg(name) as names, array_agg(visible_at) as times
               from (
                   select p.name, s.visible_at
                   from replica p cross join lateral (
                       select first_seq, visible_at from replica_seen
                       where replica = p.name and last_seq >= e.feed_seq
                       order by last_seq limit 1
                   ) s
                   -- a process that was not there yet read it with everything else, before its first answer
                   where s.first_seq <= e.feed_seq
                   order by p.name
               ) each offset 0
           ) v on true
           order by e.feed_seq, e.jti"#,
        of as UpstreamId,
        limit,
    )
    .fetch_all(db)
    .await?;
    // up to the first that has not ripened: the cursor is moved over what is told, and nothing may lie behind it
    let each = rows.into_iter().take_while(|row| row.received_at <= until).map(|row| {
        // which point and class does not matter here: the outcome is judged in all of them
        let seen = row.last.into_iter().flat_map(|last_allowed_at| {
            BindingClass::ALL.map(|class| Seen { point: API.to_owned(), class, last_allowed_at, denied: 1 })
        });
        let place = Place { feed_seq: row.feed_seq, jti: row.jti.clone() };
        let cut_off = CutOff {
            seen: seen.collect(),
            jti: row.jti,
            event_type: row.event_type,
            effect: row.effect,
            level: level_of(&row.level)?,
            decided_at: row.decided_at,
            taken_at: None,
            received_at: row.received_at,
            applied_at: row.applied_at,
            visible: visible(row.names, row.times),
        };
        Ok((place, cut_off))
    });
    each.collect()
}

/// Notes how far a transmitter was told; never back.
pub(super) async fn move_cursor(
    db: &mut PgConnection,
    of: UpstreamId,
    to: &Place,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into receipt_cursor as old (upstream_id, feed_seq, jti, told_at) values ($1, $2, $3, $4)
         on conflict (upstream_id) do update
         set feed_seq = excluded.feed_seq, jti = excluded.jti, told_at = excluded.told_at
         where (old.feed_seq, old.jti) < (excluded.feed_seq, excluded.jti)",
        of as UpstreamId,
        to.feed_seq,
        to.jti,
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The end of a probe.
#[derive(Clone, Debug)]
pub(super) struct Probed {
    pub(super) level: Level,
    pub(super) started_at: Timestamp,
    pub(super) last_allowed_at: Option<Timestamp>,
    pub(super) denied_at: Option<Timestamp>,
    pub(super) outcome: &'static str,
    pub(super) fault: Option<String>,
}

/// When the last probe of an upstream began.
pub(super) async fn last_probe(db: &mut PgConnection, of: UpstreamId) -> Result<Option<Timestamp>, sqlx::Error> {
    sqlx::query_scalar!(
        "select started_at from probe where upstream_id = $1 order by started_at desc limit 1",
        of as UpstreamId,
    )
    .fetch_optional(db)
    .await
}

/// Writes the end of a probe down.
pub(super) async fn note_probe(db: &mut PgConnection, of: UpstreamId, probed: &Probed) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into probe (upstream_id, level, started_at, last_allowed_at, denied_at, outcome, fault)
         values ($1, $2, $3, $4, $5, $6, $7)",
        of as UpstreamId,
        probed.level.as_str(),
        probed.started_at as Timestamp,
        probed.last_allowed_at as Option<Timestamp>,
        probed.denied_at as Option<Timestamp>,
        probed.outcome,
        probed.fault,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes the probes of an upstream that began before a time, some at once.
pub(super) async fn remove_probes(db: &mut PgConnection, of: UpstreamId, before: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from probe where ctid = any(array(
             select ctid from probe where upstream_id = $1 and started_at < $2 order by started_at limit 100
         ))",
        of as UpstreamId,
        before as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The probes of an upstream that began since a time, the newest first, at most `limit`.
pub(super) async fn probes(
    db: &mut PgConnection,
    of: &Reported,
    since: Timestamp,
    limit: i64,
) -> Result<Vec<ProbeRow>, sqlx::Error> {
    let rows = sqlx::query!(
        "select level, started_at, last_allowed_at, denied_at, outcome, fault from probe
         where upstream_id = $1 and started_at >= $2
         order by started_at desc limit $3",
        of.id as UpstreamId,
        since as Timestamp,
        limit,
    )
    .fetch_all(db)
    .await?;
    let each = rows.into_iter().map(|row| {
        let took = row.denied_at.map(|denied| denied.unix_micros() - row.started_at.unix_micros());
        Ok(ProbeRow {
            upstream: of.name.clone(),
            level: level_of(&row.level)?,
            started_at: row.started_at,
            last_allowed_at: row.last_allowed_at,
            denied_at: row.denied_at,
            took_ms: took.map(millis),
            outcome: row.outcome,
            fault: row.fault,
        })
    });
    each.collect()
}

fn class_of(name: &str) -> Result<BindingClass, sqlx::Error> {
    let known = BindingClass::ALL.into_iter().find(|class| class.as_str() == name);
    known.ok_or_else(|| sqlx::Error::Decode("denial.binding_class holds no known class".into()))
}

fn level_of(name: &str) -> Result<Level, sqlx::Error> {
    let known = Level::ALL.into_iter().find(|level| level.as_str() == name);
    known.ok_or_else(|| sqlx::Error::Decode("enforcement.level holds no known level".into()))
}
