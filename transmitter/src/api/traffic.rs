//! Who comes from where and how often: the address of a client, also behind our own proxies, and the answer 429 to
//! whoever comes too often.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use sha2::{Digest as _, Sha256};
use ssf_common::clock::Timestamp;
use ssf_common::runtime::http::{Origin, Proxies, error_reply};
use ssf_common::runtime::rates::{Rate, Rates};

use super::ApiState;
use super::credentials::{Grant, Presented};
use super::error::ApiError;
use super::front::At;
use crate::client::ClientKey;
use crate::config::LimitSettings;

/// The counts of everybody, and the proxies that are believed. Clones share them.
#[derive(Clone, Debug)]
pub struct Traffic(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    proxies: Proxies,
    management: Rates<ClientKey>,
    polls: Rates<ClientKey>,
    emits: Rates<ClientKey>,
    token_failures: Rates<[u8; 32]>,
    is_warned: AtomicBool,
}

impl Traffic {
    /// Nobody has come yet.
    pub fn new(proxies: Proxies, limits: &LimitSettings) -> Self {
        let per_10s = |count| Rates::new(Rate { count, per: Duration::from_secs(10) }, MAX_KNOWN);
        let failures = Rate { count: limits.token_failures_per_minute, per: Duration::from_mins(1) };
        Self(Arc::new(Shared {
            proxies,
            management: per_10s(limits.management_per_10s),
            polls: per_10s(limits.polls_per_10s),
            emits: per_10s(limits.emits_per_10s),
            token_failures: Rates::new(failures, MAX_KNOWN),
            is_warned: AtomicBool::new(false),
        }))
    }

    /// Where a request began.
    pub(super) fn origin(&self, request: &Request) -> Origin {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
        let headers = request.headers();
        let is_forwarded = FORWARDED.iter().any(|name| headers.contains_key(*name));
        if let Some(peer) = peer.map(|peer| peer.ip()).filter(|peer| is_forwarded && !self.0.proxies.trusts(*peer))
            && !self.0.is_warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                client.address = %peer,
                "somebody who is not in proxy.trusted sends headers of a proxy; they are not looked at. If it is your proxy, put it there"
            );
        }
        self.0.proxies.origin(peer, headers)
    }

    /// Counts one request of an authenticated client, by what it is about.
    pub(super) fn count(&self, client: ClientKey, path: &str, now: Timestamp) -> Result<(), ApiError> {
        let rates = if path.starts_with("/ssf/poll/") {
            &self.0.polls
        } else if path == "/events" {
            &self.0.emits
        } else {
            &self.0.management
        };
        rates.take(&client, now).map_err(|wait| {
            tracing::debug!(client.key = %client, wait.ms = wait.as_millis(), "a client comes too often");
            too_often(wait)
        })
    }
}

/// Around the token endpoint: whoever has failed too often under a name from an address must wait, with the right secret
/// too, and nothing of the request is looked at. Only failures are counted.
pub(super) async fn token_endpoint(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    if request.uri().path() != "/oauth2/token" {
        return next.run(request).await;
    }
    let Some(address) = request.extensions().get::<Origin>().and_then(|origin| origin.address) else {
        // inside another application that does not tell addresses: to count all together would shut out whom it should protect
        return next.run(request).await;
    };
    let issuer = request.extensions().get::<At>().map(|At(tenant)| tenant.issuer.id.to_string());
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_GRANT).await else {
        let text = "the body is longer than a token request can be, or broken off";
        return error_reply(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", text);
    };
    let who = failure_key(&issuer.unwrap_or_default(), &claimed_client(&parts.headers, &body), address);
    let failures = &state.traffic.0.token_failures;
    if let Err(wait) = failures.look(&who, state.env.now()) {
        return too_often(wait).into_response();
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if response.status() == StatusCode::UNAUTHORIZED && failures.take(&who, state.env.now()).is_ok() {
        tracing::info!(client.address = %address, "a client could not authenticate at the token endpoint");
    }
    response
}

fn too_often(wait: Duration) -> ApiError {
    // whole seconds, and never too early
    ApiError::TooMany(wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
}

fn failure_key(issuer: &str, client: &str, address: IpAddr) -> [u8; 32] {
    let address = address.to_string();
    let mut digest = Sha256::new();
    for part in [issuer, client, &address] {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// Who the request says it is from, exactly as it will be looked up; empty if nobody will be.
fn claimed_client(headers: &HeaderMap, body: &Bytes) -> String {
    let form = Grant::read(headers, body);
    Presented::read(headers, form.as_ref().ok()).map(|presented| presented.client_id.0).unwrap_or_default()
}

const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
/// Clients, and pairs of a name and an address, of which is remembered when they came.
const MAX_KNOWN: usize = 50_000;
const MAX_GRANT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use http::HeaderValue;
    use http::header::{AUTHORIZATION, CONTENT_TYPE};

    use super::*;

    #[test]
    fn a_client_is_known_by_its_name_however_it_authenticates() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let claimed = |headers: &HeaderMap, body: &str| claimed_client(headers, &Bytes::from(body.to_owned()));
        let assertion = ["{\"alg\":\"ES256\"}", "{\"iss\":\"rp\",\"sub\":\"rp\"}", "signature"]
            .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part))
            .join(".");
        let by_assertion = format!(
            "client_assertion={assertion}&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
        );
        assert_eq!(claimed(&headers, "client_secret=x&client_id=rp"), "rp");
        assert_eq!(claimed(&headers, &by_assertion), "rp");
        assert_eq!(claimed(&headers, "\0"), "");
        for name in ["rp", "%72p", "r%70"] {
            headers.insert(
                AUTHORIZATION,
                format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:secret"))).parse().unwrap(),
            );
            assert_eq!(claimed(&headers, "grant_type=client_credentials"), "rp", "{name} is the same client");
        }
    }

    #[test]
    fn names_and_addresses_are_not_run_together() {
        let key = |issuer: &str, client: &str, last| failure_key(issuer, client, IpAddr::from([127, 0, 0, last]));
        assert_ne!(key("i", "a", 1), key("i", "b", 1));
        assert_ne!(key("ab", "c", 1), key("a", "bc", 1));
        assert_ne!(key("i", "a", 1), key("i", "a", 2));
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_never_too_short() {
        for (wait, seconds) in [(1, 1), (999, 1), (1000, 1), (1001, 2)] {
            assert!(matches!(too_often(Duration::from_millis(wait)), ApiError::TooMany(s) if s == seconds), "{wait}");
        }
    }
}
