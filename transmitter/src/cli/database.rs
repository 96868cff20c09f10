//! The database a command works on: the configured server, or the private cluster under the data directory.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::SecretString;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use ssf_common::runtime::Env;
use ssf_common::runtime::config::resolve_secret;
use ssf_common::runtime::postgres::cluster::{Cluster, ClusterOptions};
use ssf_common::runtime::postgres::{connect_lazily, migrate as migrate_schema};
use ssf_transmitter::audit::Actor;
use ssf_transmitter::config::Settings;
use ssf_transmitter::issuer::Issuer;
use ssf_transmitter::keys::SealingKey;
use ssf_transmitter::{MIGRATOR, admin};

/// A pool, and the private cluster behind it if there is one.
pub(super) struct Database {
    pub(super) pool: PgPool,
    pub(super) cluster: Option<Cluster>,
}

impl Database {
    /// For `serve`: owns the private cluster.
    pub(super) async fn own(settings: &Settings) -> anyhow::Result<Self> {
        if settings.is_embedded() {
            let cluster = Cluster::start(ClusterOptions::new(cluster_dir(settings))).await?;
            return Self::on_cluster(settings, cluster).await;
        }
        Self::on_server(settings)
    }

    /// For other commands: uses the private cluster of a running `serve`, or starts it for a moment.
    async fn visit(settings: &Settings, begins: Begins) -> anyhow::Result<Self> {
        if begins == Begins::Never && settings.is_embedded() && !cluster_dir(settings).exists() {
            anyhow::bail!(
                "there is no transmitter under {}; run this where `serve` runs, or set data.dir or database.url",
                settings.data.dir.display()
            );
        }
        let database = if settings.is_embedded() {
            if !cluster_dir(settings).exists() {
                let directory = settings.data.dir.display();
                super::hint(&format!(
                    "there was no transmitter under {directory}: a private PostgreSQL cluster is made there"
                ));
            }
            let cluster = Cluster::attach_or_start(ClusterOptions::new(cluster_dir(settings))).await?;
            Self::on_cluster(settings, cluster).await?
        } else {
            Self::on_server(settings)?
        };
        migrate_schema(&database.pool, &settings.database.schema, &MIGRATOR).await?;
        Ok(database)
    }

    /// The issuer a command is about: the named one or the configured one, which must be served.
    pub(super) async fn issuer(&self, settings: &Settings, at: Option<&str>) -> anyhow::Result<Issuer> {
        let url = at.map_or_else(|| settings.issuer.url.clone(), Into::into);
        let issuer = admin::find_issuer(&self.pool, &url).await?;
        issuer.with_context(|| {
            format!("the issuer {url} is not served here; add it with: ssf-transmitter issuer add {url}")
        })
    }

    /// The same for what may be done before the first start: the configured one needs not be there yet.
    pub(super) async fn issuer_to_be(
        &self,
        settings: &Settings,
        at: Option<&str>,
        env: &Env,
    ) -> anyhow::Result<Issuer> {
        match at {
            None => Ok(admin::ensure_issuer(&self.pool, &settings.issuer.url, &actor(), env).await?),
            Some(_) => self.issuer(settings, at).await,
        }
    }

    /// Closes the pool, then stops the cluster if it is ours.
    pub(super) async fn close(self) {
        // a connection that hangs must not keep the process
        let _ = tokio::time::timeout(CLOSING, self.pool.close()).await;
        if let Some(cluster) = self.cluster {
            cluster.stop().await;
        }
    }

    async fn on_cluster(settings: &Settings, cluster: Cluster) -> anyhow::Result<Self> {
        cluster.ensure_database(DATABASE).await?;
        Ok(Self { pool: pool(settings, cluster.options(DATABASE)), cluster: Some(cluster) })
    }

    fn on_server(settings: &Settings) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(settings.database.url.expose()).map_err(|_| {
            anyhow::anyhow!("database.url is not a PostgreSQL URL; write for example postgres://ssf@db.example/idp")
        })?;
        Ok(Self { pool: pool(settings, options), cluster: None })
    }
}

/// Whether a command may make the private cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// It prepares the first start.
    Maybe,
    /// It is about what a service did.
    Never,
}

/// Does `work` on the database and prints what it says.
pub(super) async fn on_database<F>(settings: &Settings, begins: Begins, work: F) -> anyhow::Result<()>
where
    F: AsyncFnOnce(&Database) -> anyhow::Result<String>,
{
    let database = Database::visit(settings, begins).await?;
    let done = work(&database).await;
    database.close().await;
    let said = done?;
    if said.is_empty() { Ok(()) } else { super::say(&said) }
}

/// Who acts on the command line, for the audit log: the user by number, which nobody chooses, and by the name that was
/// given.
pub(super) fn actor() -> Actor {
    let number = rustix::process::getuid().as_raw();
    let name = ["SUDO_USER", "USER"].into_iter().find_map(|name| std::env::var(name).ok().filter(|name| is_name(name)));
    Actor::CommandLine(name.map_or_else(|| format!("uid {number}"), |name| format!("{name} (uid {number})")))
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && !text.contains(char::is_control)
}

/// `migrate`.
pub(super) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    on_database(settings, Begins::Maybe, async |_| Ok(format!("the schema {} is up to date", settings.database.schema)))
        .await
}

/// The sealing key: from the settings, or the one kept under the data directory of a private cluster, made at first use.
pub(super) fn sealing_key(settings: &Settings, env: &Env) -> anyhow::Result<SealingKey> {
    let configured = resolve_secret(
        "keys.sealing_key",
        settings.keys.sealing_key.as_ref(),
        settings.keys.sealing_key_file.as_deref(),
    )?;
    let text = match configured {
        Some(text) => text,
        None => kept_or_made(&settings.data_file("sealing.key"), || {
            let mut bytes = [0; 32];
            env.random.fill(&mut bytes);
            BASE64_STANDARD.encode(bytes)
        })?,
    };
    SealingKey::parse(&text).context("keys.sealing_key")
}

/// The secret in a file only its owner may read; made if it is not there.
pub(super) fn kept_or_made(path: &Path, make: impl FnOnce() -> String) -> anyhow::Result<SecretString> {
    if !path.exists() {
        write_secret(path, &make())?;
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(text.trim_end().into())
}

/// Writes a secret so that nobody else may read it, whole or not at all.
pub(super) fn write_secret(path: &Path, secret: &str) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let whole = path.with_extension("new");
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&whole)?;
        writeln!(file, "{secret}")?;
        file.sync_all()?;
        std::fs::rename(whole, path)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

fn pool(settings: &Settings, options: PgConnectOptions) -> PgPool {
    connect_lazily(options, &settings.database.schema, settings.database.max_connections, "ssf-transmitter")
}

fn cluster_dir(settings: &Settings) -> PathBuf {
    settings.data_file("postgres")
}

const CLOSING: std::time::Duration = std::time::Duration::from_secs(5);
pub(super) const DATABASE: &str = "ssf_transmitter";
