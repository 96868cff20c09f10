//! Getting in: a token that was issued once, or one from the token endpoint (RFC 6749 §4.4), kept while it is good.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;
use ssf_common::jwks::KeyError;
use ssf_common::protocol::{OAuthError, TokenResponse};
use ssf_common::runtime::Env;
use tokio::sync::Mutex;
use url::Url;

use super::assertion::{ASSERTION_TYPE, assertion};
use super::discover::{self, DiscoveryError};
use super::fetch::{FetchError, Http, MAX_ANSWER};
use crate::config::{AssertionAudience, ClientAuth, Credential, SettingsError, UpstreamSettings};

/// Hands out the access token of one upstream and gets a new one when it must. Callers that come together share one
/// request.
#[derive(Debug)]
pub struct Tokens {
    credential: Credential,
    issuer: IssuerUrl,
    scope: String,
    token_url: Option<Url>,
    is_development: bool,
    http: Http,
    env: Env,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// As discovered; forgotten when it disappoints.
    endpoint: Option<Url>,
    token: Option<(SecretString, Timestamp)>,
}

/// No token can be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The token endpoint is not known.
    #[error("the token endpoint cannot be found; set token_url of the upstream if the issuer does not announce one")]
    Endpoint(#[source] DiscoveryError),
    /// No answer.
    #[error("the token endpoint cannot be read")]
    Fetch(#[source] FetchError),
    /// It said no.
    #[error("the token endpoint answered {status}{}; {remedy}", said(.code.as_deref()))]
    Refused {
        /// The answer.
        status: StatusCode,
        /// The error code in it (RFC 6749 §5.2).
        code: Option<String>,
        /// What may help.
        remedy: &'static str,
    },
    /// The private key cannot be had.
    #[error("no client assertion can be made")]
    Key(#[source] SettingsError),
    /// The private key does not sign.
    #[error("no client assertion can be made")]
    Unsigned(#[source] KeyError),
    /// It answered with something else than a bearer token.
    #[error("the token endpoint did not answer with a bearer token")]
    NotABearerToken,
}

impl Tokens {
    /// For the transmitter of these settings.
    pub fn new(settings: &UpstreamSettings, credential: Credential, http: Http, env: Env) -> Self {
        Self {
            credential,
            issuer: settings.issuer.clone(),
            scope: settings.scope.clone(),
            token_url: settings.token_url.parse().ok(),
            is_development: settings.is_development(),
            http,
            env,
            kept: Mutex::default(),
        }
    }

    /// A token that is good for some while yet.
    pub async fn current(&self) -> Result<SecretString, TokenError> {
        if let Credential::Static(token) = &self.credential {
            return Ok(token.clone());
        }
        let mut kept = self.kept.lock().await;
        match &kept.token {
            Some((token, until)) if self.env.now() < *until => Ok(token.clone()),
            _ => self.issued(&mut kept).await,
        }
    }

    /// A token in place of one that was answered with 401, if another can be had.
    pub async fn instead_of(&self, rejected: &SecretString) -> Result<Option<SecretString>, TokenError> {
        if matches!(self.credential, Credential::Static(_)) {
            return Ok(None);
        }
        let mut kept = self.kept.lock().await;
        match &kept.token {
            // Somebody else was faster.
            Some((token, _)) if token.expose_secret() != rejected.expose_secret() => Ok(Some(token.clone())),
            _ => self.issued(&mut kept).await.map(Some),
        }
    }

    async fn issued(&self, kept: &mut Kept) -> Result<SecretString, TokenError> {
        kept.token = None;
        let endpoint = match self.token_url.clone().or_else(|| kept.endpoint.take()) {
            Some(endpoint) => endpoint,
            None => discover::token_endpoint(&self.http, &self.issuer, self.is_development)
                .await
                .map_err(TokenError::Endpoint)?,
        };
        let asked_at = self.env.now();
        let request = self.request(&endpoint)?;
        let answer = self.http.send(request, MAX_ANSWER).await.map_err(TokenError::Fetch)?;
        if !answer.status.is_success() {
            let code = answer.json::<OAuthError>().ok().map(|body| body.error).filter(|code| is_code(code));
            return Err(TokenError::Refused { status: answer.status, code, remedy: self.remedy() });
        }
        let issued: TokenResponse = answer.json().map_err(|_| TokenError::NotABearerToken)?;
        if !issued.token_type.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::NotABearerToken);
        }
        let lifetime = Duration::from_secs(issued.expires_in.unwrap_or(WITHOUT_EXPIRES_IN));
        let good_for = lifetime.saturating_sub((lifetime / 5).min(BEFORE_THE_END));
        kept.endpoint = Some(endpoint);
        kept.token = Some((issued.access_token.clone(), asked_at.plus(good_for)));
        Ok(issued.access_token)
    }

    /// The request for a token, with whatever shows that we may have one.
    fn request(&self, endpoint: &Url) -> Result<reqwest::RequestBuilder, TokenError> {
        let mut form = vec![("grant_type", "client_credentials")];
        if !self.scope.is_empty() {
            form.push(("scope", self.scope.as_str()));
        }
        let request = self.http.request(http::Method::POST, endpoint.clone());
        match &self.credential {
            Credential::Client { id, secret, auth: ClientAuth::Post } => {
                form.extend([("client_id", id.as_str()), ("client_secret", secret.expose_secret())]);
                Ok(request.form(&form))
            }
            Credential::Client { id, secret, .. } => {
                Ok(request.header(header::AUTHORIZATION, basic(id, secret)).form(&form))
            }
            Credential::Key { id, key, audience } => {
                let audience = match audience {
                    AssertionAudience::TokenEndpoint => endpoint.as_str(),
                    AssertionAudience::Issuer => self.issuer.as_str(),
                };
                let key = key.current().map_err(TokenError::Key)?;
                let signed = assertion(id, audience, &key, &self.env).map_err(TokenError::Unsigned)?;
                // RFC 7523 §2.2: `client_id` is not needed, and some servers look for it
                form.extend([
                    ("client_id", id.as_str()),
                    ("client_assertion_type", ASSERTION_TYPE),
                    ("client_assertion", signed.as_str()),
                ]);
                Ok(request.form(&form))
            }
            Credential::Static(_) => Ok(request.form(&form)),
        }
    }

    const fn remedy(&self) -> &'static str {
        match self.credential {
            Credential::Key { .. } => {
                "check client_id and client_key of the upstream, and that the transmitter knows the key's public half"
            }
            Credential::Client { .. } | Credential::Static(_) => "check client_id and client_secret of the upstream",
        }
    }
}

/// `client_secret_basic`: both parts form-encoded first (RFC 6749 §2.3.1).
fn basic(id: &str, secret: &SecretString) -> http::HeaderValue {
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(id), encoded(secret.expose_secret()));
    let mut value = http::HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair)))
        .expect("base64 is always a good header value");
    value.set_sensitive(true);
    value
}

/// Registered codes look like this; anything else stays out of our logs.
fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

fn said(code: Option<&str>) -> String {
    code.map(|code| format!(" ({code})")).unwrap_or_default()
}

/// A token is not used in its last half minute, or its last fifth if it lives shortly.
const BEFORE_THE_END: Duration = Duration::from_secs(30);
const WITHOUT_EXPIRES_IN: u64 = 300;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use ssf_common::clock::ManualClock;
    use ssf_common::random::SeededRandom;
    use wiremock::matchers::{body_string_contains, header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::config::Delivery;

    async fn idp(tokens: &[&str], expected: u64) -> MockServer {
        let server = MockServer::start().await;
        let announced = json!({"issuer": server.uri(), "token_endpoint": format!("{}/oauth2/token", server.uri())});
        Mock::given(path("/.well-known/oauth-authorization-server"))
            .respond_with(ResponseTemplate::new(200).set_body_json(announced))
            .expect(1)
            .mount(&server)
            .await;
        for token in tokens {
            Mock::given(method("POST"))
                .and(path("/oauth2/token"))
                .and(header("authorization", "Basic cnAlM0ExOnMlMkZjcmV0"))
                .and(body_string_contains("grant_type=client_credentials&scope=ssf.read+ssf.manage"))
                .respond_with(
                    ResponseTemplate::new(200)
                        .set_body_json(json!({"access_token": token, "token_type": "bearer", "expires_in": 600})),
                )
                .up_to_n_times(1)
                .expect(expected)
                .mount(&server)
                .await;
        }
        server
    }

    fn tokens(server: &MockServer) -> (Tokens, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_795_000_000)));
        let env = Env { clock: Arc::<ManualClock>::clone(&clock), random: Arc::new(SeededRandom::new(1)) };
        let settings = UpstreamSettings::new(server.uri().into(), Delivery::Poll);
        let credential = Credential::Client { id: "rp:1".to_owned(), secret: "s/cret".into(), auth: ClientAuth::Basic };
        (Tokens::new(&settings, credential, Http::new(Duration::from_secs(5)).unwrap(), env), clock)
    }

    #[tokio::test]
    async fn a_token_is_kept_until_shortly_before_its_end() {
        let server = idp(&["one", "two"], 1).await;
        let (tokens, clock) = tokens(&server);
        let (first, together) = tokio::join!(tokens.current(), tokens.current());
        assert_eq!((first.unwrap().expose_secret(), together.unwrap().expose_secret()), ("one", "one"));
        clock.advance(Duration::from_secs(569));
        assert_eq!(tokens.current().await.unwrap().expose_secret(), "one");
        clock.advance(Duration::from_secs(1));
        assert_eq!(tokens.current().await.unwrap().expose_secret(), "two");
    }

    #[tokio::test]
    async fn a_rejected_token_is_renewed_once_for_all_who_had_it() {
        let server = idp(&["one", "two"], 1).await;
        let (tokens, _) = tokens(&server);
        let rejected = tokens.current().await.unwrap();
        let (one, other) = tokio::join!(tokens.instead_of(&rejected), tokens.instead_of(&rejected));
        assert_eq!((one.unwrap().unwrap().expose_secret(), other.unwrap().unwrap().expose_secret()), ("two", "two"));
    }

    #[tokio::test]
    async fn a_secret_may_stand_in_the_form_for_servers_that_want_it_there() {
        let server = MockServer::start().await;
        Mock::given(path("/token"))
            .and(body_string_contains("&client_id=rp%3A1&client_secret=s%2Fcret"))
            .respond_with(
                ResponseTemplate::new(200).set_body_json(json!({"access_token": "one", "token_type": "Bearer"})),
            )
            .mount(&server)
            .await;
        let (mut tokens, _) = tokens(&server);
        tokens.token_url = Some(format!("{}/token", server.uri()).parse().unwrap());
        tokens.credential =
            Credential::Client { id: "rp:1".to_owned(), secret: "s/cret".into(), auth: ClientAuth::Post };
        assert_eq!(tokens.current().await.unwrap().expose_secret(), "one");
        let asked = server.received_requests().await.unwrap();
        assert!(!asked[0].headers.contains_key("authorization"), "one way of the two (RFC 6749 §2.3)");
    }

    #[tokio::test]
    async fn a_refusal_names_the_code_and_the_remedy() {
        let server = MockServer::start().await;
        Mock::given(path("/token"))
            .respond_with(ResponseTemplate::new(401).set_body_json(json!({"error": "invalid_client"})))
            .mount(&server)
            .await;
        let (mut tokens, _) = tokens(&server);
        tokens.token_url = Some(format!("{}/token", server.uri()).parse().unwrap());
        assert_eq!(
            tokens.current().await.unwrap_err().to_string(),
            "the token endpoint answered 401 Unauthorized (invalid_client); check client_id and client_secret of the upstream"
        );
    }
}
