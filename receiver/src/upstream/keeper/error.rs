//! [`KeeperError`]: why a step did not succeed.

use http::StatusCode;

use crate::upstream::LinkError;
use crate::upstream::client::CallError;
use crate::upstream::discover::DiscoveryError;
use crate::upstream::plan::StreamFault;
use crate::upstream::token::TokenError;

/// A step did not succeed; it will be tried again.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The metadata cannot be had.
    #[error("upstream {name}")]
    Discovery {
        /// Our name for the upstream.
        name: String,
        /// Why.
        #[source]
        source: DiscoveryError,
    },
    /// The keys cannot be had.
    #[error("upstream {name}")]
    Keys {
        /// Our name for the upstream.
        name: String,
        /// Why.
        #[source]
        source: LinkError,
    },
    /// A call failed.
    #[error("upstream {name}")]
    Call {
        /// Our name for the upstream.
        name: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// The stream is not one for us.
    #[error("upstream {name}")]
    Stream {
        /// Our name for the upstream.
        name: String,
        /// Why.
        #[source]
        source: StreamFault,
    },
    /// There is no room for another stream, and none of those that are there is ours.
    #[error(
        "upstream {name}: the transmitter has no room for another stream, and none of the {found} it has is ours; delete one there"
    )]
    NoneIsOurs {
        /// Our name for the upstream.
        name: String,
        /// How many there are.
        found: usize,
    },
    /// The lease ended while the transmitter was asked, and is another process's.
    #[error("upstream {name}: another process looks after it by now")]
    Superseded {
        /// Our name for the upstream.
        name: String,
    },
    /// The database did not do it.
    #[error("the database did not answer")]
    Store(#[from] sqlx::Error),
}

impl KeeperError {
    /// Whether the transmitter does not let us in.
    pub(super) fn is_refusal(&self) -> bool {
        let Self::Call { source, .. } = self else { return false };
        matches!(source, CallError::Token { source: TokenError::Refused { .. }, .. })
            || matches!(source.status(), Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
    }
}
