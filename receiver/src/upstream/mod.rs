//! The transmitters we listen to, and the issuers whose word counts here.
//!
//! This stage owns the tables `issuer` and `upstream`. Everything to the right names an upstream by [`UpstreamId`] or
//! holds its [`Upstream`]: what the service knows of one transmitter and shares among the keeper, the push endpoint and
//! the poll loop.
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
pub mod link;
mod plan;
pub mod store;
pub mod token;

pub(crate) use fetch::endpoint;
pub use fetch::{Answer, EndpointError, FetchError, Http, Witness};
pub use held::{Digest, Held, Stream};
pub use id::{IssuerId, Method, UpstreamId};
pub use keeper::{Keeper, KeeperError};
pub use keys::KeysError;
pub use link::{LinkError, Upstream};
