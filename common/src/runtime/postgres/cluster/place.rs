//! Where: the directory that holds data, socket, log and lock, placed so that the server's user can reach it.
//!
//! `<root>/pg` (the data) and `<root>/run` (the socket) belong to the server's user, mode 0700; `<root>` itself, the log
//! and the lock belong to us.

use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::account::Account;
use super::fault::ClusterError;

/// The directories and files of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) root: PathBuf,
    pub(super) data: PathBuf,
    pub(super) socket_dir: PathBuf,
    pub(super) log: PathBuf,
    pub(super) lock: PathBuf,
}

impl Place {
    /// Prepares the place for `data_dir`. Where the server's user cannot reach that directory (below a home of root's,
    /// say), the place is `/var/lib/ssf/<hash of the path>`, or `/var/tmp/ssf-<hash>` if that cannot be made; the hash
    /// makes every start find it again.
    pub(super) fn settle(data_dir: &Path) -> Result<(Self, Account), ClusterError> {
        let wanted = std::path::absolute(data_dir).map_err(ClusterError::io("finding the directory", data_dir))?;
        let name = hash(&wanted);
        let elsewhere = [PathBuf::from(format!("/var/lib/ssf/{name}")), PathBuf::from(format!("/var/tmp/ssf-{name}"))];
        let account = Account::choose(&[&wanted, &elsewhere[0], &elsewhere[1]].map(|root| root.join("pg")))?;
        let root = if account.steps_down { reachable(&wanted, &elsewhere, account)? } else { own_dir(&wanted)? };
        if root != wanted {
            tracing::warn!(
                "{} cannot be reached by the user that PostgreSQL runs as; the private cluster is in {}",
                wanted.display(),
                root.display()
            );
        }
        let data = root.join("pg");
        if std::fs::metadata(&data).is_ok_and(|data| data.uid() != account.uid) {
            return Err(ClusterError::NotOurs { location: data });
        }
        let near = root.join("run");
        let fits = near.as_os_str().len() + SOCKET_NAME.len() <= LONGEST_SOCKET_PATH;
        let socket_dir = if fits { near } else { PathBuf::from(format!("/tmp/ssf-{name}")) };
        let place = Self { data, socket_dir, log: root.join("postgres.log"), lock: root.join("lock"), root };
        place.open_socket_dir(account)?;
        Ok((place, account))
    }

    /// The directory of the socket. The owner asks for it again once it is the owner: until then, the one before may have
    /// [left](Self::leave_socket_dir).
    pub(super) fn open_socket_dir(&self, account: Account) -> Result<(), ClusterError> {
        private_dir(&self.socket_dir, account)
    }

    /// Removes a socket directory that lies outside the cluster's own, once the server has left it empty: nobody else
    /// would.
    pub(super) fn leave_socket_dir(&self) {
        if !self.socket_dir.starts_with(&self.root) {
            // what is not empty stays: a server that was killed left its socket there
            let _ = std::fs::remove_dir(&self.socket_dir);
        }
    }

    /// An empty directory for `initdb`, beside the data; what an interrupted one left behind is swept away.
    pub(super) fn nursery(&self, account: Account) -> Result<PathBuf, ClusterError> {
        let nursery = self.root.join("pg.new");
        match std::fs::remove_dir_all(&nursery) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(ClusterError::io("sweeping", nursery)(error));
            }
            _ => private_dir(&nursery, account)?,
        }
        Ok(nursery)
    }
}

/// The first of the directories that the server's user can reach.
fn reachable(wanted: &Path, elsewhere: &[PathBuf], account: Account) -> Result<PathBuf, ClusterError> {
    own_dir(wanted)?;
    let is_new = std::fs::read_dir(wanted).is_ok_and(|mut entries| entries.next().is_none());
    if !account.may_pass(wanted) && (is_new || wanted.join("lock").is_file()) {
        let open = std::fs::Permissions::from_mode(PASSABLE);
        std::fs::set_permissions(wanted, open).map_err(ClusterError::io("chmod", wanted))?;
    }
    let real = wanted.canonicalize().map_err(ClusterError::io("finding", wanted))?;
    if real.ancestors().all(|directory| account.may_pass(directory)) {
        return Ok(wanted.to_owned());
    }
    let mut last = None;
    for root in elsewhere {
        match own_dir(root) {
            Ok(root) if root.ancestors().all(|directory| account.may_pass(directory)) => return Ok(root),
            Ok(root) => last = Some(ClusterError::NotOurs { location: root }),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or(ClusterError::NobodyToRunAs))
}

/// A directory of ours that others may pass but not list.
fn own_dir(path: &Path) -> Result<PathBuf, ClusterError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path.parent().unwrap_or(path));
    made.map_err(ClusterError::io("making the directory", path))?;
    match std::fs::DirBuilder::new().mode(PASSABLE).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(ClusterError::io("making the directory", path)(error))
        }
        _ if std::fs::metadata(path)
            .is_ok_and(|dir| dir.is_dir() && dir.uid() == rustix::process::geteuid().as_raw()) =>
        {
            Ok(path.to_owned())
        }
        _ => Err(ClusterError::NotOurs { location: path.to_owned() }),
    }
}

/// A directory of the server's user alone. Under `/tmp` anybody could have made it before us: then we refuse.
fn private_dir(path: &Path, account: Account) -> Result<(), ClusterError> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(ClusterError::io("making the directory", path)(error));
        }
        _ => {}
    }
    let found = std::fs::symlink_metadata(path).map_err(ClusterError::io("looking at", path))?;
    let is_ours = found.uid() == account.uid || found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_dir() || !is_ours {
        return Err(ClusterError::NotOurs { location: path.to_owned() });
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(ClusterError::io("chmod", path))?;
    account.give(path)
}

fn hash(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    digest.iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

const PASSABLE: u32 = 0o711;

/// What the server adds to the socket directory, with the longest thing it puts there.
const SOCKET_NAME: &str = "/.s.PGSQL.5432.lock";

/// `sun_path` holds 108 bytes with its final zero.
const LONGEST_SOCKET_PATH: usize = 107;
