//! The end of a stream (SSF 1.0 §8.1.1.5).

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::delivery::store::upkeep::discard_all;
use crate::stream::subjects::store::list;
use crate::stream::{StreamKey, store};

/// Removes the stream in the caller's transaction. What still waited is recorded as discarded, also what the fan-out adds
/// meanwhile; what somebody settles meanwhile is theirs.
pub(crate) async fn remove(conn: &mut PgConnection, stream: StreamKey, now: Timestamp) -> sqlx::Result<()> {
    discard_all(&mut *conn, stream, REASON, now).await?;
    list::clear(&mut *conn, stream).await?;
    // taken only now: whoever settles holds a delivery and then wants the stream
    store::hold(&mut *conn, stream).await?;
    discard_all(&mut *conn, stream, REASON, now).await?;
    store::delete(conn, stream).await
}

const REASON: &str = "stream_deleted";
