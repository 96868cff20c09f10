//! SQL of looking again at what was taken and not yet sent.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::delivery::DeliveryId;
use crate::stream::StreamKey;

/// Which version of their rows these streams have, whatever changed about them; none for a stream that is gone.
pub(crate) async fn versions(
    conn: &mut PgConnection,
    streams: &[StreamKey],
) -> sqlx::Result<HashMap<StreamKey, String>> {
    let rows = sqlx::query!(
        r#"select id as "id: StreamKey", xmin::text as "version!" from stream where id = any ($1)"#,
        streams as _
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.version)).collect())
}

/// Which of these are more urgent than bulk.
pub(crate) async fn promoted(conn: &mut PgConnection, ids: &[DeliveryId]) -> sqlx::Result<Vec<DeliveryId>> {
    sqlx::query_scalar!(r#"select id as "id: DeliveryId" from delivery where id = any ($1) and lane < 2"#, ids as _)
        .fetch_all(conn)
        .await
}
