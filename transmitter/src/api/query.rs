//! The query and the path of a request, read so that a fault in them is answered like every other.

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::ApiState;
use super::error::ApiError;

/// The members of a query.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<ApiState> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &ApiState) -> Result<Self, ApiError> {
        let query = Query::try_from_uri(&parts.uri);
        query
            .map(|Query(params)| Self(params))
            .map_err(|_| ApiError::invalid("the query cannot be read, or names a parameter twice"))
    }
}

/// What stands in the one placeholder of a path. What is not even text names nothing.
pub(crate) struct Named(pub(crate) String);

impl FromRequestParts<ApiState> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let named = Path::from_request_parts(parts, state).await;
        named.map(|Path(text)| Self(text)).map_err(|_| ApiError::NotFound("there is nothing of this name"))
    }
}
