//! Why an exchange did not come to a checked answer.

use http::StatusCode;
use serde_json::Value;

use super::Mask;
use crate::config::SettingsError;
use crate::upstream::call::Call;
use crate::upstream::client::CallError;
use crate::upstream::discover::DiscoveryError;
use crate::upstream::token::TokenError;
use crate::upstream::{Answer, EndpointError, FetchError, KeysError, LinkError};

/// There is nothing to go on with.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// What was asked for cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// A setting.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no HTTP client.
    #[error("the HTTP client cannot be made")]
    Http(#[source] FetchError),
    /// The metadata.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The exchange.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The transmitter said no.
    #[error("{call} was answered with {status}{said}")]
    Refused {
        /// What was asked for.
        call: &'static str,
        /// The answer.
        status: StatusCode,
        /// What it said beside, masked; empty or with a colon in front.
        said: String,
    },
    /// The keys.
    #[error(transparent)]
    Keys(#[from] LinkError),
    /// The stream is not delivered in the way that was asked for.
    #[error("the stream is not delivered by {0}; name another, or follow it the other way (--listen is for push)")]
    Method(&'static str),
    /// What was found cannot be shown, or the end cannot be listened for.
    #[error("this process cannot do what it must")]
    Output(#[source] std::io::Error),
    /// Its answer cannot be gone on with; the findings say why.
    #[error("the answer lacks what is needed to go on")]
    Unusable,
}

impl Fault {
    /// The transmitter's no, in its own words as far as they may be shown.
    pub(super) fn refused(call: &Call, answer: &Answer, mask: &Mask) -> Self {
        let body: Value = answer.json().unwrap_or_default();
        let told = ["error", "error_description", "err", "description", "message"]
            .iter()
            .filter_map(|member| body.get(*member).and_then(Value::as_str))
            .map(|text| mask.line(&text.chars().take(LONGEST_WORDS).collect::<String>()));
        let said = told.fold(String::new(), |said, text| format!("{said}: {text}"));
        Self::Refused { call: call.name, status: answer.status, said }
    }

    /// The section that is broken, if it is the specification that was broken.
    pub fn breaks(&self) -> Option<&'static str> {
        let of_discovery = |error: &DiscoveryError| match error {
            DiscoveryError::OtherIssuer { .. } => Some("SSF 1.0 §7.2.3"),
            DiscoveryError::Body { .. } => Some("SSF 1.0 §7.2.2"),
            DiscoveryError::Endpoint(_) => Some(METADATA),
            DiscoveryError::NotStrict { .. } => Some("CAEP interop §2.3"),
            DiscoveryError::Fetch { .. } | DiscoveryError::Status { .. } => None,
        };
        match self {
            Self::Discovery(error)
            | Self::Call(CallError::Discovery(error))
            | Self::Keys(LinkError::Discovery(error)) => of_discovery(error),
            Self::Call(CallError::Token { source: TokenError::NotABearerToken, .. }) => Some("RFC 6749 §5.1"),
            Self::Call(CallError::Token { source: TokenError::Endpoint(error), .. }) => match error {
                DiscoveryError::OtherIssuer { .. } => Some("RFC 8414 §3.3"),
                DiscoveryError::Body { .. } | DiscoveryError::Endpoint(_) => Some("RFC 8414 §2"),
                DiscoveryError::Fetch { .. } | DiscoveryError::Status { .. } | DiscoveryError::NotStrict { .. } => None,
            },
            Self::Call(CallError::Endpoint(EndpointError { member: "delivery.endpoint_url" })) => {
                Some("SSF 1.0 §6.1.2")
            }
            Self::Keys(LinkError::Keys(KeysError::NotAKeySet(_))) => Some("RFC 7517 §5"),
            Self::Call(CallError::Endpoint(_)) | Self::Keys(LinkError::Endpoint(_)) => Some(METADATA),
            Self::Unusable => Some("SSF 1.0 §8.1.1"),
            _ => None,
        }
    }
}

const METADATA: &str = "SSF 1.0 §7.1";
const LONGEST_WORDS: usize = 300;
