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

/// One question to a list: whether it has a subject with this key that is added, or (`hides`) removed.
pub(crate) struct Probe {
    pub(crate) place: usize,
    pub(crate) stream: StreamKey,
    pub(crate) key: Key,
    pub(crate) hides: bool,
}

/// The questions answered with yes, as (place, hides).
pub(crate) async fn answers(
    conn: &mut PgConnection,
    probes: &[Probe],
    now: Timestamp,
) -> sqlx::Result<Vec<(usize, bool)>> {
    let places: Vec<i64> = probes.iter().map(|probe| i64::try_from(probe.place).unwrap_or(i64::MAX)).collect();
    let streams: Vec<StreamKey> = probes.iter().map(|probe| probe.stream).collect();
    let keys: Vec<Key> = probes.iter().map(|probe| probe.key).collect();
    let hides: Vec<bool> = probes.iter().map(|probe| probe.hides).collect();
    let rows = sqlx::query!(
        // `limit 1` keeps each question at one row of the index, though a million subjects may share a key
        r#"select q.place as "place!", q.hides as "hides!"
             from unnest($1::bigint[], $2::uuid[], $3::bytea[], $4::bool[]) as q (place, stream_id, key, hides)
            cross join lateral (
                (select 1 from stream_subject s
                  where not q.hides and s.stream_id = q.stream_id and s.key = q.key and s.included_until > $5 limit 1)
                union all
                (select 1 from stream_subject s
                  where q.hides and s.stream_id = q.stream_id and s.key = q.key and s.excluded_from <= $5 limit 1)
            ) as yes"#,
        &places,
        &streams as &[StreamKey],
        &keys as &[Key],
        &hides,
        now as _,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (usize::try_from(row.place).unwrap_or(usize::MAX), row.hides)).collect())
}
