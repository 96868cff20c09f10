//! A Shared Signals transmitter (OpenID SSF 1.0) on PostgreSQL.
//!
//! An identity provider hands in decisions ([`outbox`]); each becomes one signed SET per stream that wants it and is
//! delivered by push or poll ([`delivery`]). [`Transmitter`] puts the parts together; `ssf-transmitter serve` runs it. An
//! IdP that is itself a Rust program may hold one ([`Transmitter::start`]): `examples/idp.rs` shows it.
//!
//! The road, data flowing right and imports pointing left: `config` < `issuer` < `audit` < `keys` < `tenant` <
//! `client` < `authorization` < `stream` < `outbox` < `timeline` < `delivery` < `control` < `backlog` < `admin` < `api` < `app` < `main`.

pub mod admin;
pub mod api;
mod app;
pub mod audit;
pub mod authorization;
pub mod backlog;
pub mod client;
pub mod config;
pub mod control;
pub mod delivery;
pub mod issuer;
pub mod keys;
pub mod outbox;
pub mod stream;
pub mod tenant;
pub mod timeline;

pub use app::{Decision, MIGRATOR, OpenError, RecordingError, StartError, Transmitter};
