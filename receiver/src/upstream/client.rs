//! The management calls of SSF 1.0 §8.1 and the poll of RFC 8936, each one exchange.
//!
//! Peers are careless with status codes: any 2xx that carries what is needed will do. A 401 gets one new token and one
//! more attempt.

use std::time::Duration;

use http::{Method, StatusCode, header};
use reqwest::RequestBuilder;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use ssf_common::id::StreamId;
use ssf_common::protocol::{
    CreateStream, Metadata, PollRequest, PollResponse, StatusBody, StreamConfiguration, UpdateStream, VerifyRequest,
};
use url::Url;

use super::discover::DiscoveryError;
use super::fetch::{self, Answer, EndpointError, FetchError, Http, MAX_ANSWER};
use super::token::{TokenError, Tokens};

/// Makes the calls, at one transmitter and with its token.
#[derive(Debug)]
pub struct Client {
    http: Http,
    tokens: Tokens,
    is_development: bool,
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
    #[error("the answer to {call} lacks what it should say")]
    Body {
        /// Which call.
        call: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
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
        Self { http, tokens, is_development }
    }

    /// Creates a stream (§8.1.1.1).
    pub async fn create(&self, at: &Metadata, wanted: &CreateStream) -> Result<StreamConfiguration, CallError> {
        let answer = self.send(CREATE, Method::POST, self.configuration(at)?, Some(wanted)).await?;
        read(CREATE, &answer)
    }

    /// Reads one stream (§8.1.1.2).
    pub async fn read(&self, at: &Metadata, stream: &StreamId) -> Result<StreamConfiguration, CallError> {
        let answer = self.send::<()>(READ, Method::GET, of(self.configuration(at)?, stream), None).await?;
        // Some answer with a list of one.
        let found: OneOrMany = read(READ, &answer)?;
        let not_there = CallError::Status { call: READ, status: StatusCode::NOT_FOUND, retry_after: None };
        found.into_vec().into_iter().find(|one| one.stream_id == *stream).ok_or(not_there)
    }

    /// Reads all our streams (§8.1.1.2).
    pub async fn list(&self, at: &Metadata) -> Result<Vec<StreamConfiguration>, CallError> {
        let answer = match self.send::<()>(LIST, Method::GET, self.configuration(at)?, None).await {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            answer => answer?,
        };
        if answer.body.is_empty() {
            return Ok(Vec::new());
        }
        read::<OneOrMany>(LIST, &answer).map(OneOrMany::into_vec)
    }

    /// Changes our members of a stream (§8.1.1.3). `None`: it was done and nothing was said.
    pub async fn update(&self, at: &Metadata, change: &UpdateStream) -> Result<Option<StreamConfiguration>, CallError> {
        let answer = self.send(UPDATE, Method::PATCH, self.configuration(at)?, Some(change)).await?;
        if answer.body.is_empty() { Ok(None) } else { read(UPDATE, &answer).map(Some) }
    }

    /// Deletes a stream (§8.1.1.5).
    pub async fn delete(&self, at: &Metadata, stream: &StreamId) -> Result<(), CallError> {
        self.send::<()>(DELETE, Method::DELETE, of(self.configuration(at)?, stream), None).await.map(drop)
    }

    /// Reads a stream's status (§8.1.2.1).
    pub async fn status(&self, at: &Metadata, stream: &StreamId) -> Result<StatusBody, CallError> {
        let url = self.announced(at.status_endpoint.as_deref(), "status_endpoint")?;
        let answer = self.send::<()>(STATUS, Method::GET, of(url, stream), None).await?;
        read(STATUS, &answer)
    }

    /// Asks for a verification event (§8.1.4.2).
    pub async fn verify(&self, at: &Metadata, wanted: &VerifyRequest) -> Result<(), CallError> {
        let url = self.announced(at.verification_endpoint.as_deref(), "verification_endpoint")?;
        self.send(VERIFY, Method::POST, url, Some(wanted)).await.map(drop)
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
        let url = fetch::endpoint(endpoint, "delivery.endpoint_url", self.is_development)?;
        let request = || self.http.request(Method::POST, url.clone()).timeout(timeout).json(asked);
        let answer = self.answered(POLL, request, limit).await?;
        if answer.body.is_empty() { Ok(PollResponse::default()) } else { read(POLL, &answer) }
    }

    fn configuration(&self, at: &Metadata) -> Result<Url, CallError> {
        self.announced(at.configuration_endpoint.as_deref(), "configuration_endpoint")
    }

    fn announced(&self, endpoint: Option<&str>, member: &'static str) -> Result<Url, CallError> {
        let text = endpoint.ok_or(CallError::NotAnnounced(member))?;
        Ok(fetch::endpoint(text, member, self.is_development)?)
    }

    async fn send<T: Serialize + Sync>(
        &self,
        call: &'static str,
        method: Method,
        url: Url,
        body: Option<&T>,
    ) -> Result<Answer, CallError> {
        let request = || {
            let request = self.http.request(method.clone(), url.clone());
            if let Some(body) = body { request.json(body) } else { request }
        };
        self.answered(call, request, MAX_ANSWER).await
    }

    /// One exchange, and another with a new token if the first was answered with 401.
    async fn answered(
        &self,
        call: &'static str,
        request: impl Fn() -> RequestBuilder,
        limit: usize,
    ) -> Result<Answer, CallError> {
        let no_token = |source| CallError::Token { call, source };
        let token = self.tokens.current().await.map_err(no_token)?;
        let mut answer = exchange(call, request(), token.expose_secret(), limit).await?;
        if answer.status == StatusCode::UNAUTHORIZED
            && let Some(token) = self.tokens.instead_of(&token).await.map_err(no_token)?
        {
            answer = exchange(call, request(), token.expose_secret(), limit).await?;
        }
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(CallError::Status { call, status: answer.status, retry_after: answer.retry_after() })
        }
    }
}

async fn exchange(call: &'static str, request: RequestBuilder, token: &str, limit: usize) -> Result<Answer, CallError> {
    let request = match http::HeaderValue::try_from(format!("Bearer {token}")) {
        Ok(mut value) => {
            value.set_sensitive(true);
            request.header(header::AUTHORIZATION, value)
        }
        Err(_) => return Err(CallError::Token { call, source: TokenError::NotABearerToken }),
    };
    fetch::send(request, limit).await.map_err(|source| CallError::Fetch { call, source })
}

fn read<T: serde::de::DeserializeOwned>(call: &'static str, answer: &Answer) -> Result<T, CallError> {
    answer.json().map_err(|source| CallError::Body { call, source })
}

fn of(mut url: Url, stream: &StreamId) -> Url {
    url.query_pairs_mut().append_pair("stream_id", stream.as_str());
    url
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

const CREATE: &str = "creating the stream";
const READ: &str = "reading the stream";
const LIST: &str = "listing the streams";
const UPDATE: &str = "changing the stream";
const DELETE: &str = "deleting the stream";
const STATUS: &str = "reading the stream's status";
const VERIFY: &str = "asking for a verification";
const POLL: &str = "polling";

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
