//! The cluster as the services see it: started or attached to, asked for databases, stopped.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

use super::fault::ClusterError;
use super::installation::Installation;
use super::ownership::Ownership;
use super::place::Place;
use super::postmaster::Postmaster;
use super::supervisor::{Launch, Supervisor};

/// What a private cluster needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterOptions {
    /// The directory of the cluster; made if it is missing. Everything in it is the cluster's.
    pub data_dir: PathBuf,
    /// The `bin` directory of a PostgreSQL server; otherwise the newest installed one is found.
    pub bin_dir: Option<PathBuf>,
}

impl ClusterOptions {
    /// A cluster in `data_dir`, run by the newest installed server.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), bin_dir: None }
    }
}

/// A running private cluster. Dropping it stops the server if this process started it.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    // Stopped before the ownership goes: fields are dropped in this order, after `Drop::drop`.
    supervisor: Option<Supervisor>,
    _ownership: Option<Ownership>,
}

impl Cluster {
    /// Starts the cluster, making it at the first start, and waits until it takes connections. Refuses a data directory
    /// that another live process owns.
    pub async fn start(options: ClusterOptions) -> Result<Self, ClusterError> {
        blocking(move || Self::start_patiently(&options)).await
    }

    /// Attaches to the cluster if another process runs it, otherwise starts it: for a command that may run beside the
    /// service.
    pub async fn attach_or_start(options: ClusterOptions) -> Result<Self, ClusterError> {
        blocking(move || Self::attach_or_start_now(&options)).await
    }

    /// Makes a database unless it is there.
    pub async fn ensure_database(&self, name: &str) -> Result<(), ClusterError> {
        let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !is_plain {
            return Err(ClusterError::DatabaseName { name: name.to_owned() });
        }
        make_database(&self.options("postgres"), name)
            .await
            .map_err(|source| ClusterError::Database { name: name.to_owned(), source })
    }

    /// How to connect to a database of this cluster.
    pub fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.place.socket_dir)
            .port(5432)
            .username("postgres")
            .database(database)
    }

    /// The same as an address for `psql` and `DATABASE_URL`.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql:///{database}?host={}&user=postgres", self.place.socket_dir.display())
    }

    /// Where the cluster really is: the data directory asked for, or a place that the server's user can reach.
    pub fn location(&self) -> &Path {
        &self.place.root
    }

    /// The server's process, while it runs.
    pub fn server_pid(&self) -> Option<u32> {
        match &self.supervisor {
            Some(supervisor) => supervisor.pid(),
            None => Postmaster::on(&self.place.data).map(|server| server.pid),
        }
    }

    /// Does this process run the server, rather than being attached to somebody else's?
    pub fn is_owner(&self) -> bool {
        self.supervisor.is_some()
    }

    /// Stops the server and waits for its end. An attached cluster is only let go.
    pub async fn stop(self) {
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    fn start_patiently(options: &ClusterOptions) -> Result<Self, ClusterError> {
        let begin = Instant::now();
        loop {
            match Self::start_now(options) {
                // The kernel takes a moment to bury a killed owner.
                Err(ClusterError::Owned { .. }) if begin.elapsed() < BURIAL => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                ended => return ended,
            }
        }
    }

    fn start_now(options: &ClusterOptions) -> Result<Self, ClusterError> {
        let (place, account) = Place::settle(&options.data_dir)?;
        let ownership = Ownership::take(&place)?;
        place.open_socket_dir(account)?;
        let installation = Installation::find(options.bin_dir.as_deref(), &place.data)?;
        Postmaster::outlive(&place.data)?;
        let launch = Launch { installation, place: place.clone(), account };
        launch.initialize()?;
        let supervisor = Supervisor::start(launch)?;
        Ok(Self { place, supervisor: Some(supervisor), _ownership: Some(ownership) })
    }

    fn attach_or_start_now(options: &ClusterOptions) -> Result<Self, ClusterError> {
        let begin = Instant::now();
        loop {
            match Self::start_now(options) {
                Err(ClusterError::Owned { .. }) => {}
                ended => return ended,
            }
            let (place, _) = Place::settle(&options.data_dir)?;
            if Postmaster::on(&place.data).is_some_and(|server| server.is_ready) {
                return Ok(Self { place, supervisor: None, _ownership: None });
            }
            if begin.elapsed() > OWNER_STARTS {
                return Err(ClusterError::NeverReady { location: place.root });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.stop();
            self.place.leave_socket_dir();
        }
    }
}

async fn make_database(options: &PgConnectOptions, name: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let (exists,): (bool,) = sqlx::query_as("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        let made = sqlx::query(AssertSqlSafe(format!("create database {name}"))).execute(&mut connection).await;
        // Somebody else may have made it meanwhile.
        let is_there = |error: &sqlx::Error| {
            error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .is_some_and(|code| code == "42P04" || code == "23505")
        };
        if let Err(error) = made
            && !is_there(&error)
        {
            return Err(error);
        }
    }
    connection.close().await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => {
                unreachable!("nobody cancels a blocking task but the end of the runtime, which does not await it")
            }
        },
    }
}

/// How long a start waits for an owner that was just killed.
const BURIAL: Duration = Duration::from_millis(500);

/// How long an attaching process waits for the owner's server.
const OWNER_STARTS: Duration = Duration::from_mins(1);
