//! The management calls of SSF 1.0 §8.1 and the poll of RFC 8936, each one exchange.
//!
//! Peers are careless with status codes: any 2xx that carries what is needed will do. A 401 gets one new token and one
//! more attempt.

use std::time::Duration;

use http::{StatusCode, header};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use ssf_common::id::StreamId;
use ssf_common::protocol::{
    CreateStream, Metadata, PollRequest, PollResponse, Receipts, ReceiptsTaken, StatusBody, StreamConfiguration,
    UpdateStream, VerifyRequest,
};

use super::call::{Call, Calls};
use super::discover::DiscoveryError;
use super::fetch::{Answer, EndpointError, FetchError, Http};
use super::token::{TokenError, Tokens};
use crate::config::Profile;

/// Makes the calls, at one transmitter and with its token.
#[derive(Debug)]
pub struct Client {
    http: Http,
    tokens: Tokens,
    is_development: bool,
    is_strict: bool,
}

/// A call did not do what it was made for.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The transmitter's metadata cannot be had.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// No token.
    #[error("{call} needs a token")]
    Token {
        /// Which call.
        call: &'static str,
        /// Why there is none.
        #[source]
        source: TokenError,
    },
    /// The transmitter does not offer it.
    #[error("the transmitter does not announce a `{0}`")]
    NotAnnounced(&'static str),
    /// The endpoint may not be called.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No answer.
    #[error("{call} has no answer")]
    Fetch {
        /// Which call.
        call: &'static str,
        /// Why.
        #[source]
        source: FetchError,
    },
    /// It said no.
    #[error("{call} was answered with {status}{}{}", hint(*.status), patience(*.retry_after))]
    Status {
        /// Which call.
        call: &'static str,
        /// The answer.
        status: StatusCode,
        /// How long to wait before asking again, if it says so.
        retry_after: Option<Duration>,
    },
    /// It said yes, and not what is needed.
    #[error("the answer to {call} lacks what it should say ({fault} at line {line}, column {column})")]
    Body {
        /// Which call.
        call: &'static str,
        /// What is wrong with it. Never a text out of it: that may be a SET.
        fault: String,
        /// Where.
        line: usize,
        /// Where in the line.
        column: usize,
    },
}

impl CallError {
    /// The status it was answered with, if it was answered.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// How long the transmitter asks us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the transmitter knows nothing of what was asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self.status(), Some(StatusCode::NOT_FOUND | StatusCode::GONE))
    }
}

impl Client {
    /// At one transmitter.
    pub const fn new(http: Http, tokens: Tokens, is_development: bool) -> Self {
        Self { http, tokens, is_development, is_strict: false }
    }

    /// The same, taking of answers what this profile takes.
    #[must_use]
    pub fn of(self, profile: Profile) -> Self {
        Self { is_strict: profile == Profile::Strict, ..self }
    }

    /// The calls at the transmitter of this metadata.
    pub const fn calls<'a>(&self, at: &'a Metadata) -> Calls<'a> {
        Calls::at(at, self.is_development)
    }

    /// Creates a stream (§8.1.1.1).
    pub async fn create(&self, at: &Metadata, wanted: &CreateStream) -> Result<StreamConfiguration, CallError> {
        let call = self.calls(at).create(wanted)?;
        read(&call, &self.done(&call).await?)
    }

    /// Reads one stream (§8.1.1.2).
    pub async fn read(&self, at: &Metadata, stream: &StreamId) -> Result<StreamConfiguration, CallError> {
        let call = self.calls(at).read(stream)?;
        let answer = self.done(&call).await?;
        if self.is_strict {
            return read(&call, &answer);
        }
        // Some answer with a list of one.
        let found: OneOrMany = read(&call, &answer)?;
        let not_there = CallError::Status { call: call.name, status: StatusCode::NOT_FOUND, retry_after: None };
        found.into_vec().into_iter().find(|one| one.stream_id == *stream).ok_or(not_there)
    }

    /// Reads all our streams (§8.1.1.2).
    pub async fn list(&self, at: &Metadata) -> Result<Vec<StreamConfiguration>, CallError> {
        let call = self.calls(at).list()?;
        let answer = match self.done(&call).await {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            answer => answer?,
        };
        if self.is_strict {
            return read(&call, &answer);
        }
        if answer.body.is_empty() {
            return Ok(Vec::new());
        }
        read::<OneOrMany>(&call, &answer).map(OneOrMany::into_vec)
    }

    /// Changes our members of a stream (§8.1.1.3). `None`: it was done and nothing was said.
    pub async fn update(&self, at: &Metadata, change: &UpdateStream) -> Result<Option<StreamConfiguration>, CallError> {
        let call = self.calls(at).update(change)?;
        let answer = self.done(&call).await?;
        if answer.body.is_empty() { Ok(None) } else { read(&call, &answer).map(Some) }
    }

    /// Deletes a stream (§8.1.1.5).
    pub async fn delete(&self, at: &Metadata, stream: &StreamId) -> Result<(), CallError> {
        self.done(&self.calls(at).delete(stream)?).await.map(drop)
    }

    /// Reads a stream's status (§8.1.2.1).
    pub async fn status(&self, at: &Metadata, stream: &StreamId) -> Result<StatusBody, CallError> {
        let call = self.calls(at).status(stream)?;
        read(&call, &self.done(&call).await?)
    }

    /// Asks for a verification event (§8.1.4.2).
    pub async fn verify(&self, at: &Metadata, wanted: &VerifyRequest) -> Result<(), CallError> {
        self.done(&self.calls(at).verify(wanted)?).await.map(drop)
    }

    /// Tells what is enforced here, where the transmitter says that it wants to know.
    pub async fn tell(&self, at: &Metadata, receipts: &Receipts) -> Result<ReceiptsTaken, CallError> {
        let call = self.calls(at).tell(receipts)?;
        read(&call, &self.done(&call).await?)
    }

    /// Polls (RFC 8936 §2): acknowledges, and takes what there is. The answer may take `timeout`; it is read up to
    /// `limit` bytes.
    pub async fn poll(
        &self,
        endpoint: &str,
        asked: &PollRequest,
        timeout: Duration,
        limit: usize,
    ) -> Result<PollResponse, CallError> {
        let call = Call::poll(endpoint, asked, timeout, limit, self.is_development)?;
        let answer = self.done(&call).await?;
        if answer.body.is_empty() { Ok(PollResponse::default()) } else { read(&call, &answer) }
    }

    /// One exchange, whatever the answer.
    pub async fn once(&self, call: &Call) -> Result<Answer, CallError> {
        let token = self.tokens.current().await.map_err(|source| CallError::Token { call: call.name, source })?;
        self.exchange(call, token.expose_secret()).await
    }

    /// One exchange, and another with a new token if the first was answered with 401; whatever the answer.
    pub async fn answered(&self, call: &Call) -> Result<Answer, CallError> {
        let no_token = |source| CallError::Token { call: call.name, source };
        let token = self.tokens.current().await.map_err(no_token)?;
        let answer = self.exchange(call, token.expose_secret()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        match self.tokens.instead_of(&token).await.map_err(no_token)? {
            Some(token) => self.exchange(call, token.expose_secret()).await,
            None => Ok(answer),
        }
    }

    /// An answer that says yes, in whatever words.
    async fn done(&self, call: &Call) -> Result<Answer, CallError> {
        let answer = self.answered(call).await?;
        let is_done = if self.is_strict { call.is_due(answer.status) } else { answer.status.is_success() };
        if is_done {
            Ok(answer)
        } else {
            Err(CallError::Status { call: call.name, status: answer.status, retry_after: answer.retry_after() })
        }
    }

    async fn exchange(&self, call: &Call, token: &str) -> Result<Answer, CallError> {
        let Ok(mut bearer) = http::HeaderValue::try_from(format!("Bearer {token}")) else {
            return Err(CallError::Token { call: call.name, source: TokenError::NotABearerToken });
        };
        bearer.set_sensitive(true);
        let request = call.request(&self.http).header(header::AUTHORIZATION, bearer);
        self.http.send(request, call.limit()).await.map_err(|source| CallError::Fetch { call: call.name, source })
    }
}

fn read<T: serde::de::DeserializeOwned>(call: &Call, answer: &Answer) -> Result<T, CallError> {
    answer.json().map_err(|error: serde_json::Error| CallError::Body {
        call: call.name,
        fault: fault(&error),
        line: error.line(),
        column: error.column(),
    })
}

/// serde quotes the texts that it did not expect; a member that is missing it only names.
fn fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line ") {
        Some((missing, _)) if missing.starts_with("missing field") => missing.to_owned(),
        _ if error.is_data() => "a member is of another kind".to_owned(),
        _ => "it is not JSON".to_owned(),
    }
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "; check the credential of the upstream",
        StatusCode::FORBIDDEN => "; check what the credential of the upstream is allowed to do",
        _ => "",
    }
}

fn patience(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |wait| format!("; ask again in {} s", wait.as_secs()))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<StreamConfiguration>),
    One(Box<StreamConfiguration>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<StreamConfiguration> {
        match self {
            Self::Many(many) => many,
            Self::One(one) => vec![*one],
        }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
