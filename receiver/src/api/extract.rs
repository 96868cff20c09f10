//! Reading requests: what axum would refuse in plain text is refused as [`ApiError`].

use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ssf_common::clock::Timestamp;

use super::ApiError;
use crate::session::Sid;

/// A JSON body: an object. serde reads a list as well, its items as the members in our order.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let raw = Bytes::from_request(Request::from_parts(parts.clone(), body), state)
            .await
            .map_err(|error| ApiError::Unreadable(error.status(), error.body_text()))?;
        let is_object = raw.trim_ascii_start().first() == Some(&b'{');
        match axum::Json::from_request(Request::from_parts(parts, raw.into()), state).await {
            Ok(_) | Err(JsonRejection::JsonDataError(_)) if !is_object => {
                Err(ApiError::InvalidRequest("the body must be a JSON object".to_owned()))
            }
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(JsonRejection::JsonDataError(error)) => Err(ApiError::InvalidRequest(member_of(&error.body_text()))),
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

/// A name of an upstream in the path. What cannot be one is nobody's.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) if !name.contains('\0') => Ok(Self(name)),
            _ => Err(ApiError::NotFound(NO_UPSTREAM)),
        }
    }
}

/// Whatever is asked about it.
pub(super) const NO_UPSTREAM: &str = "there is no upstream of this name";

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
    if sid.is_storable() { Ok(sid) } else { Err(ApiError::InvalidRequest(format!("sid: {}", Sid::RULE))) }
}

/// What an object within a body says, refused in the words a whole body would be.
pub(super) fn within<T: DeserializeOwned>(value: &Value) -> Result<T, ApiError> {
    T::deserialize(value).map_err(|error| {
        let again = axum::Json::<T>::from_bytes(value.to_string().as_bytes()).err();
        ApiError::InvalidRequest(again.map_or_else(|| error.to_string(), |said| member_of(&said.body_text())))
    })
}

/// The member `since` of a query.
pub(super) fn time(text: &str) -> Result<Timestamp, ApiError> {
    let seconds = || text.parse().ok().map(Timestamp::from_unix_seconds);
    let read = text.parse().ok().or_else(seconds).filter(|at| (Timestamp::EPOCH..LAST).contains(at));
    read.ok_or_else(|| ApiError::InvalidRequest("since: must be RFC 3339 text or seconds since 1970".to_owned()))
}

/// axum puts a sentence before the member and what is wrong with it, and serde a place in the text behind it.
fn member_of(text: &str) -> String {
    let rest = text.split_once(": ").map_or(text, |(_, rest)| rest);
    rest.rsplit_once(" at line ").map_or(rest, |(fault, _)| fault).to_owned()
}

/// The year 10000.
const LAST: Timestamp = Timestamp::from_unix_seconds(253_402_300_800);
