//! `POST /receipts`: a receiver tells what it has enforced, and when by its own clock.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use ssf_common::protocol::{Receipt, Receipts, ReceiptsTaken};

use super::ApiState;
use super::auth::Caller;
use super::body::json_body;
use super::error::{ApiError, Problem};
use crate::client::Scope;
use crate::delivery::DeliveryId;
use crate::delivery::store::receipts::take_down;

/// Takes enforcement receipts of a receiver's own SETs (no specification has them)
///
/// Each names an acknowledged SET of one of the receiver's streams; telling it again changes nothing. What is not known (not
/// acknowledged yet, another receiver's, forgotten) is listed in the answer and nothing is said of why.
#[utoipa::path(post, path = "/receipts", tag = "streams", operation_id = "takeReceipts", request_body = Receipts,
    security(("bearer" = ["ssf.manage"])),
    responses(
        (status = 200, description = "What was taken down and what is not known", body = ReceiptsTaken),
        (status = 400, description = "More than 1,000, or not as specified", body = Problem)))]
pub(super) async fn take(State(state): State<ApiState>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    let client = caller.with(Scope::Manage)?.client;
    let Receipts { receipts } = json_body(&body)?;
    if receipts.len() > MOST {
        return Err(ApiError::Invalid(format!("receipts has more than {MOST}")));
    }
    // of two about one SET the last counts
    let ours: BTreeMap<DeliveryId, &Receipt> =
        receipts.iter().filter_map(|receipt| Some((receipt.jti.as_str().parse().ok()?, receipt))).collect();
    let ours: Vec<(DeliveryId, &Receipt)> = ours.into_iter().collect();
    let mut conn = state.pool.acquire().await?;
    let taken = take_down(&mut conn, client.key, &ours, state.env.now()).await?;
    let taken: BTreeSet<DeliveryId> = taken.into_iter().collect();
    let is_taken = |receipt: &&Receipt| receipt.jti.as_str().parse().is_ok_and(|id| taken.contains(&id));
    let unknown = receipts.iter().filter(|receipt| !is_taken(receipt)).map(|receipt| receipt.jti.clone()).collect();
    let answer = ReceiptsTaken { taken: taken.len(), unknown };
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

const MOST: usize = 1_000;
