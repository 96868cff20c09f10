//! SQL of promoting what was locked when it should have been promoted.

use sqlx::PgConnection;

use crate::delivery::DeliveryId;

/// A delivery that a more urgent one waits behind, and the lane of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missed {
    pub(crate) id: DeliveryId,
    pub(crate) lane: i16,
}

/// Promotes these, and returns those that are still locked. Like the first time it waits for nobody: whoever waits for one
/// of many rows while holding others may be waited for in turn.
pub(crate) async fn again(conn: &mut PgConnection, missed: &[Missed]) -> sqlx::Result<Vec<Missed>> {
    let ids: Vec<DeliveryId> = missed.iter().map(|missed| missed.id).collect();
    let lanes: Vec<i16> = missed.iter().map(|missed| missed.lane).collect();
    sqlx::query_as!(
        Missed,
        r#"with free as materialized (
               select id from delivery where id = any ($1) for update skip locked
           ), promoted as (
               update delivery d set lane = least(d.lane, ($2::smallint[])[array_position($1::uuid[], d.id)])
                where d.id = any (array(select id from free))
           )
           select d.id as "id: DeliveryId", ($2::smallint[])[array_position($1::uuid[], d.id)] as "lane!"
             from delivery d
            where d.id = any ($1) and d.lane > ($2::smallint[])[array_position($1::uuid[], d.id)] and d.id <> all (array(select id from free))"#,
        ids as _,
        &lanes,
    )
    .fetch_all(conn)
    .await
}
