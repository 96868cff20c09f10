//! PostgreSQL: the pool ([`connect`]), the migrations ([`migrate`]), the notifications as doorbells ([`listen`]), and a
//! private [`Cluster`](cluster::Cluster) for those who bring no server.
//!
//! A database that is away is never a reason to end: a pool may be made before the database is there
//! ([`connect_lazily`]), an acquire gives up after [`ACQUIRE_TIMEOUT`], and [`is_away`] tells this trouble from others,
//! so that a handler can answer 503 and a worker can back off. Two transactions that meet are another trouble: one
//! [gives way](gave_way), and may be run again.

pub mod cluster;
mod listen;
mod migrate;
mod pool;

pub use listen::listen;
pub use migrate::{MigrationError, migrate, migrate_when_reachable};
pub use pool::{ACQUIRE_TIMEOUT, NO_ANSWER, connect, connect_lazily, gave_way, is_away, within};
