//! The transmitter inside an identity provider's own program: its routes in the IdP's router, its decisions in the IdP's
//! transactions, its workers beside the IdP's tasks.

use serde::Serialize;
use sqlx::postgres::PgConnectOptions;
use sqlx::{PgConnection, PgPool};
use ssf_common::id::{IssuerUrl, Txn};
use ssf_common::runtime::Env;
use ssf_common::runtime::postgres::{MigrationError, connect, migrate};
use ssf_common::runtime::shutdown::Shutdown;

use super::{MIGRATOR, OpenError, Transmitter};
use crate::config::Settings;
use crate::keys::SealingKey;
use crate::outbox::{Draft, DraftError, EventId, record_within};

/// A decision that goes out with the caller's commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Its id: ask `GET /events/{event_id}` how it stands.
    pub event_id: EventId,
    /// The cause, the same in every SET of this decision.
    pub txn: Txn,
}

impl Transmitter {
    /// Starts a transmitter on the database that `options` name: brings its schema up to date, opens it, and runs its
    /// workers until `shutdown`. It has a pool of its own there, whose search path is its own schema; the IdP's tables
    /// may stand in any other schema of the same database.
    ///
    /// `settings.server` is not used: serve [`router`](Self::router). Must be called inside a tokio runtime.
    pub async fn start(
        settings: &Settings,
        sealing: SealingKey,
        env: Env,
        options: PgConnectOptions,
        shutdown: &Shutdown,
    ) -> Result<Self, StartError> {
        let database = &settings.database;
        let pool = connect(options, &database.schema, database.max_connections, "ssf-transmitter").await?;
        migrate(&pool, &database.schema, &MIGRATOR).await?;
        let transmitter = Self::open(settings, sealing, env, pool).await?;
        transmitter.spawn_workers(shutdown);
        Ok(transmitter)
    }

    /// Its own pool, for the functions of [`admin`](crate::admin): they want the transmitter's schema on the search path.
    pub const fn pool(&self) -> &PgPool {
        &self.state.pool
    }

    /// Records a decision of the configured issuer in the caller's own transaction: it goes out if, and only if, that
    /// commits, and the workers of every process hear of it at the commit. `conn` may be any connection to the
    /// transmitter's database; its search path is lent and given back.
    ///
    /// Stop, then stamp: end your own session first, then record the decision.
    pub async fn record(&self, conn: &mut PgConnection, draft: Draft) -> Result<Decision, RecordingError> {
        self.record_of(conn, &self.issuer.url, draft).await
    }

    /// The same for any issuer that is served here.
    pub async fn record_of(
        &self,
        conn: &mut PgConnection,
        issuer: &IssuerUrl,
        draft: Draft,
    ) -> Result<Decision, RecordingError> {
        let served = self.tenants.served();
        let tenant = served.iter().find(|tenant| tenant.issuer.url == *issuer);
        let tenant = tenant.ok_or_else(|| RecordingError::Issuer(issuer.clone()))?;
        let env = &self.state.env;
        let event = draft.check(tenant.issuer.id, &self.state.vocabulary, env)?;
        record_within(conn, &self.schema, &event, env.now()).await?;
        Ok(Decision { event_id: event.event_id, txn: event.txn })
    }
}

/// Why a transmitter did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database is not there.
    #[error("the database could not be reached")]
    Database(#[from] sqlx::Error),
    /// Its schema is not what this program needs.
    #[error(transparent)]
    Schema(#[from] MigrationError),
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Why a decision was not recorded. The caller's transaction is as it was before, except after a fault of the database.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The issuer is not served here.
    #[error("the issuer {0} is not served here")]
    Issuer(IssuerUrl),
    /// It is not an event.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// The database refused.
    #[error("the decision could not be recorded")]
    Database(#[from] sqlx::Error),
}
