//! What the evaluator needs to know of sessions and keys: reads `session`, `issuer` and `cutoff` in one statement.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use ssf_common::id::IssuerUrl;

use super::verdict::Asserted;
use crate::cutoff::{Registers, Standing};
use crate::session::{Assertions, Sid, SubjectKey};

/// Sessions to be looked up by name, and keys to be looked up as they are; each belongs to the question in its place.
#[derive(Debug, Default)]
pub(super) struct Asked<'a> {
    pub(super) sids: Vec<(i32, &'a Sid)>,
    pub(super) issuers: Vec<(i32, &'a IssuerUrl)>,
    pub(super) keys: Vec<(i32, SubjectKey)>,
}

/// What is known about one question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The session of that name, if the question was a name.
    pub(super) session: Option<Asserted>,
    /// What the keys say together.
    pub(super) standing: Standing,
}

/// Answers all questions on one snapshot. A question of which nothing is known (no such session, no such issuer) is
/// missing in the answer.
pub(super) async fn look_up(db: &mut PgConnection, asked: &Asked<'_>) -> Result<BTreeMap<i32, Found>, sqlx::Error> {
    let (sid_place, sids): (Vec<i32>, Vec<&str>) = asked.sids.iter().map(|(place, sid)| (*place, sid.as_str())).unzip();
    let (issuer_place, issuers): (Vec<i32>, Vec<&str>) =
        asked.issuers.iter().map(|(place, issuer)| (*place, issuer.as_str())).unzip();
    let (key_place, keys): (Vec<i32>, Vec<SubjectKey>) = asked.keys.iter().copied().unzip();
    let rows = sqlx::query!(
        // a lateral with `offset 0` looks each row up, whatever the planner thinks of how many there are
        r#"with named as (
               select q.place, s.issuer_id, s.keys, s.origin, s.validated, s.expires_at
               from unnest($1::int4[], $2::text[]) as q (place, sid)
               cross join lateral (select * from session where session.sid = q.sid and ended_at is null offset 0) s
           ), described as (
               select q.place, i.id as issuer_id
               from unnest($3::int4[], $4::text[]) as q (place, issuer)
               cross join lateral (select id from issuer where issuer.url = q.issuer offset 0) i
               where exists (select from upstream u where u.issuer_id = i.id and u.removed_at is null)
           ), wanted as (
               select named.place, named.issuer_id, k.key from named cross join unnest(named.keys) as k (key)
               union all
               select k.place, described.issuer_id, k.key
               from unnest($5::int4[], $6::bytea[]) as k (place, key) join described using (place)
           )
           -- one row per question known at all, with what it was asserted by, and one per key something is known of
           select place as "place!", origin as "origin?", validated as "validated?", expires_at as "expires_at?",
                  null::timestamptz as "revoked_before?", null::timestamptz as "revalidate_before?",
                  null::timestamptz as "blocked_at?", null::timestamptz as "unblocked_at?"
           from named
           union all
           select place, null, null, null, null, null, null, null from described
           union all
           select wanted.place, null, null, null, c.revoked_before, c.revalidate_before, c.blocked_at, c.unblocked_at
           from wanted cross join lateral (
               select cutoff.* from cutoff where cutoff.issuer_id = wanted.issuer_id and cutoff.key = wanted.key offset 0
           ) c"#,
        &sid_place,
        &sids as &[&str],
        &issuer_place,
        &issuers as &[&str],
        &key_place,
        &keys as &[SubjectKey],
    )
    .fetch_all(db)
    .await?;
    let mut found = BTreeMap::<i32, Found>::new();
    for row in rows {
        let found = found.entry(row.place).or_default();
        if let (Some(origin), Some(validated)) = (row.origin, row.validated) {
            let assertions = Assertions { origin, validated };
            found.session = Some(Asserted { assertions, expires_at: row.expires_at });
        }
        found.standing = found.standing.with(&Registers {
            revoked_before: row.revoked_before,
            revalidate_before: row.revalidate_before,
            blocked_at: row.blocked_at,
            unblocked_at: row.unblocked_at,
        });
    }
    Ok(found)
}
