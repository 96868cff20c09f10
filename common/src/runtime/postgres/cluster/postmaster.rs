//! What runs there already: `postmaster.pid`, read and judged.
//!
//! Line 1 is the server's process, line 8 its state (`starting`, `ready`, `stopping`). The file of a server that was
//! killed stays behind and may name a process that is somebody else by now.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::fault::ClusterError;

/// A server that lives on the data, as its `postmaster.pid` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Postmaster {
    pub(super) pid: u32,
    pub(super) is_ready: bool,
}

impl Postmaster {
    /// The live server on `data`, if there is one.
    pub(super) fn on(data: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        let is_ready = lines.nth(6).is_some_and(|state| state.trim() == "ready");
        works_in(pid, data).then_some(Self { pid, is_ready })
    }

    /// Waits for a server whose owner is gone: it should be ending already; if it is not, it is told to. The caller
    /// holds the ownership.
    pub(super) fn outlive(data: &Path) -> Result<(), ClusterError> {
        let begin = Instant::now();
        let mut told = 0;
        while let Some(left) = Self::on(data) {
            let waited = begin.elapsed();
            if waited >= PATIENCE * 3 {
                return Err(ClusterError::LeftBehind { location: data.to_owned(), pid: left.pid });
            }
            if waited >= PATIENCE * 2 && told < 2 {
                told = 2;
                signal(left.pid, Signal::QUIT);
            } else if waited >= Duration::from_secs(2) && told < 1 {
                told = 1;
                tracing::warn!(pid = left.pid, "stopping a PostgreSQL that outlived its owner");
                signal(left.pid, Signal::INT);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // Stale: the process it names is gone or somebody else. The server would believe it and refuse to start.
        match std::fs::remove_file(data.join("postmaster.pid")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ClusterError::io("removing the stale postmaster.pid", data)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Sends a signal; a process that is gone is no error.
pub(super) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, signal);
    }
}

/// A server works in its data directory: that tells it from a stranger with the same number.
fn works_in(pid: u32, data: &Path) -> bool {
    let works_in = std::fs::read_link(format!("/proc/{pid}/cwd"));
    match (works_in, data.canonicalize()) {
        (Ok(works_in), Ok(data)) => works_in == data,
        _ => false,
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
