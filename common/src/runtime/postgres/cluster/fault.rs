//! Why a private cluster cannot run, in one sentence with its remedy.

use std::path::PathBuf;

/// The private cluster cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No server is installed.
    #[error(
        "no PostgreSQL server was found; install one (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql) or name a database of your own in the settings"
    )]
    NotInstalled,
    /// The named directory does not hold a server.
    #[error("{} does not hold initdb and postgres; name the bin directory of a PostgreSQL server or leave the setting out", bin.display())]
    NotABinDirectory {
        /// The named directory.
        bin: PathBuf,
    },
    /// The data were made by a version that is not installed.
    #[error("the cluster in {} was made by PostgreSQL {major}, which is not installed; install it (apt-get install postgresql-{major}) or move the directory away", location.display())]
    OtherVersion {
        /// The data.
        location: PathBuf,
        /// The major version that made them.
        major: u32,
    },
    /// Running as root without a user to run the server as.
    #[error(
        "PostgreSQL refuses to run as root and there is neither a user postgres nor nobody; add one or start as another user"
    )]
    NobodyToRunAs,
    /// The data belong to somebody else.
    #[error("{} belongs to another user; start as that user or choose another data directory", location.display())]
    NotOurs {
        /// The data or socket directory.
        location: PathBuf,
    },
    /// Another live process owns the cluster.
    #[error("the data directory {} is in use by process {}; stop that process or choose another data directory", location.display(), owner.map_or_else(|| "?".to_owned(), |pid| pid.to_string()))]
    Owned {
        /// The data directory.
        location: PathBuf,
        /// The process that owns it, if it could be read.
        owner: Option<u32>,
    },
    /// The owner never got its server ready.
    #[error("the server in {} belongs to another process and is not ready; look at postgres.log there", location.display())]
    NeverReady {
        /// The data directory.
        location: PathBuf,
    },
    /// A server left behind by a dead owner does not end.
    #[error("the server {pid} left behind in {} does not end; stop it with: kill -QUIT {pid}", location.display())]
    LeftBehind {
        /// The data.
        location: PathBuf,
        /// The server's process.
        pid: u32,
    },
    /// `initdb` failed.
    #[error("initdb could not make a cluster in {}: {said}", location.display())]
    Initdb {
        /// The data.
        location: PathBuf,
        /// Its last words.
        said: String,
    },
    /// The server ended before it was ready.
    #[error("PostgreSQL did not start in {}: {said}", location.display())]
    DidNotStart {
        /// The data.
        location: PathBuf,
        /// The last line of its log.
        said: String,
    },
    /// A file or a process could not be handled.
    #[error("{what} failed for {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The name would need quoting everywhere.
    #[error("{name:?} cannot be a database name; use lower-case letters, digits and underscores")]
    DatabaseName {
        /// The name.
        name: String,
    },
    /// A database could not be made.
    #[error("database {name} could not be made")]
    Database {
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
}

impl ClusterError {
    /// Names what was tried on which file.
    pub(super) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
