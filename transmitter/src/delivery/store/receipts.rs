//! SQL of enforcement receipts: what a receiver tells of its own acknowledged deliveries.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::protocol::Receipt;

use crate::client::ClientKey;
use crate::delivery::DeliveryId;

/// Takes receipts down beside their deliveries, of streams of this client only; returns whose were. Telling the same again
/// changes nothing but what is later: a last yes that was found out since.
pub(crate) async fn take_down(
    conn: &mut PgConnection,
    client: ClientKey,
    receipts: &[(DeliveryId, &Receipt)],
    now: Timestamp,
) -> sqlx::Result<Vec<DeliveryId>> {
    let ids: Vec<DeliveryId> = receipts.iter().map(|(id, _)| *id).collect();
    let born: Vec<Timestamp> = ids.iter().map(|id| id.born().unwrap_or(Timestamp::EPOCH)).collect();
    let of = |time: fn(&Receipt) -> Option<Timestamp>| receipts.iter().map(|(_, r)| time(r)).collect::<Vec<_>>();
    let outcomes: Vec<&str> = receipts.iter().map(|(_, receipt)| receipt.outcome.as_str()).collect();
    sqlx::query_scalar!(
        // it was settled after it was born, which leaves out the partitions before
        r#"update delivery_history h
              set rp_received_at = t.received_at, rp_applied_at = t.applied_at,
                  rp_visible_at = greatest(h.rp_visible_at, t.visible_at),
                  rp_last_allowed_at = greatest(h.rp_last_allowed_at, t.last_allowed_at),
                  rp_outcome = case when h.rp_outcome = 'breached' then 'breached' else t.outcome end,
                  rp_told_at = coalesce(h.rp_told_at, $9)
             from (select t.*, d.settled_at
                     from unnest($2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[], $8::text[])
                          as t (id, born_at, received_at, applied_at, visible_at, last_allowed_at, outcome)
                    cross join lateral (
                        select settled_at, stream_id from delivery_history
                         where id = t.id and settled_at >= t.born_at - interval '1 minute' and outcome = 'acknowledged' offset 0) d
                    cross join lateral (select from stream where stream.id = d.stream_id and stream.client_id = $1 offset 0) s
                    order by t.id) t
            where h.id = t.id and h.settled_at = t.settled_at
        returning h.id as "id: DeliveryId""#,
        client as _,
        &ids as _,
        &born as _,
        &of(|r| Some(r.received_at)) as _,
        &of(|r| Some(r.applied_at)) as _,
        &of(|r| r.visible_at) as _,
        &of(|r| r.last_allowed_at) as _,
        &outcomes as &[&str],
        now as _,
    )
    .fetch_all(conn)
    .await
}
