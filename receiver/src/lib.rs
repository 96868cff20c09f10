//! A Shared Signals receiver: listens to transmitters, keeps cut-offs, and answers whether a session is still good.
//!
//! The road, data flowing right and imports pointing left:
//! [`signature`] < [`config`] < [`audit`] < [`upstream`] < [`break_glass`] < [`timeline`] < [`session`] < [`cutoff`] <
//! [`facts`] < [`replica`] < [`inbox`] < [`withheld`] < [`upkeep`] <
//! [`forget`] < [`doors`] < [`interop`] < [`validity`] < [`proof`] < [`effects`] < [`guard`] < [`api`] < [`app`] <
//! `main`. A SET comes in at [`doors`], is verified, enters the [`inbox`] and leaves as a cut-off, committed and in memory
//! ([`replica`]) before it is acknowledged; a question enters at [`api`], or at the [`guard`] in front of the application's
//! own routes, and leaves as a verdict of [`validity`], from memory; who does not ask is told by one of the [`effects`].
//! Beside the road, [`interop`] drives a stream by hand, without a database.

pub mod api;
pub mod app;
pub mod audit;
pub mod break_glass;
pub mod config;
pub mod cutoff;
pub mod doors;
pub mod effects;
pub mod facts;
pub mod forget;
pub mod guard;
pub mod inbox;
pub mod interop;
pub mod proof;
pub mod replica;
pub mod session;
pub mod timeline;
pub mod upkeep;
pub mod upstream;
pub mod validity;
pub mod withheld;

/// How callbacks are signed, for applications in Rust that take them.
pub use ssf_common::runtime::webhook as signature;

/// The schema that holds everything of ours; objects are named without it, the connection's search path finds them.
pub const SCHEMA: &str = "ssf_receiver";

/// What makes and renews that schema.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/receiver");
