//! Finding out what a transmitter offers: its metadata (SSF 1.0 §7), and its token endpoint (RFC 8414).

use http::StatusCode;
use serde::Deserialize;
use ssf_common::id::IssuerUrl;
use ssf_common::protocol::{Metadata, well_known_path};
use url::Url;

use super::fetch::{self, Answer, EndpointError, FetchError, Http, MAX_ANSWER};
use crate::config::Profile;

/// The metadata cannot be had, or must not be used.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// No answer.
    #[error("{document} cannot be read")]
    Fetch {
        /// Which document.
        document: &'static str,
        /// Why.
        #[source]
        source: FetchError,
    },
    /// Another answer than the document.
    #[error("{document} was answered with {status}; check the issuer")]
    Status {
        /// Which document.
        document: &'static str,
        /// The answer.
        status: StatusCode,
    },
    /// Not the document.
    #[error("{document} is not what it should be")]
    Body {
        /// Which document.
        document: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Somebody else's document (SSF 1.0 §7.2.3, RFC 8414 §3.3).
    #[error("{document} is that of another issuer: its `issuer` must be exactly {expected}")]
    OtherIssuer {
        /// Which document.
        document: &'static str,
        /// The configured issuer.
        expected: IssuerUrl,
    },
    /// Not what the strict profile asks for (CAEP interop §2.3).
    #[error(
        "{document} has no good `{member}`, which the strict profile asks for (CAEP interop §2.3); set profile = \"lenient\" to go without"
    )]
    NotStrict {
        /// Which document.
        document: &'static str,
        /// What is missing in it.
        member: &'static str,
    },
    /// An endpoint in it may not be called.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// The metadata of `issuer`, whose `issuer` is identical to the one asked for (SSF 1.0 §7.2.3), wherever this profile
/// looks for them.
pub async fn metadata(http: &Http, issuer: &IssuerUrl, profile: Profile) -> Result<Metadata, DiscoveryError> {
    let mut missing = None;
    for name in profile.documents() {
        match well_known(http, issuer, name, METADATA).await {
            Err(error @ DiscoveryError::Status { status: StatusCode::NOT_FOUND, .. }) => {
                // What the first one said is the one to tell.
                missing.get_or_insert(error);
            }
            answer => {
                let found = metadata_of(&answer?, issuer)?;
                return if profile == Profile::Strict { to_the_letter(found) } else { Ok(found) };
            }
        }
    }
    let nowhere = DiscoveryError::Status { document: METADATA, status: StatusCode::NOT_FOUND };
    Err(missing.unwrap_or(nowhere))
}

/// The members that the CAEP interoperability profile asks for (§2.3 there).
fn to_the_letter(found: Metadata) -> Result<Metadata, DiscoveryError> {
    let members = [
        ("spec_version", found.spec_version.as_deref() == Some("1_0")),
        ("delivery_methods_supported", !found.delivery_methods_supported.is_empty()),
        ("jwks_uri", found.jwks_uri.is_some()),
        ("configuration_endpoint", found.configuration_endpoint.is_some()),
        ("status_endpoint", found.status_endpoint.is_some()),
        ("verification_endpoint", found.verification_endpoint.is_some()),
        ("authorization_schemes", !found.authorization_schemes.is_empty()),
    ];
    match members.into_iter().find(|(_, is_there)| !is_there) {
        Some((member, _)) => Err(DiscoveryError::NotStrict { document: METADATA, member }),
        None => Ok(found),
    }
}

/// The answer that holds the metadata of `issuer`, with any status that says yes.
pub(crate) async fn metadata_document(http: &Http, issuer: &IssuerUrl) -> Result<Answer, DiscoveryError> {
    well_known(http, issuer, "ssf-configuration", METADATA).await
}

/// The metadata in that answer, if they are those of `issuer`.
pub(crate) fn metadata_of(answer: &Answer, issuer: &IssuerUrl) -> Result<Metadata, DiscoveryError> {
    let found: Metadata = read(answer, METADATA)?;
    if found.issuer != *issuer {
        return Err(DiscoveryError::OtherIssuer { document: METADATA, expected: issuer.clone() });
    }
    Ok(found)
}

/// The token endpoint of the authorization server at `issuer` (RFC 8414 §3).
pub async fn token_endpoint(http: &Http, issuer: &IssuerUrl, is_development: bool) -> Result<Url, DiscoveryError> {
    #[derive(Deserialize)]
    struct Server {
        issuer: IssuerUrl,
        token_endpoint: String,
    }
    let answer = well_known(http, issuer, "oauth-authorization-server", AUTHORIZATION_SERVER).await?;
    let found: Server = read(&answer, AUTHORIZATION_SERVER)?;
    if found.issuer != *issuer {
        return Err(DiscoveryError::OtherIssuer { document: AUTHORIZATION_SERVER, expected: issuer.clone() });
    }
    Ok(fetch::endpoint(&found.token_endpoint, "token_endpoint", is_development)?)
}

async fn well_known(
    http: &Http,
    issuer: &IssuerUrl,
    name: &str,
    document: &'static str,
) -> Result<Answer, DiscoveryError> {
    let url = well_known_path(issuer, name).ok_or(EndpointError { member: "issuer" })?;
    let answer =
        http.send(http.get(url), MAX_ANSWER).await.map_err(|source| DiscoveryError::Fetch { document, source })?;
    if !answer.status.is_success() {
        return Err(DiscoveryError::Status { document, status: answer.status });
    }
    Ok(answer)
}

fn read<T: serde::de::DeserializeOwned>(answer: &Answer, document: &'static str) -> Result<T, DiscoveryError> {
    answer.json().map_err(|source| DiscoveryError::Body { document, source })
}

const METADATA: &str = "the transmitter's metadata";
const AUTHORIZATION_SERVER: &str = "the issuer's authorization server metadata";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use ssf_common::runtime::telemetry::chain;
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    async fn answered(response: ResponseTemplate) -> String {
        let server = MockServer::start().await;
        Mock::given(path("/.well-known/ssf-configuration")).respond_with(response).mount(&server).await;
        let http = Http::new(Duration::from_secs(5)).unwrap();
        match metadata(&http, &server.uri().into(), Profile::Lenient).await {
            Ok(_) => "found".to_owned(),
            Err(error) => chain(&error).replace(&server.uri(), "<issuer>"),
        }
    }

    #[tokio::test]
    async fn metadata_of_another_issuer_is_refused() {
        let body = json!({"issuer": "https://evil.example", "jwks_uri": "https://evil.example/jwks.json"});
        let said = answered(ResponseTemplate::new(200).set_body_json(body)).await;
        assert_eq!(said, "the transmitter's metadata is that of another issuer: its `issuer` must be exactly <issuer>");
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed_and_nonsense_is_named() {
        let moved = ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:9/");
        assert_eq!(answered(moved).await, "the transmitter's metadata was answered with 302 Found; check the issuer");
        let nonsense = answered(ResponseTemplate::new(200).set_body_string("<html>")).await;
        assert!(
            nonsense.starts_with("the transmitter's metadata is not what it should be: expected value"),
            "{nonsense}"
        );
        let endless = ResponseTemplate::new(200).set_body_bytes(vec![b' '; MAX_ANSWER + 1]);
        assert_eq!(
            answered(endless).await,
            "the transmitter's metadata cannot be read: the answer is longer than 1048576 bytes"
        );
    }

    #[tokio::test]
    async fn the_token_endpoint_must_be_the_issuers_own_and_https() {
        let server = MockServer::start().await;
        let body = json!({"issuer": server.uri(), "token_endpoint": "http://idp.example/token"});
        Mock::given(path("/.well-known/oauth-authorization-server"))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .mount(&server)
            .await;
        let http = Http::new(Duration::from_secs(5)).unwrap();
        let error = token_endpoint(&http, &server.uri().into(), true).await.unwrap_err();
        assert_eq!(error.to_string(), "the transmitter's `token_endpoint` is not an https URL");
    }
}
