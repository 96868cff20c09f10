//! What both services stand on and what knows nothing of SETs: time and chance handed around together ([`env`]),
//! settings in layers ([`config`]), logs ([`telemetry`]), a stop in two steps ([`shutdown`]), workers woken by a signal
//! and by a timer ([`worker`]), commits shared by whoever waits ([`batch`]), HTTP serving ([`http`]) with TLS ([`tls`]) and
//! limits ([`rates`]), HTTP calls to strangers ([`outgoing`]), signatures of webhooks
//! ([`webhook`]), and PostgreSQL ([`postgres`]): pool, migrations, notifications,
//! and a private cluster for those who bring no server.
//!
//! The order of a service's life: `config::load` → `telemetry::init` → `Shutdown::new` and its signals →
//! `postgres::connect` and `migrate` → `worker::run` for every worker, spawned on the shutdown → `http::serve` →
//! `Shutdown::wait`.

pub mod batch;
pub mod config;
pub mod env;
pub mod http;
pub mod outgoing;
pub mod postgres;
pub mod rates;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod webhook;
pub mod worker;

pub use env::Env;
pub use shutdown::Shutdown;
pub use worker::{Wake, Worker};
