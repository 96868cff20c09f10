//! `POST /admin/forget`: what is kept of a subject is removed; `{"issuer": …, "subject": {…}, "blocks": false}`. 200 with
//! what was done; forgetting again finds nothing.

use axum::Json;
use axum::extract::State;

use crate::api::extract::Body;
use crate::api::{ApiError, ApiState};
use crate::audit::Actor;
use crate::forget::{self, ForgetError, Forgotten, Whom};

pub(super) async fn forget(State(api): State<ApiState>, Body(whom): Body<Whom>) -> Result<Json<Forgotten>, ApiError> {
    let cap = api.validity.lineage_cap();
    let forgotten = forget::forget(&api.pool, &api.env, &api.keyring, &whom, cap, &Actor::AdminApi).await?;
    for sid in &forgotten.sids {
        api.validity.replica().session_changed(sid);
    }
    api.waits.ring();
    Ok(Json(forgotten))
}

impl From<ForgetError> for ApiError {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::Store(error) => Self::Store(error),
            error => Self::InvalidRequest(error.to_string()),
        }
    }
}
