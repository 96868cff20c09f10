//! What an operator does to a transmitter's database without HTTP: issuers, clients and streams.
//!
//! The command line calls these; so do tests and the demo's preparations.

mod clients;
mod issuers;
mod streams;

pub use clients::{Credentials, ListedClient, NewClient, add_client, list_clients, remove_client};
pub use issuers::{AddIssuerError, add_issuer, ensure_issuer, find_issuer, list_issuers, remove_issuer};
pub use streams::{ListedStream, StreamError, list_streams, set_stream_status, verify_stream};
