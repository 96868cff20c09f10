//! [`UnixDoor`]: a listener at a path, for processes on the same machine. Who may connect is said by the file's
//! permissions, so they are right before anybody can connect. What a killed process left behind is cleared away; a socket
//! somebody listens at, and anything that is no socket of ours, is left alone.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::os::unix::net::UnixStream as Probe;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::listen::{Listen, Peer};

/// A unix socket that is listened at. When it is dropped the socket goes away, if it is still the same.
#[derive(Debug)]
pub struct UnixDoor {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
    /// Locked as long as we listen: two that start at once cannot both take the other's socket for a dead one.
    _lock: File,
}

/// It cannot be listened at this path.
#[derive(Debug, thiserror::Error)]
#[error("{key} = {} {remedy}", path.display())]
pub struct UnixDoorError {
    key: &'static str,
    path: PathBuf,
    remedy: &'static str,
    #[source]
    source: Option<io::Error>,
}

impl UnixDoor {
    /// Listens at `path`, which gets the permissions `mode` (such as `0o660`). A directory that is missing is made, for
    /// us alone to write in. `key` is the setting the path came from. Must be called inside a tokio runtime.
    pub fn bind(path: &Path, mode: u32, key: &'static str) -> Result<Self, UnixDoorError> {
        let refused = |remedy| UnixDoorError { key, path: path.to_owned(), remedy, source: None };
        let failed = |remedy| move |source| UnixDoorError { key, path: path.to_owned(), remedy, source: Some(source) };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !directory.exists() {
            let created = DirBuilder::new().recursive(true).mode(0o755).create(directory);
            created.map_err(failed("is in a directory that cannot be made; make it, writable for this service"))?;
        }
        let directory = fs::metadata(directory).map_err(failed(UNREADABLE))?;
        let us = rustix::process::geteuid().as_raw();
        if ![us, ROOT].contains(&directory.uid()) || directory.mode() & 0o022 & !sticky(directory.mode()) != 0 {
            return Err(refused(
                "is in a directory where others may put their own socket; use one that only this service writes to",
            ));
        }
        let lock = beside(path, "lock");
        let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(lock);
        let lock = lock.map_err(failed("cannot be locked: the directory must be writable for this service"))?;
        lock.try_lock().map_err(|_| refused(TAKEN))?;
        if let Some(remedy) = in_the_way(path, us).map_err(failed(UNREADABLE))? {
            return Err(refused(remedy));
        }
        // Under another name first: nobody connects before the permissions are right.
        let draft = beside(path, "new");
        let bound = remove(&draft).and_then(|()| UnixListener::bind(&draft));
        let listener = bound.map_err(failed(
            "cannot be listened at: is the directory writable, and the path shorter than 100 bytes?",
        ))?;
        let placed = fs::set_permissions(&draft, Permissions::from_mode(mode)).and_then(|()| fs::rename(&draft, path));
        let inode =
            placed.and_then(|()| fs::symlink_metadata(path)).map_err(failed("cannot be given its permissions"))?.ino();
        Ok(Self { listener, path: path.to_owned(), inode, _lock: lock })
    }
}

impl Drop for UnixDoor {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Listen for UnixDoor {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = self.listener.accept().await?;
        Ok((stream, Peer::Unix))
    }
}

/// What speaks against a socket at this path. One that nobody listens at is removed.
fn in_the_way(path: &Path, us: u32) -> io::Result<Option<&'static str>> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Ok(Some("is there already and is not a socket; remove it or choose another path"));
    }
    if found.uid() != us {
        return Ok(Some("is a socket of another user; remove it or choose another path"));
    }
    match Probe::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => remove(path).map(|()| None),
        // whatever else it says: there is somebody
        _ => Ok(Some(TAKEN)),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// In a sticky directory, such as /tmp, nobody can rename or remove what is somebody else's.
const fn sticky(mode: u32) -> u32 {
    if mode & 0o1000 == 0 { 0 } else { 0o022 }
}

const ROOT: u32 = 0;
const TAKEN: &str = "is listened at by another process; choose another path or stop that process";
const UNREADABLE: &str = "cannot be looked at; check the permissions of its directory";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::routing::get;

    use super::*;
    use crate::runtime::Shutdown;
    use crate::runtime::http::Server;

    /// A directory that goes away with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ssf-unix-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            Self(path)
        }

        fn bind(&self) -> Result<UnixDoor, String> {
            UnixDoor::bind(&self.0.join("s"), 0o640, "server.socket").map_err(|error| error.to_string())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn it_is_served_with_its_permissions_and_gone_after_the_stop() {
        let folder = Folder::new("served");
        let path = folder.0.join("s");
        let door = folder.bind().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        let shutdown = Shutdown::default();
        let serving = shutdown.clone();
        let routes = Router::new().route("/", get(|| async { "here" }));
        shutdown.spawn("socket", async move { Server::default().serve_unix(door, routes, &serving).await.unwrap() });
        let client = reqwest::Client::builder().unix_socket(path.clone()).build().unwrap();
        let request = client.get("http://socket/").timeout(Duration::from_secs(10));
        assert_eq!(request.send().await.unwrap().text().await.unwrap(), "here");
        shutdown.begin();
        shutdown.wait().await;
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_dead_process_left_is_cleared_away_and_nothing_else() {
        let folder = Folder::new("left");
        let path = folder.0.join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let living = folder.bind().expect("nobody listens there");
        let taken = "is listened at by another process; choose another path or stop that process";
        assert!(folder.bind().unwrap_err().ends_with(taken), "the lock is held");
        drop(living);
        assert!(!path.exists());

        let foreign = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(folder.bind().unwrap_err().ends_with(taken), "one that takes no lock is found by its answer");
        assert!(path.exists());
        drop(foreign);
        fs::remove_file(&path).unwrap();

        fs::write(&path, "a file of somebody's").unwrap();
        assert!(folder.bind().unwrap_err().contains("is not a socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file of somebody's");
    }

    #[tokio::test]
    async fn a_directory_where_others_write_is_refused() {
        let folder = Folder::new("open");
        fs::set_permissions(&folder.0, Permissions::from_mode(0o777)).unwrap();
        let refused = folder.bind().unwrap_err();
        assert!(refused.starts_with("server.socket = ") && refused.contains("where others may"), "{refused}");
        fs::set_permissions(&folder.0, Permissions::from_mode(0o1777)).unwrap();
        folder.bind().expect("a sticky one protects what is ours");
    }

    #[tokio::test]
    async fn a_door_that_was_replaced_leaves_the_new_one_alone() {
        let folder = Folder::new("replaced");
        let path = folder.0.join("s");
        let door = folder.bind().unwrap();
        fs::remove_file(&path).unwrap();
        let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(door);
        assert!(path.exists());
        drop(other);
    }
}
