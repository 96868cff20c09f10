//! The transmitters we listen to, and the issuers whose word counts here.
//!
//! This stage owns the tables `issuer` and `upstream`. Everything to the right names an upstream by [`UpstreamId`] or
//! holds its [`Upstream`]: what the service knows of one transmitter and shares among the keeper, the push endpoint and
//! the poll loop.
//!
//! The way to a stream: [`discover`] reads the metadata, [`token`] gets us in, [`client`] makes the management calls,
//! [`keys`] holds the published keys, and the [`keeper`] brings the stream to what is configured and keeps it so. All of
//! them speak HTTP through `fetch`: no redirects, no endless bodies, no plain http but on loopback.

pub mod client;
pub mod discover;
mod fetch;
mod held;
pub mod keeper;
pub mod keys;
pub mod link;
mod plan;
pub mod store;
pub mod token;

use ssf_common::uuid_id;

pub use fetch::{FetchError, Http};
pub use held::{Digest, Held, Stream};
pub use keeper::{Keeper, KeeperError};
pub use link::{LinkError, Upstream};

use crate::config::Delivery;

uuid_id! {
    /// One configured transmitter and the stream we hold there.
    UpstreamId;
    /// An issuer whose events have effect here.
    IssuerId;
}

/// How SETs reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The transmitter sends them to our endpoint (RFC 8935).
    Push,
    /// We ask for them (RFC 8936).
    Poll,
}

impl Method {
    /// As it stands in the database and in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Poll => "poll",
        }
    }
}

impl From<Delivery> for Method {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Push => Self::Push,
            Delivery::Poll => Self::Poll,
        }
    }
}
