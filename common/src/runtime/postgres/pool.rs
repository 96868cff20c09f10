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
        // a process that stalls in the middle holds locks that others wait for: shorter than any window
        ("idle_in_transaction_session_timeout", "15s"),
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

/// What the database does within `limit`, or an error that counts as [away](is_away). A server that vanished without a word
/// (its host is gone, a firewall forgot the connection) would be waited for without end: `statement_timeout` is its own. Longer
/// than that timeout for whatever must not be given up while it may still be done.
pub async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            "the database did not answer in time",
        ))),
    }
}

/// Is it the database that is away (gone, starting, stopping, full), rather than the statement that is wrong?
pub fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        // Class 08 is a lost connection, 57P01..03 a server that stops or starts, 57014 one that did
        // not get to its end in time, 53 a server without means.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| ["08", "57P0", "57014", "53"].iter().any(|class| code.starts_with(class)))
        }
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

/// Longer than a statement may take: when this has passed, the server is not there.
pub const NO_ANSWER: Duration = Duration::from_secs(35);

/// How long a caller waits for a connection: short, so that a lost database becomes a quick 503.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection idle for longer is asked whether it still lives.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_never_answers_counts_as_away() {
        let never = std::future::pending::<Result<(), sqlx::Error>>();
        let error = within(Duration::from_millis(1), never).await.unwrap_err();
        assert!(is_away(&error), "{error}");
        assert_eq!(within(NO_ANSWER, async { Ok(7) }).await.unwrap(), 7);
    }
}
