//! Which server: the newest installed one, or the one that made the data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::fault::ClusterError;

/// The programs of one installed server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Installation {
    /// The major version, 15.
    pub(super) major: u32,
    /// The directory that holds `initdb` and `postgres`.
    pub(super) bin: PathBuf,
}

impl Installation {
    /// The server to run on `data`: the one in `named` if given, else one of the version that made the data, else the
    /// newest of `pg_config --bindir`, `/usr/lib/postgresql/*/bin`, `/usr/pgsql-*/bin` and PATH.
    pub(super) fn find(named: Option<&Path>, data: &Path) -> Result<Self, ClusterError> {
        let installed: BTreeSet<Self> = match named {
            Some(bin) => {
                let one = Self::at(bin).ok_or_else(|| ClusterError::NotABinDirectory { bin: bin.to_owned() })?;
                BTreeSet::from([one])
            }
            None => candidates().iter().filter_map(|bin| Self::at(bin)).collect(),
        };
        let newest = installed.last().cloned().ok_or(ClusterError::NotInstalled)?;
        match made_by(data) {
            None => Ok(newest),
            Some(major) => installed
                .into_iter()
                .find(|one| one.major == major)
                .ok_or_else(|| ClusterError::OtherVersion { location: data.to_owned(), major }),
        }
    }

    fn at(bin: &Path) -> Option<Self> {
        // Some distributions put a link to `postgres` alone into PATH; its siblings are where it points.
        let bin = bin.join("postgres").canonicalize().ok()?.parent()?.to_owned();
        if !bin.join("initdb").is_file() {
            return None;
        }
        // "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", or "17devel".
        let text = said_by(&bin.join("postgres"), "--version")?;
        let version = text.split_whitespace().nth(2)?;
        let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
        Some(Self { major: version.get(..digits)?.parse().ok()?, bin })
    }
}

/// The major version that made the data, if there are any.
fn made_by(data: &Path) -> Option<u32> {
    std::fs::read_to_string(data.join("PG_VERSION")).ok()?.trim().parse().ok()
}

fn candidates() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = said_by(Path::new("pg_config"), "--bindir").into_iter().map(PathBuf::from).collect();
    for (parent, prefix, suffix) in [("/usr/lib/postgresql", "", "bin"), ("/usr", "pgsql-", "bin")] {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        let servers = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        found.extend(servers.map(|entry| entry.path().join(suffix)));
    }
    found.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    found
}

fn said_by(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
