//! The database a command works on: the configured one, or the private cluster under the data directory.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use ssf_common::random::SystemRandom;
use ssf_common::runtime::Shutdown;
use ssf_common::runtime::postgres::cluster::{Cluster, ClusterOptions};
use ssf_common::runtime::postgres::{connect_lazily, migrate_when_reachable};
use ssf_receiver::MIGRATIONS;
use ssf_receiver::config::Settings;

use super::print::print;

/// A pool, and the private cluster it stands on, if any.
pub(super) struct Database {
    pub(super) pool: PgPool,
    cluster: Option<Cluster>,
}

/// What a command is to the private cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The service, which runs it.
    Owner,
    /// A command that may run beside the service.
    Guest,
}

impl Database {
    /// Opens the database; whether it answers shows with the first statement.
    pub(super) async fn open(settings: &Settings, role: Role) -> anyhow::Result<Self> {
        let (options, cluster) = if settings.is_embedded() {
            let cluster =
                start(settings, role).await.context("data.dir: the private PostgreSQL cluster cannot be used")?;
            cluster.ensure_database(NAME).await?;
            (cluster.options(NAME), Some(cluster))
        } else {
            let options = settings.database.url.expose().parse::<PgConnectOptions>();
            (options.context("database.url is not a PostgreSQL URL; write postgres://user@host/database")?, None)
        };
        let Settings { database, .. } = settings;
        let pool = connect_lazily(options, &database.schema, database.max_connections, "ssf-receiver");
        Ok(Self { pool, cluster })
    }

    /// Brings the schema up to date, waiting a while for a database that is away. `false`: the stop began meanwhile.
    pub(super) async fn migrate(&self, settings: &Settings, shutdown: &Shutdown) -> anyhow::Result<bool> {
        let patience = settings.database.patience.duration();
        let migrated =
            migrate_when_reachable(&self.pool, &settings.database.schema, &MIGRATIONS, shutdown, &SystemRandom);
        if let Ok(migrated) = tokio::time::timeout(patience, migrated).await {
            return Ok(migrated?);
        }
        let cause = match self.pool.acquire().await {
            Ok(_) => anyhow!("it answers again"),
            Err(error) => error.into(),
        };
        let waited = settings.database.patience;
        let remedy = "check database.url and that the server runs";
        Err(cause.context(format!("the database was not reachable for {waited}; {remedy}")))
    }

    /// Where the data are, for people.
    pub(super) fn location(&self) -> String {
        match &self.cluster {
            Some(cluster) => format!("{} (a private PostgreSQL cluster)", cluster.location().display()),
            None => "the database of database.url".to_owned(),
        }
    }

    /// How to look into the private cluster with psql.
    pub(super) fn psql(&self) -> Option<String> {
        self.cluster.as_ref().map(|cluster| cluster.url(NAME))
    }

    /// Closes the pool, and stops the cluster if this process runs it.
    pub(super) async fn close(self) {
        // A connection that is still out must not keep the process from ending.
        let _ = tokio::time::timeout(LAST_WORDS, self.pool.close()).await;
        if let Some(cluster) = self.cluster {
            cluster.stop().await;
        }
    }
}

/// `ssf-receiver migrate`.
pub(super) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let database = Database::open(settings, Role::Guest).await?;
    let migrated = database.migrate(settings, &Shutdown::default()).await;
    let location = database.location();
    database.close().await;
    migrated?;
    print(&format!("schema {} is up to date in {location}\n", settings.database.schema))
}

async fn start(settings: &Settings, role: Role) -> anyhow::Result<Cluster> {
    let options = ClusterOptions::new(settings.data_file("postgres"));
    Ok(match role {
        Role::Owner => Cluster::start(options).await?,
        Role::Guest => Cluster::attach_or_start(options).await?,
    })
}

/// The database in the private cluster.
const NAME: &str = "ssf_receiver";
const LAST_WORDS: Duration = Duration::from_secs(3);
