//! Bringing a party's schema to the state this program knows, under the migrator's own lock.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;
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
    /// A newer program was here.
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
            Self::Failed { source: MigrateError::Execute(source), .. } | Self::Database { source, .. } => {
                is_away(source)
            }
            _ => false,
        }
    }
}

/// Makes `schema` if it is missing and applies what is missing in it. Any number of replicas may do so at once.
pub async fn migrate(pool: &PgPool, schema: &str, migrator: &Migrator) -> Result<(), MigrationError> {
    let is_plain = !schema.is_empty()
        && schema.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !schema.starts_with(|c: char| c.is_ascii_digit());
    if !is_plain {
        return Err(MigrationError::SchemaName { schema: schema.to_owned() });
    }
    let database = |source| MigrationError::Database { schema: schema.to_owned(), source };
    // A connection of its own: a migration may take longer than a statement may, and after a failed one the migrator
    // leaves its lock behind, which must not go back into the pool.
    let options =
        pool.connect_options().as_ref().clone().options([("search_path", schema), ("statement_timeout", "0")]);
    let mut connection = PgConnection::connect_with(&options).await.map_err(database)?;
    make_schema(&mut connection, schema).await.map_err(database)?;
    let migrated = migrator.run_direct(None, &mut connection, false).await;
    let _ = connection.close().await;
    migrated.map_err(|source| match source {
        MigrateError::VersionMissing(version) => MigrationError::Newer { schema: schema.to_owned(), version },
        MigrateError::VersionMismatch(version) => MigrationError::Changed { schema: schema.to_owned(), version },
        source => MigrationError::Failed { schema: schema.to_owned(), source },
    })
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

const WHILE_AWAY: Backoff =
    Backoff { first: std::time::Duration::from_millis(100), ceiling: std::time::Duration::from_secs(5) };
