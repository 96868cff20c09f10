//! `/v1/facts`: what issuers told of devices, credentials, assurance and risk.
//!
//! | call | answer |
//! |---|---|
//! | `GET /v1/facts?sid=…` | what is known of whom a registered session belongs to; 404 if there is no such session |
//! | `POST /v1/facts` | what is known of the subject in the body, named as in a registration |

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::extract::{Asked, Body, checked};
use super::{ApiError, ApiState};
use crate::facts::{self, AskError, Known};
use crate::session::Sid;

/// Whose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    sid: Sid,
}

/// Of each kind and name the one that counts, by kind and name.
#[derive(Debug, Serialize)]
pub(super) struct Facts {
    facts: Vec<Known>,
}

pub(super) async fn of_session(State(api): State<ApiState>, Asked(of): Asked<Of>) -> Result<Json<Facts>, ApiError> {
    let facts = facts::of_session(&api.pool, &checked(of.sid)?).await?;
    let facts = facts.ok_or(ApiError::NotFound("sid: no such session is registered"))?;
    Ok(Json(Facts { facts }))
}

pub(super) async fn of_subject(
    State(api): State<ApiState>,
    Body(asked): Body<facts::Asked>,
) -> Result<Json<Facts>, ApiError> {
    Ok(Json(Facts { facts: facts::of_subject(&api.pool, &api.keyring, &asked).await? }))
}

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Description(error) => Self::from(error),
            AskError::Store(error) => Self::Store(error),
        }
    }
}
