//! The transmitters we listen to, and the issuers whose word counts here.
//!
//! This stage owns the tables `issuer` and `upstream`. Everything to the right names an upstream by [`UpstreamId`].

mod id;
pub mod store;

pub use id::{IssuerId, Method, UpstreamId};
