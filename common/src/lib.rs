//! What both parties share: the typed world of Shared Signals and the runtime they stand on.
//!
//! The road inside this crate, data flowing right and imports pointing left:
//! `schema`, `clock`, `random`, `id`, `backoff`, `moment` < `subject` < `event` < `jwks` < `jwt` <
//! `set` < `protocol`; beside it
//! `runtime` (PostgreSQL, configuration, HTTP, shutdown, telemetry, workers), which knows nothing of SETs.
//! `ssf-transmitter` and `ssf-receiver` both stand on this crate and never see each other.

pub mod backoff;
pub mod clock;
pub mod event;
pub mod id;
pub mod jwks;
pub mod jwt;
pub mod moment;
pub mod protocol;
pub mod random;
pub mod runtime;
pub mod schema;
pub mod set;
pub mod subject;
