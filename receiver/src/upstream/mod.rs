//! The transmitters we listen to, and the issuers whose word counts here.
//!
//! This stage owns the tables `issuer`, `upstream` and those around it. Everything to the right names an upstream by [`UpstreamId`] or
//! holds its [`Upstream`]: what the service knows of one transmitter and shares among the keeper, the push endpoint and
//! the poll loop.
//!
//! Upstreams come from the settings, or are made while the service runs ([`managed`]). Of several processes on one
//! database one at a time looks after each ([`lease`]). What each is at the moment is its [`State`], what became of it
//! stands in its history, and [`overview`] shows both.
//!
//! The way to a stream: [`discover`] reads the metadata, [`token`] gets us in, [`client`] makes the management [`call`]s,
//! [`keys`] holds the published keys, and the [`keeper`] brings the stream to what is configured and keeps it so. All of
//! them speak HTTP through `fetch`: no redirects, no endless bodies, no plain http but on loopback.

mod assertion;
pub mod call;
pub mod client;
pub mod discover;
mod fetch;
mod held;
mod id;
pub mod keeper;
pub mod keys;
pub mod lease;
pub mod link;
pub mod managed;
pub mod overview;
mod plan;
pub mod state;
pub mod store;
pub mod token;

pub(crate) use fetch::endpoint;
pub use fetch::{Answer, EndpointError, FetchError, Http, Witness};
pub use held::{Digest, Held, Stream};
pub use id::{IssuerId, Method, UpstreamId};
pub use keeper::{Keeper, KeeperError};
pub use keys::KeysError;
pub use lease::{Lease, ProcessId};
pub use link::{LinkError, Upstream};
pub use managed::{Managed, ManagedError};
pub use overview::Overview;
pub use state::State;
