//! What goes wrong in the API, and how it is answered.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ssf_common::runtime::http::error_reply;
use ssf_common::runtime::postgres::{gave_way, is_away};
use ssf_common::runtime::telemetry::chain;

use crate::session::{DescriptionError, RegisterError};
use crate::validity::ValidityError;

/// Why a request has no other answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Something in the request; the text names the member.
    #[error("{0}")]
    InvalidRequest(String),
    /// The request could not be read, with the status that says how.
    #[error("{1}")]
    Unreadable(StatusCode, String),
    /// The request contradicts what is known.
    #[error("{0}")]
    Conflict(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(&'static str),
    /// The service has just begun and cannot answer yet.
    #[error("{0}")]
    NotYet(&'static str),
    /// The database did not do it.
    #[error("the database did not answer")]
    Store(#[from] sqlx::Error),
}

impl From<DescriptionError> for ApiError {
    fn from(error: DescriptionError) -> Self {
        Self::InvalidRequest(error.to_string())
    }
}

impl From<RegisterError> for ApiError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::UnknownIssuer => Self::InvalidRequest(error.to_string()),
            RegisterError::OriginMovedBack(_) => Self::Conflict(error.to_string()),
            RegisterError::Store(error) => Self::Store(error),
        }
    }
}

impl From<ValidityError> for ApiError {
    fn from(error: ValidityError) -> Self {
        match error {
            ValidityError::NotWhole => Self::NotYet("the cut-offs are being read; come again"),
            ValidityError::Store(error) => Self::Store(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::InvalidRequest(text) => error_reply(StatusCode::BAD_REQUEST, "invalid_request", &text),
            Self::Unreadable(status, text) => error_reply(status, "invalid_request", &text),
            Self::Conflict(text) => error_reply(StatusCode::CONFLICT, "conflict", &text),
            Self::NotYet(text) => come_again(text),
            Self::NotFound(text) => error_reply(StatusCode::NOT_FOUND, "not_found", text),
            Self::Store(error) if gave_way(&error) => come_again("the database was busy with the same; come again"),
            Self::Store(error) if is_away(&error) => {
                tracing::warn!(error = %chain(&error), "a request is answered with 503: the database is away");
                come_again("the database is away; come again")
            }
            Self::Store(error) => {
                tracing::error!(error = %chain(&error), "a request is answered with 500: the database refused a statement");
                error_reply(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the request could not be handled")
            }
        }
    }
}

fn come_again(text: &str) -> Response {
    let mut reply = error_reply(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", text);
    reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_away_is_a_503_that_says_when_to_come_again() {
        let reply = ApiError::Store(sqlx::Error::PoolTimedOut).into_response();
        assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(reply.headers()[header::RETRY_AFTER], "1");
        assert_eq!(
            ApiError::Store(sqlx::Error::RowNotFound).into_response().status(),
            StatusCode::INTERNAL_SERVER_ERROR
        );
    }
}
