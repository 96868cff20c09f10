//! A Shared Signals transmitter (OpenID SSF 1.0) on PostgreSQL.

pub mod client;
pub mod config;
pub mod control;
pub mod issuer;
pub mod keys;
pub mod outbox;
pub mod stream;
