//! The table `denial`, and the removal of old rows of `enforcement`. Called by the denial log.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use super::{Asked, Denial};
use crate::session::SubjectKey;
use crate::validity::Question;

/// Writes down which decisions denied what was allowed before. A session that is not known any more tells nothing.
///
/// A decision counts for a denial if it names one of its keys, had arrived, and cuts its assertions off. Rows are written
/// in the order of their keys, so that two services which write the same ones never wait for each other in a circle.
pub(super) async fn note_denials(db: &mut PgConnection, denials: &[Denial]) -> Result<(), sqlx::Error> {
    let rows = Denied::of(denials);
    sqlx::query!(
        r#"with denied as (
               select * from unnest(
                   $1::int4[], $2::text[], $3::bytea[], $4::timestamptz[], $5::timestamptz[], $6::boolean[],
                   $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[], $11::text[]
               ) as d (
                   place, point, asked, last_allowed_at, first_denied_at, is_blocked,
                   sid, issuer, origin, validated, binding_class
               )
           ), known as (
               select d.place, d.point, d.asked, d.last_allowed_at, d.first_denied_at, d.is_blocked, s.issuer_id,
                      d.origin, d.validated, case when s.binding = 'bearer' then 'bearer' else d.binding_class end as class,
                      s.keys
               from denied d
               cross join lateral (select * from session where session.sid = d.sid offset 0) s
               union all
               select d.place, d.point, d.asked, d.last_allowed_at, d.first_denied_at, d.is_blocked, i.id,
                      d.origin, d.validated, d.binding_class,
                      (select array_agg(k.key) from unnest($12::int4[], $13::bytea[]) as k (place, key)
                       where k.place = d.place)
               from denied d
               cross join lateral (select id from issuer where issuer.url = d.issuer offset 0) i
           )
           insert into denial as old (
               upstream_id, jti, enforcement_point, asked, binding_class, last_allowed_at, first_denied_at
           )
           select e.upstream_id, e.jti, known.point, known.asked, min(known.class), max(known.last_allowed_at),
                  min(known.first_denied_at)
           from known
           cross join unnest(known.keys) as k (key)
           cross join lateral (
               select upstream_id, jti from enforcement
               where enforcement.issuer_id = known.issuer_id and enforcement.key = k.key
                 and enforcement.received_at <= known.first_denied_at
                 and (enforcement.effect = 'block' and known.is_blocked
                      or enforcement.cut_at >= case when enforcement.effect = 'revalidate'
                                                    then known.validated else known.origin end)
               -- the newest that hit it; many more at once about one key would all tell the same
               order by enforcement.received_at desc
               limit 16 offset 0
           ) e
           group by e.upstream_id, e.jti, known.point, known.asked
           order by e.upstream_id, e.jti, known.point, known.asked
           on conflict (upstream_id, jti, enforcement_point, asked) do update
           set last_allowed_at = greatest(old.last_allowed_at, excluded.last_allowed_at),
               first_denied_at = least(old.first_denied_at, excluded.first_denied_at)"#,
        &rows.place,
        &rows.point as &[&str],
        &rows.asked as &[Asked],
        &rows.last_allowed_at as &[Timestamp],
        &rows.first_denied_at as &[Timestamp],
        &rows.is_blocked,
        &rows.sid as &[Option<&str>],
        &rows.issuer as &[Option<&str>],
        &rows.origin as &[Timestamp],
        &rows.validated as &[Timestamp],
        &rows.class as &[&str],
        &rows.key_place,
        &rows.key as &[SubjectKey],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a portion of what arrived before a time, with its denials; says how many decisions.
pub(super) async fn remove_enforcement(
    db: &mut PgConnection,
    before: Timestamp,
    limit: i64,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with gone as (
               delete from enforcement
               where ctid = any(array(
                   select e.ctid from upstream
                   cross join lateral (
                       select ctid from enforcement
                       where upstream_id = upstream.id and received_at < $1
                       order by received_at limit $2 offset 0
                   ) e
                   limit $2
               ))
               returning upstream_id, jti
           ), theirs as (
               delete from denial
               where ctid = any(array(
                   select d.ctid from gone
                   cross join lateral (
                       select ctid from denial
                       where denial.upstream_id = gone.upstream_id and denial.jti = gone.jti offset 0
                   ) d
               ))
           )
           select count(*) as "gone!" from gone"#,
        before as Timestamp,
        limit,
    )
    .fetch_one(db)
    .await
}

/// Denials as columns.
#[derive(Default)]
struct Denied<'a> {
    place: Vec<i32>,
    point: Vec<&'a str>,
    asked: Vec<Asked>,
    last_allowed_at: Vec<Timestamp>,
    first_denied_at: Vec<Timestamp>,
    is_blocked: Vec<bool>,
    sid: Vec<Option<&'a str>>,
    issuer: Vec<Option<&'a str>>,
    origin: Vec<Timestamp>,
    validated: Vec<Timestamp>,
    class: Vec<&'static str>,
    key_place: Vec<i32>,
    key: Vec<SubjectKey>,
}

impl<'a> Denied<'a> {
    fn of(denials: &'a [Denial]) -> Self {
        let mut rows = Self::default();
        for (place, denial) in (0..).zip(denials) {
            rows.place.push(place);
            rows.point.push(&denial.point.0);
            rows.asked.push(denial.asked);
            rows.last_allowed_at.push(denial.last_allowed);
            rows.first_denied_at.push(denial.first_denied);
            rows.is_blocked.push(denial.is_blocked);
            let (sid, described, shown) = match &denial.question {
                Question::Named(sid, shown) => (Some(sid.as_str()), None, *shown),
                Question::Described(described) => (None, Some(described), described.binding),
            };
            rows.sid.push(sid);
            rows.issuer.push(described.map(|d| d.issuer.as_str()));
            rows.origin.push(denial.assertions.origin);
            rows.validated.push(denial.assertions.validated);
            rows.class.push(shown.class().as_str());
            for key in described.into_iter().flat_map(|d| &d.keys) {
                rows.key_place.push(place);
                rows.key.push(*key);
            }
        }
        rows
    }
}
