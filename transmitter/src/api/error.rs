//! Errors as callers see them: RFC 6750 §3 for credentials, `{"error", "error_description"}` for everything.

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use ssf_common::runtime::batch::BatchError;
use ssf_common::runtime::http::error_reply;
use ssf_common::runtime::postgres::{gave_way, is_away};
use ssf_common::runtime::telemetry::chain;

use crate::client::Scope;
use crate::delivery::PollingError;
use crate::keys::{KeyRingError, SealError};
use crate::outbox::{DraftError, RecordError};
use crate::stream::ConfigurationError;
use crate::stream::subjects::{ListError, SecretError};

/// The body of every answer that is not what was asked for.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Problem {
    /// A code for programs.
    error: String,
    /// A sentence for people.
    error_description: String,
}

/// Why a request is not answered as asked.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// No credential was given (RFC 6750 §3: no error code).
    NoToken,
    /// The token is not good.
    BadToken,
    /// A credential where none may be (RFC 6750 §2, §3.1 invalid_request).
    MisplacedToken,
    /// The token does not allow this.
    Scope(Scope),
    /// The token is good, but its client is not registered at this issuer.
    NotRegistered,
    /// The request is wrong, and how.
    Invalid(String),
    /// There is nothing here, or nothing of yours.
    NotFound(&'static str),
    /// This may not be done, by whatever credential.
    Forbidden(String),
    /// It contradicts what is there.
    Conflict(String),
    /// Too fast: come again after so many seconds.
    TooFast(u64),
    /// Too many requests of this client: come again after so many seconds.
    TooMany(u64),
    /// Not now; nothing was changed.
    Unavailable,
    /// Our fault; the details are in the log.
    Internal,
}

impl ApiError {
    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(reason.into())
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        let unavailable = is_passing(&error);
        tracing::warn!(error = %chain(&error), "a request failed at the database");
        if unavailable { Self::Unavailable } else { Self::Internal }
    }
}

/// Whether the same statement may do later: the database is away, or it met another, or took too long (57014).
fn is_passing(error: &sqlx::Error) -> bool {
    let took_too_long =
        error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "57014");
    took_too_long || is_away(error) || gave_way(error)
}

impl From<RecordError> for ApiError {
    fn from(error: RecordError) -> Self {
        match error {
            BatchError::Overloaded | BatchError::Closed => Self::Unavailable,
            BatchError::Failed(cause) => {
                let unavailable = is_passing(&cause);
                tracing::warn!(error = %chain(&*cause), "decisions could not be recorded");
                if unavailable { Self::Unavailable } else { Self::Internal }
            }
            BatchError::Broken => Self::Internal,
        }
    }
}

impl From<PollingError> for ApiError {
    fn from(PollingError(error): PollingError) -> Self {
        error.into()
    }
}

impl From<SealError> for ApiError {
    fn from(error: SealError) -> Self {
        tracing::error!(%error, "a credential could not be sealed");
        Self::Internal
    }
}

impl From<KeyRingError> for ApiError {
    fn from(error: KeyRingError) -> Self {
        match error {
            KeyRingError::Database(error) => error.into(),
            KeyRingError::Seal(_) | KeyRingError::Key(_) => {
                tracing::error!(error = %chain(&error), "a signing key cannot be used");
                Self::Internal
            }
        }
    }
}

impl From<ConfigurationError> for ApiError {
    fn from(error: ConfigurationError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<SecretError> for ApiError {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Database(error) => error.into(),
            SecretError::Seal(error) => error.into(),
        }
    }
}

impl From<ListError> for ApiError {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Database(error) => error.into(),
            ListError::TooManyKeys(_) => Self::Invalid(format!("`subject` is not valid: {error}")),
            // §8.1.3.2, §8.1.3.3: not allowed to add or remove this subject, or in general
            ListError::Full(_) | ListError::TooManyShapes | ListError::OwnSubject => Self::Forbidden(error.to_string()),
        }
    }
}

impl From<DraftError> for ApiError {
    fn from(error: DraftError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let challenge =
            |text: &str| (WWW_AUTHENTICATE, HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("Bearer")));
        let (mut response, header) = match self {
            Self::NoToken => {
                let body = error_reply(StatusCode::UNAUTHORIZED, "invalid_token", "a bearer token is required");
                (body, Some(challenge("Bearer")))
            }
            Self::BadToken => {
                let body = error_reply(StatusCode::UNAUTHORIZED, "invalid_token", "the token is unknown or has ended");
                (body, Some(challenge("Bearer error=\"invalid_token\"")))
            }
            Self::MisplacedToken => {
                let text = "a token may stand in the Authorization header only";
                (
                    error_reply(StatusCode::BAD_REQUEST, "invalid_request", text),
                    Some(challenge("Bearer error=\"invalid_request\"")),
                )
            }
            Self::Scope(scope) => {
                let text = format!("the token does not have the scope {}", scope.as_str());
                let header = format!("Bearer error=\"insufficient_scope\", scope=\"{}\"", scope.as_str());
                (error_reply(StatusCode::FORBIDDEN, "insufficient_scope", &text), Some(challenge(&header)))
            }
            Self::NotRegistered => {
                let text = "the token is good, but its client is not registered at this issuer";
                let body = error_reply(StatusCode::FORBIDDEN, "access_denied", text);
                (body, Some(challenge("Bearer error=\"insufficient_scope\"")))
            }
            Self::Invalid(reason) => (error_reply(StatusCode::BAD_REQUEST, "invalid_request", &reason), None),
            Self::Forbidden(reason) => (error_reply(StatusCode::FORBIDDEN, "forbidden", &reason), None),
            Self::NotFound(what) => (error_reply(StatusCode::NOT_FOUND, "not_found", what), None),
            Self::Conflict(reason) => (error_reply(StatusCode::CONFLICT, "conflict", &reason), None),
            Self::TooFast(seconds) => {
                let body = error_reply(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_many_requests",
                    "verification was requested too soon after the last one",
                );
                (body, Some((RETRY_AFTER, HeaderValue::from(seconds))))
            }
            Self::TooMany(seconds) => {
                let text = "this client has sent more requests than it may; come again when Retry-After has passed";
                let body = error_reply(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", text);
                (body, Some((RETRY_AFTER, HeaderValue::from(seconds))))
            }
            Self::Unavailable => {
                let body = error_reply(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "temporarily_unavailable",
                    "the service cannot do this now; come again, with the same Idempotency-Key if you sent one",
                );
                (body, Some((RETRY_AFTER, HeaderValue::from_static("1"))))
            }
            Self::Internal => (
                error_reply(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the request could not be handled"),
                None,
            ),
        };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
