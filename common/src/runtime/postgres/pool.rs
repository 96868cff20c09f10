//! The connection pool of one party: its schema and nothing else on the search path, short waits, no dead connections.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

/// A pool whose first connection works.
///
/// Every connection sees `schema` only (`search_path`), ends statements after 30 s and shows itself as
/// `application_name` in `pg_stat_activity`.
pub async fn connect(
    options: PgConnectOptions,
    schema: &str,
    max_connections: u32,
    application_name: &str,
) -> Result<PgPool, sqlx::Error> {
    let pool = connect_lazily(options, schema, max_connections, application_name);
    drop(pool.acquire().await?);
    Ok(pool)
}

/// The same pool, made without asking whether the database is there. Must be called inside a tokio runtime.
pub fn connect_lazily(options: PgConnectOptions, schema: &str, max_connections: u32, application_name: &str) -> PgPool {
    let options = options.application_name(application_name).options([
        ("search_path", schema),
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "60s"),
        ("client_min_messages", "warning"),
    ]);
    let options = options.options(PLANNER);
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A ping before every statement would double its latency; one after a pause finds what a restart left behind.
        .test_before_acquire(false)
        .before_acquire(|connection, state| {
            Box::pin(async move {
                if state.idle_for >= PAUSE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}

/// Is it the database that is away (gone, starting, stopping, full), rather than the statement that is wrong?
pub fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        // Class 08 is a lost connection, 57P01..03 a server that stops or starts, 53 a server without means.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("08") || code.starts_with("57P0") || code.starts_with("53")),
        _ => false,
    }
}

/// Did the statement give way to another transaction (class 40: a deadlock, a serialization failure)? It did nothing then, and
/// may be run again.
pub fn gave_way(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("40"))
}

/// How the planner is steered. The tables of a queue are empty when their statistics are taken and full when it matters,
/// so a plan chosen by statistics turns quadratic under load. Every hot query here has an index that serves it in order;
/// these settings make the planner take it, once per connection, and plan no more.
const PLANNER: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("jit", "off"),
];

/// How long a caller waits for a connection: short, so that a lost database becomes a quick 503.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection idle for longer is asked whether it still lives.
const PAUSE: Duration = Duration::from_secs(1);
