//! What an operator does to a transmitter's database without HTTP: issuers, clients and a look at the streams.
//!
//! The command line calls these; so do tests and the demo's preparations.

mod clients;
mod credentials;
mod issuers;
mod streams;

pub use clients::{Credentials, ListedClient, NewClient, add_client, list_clients, remove_client};
pub use credentials::{CredentialError, add_token, list_tokens, revoke_token, rotate_secret, set_authentication};
pub use issuers::{AddIssuerError, add_issuer, ensure_issuer, find_issuer, list_issuers, remove_issuer};
pub use streams::{ListedStream, list_streams};
