//! As whom: PostgreSQL refuses to run as root, so a program of root's runs it as `postgres` or `nobody`.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::fault::ClusterError;

/// The user that the server and `initdb` run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Are we root and step down to this user?
    pub(super) steps_down: bool,
}

impl Account {
    /// This process's own user; for root, the user to whom `data` belong if there are any, else `postgres`, else
    /// `nobody`.
    pub(super) fn choose(data: &[PathBuf]) -> Result<Self, ClusterError> {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if uid != 0 {
            return Ok(Self { uid, gid, steps_down: false });
        }
        let of_data = data.iter().filter_map(|data| std::fs::metadata(data).ok()).find(|data| data.uid() != 0);
        let found = match of_data {
            Some(data) => Some((data.uid(), data.gid())),
            None => named("postgres").or_else(|| named("nobody")),
        };
        let (uid, gid) = found.ok_or(ClusterError::NobodyToRunAs)?;
        Ok(Self { uid, gid, steps_down: true })
    }

    /// A command that runs `program` as this user, in an environment of its own, without a terminal.
    pub(super) fn command(self, program: &Path) -> Command {
        let mut command = self.bare(program, false);
        settle(&mut command);
        command
    }

    /// The same for a server that must end (SIGINT, a fast shutdown) when the thread that spawns it ends, even by
    /// `kill -9`, and that is out of the reach of the terminal's Ctrl-C.
    pub(super) fn dependent_command(self, program: &Path) -> Command {
        let mut command = self.bare(program, true);
        settle(&mut command);
        command.process_group(0);
        command
    }

    fn bare(self, program: &Path, dies_with_us: bool) -> Command {
        if !(self.steps_down || dies_with_us) {
            return Command::new(program);
        }
        // setpriv, because the death signal must be set after the change of user and before the exec: that would take
        // unsafe code here. It replaces itself with the program, so the process id stays.
        if has_setpriv() {
            let mut command = Command::new("setpriv");
            if self.steps_down {
                command.arg(format!("--reuid={}", self.uid)).arg(format!("--regid={}", self.gid)).arg("--clear-groups");
            }
            if dies_with_us {
                command.arg("--pdeathsig=INT");
            }
            command.arg("--").arg(program);
            return command;
        }
        if dies_with_us {
            tracing::warn!(
                "setpriv (util-linux) is missing: the private PostgreSQL would outlive a kill -9 of this process"
            );
        }
        let mut command = Command::new(program);
        if self.steps_down {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Makes `path` this user's own.
    pub(super) fn give(self, path: &Path) -> Result<(), ClusterError> {
        if self.steps_down {
            std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).map_err(ClusterError::io("chown", path))?;
        }
        Ok(())
    }

    /// May this user pass through the directory?
    pub(super) fn may_pass(self, directory: &Path) -> bool {
        let Ok(directory) = std::fs::metadata(directory) else { return false };
        let shift = if directory.uid() == self.uid {
            6
        } else if directory.gid() == self.gid {
            3
        } else {
            0
        };
        directory.mode() >> shift & 1 == 1
    }
}

/// Nothing of the caller's environment, directory or terminal reaches the server.
fn settle(command: &mut Command) {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    command.env_clear().env("PATH", path).env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
}

fn has_setpriv() -> bool {
    let tried = Command::new("setpriv")
        .args(["--pdeathsig=INT", "--", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

/// The ids of a user, from the passwd database.
fn named(user: &str) -> Option<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.split(':').next() == Some(user))?;
    let mut ids = line.split(':').skip(2).map(str::parse);
    Some((ids.next()?.ok()?, ids.next()?.ok()?))
}
