//! SQL of the question whether streams want an event's subject: by equality of keys, one look into an index each.

use std::collections::HashMap;

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::protocol::DefaultSubjects;

use crate::stream::StreamKey;
use crate::stream::subjects::filter::Filter;
use crate::stream::subjects::keys::{Key, Shape};

/// How these streams filter.
pub(crate) async fn filters(
    conn: &mut PgConnection,
    streams: &[StreamKey],
) -> sqlx::Result<HashMap<StreamKey, Filter>> {
    let rows = sqlx::query!(
        r#"select s.id as "id!: StreamKey", s.default_subjects as "default_subjects!", s.subjects_excluded as "subjects_excluded!", h.shape as "shape?: Key", h.names as "names?: Vec<Key>"
             from stream s left join stream_subject_shape h on h.stream_id = s.id
            where s.id = any ($1)"#,
        streams as &[StreamKey],
    )
    .fetch_all(conn)
    .await?;
    let mut filters = HashMap::new();
    for row in rows {
        let filter = filters.entry(row.id).or_insert_with(|| Filter {
            default: if row.default_subjects == "NONE" { DefaultSubjects::None } else { DefaultSubjects::All },
            excludes: row.subjects_excluded > 0,
            shapes: Vec::new(),
        });
        filter.shapes.extend(row.shape.zip(row.names).map(|(id, names)| Shape { id, names }));
    }
    Ok(filters)
}

/// One question: which lists have a subject with this key that is added, or (`hides`) removed.
pub(crate) struct Probe {
    /// Whose question; it stands in the answers.
    pub(crate) place: i64,
    pub(crate) key: Key,
    pub(crate) hides: bool,
}

/// A list that has the key of a question.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Answer {
    pub(crate) place: i64,
    pub(crate) hides: bool,
    pub(crate) stream: StreamKey,
}

/// The lists that answer yes.
pub(crate) async fn answers(conn: &mut PgConnection, probes: &[Probe], now: Timestamp) -> sqlx::Result<Vec<Answer>> {
    let places: Vec<i64> = probes.iter().map(|probe| probe.place).collect();
    let keys: Vec<Key> = probes.iter().map(|probe| probe.key).collect();
    let hides: Vec<bool> = probes.iter().map(|probe| probe.hides).collect();
    sqlx::query_as!(
        Answer,
        // Each question hops through the index from one list to the next, though a million subjects of a list may share
        // a key: as many looks as lists have it, and one. Whether one of the list's subjects counts now is a look more.
        r#"select q.place as "place!", q.hides as "hides!", yes.stream_id as "stream!: StreamKey"
             from unnest($1::bigint[], $2::bytea[], $3::bool[]) as q (place, key, hides)
            cross join lateral (
                (with recursive list (id) as (
                     (select s.stream_id from stream_subject s
                       where not q.hides and s.key = q.key and s.included_until is not null order by s.stream_id limit 1)
                     union all
                     select (select s.stream_id from stream_subject s
                              where s.key = q.key and s.included_until is not null and s.stream_id > list.id
                              order by s.stream_id limit 1)
                       from list where list.id is not null
                 )
                 select list.id as stream_id from list
                  cross join lateral (select 1 from stream_subject s
                                       where s.key = q.key and s.stream_id = list.id and s.included_until > $4 limit 1) counts)
                union all
                (with recursive list (id) as (
                     (select s.stream_id from stream_subject s
                       where q.hides and s.key = q.key and s.excluded_from is not null order by s.stream_id limit 1)
                     union all
                     select (select s.stream_id from stream_subject s
                              where s.key = q.key and s.excluded_from is not null and s.stream_id > list.id
                              order by s.stream_id limit 1)
                       from list where list.id is not null
                 )
                 select list.id from list
                  cross join lateral (select 1 from stream_subject s
                                       where s.key = q.key and s.stream_id = list.id and s.excluded_from <= $4 limit 1) counts)
            ) as yes"#,
        &places,
        &keys as &[Key],
        &hides,
        now as _,
    )
    .fetch_all(conn)
    .await
}
