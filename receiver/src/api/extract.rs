//! Reading requests: what axum would refuse in plain text is refused as [`ApiError`].

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::ApiError;
use crate::session::Sid;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(JsonRejection::JsonDataError(error)) => {
                Err(ApiError::InvalidRequest(without_preface(&error.body_text())))
            }
            Err(error) => Err(ApiError::Unreadable(error.status(), error.body_text())),
        }
    }
}

/// A session's name in the path.
impl<S: Send + Sync> FromRequestParts<S> for Sid {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(sid) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| ApiError::Unreadable(error.status(), error.body_text()))?;
        checked(Self(sid))
    }
}

/// The members of a query string.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(asked) = Query::from_request_parts(parts, state)
            .await
            .map_err(|error| ApiError::Unreadable(error.status(), error.body_text()))?;
        Ok(Self(asked))
    }
}

/// A name that can be stored.
pub(super) fn checked(sid: Sid) -> Result<Sid, ApiError> {
    if (1..=MAX_SID).contains(&sid.0.chars().count()) && !sid.0.contains('\0') {
        Ok(sid)
    } else {
        Err(ApiError::InvalidRequest(format!("sid: must have 1 to {MAX_SID} characters, none of them NUL")))
    }
}

/// axum puts a sentence before the member and what is wrong with it.
fn without_preface(text: &str) -> String {
    text.split_once(": ").map_or(text, |(_, rest)| rest).to_owned()
}

const MAX_SID: usize = 256;
