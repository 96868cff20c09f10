//! [`Remote`]: asks the receiver's service, over its unix socket or over HTTP, on connections that are kept. An answer
//! that does not come in time, or that is not understood, is none.

use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use reqwest::Client;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use ssf_common::clock::Timestamp;
use url::Url;

use super::ask::{Ask, AskError, Checked, Unaskable};
use super::presented::{Presented, Who};
use crate::config::BindingClass;
use crate::session::Sid;
use crate::validity::State;

/// The service on the same host. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Remote {
    client: Client,
    check: Url,
    token: Option<SecretString>,
    point: Option<String>,
}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Not a URL with a host.
    #[error("the address of the receiver is not an http or https URL")]
    Address,
    /// TLS, most likely.
    #[error("there is no HTTP client")]
    Client(#[from] reqwest::Error),
}

impl Remote {
    /// The service at its unix socket (`server.socket`), answering within `timeout`.
    pub fn unix(socket: &Path, timeout: Duration) -> Result<Self, RemoteError> {
        let client = Self::client(timeout).unix_socket(socket.to_owned()).build()?;
        Ok(Self { client, check: address("http://localhost")?, token: None, point: None })
    }

    /// The service at this address, with the token of its API if it has one (`api.token`), answering within `timeout`.
    pub fn http(address_of: &str, token: Option<SecretString>, timeout: Duration) -> Result<Self, RemoteError> {
        Ok(Self { client: Self::client(timeout).build()?, check: address(address_of)?, token, point: None })
    }

    /// The same for the enforcement point of this name, one that the service's settings declare; `api` otherwise.
    #[must_use]
    pub fn at(self, point: &str) -> Self {
        Self { point: Some(point.to_owned()), ..self }
    }

    fn client(timeout: Duration) -> reqwest::ClientBuilder {
        Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().tcp_nodelay(true).timeout(timeout)
    }
}

impl Ask for Remote {
    async fn ask(&self, presented: &Presented) -> Result<Checked, AskError> {
        let (sid, question) = match presented.who() {
            Who::Session(sid) if sid.is_storable() => {
                (Some(sid.clone()), json!({"sid": sid, "binding": presented.binding()}))
            }
            Who::Session(_) => return Err(AskError::Unaskable(Unaskable::Name)),
            Who::Described(description) => (None, json!(description)),
        };
        let request = self.client.post(self.check.clone()).json(&question);
        let request = match &self.point {
            Some(point) => request.header("enforcement-point", point),
            None => request,
        };
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        };
        let answer = request.send().await.map_err(unanswered)?;
        match answer.status() {
            StatusCode::OK => {}
            status @ (StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) => {
                return Err(AskError::Unaskable(Unaskable::Refused(status)));
            }
            status => return Err(AskError::Unanswered(format!("the receiver's service answered {status}").into())),
        }
        let told: Told = answer.json().await.map_err(unanswered)?;
        // an answer about somebody else is none
        if told.sid != sid {
            return Err(AskError::Unanswered("the receiver's service answered another question".into()));
        }
        Ok(Checked {
            sid,
            state: told.state,
            reason: told.reason,
            as_of: told.as_of,
            class: told.class,
            stale: told.stale,
            break_glass: told.break_glass,
        })
    }
}

/// The answer of `POST /v1/check`, as far as it matters here. A state we do not know is no answer.
#[derive(Deserialize)]
struct Told {
    sid: Option<Sid>,
    state: State,
    reason: Option<String>,
    as_of: Timestamp,
    class: BindingClass,
    stale: bool,
    #[serde(default)]
    break_glass: bool,
}

/// Without the URL, which says nothing, and never with what was asked.
fn unanswered(error: reqwest::Error) -> AskError {
    AskError::Unanswered(error.without_url().into())
}

fn address(of: &str) -> Result<Url, RemoteError> {
    let url: Url = format!("{}/v1/check", of.trim_end_matches('/')).parse().map_err(|_| RemoteError::Address)?;
    if url.has_host() && ["http", "https"].contains(&url.scheme()) { Ok(url) } else { Err(RemoteError::Address) }
}

#[cfg(test)]
mod tests {
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

    use super::*;

    async fn asked(reply: ResponseTemplate) -> Result<Checked, AskError> {
        let server = MockServer::start().await;
        Mock::given(matchers::method("POST"))
            .and(matchers::path("/v1/check"))
            .and(matchers::header("authorization", "Bearer secret"))
            .and(matchers::body_json(json!({"sid": "s", "binding": "bearer"})))
            .respond_with(reply)
            .mount(&server)
            .await;
        let remote = Remote::http(&server.uri(), Some("secret".into()), Duration::from_secs(5)).unwrap();
        remote.ask(&Presented::session("s".into())).await
    }

    fn body(state: &str, sid: &str) -> ResponseTemplate {
        let body = json!({"sid": sid, "state": state, "class": "bound", "stale": true, "as_of": "2026-11-21T10:00:00Z", "news": {"of": "a later version"}});
        ResponseTemplate::new(200).set_body_json(body)
    }

    #[tokio::test]
    async fn the_answer_is_what_the_service_says() {
        let checked = asked(body("active", "s")).await.unwrap();
        let as_of = "2026-11-21T10:00:00Z".parse().unwrap();
        let expected = Checked {
            sid: Some("s".into()),
            state: State::Active,
            reason: None,
            as_of,
            class: BindingClass::Bound,
            stale: true,
            break_glass: false,
        };
        assert_eq!(checked, expected);
    }

    #[tokio::test]
    async fn whatever_is_not_understood_lets_nobody_through() {
        let unanswered = [
            ResponseTemplate::new(503),
            ResponseTemplate::new(401),
            ResponseTemplate::new(302).insert_header("location", "/elsewhere"),
            ResponseTemplate::new(200),
            ResponseTemplate::new(200).set_body_string("active"),
            body("perfect", "s"),
            body("active", "other"),
            ResponseTemplate::new(200).set_body_json(json!({"state": "active", "sid": "s"})),
        ];
        for reply in unanswered {
            let said = asked(reply.clone()).await;
            assert!(matches!(said, Err(AskError::Unanswered(_))), "{reply:?}: {said:?}");
        }
        assert!(matches!(asked(ResponseTemplate::new(400)).await, Err(AskError::Unaskable(_))));
        let nobody = Remote::unix(Path::new("/nowhere/ssf.sock"), Duration::from_secs(5)).unwrap();
        let said = nobody.ask(&Presented::session("s".into())).await;
        assert!(matches!(said, Err(AskError::Unanswered(_))), "{said:?}");
        let late = ResponseTemplate::new(200).set_delay(Duration::from_mins(1));
        let server = MockServer::start().await;
        Mock::given(matchers::any()).respond_with(late).mount(&server).await;
        let remote = Remote::http(&server.uri(), None, Duration::from_millis(50)).unwrap();
        assert!(matches!(remote.ask(&Presented::session("s".into())).await, Err(AskError::Unanswered(_))));
        for wrong in ["", "nonsense", "ftp://host", "unix:/run/x"] {
            assert!(Remote::http(wrong, None, Duration::from_secs(1)).is_err(), "{wrong}");
        }
    }
}
