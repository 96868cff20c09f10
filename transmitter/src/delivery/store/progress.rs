//! SQL of following an event through its deliveries.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::outbox::EventId;
use crate::stream::StreamKey;

/// One delivery of an event.
pub(crate) struct DeliveryProgress {
    pub(crate) stream: StreamKey,
    pub(crate) outcome: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) attempts: i32,
    pub(crate) settled_at: Option<Timestamp>,
    /// What its receiver says of its window.
    pub(crate) enforcement: Option<String>,
    /// The last time at the receiver of its enforcement, by its clock.
    pub(crate) enforced_at: Option<Timestamp>,
}

/// All deliveries of an event, waiting and settled.
pub(crate) async fn of_event(conn: &mut PgConnection, event: EventId) -> sqlx::Result<Vec<DeliveryProgress>> {
    sqlx::query_as!(
        DeliveryProgress,
        r#"select stream_id as "stream!: StreamKey", null::text as outcome, last_error as error, attempts as "attempts!", null::timestamptz as "settled_at: Timestamp",
                  null::text as enforcement, null::timestamptz as "enforced_at: Timestamp"
             from delivery where event_id = $1
           union all
           select stream_id, outcome, error_code, attempts, settled_at, rp_outcome, greatest(rp_applied_at, rp_visible_at, rp_last_allowed_at)
             from delivery_history where event_id = $1"#,
        event as _,
    )
    .fetch_all(conn)
    .await
}
