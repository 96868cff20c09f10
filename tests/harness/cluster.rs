//! PostgreSQL for tests: one private cluster per test process, or the server that `DATABASE_URL` names; every test gets
//! a database of its own. A test that takes the database away has a cluster to itself ([`TestCluster::dedicated`]).
//!
//! What a run leaves behind carries its process number and is swept by the next one.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};
use ssf_common::runtime::postgres::cluster::{Cluster, ClusterOptions};
use tokio::sync::OnceCell;
use url::Url;

/// A server that tests may do anything to.
#[derive(Debug)]
pub struct TestCluster {
    server: Server,
}

#[derive(Debug)]
enum Server {
    Private { data_dir: PathBuf, running: Option<Cluster> },
    External { url: Url },
}

/// A database of one test's own.
#[derive(Clone, Debug)]
pub struct ScratchDatabase {
    /// How to connect to it.
    pub options: PgConnectOptions,
    /// The same as an address for programs and `psql`.
    pub url: String,
    /// Its name.
    pub name: String,
    /// Where databases are made and dropped.
    maintenance: PgConnectOptions,
}

impl TestCluster {
    /// The one server of this test process: started at the first call, ended with the process.
    ///
    /// # Panics
    /// If no server can be had: no test could go on.
    pub async fn shared() -> &'static Self {
        SHARED
            .get_or_init(|| async {
                sweep_directories();
                match Self::open().await {
                    Ok(cluster) => cluster,
                    Err(error) => panic!("no PostgreSQL for the tests: {error:#}"),
                }
            })
            .await
    }

    /// A private server for one test alone, which may [`stop`](Self::stop) and [`start`](Self::start) it. Dropping it
    /// removes it.
    pub async fn dedicated() -> anyhow::Result<Self> {
        Self::private(directory(&number().to_string())).await
    }

    /// The server for a program of its own, such as the demo: the one `DATABASE_URL` names, or a private one that goes
    /// with the value.
    pub async fn for_a_program() -> anyhow::Result<Self> {
        sweep_directories();
        match std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()) {
            Some(_) => Self::open().await,
            None => Self::dedicated().await,
        }
    }

    /// A new, empty database whose name holds `prefix`.
    pub async fn scratch_database(&self, prefix: &str) -> anyhow::Result<ScratchDatabase> {
        self.database(prefix, "template1").await
    }

    /// A new database that holds what `original` holds. Nobody may be connected to that one.
    pub async fn copy_of(&self, original: &ScratchDatabase, prefix: &str) -> anyhow::Result<ScratchDatabase> {
        self.database(prefix, &original.name).await
    }

    async fn database(&self, prefix: &str, template: &str) -> anyhow::Result<ScratchDatabase> {
        let name = format!("{}_{}_{prefix}_{}", mark(), std::process::id(), number());
        let (maintenance, options, url) = match &self.server {
            Server::Private { running, .. } => {
                let cluster = running.as_ref().context("the cluster is stopped")?;
                (cluster.options("postgres"), cluster.options(&name), cluster.url(&name))
            }
            Server::External { url } => {
                let mut of_scratch = url.clone();
                of_scratch.set_path(&name);
                let maintenance = PgConnectOptions::from_str(url.as_str())?;
                (maintenance.clone(), maintenance.database(&name), of_scratch.into())
            }
        };
        execute(&maintenance, format!("create database {name} template {template}")).await?;
        Ok(ScratchDatabase { options, url, name, maintenance })
    }

    /// Takes the server away. Only for a [`dedicated`](Self::dedicated) one.
    ///
    /// # Panics
    /// If the server is not ours.
    pub async fn stop(&mut self) {
        match &mut self.server {
            Server::Private { running, .. } => {
                if let Some(cluster) = running.take() {
                    cluster.stop().await;
                }
            }
            Server::External { .. } => panic!("the server behind DATABASE_URL is not ours to stop"),
        }
    }

    /// Brings the server back, with all its data and at the same address.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        if let Server::Private { data_dir, running } = &mut self.server
            && running.is_none()
        {
            *running = Some(Cluster::start(ClusterOptions::new(data_dir.clone())).await?);
        }
        Ok(())
    }

    /// The process of the server, if it is ours and runs.
    pub fn server_pid(&self) -> Option<u32> {
        match &self.server {
            Server::Private { running, .. } => running.as_ref().and_then(Cluster::server_pid),
            Server::External { .. } => None,
        }
    }

    async fn open() -> anyhow::Result<Self> {
        let Some(url) = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()) else {
            let shared = Self::private(directory("shared")).await?;
            shared.forget_durability().await?;
            return Ok(shared);
        };
        let url = Url::parse(&url).context("DATABASE_URL is not an address")?;
        sweep_databases(&PgConnectOptions::from_str(url.as_str())?).await.context("the server behind DATABASE_URL")?;
        Ok(Self { server: Server::External { url } })
    }

    /// Nothing here outlives the process, and a database per test is mostly waiting for the disk.
    async fn forget_durability(&self) -> anyhow::Result<()> {
        if let Server::Private { running: Some(cluster), .. } = &self.server {
            let maintenance = cluster.options("postgres");
            for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
                execute(&maintenance, format!("alter system set {setting} = off")).await?;
            }
            execute(&maintenance, "select pg_reload_conf()".to_owned()).await?;
        }
        Ok(())
    }

    async fn private(data_dir: PathBuf) -> anyhow::Result<Self> {
        let cluster = Cluster::start(ClusterOptions::new(data_dir.clone())).await?;
        Ok(Self { server: Server::Private { data_dir, running: Some(cluster) } })
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        if let Server::Private { data_dir, running } = &mut self.server {
            let location = running.as_ref().map(|cluster| cluster.location().to_owned());
            drop(running.take());
            let _ = std::fs::remove_dir_all(location.as_deref().unwrap_or(data_dir));
        }
    }
}

impl ScratchDatabase {
    /// Drops the database, and with it whoever is still connected.
    pub async fn remove(self) -> anyhow::Result<()> {
        execute(&self.maintenance, format!("drop database if exists {} with (force)", self.name)).await?;
        Ok(())
    }
}

async fn execute(options: &PgConnectOptions, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

/// Drops the databases of this machine's test processes that are gone.
async fn sweep_databases(maintenance: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let mark = format!("{}_", mark());
    let mut connection = PgConnection::connect_with(maintenance).await?;
    let names: Vec<(String,)> = sqlx::query_as("select datname::text from pg_database where starts_with(datname, $1)")
        .bind(&mark)
        .fetch_all(&mut connection)
        .await?;
    for (name,) in names {
        let pid = name.strip_prefix(&mark).and_then(|rest| rest.split('_').next()).and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| !is_alive(pid)) {
            let statement = format!("drop database if exists {name} with (force)");
            sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
        }
    }
    connection.close().await
}

/// Removes the clusters of test processes that are gone.
fn sweep_directories() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let of = name.to_string_lossy().strip_prefix(DIRECTORY).and_then(|rest| rest.split('-').next()?.parse().ok());
        if of.is_some_and(|pid| !is_alive(pid) && !has_server(&entry.path())) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Is a server still ending on this directory?
fn has_server(directory: &Path) -> bool {
    let text = std::fs::read_to_string(directory.join("pg/postmaster.pid")).unwrap_or_default();
    text.lines().next().and_then(|pid| pid.trim().parse().ok()).is_some_and(is_alive)
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn directory(which: &str) -> PathBuf {
    std::env::temp_dir().join(format!("{DIRECTORY}{}-{which}", std::process::id()))
}

/// What the names of our databases begin with; process numbers mean something on one machine only.
fn mark() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = machine.to_lowercase().chars().filter(char::is_ascii_alphanumeric).take(12).collect::<String>();
    format!("ssf_test_{plain}")
}

fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

static SHARED: OnceCell<TestCluster> = OnceCell::const_new();

const DIRECTORY: &str = "ssf-test-";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_test_gets_an_empty_database_of_its_own() {
        let cluster = TestCluster::shared().await;
        let (one, two) =
            (cluster.scratch_database("one").await.unwrap(), cluster.scratch_database("two").await.unwrap());
        assert_ne!(one.name, two.name);
        execute(&one.options, "create table t ()".to_owned()).await.unwrap();
        let mut connection = PgConnection::connect(&two.url).await.unwrap();
        assert!(sqlx::query("select from t").execute(&mut connection).await.is_err());
        two.remove().await.unwrap();
        assert!(PgConnection::connect(&one.url).await.is_ok());
        one.remove().await.unwrap();
    }

    #[tokio::test]
    async fn a_dedicated_cluster_can_be_taken_away_and_brought_back() {
        let mut cluster = TestCluster::dedicated().await.unwrap();
        let scratch = cluster.scratch_database("kept").await.unwrap();
        execute(&scratch.options, "create table t ()".to_owned()).await.unwrap();
        cluster.stop().await;
        assert!(PgConnection::connect_with(&scratch.options).await.is_err());
        cluster.start().await.unwrap();
        execute(&scratch.options, "select from t".to_owned()).await.unwrap();
    }
}
