//! `/admin/v1/keys`: the issuer's signing keys.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::{Admin, ApiError, ApiState, reply};
use crate::admin::{self, ListedKey, Page};

/// The issuer's signing keys, oldest first
///
/// Their private halves are shown nowhere.
#[utoipa::path(get, path = "/keys", tag = "admin: keys", operation_id = "listKeys",
    security(("bearer" = ["ssf.admin"])), responses((status = 200, description = "The keys", body = Page<ListedKey>)))]
pub(super) async fn list(State(state): State<ApiState>, admin: Admin) -> Result<Response, ApiError> {
    let items = admin::list_keys(&state.pool, admin.issuer()).await?;
    Ok(reply(StatusCode::OK, &Page { items, next: None }))
}
