//! Bringing a party's schema to the state this program knows, under the migrator's own lock.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, PgPool};

use super::pool::is_away;
use crate::backoff::Backoff;
use crate::random::Random;
use crate::runtime::shutdown::Shutdown;

/// The schema cannot be brought to the state this program knows.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The name would need quoting everywhere.
    #[error("{schema:?} cannot be a schema name; use lower-case letters, digits and underscores")]
    SchemaName {
        /// The name.
        schema: String,
    },
    /// A newer program was here, and its schema is not for this one.
    #[error(
        "schema {schema} holds migration {version}, which this program does not know; start the newer program that made it"
    )]
    Newer {
        /// The schema.
        schema: String,
        /// The migration this program has never heard of.
        version: i64,
    },
    /// An applied migration differs from the one in this program.
    #[error(
        "migration {version} in schema {schema} is not the one this program knows; a migration must never be changed once applied"
    )]
    Changed {
        /// The schema.
        schema: String,
        /// The migration.
        version: i64,
    },
    /// A migration failed.
    #[error("schema {schema} could not be migrated")]
    Failed {
        /// The schema.
        schema: String,
        /// Why.
        #[source]
        source: MigrateError,
    },
    /// The database answered with an error, or not at all.
    #[error("the database could not be prepared for schema {schema}")]
    Database {
        /// The schema.
        schema: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
}

impl MigrationError {
    /// Is the database away, so that trying again may help?
    pub fn is_away(&self) -> bool {
        match self {
            Self::Failed {
                source: MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _), ..
            }
            | Self::Database { source, .. } => is_away(source),
            _ => false,
        }
    }

    /// 55P03, `lock_not_available`: somebody holds a lock, and will let it go.
    fn is_locked_out(&self) -> bool {
        let (Self::Failed { source: MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _), .. }
        | Self::Database { source: error, .. }) = self
        else {
            return false;
        };
        matches!(error, sqlx::Error::Database(error) if error.code().is_some_and(|code| code == "55P03"))
    }
}

/// Makes `schema` if it is missing and applies what is missing in it. Any number of replicas may do so at once, and older
/// ones may be at work meanwhile: a migration that cannot have a table's lock soon gives way and tries again, so that
/// nobody queues up behind it.
///
/// A schema that a newer program has migrated is left as it is, if that program said that this one can work with it
/// (the table `schema_contract`): so an old process may be started again while a new release is rolled out, or instead of it.
pub async fn migrate(pool: &PgPool, schema: &str, migrator: &Migrator) -> Result<(), MigrationError> {
    let is_plain = !schema.is_empty()
        && schema.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !schema.starts_with(|c: char| c.is_ascii_digit());
    if !is_plain {
        return Err(MigrationError::SchemaName { schema: schema.to_owned() });
    }
    // A connection of its own: a migration may take longer than a statement may, and after a failed one the migrator
    // leaves its lock behind, which must not go back into the pool.
    let options = pool.connect_options().as_ref().clone().options([
        ("search_path", schema),
        ("statement_timeout", "0"),
        ("lock_timeout", LOCK_TIMEOUT),
    ]);
    let mut attempts = 0;
    loop {
        attempts += 1;
        match run_once(&options, schema, migrator).await {
            Err(error) if error.is_locked_out() && attempts < ATTEMPTS => {
                tracing::info!(schema, "a migration waits for somebody's lock and gives way meanwhile");
                tokio::time::sleep(BETWEEN_ATTEMPTS).await;
            }
            done => return done,
        }
    }
}

async fn run_once(options: &PgConnectOptions, schema: &str, migrator: &Migrator) -> Result<(), MigrationError> {
    let database = |source| MigrationError::Database { schema: schema.to_owned(), source };
    let mut connection = PgConnection::connect_with(options).await.map_err(database)?;
    make_schema(&mut connection, schema).await.map_err(database)?;
    let migrated = migrator.run_direct(None, &mut connection, false).await;
    if let Err(MigrateError::VersionMissing(version)) = &migrated {
        let newest = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
        if is_for(&mut connection, newest).await.map_err(database)? {
            tracing::info!(schema, version, "the schema is a newer program's, which this one can work with");
            return Ok(());
        }
    }
    let _ = connection.close().await;
    migrated.map_err(|source| match source {
        MigrateError::VersionMissing(version) => MigrationError::Newer { schema: schema.to_owned(), version },
        MigrateError::VersionMismatch(version) => MigrationError::Changed { schema: schema.to_owned(), version },
        source => MigrationError::Failed { schema: schema.to_owned(), source },
    })
}

/// Whether the schema, which is newer than `newest`, says that a program which knows so much can work with it.
async fn is_for(connection: &mut PgConnection, newest: i64) -> Result<bool, sqlx::Error> {
    let has_contract: bool =
        sqlx::query_scalar("select to_regclass('schema_contract') is not null").fetch_one(&mut *connection).await?;
    if !has_contract {
        return Ok(false);
    }
    let oldest: Option<i64> =
        sqlx::query_scalar("select oldest_program from schema_contract").fetch_optional(connection).await?;
    Ok(oldest.is_some_and(|oldest| oldest <= newest))
}

/// [`migrate`], waiting for a database that is away until it is there; `Ok(false)` if the stop began meanwhile.
pub async fn migrate_when_reachable(
    pool: &PgPool,
    schema: &str,
    migrator: &Migrator,
    shutdown: &Shutdown,
    random: &dyn Random,
) -> Result<bool, MigrationError> {
    let mut failures = 0_u32;
    loop {
        match migrate(pool, schema, migrator).await {
            Ok(()) => return Ok(true),
            Err(error) if error.is_away() => {
                failures = failures.saturating_add(1);
                if failures == 1 {
                    let cause = crate::runtime::telemetry::chain(&error);
                    tracing::warn!(error = %cause, "waiting for the database");
                }
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = shutdown.soft().cancelled() => return Ok(false),
            () = tokio::time::sleep(WHILE_AWAY.delay(failures, random)) => {},
        }
    }
}

async fn make_schema(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    // Two replicas that start together would both find it missing.
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))").bind(schema).execute(&mut *tx).await?;
    // Asked first, because `if not exists` wants the right to create even when there is nothing to create.
    let (exists,): (bool,) = sqlx::query_as("select exists (select from pg_namespace where nspname = $1)")
        .bind(schema)
        .fetch_one(&mut *tx)
        .await?;
    if !exists {
        sqlx::query(AssertSqlSafe(format!("create schema {schema}"))).execute(&mut *tx).await?;
    }
    tx.commit().await
}

/// How long a migration may stand in a queue for a lock: whoever comes later stands behind it.
const LOCK_TIMEOUT: &str = "2s";
const BETWEEN_ATTEMPTS: std::time::Duration = std::time::Duration::from_millis(500);
const ATTEMPTS: u32 = 60;
const WHILE_AWAY: Backoff =
    Backoff { first: std::time::Duration::from_millis(100), ceiling: std::time::Duration::from_secs(5) };
