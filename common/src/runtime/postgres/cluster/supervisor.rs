//! The thread that keeps the server running, and stops it.
//!
//! It lives as long as the server, because the death signal of a child follows the *thread* that spawned it.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use super::account::Account;
use super::fault::ClusterError;
use super::installation::Installation;
use super::place::Place;
use super::postmaster::{Postmaster, signal};

/// How to start the server.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) installation: Installation,
    pub(super) place: Place,
    pub(super) account: Account,
}

impl Launch {
    /// Makes the cluster if it is not there yet.
    pub(super) fn initialize(&self) -> Result<(), ClusterError> {
        if self.place.data.join("PG_VERSION").is_file() {
            return Ok(());
        }
        let nursery = self.place.nursery(self.account)?;
        let output = self
            .account
            .command(&self.installation.bin.join("initdb"))
            .arg("--pgdata")
            .arg(&nursery)
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"])
            .output()
            .map_err(ClusterError::io("running initdb", &nursery))?;
        if !output.status.success() {
            let said = last_words(&String::from_utf8_lossy(&output.stderr));
            return Err(ClusterError::Initdb { location: self.place.data.clone(), said });
        }
        // Only a finished cluster gets the name that the next start looks for.
        std::fs::rename(&nursery, &self.place.data).map_err(ClusterError::io("naming the new cluster", nursery))
    }

    fn spawn(&self) -> Result<Child, ClusterError> {
        let previous = PathBuf::from(format!("{}.1", self.place.log.display()));
        let _ = std::fs::rename(&self.place.log, previous);
        let log = File::create(&self.place.log).map_err(ClusterError::io("making the log", &self.place.log))?;
        let second = log.try_clone().map_err(ClusterError::io("sharing the log", &self.place.log))?;
        let mut command: Command = self.account.dependent_command(&self.installation.bin.join("postgres"));
        command.arg("-D").arg(&self.place.data).arg("-k").arg(&self.place.socket_dir);
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        command.stdout(log).stderr(second).spawn().map_err(ClusterError::io("starting postgres", &self.place.data))
    }

    fn last_words(&self) -> String {
        last_words(&std::fs::read_to_string(&self.place.log).unwrap_or_default())
    }
}

/// The handle on the thread.
#[derive(Debug)]
pub(super) struct Supervisor {
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    pid: Option<u32>,
    is_stopping: bool,
    has_ended: bool,
}

impl Supervisor {
    /// Starts the thread and waits until the server is ready. The caller holds the ownership of the place.
    pub(super) fn start(launch: Launch) -> Result<Self, ClusterError> {
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let (report, reported) = mpsc::sync_channel(1);
        let (data, inside) = (launch.place.data.clone(), Arc::clone(&state));
        std::thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || {
                supervise(&launch, &inside, &report);
                let (state, changed) = &*inside;
                lock(state).has_ended = true;
                changed.notify_all();
            })
            .map_err(ClusterError::io("starting a thread", &data))?;
        let ended = |_| Err(ClusterError::DidNotStart { location: data, said: "its supervisor ended".to_owned() });
        reported.recv().unwrap_or_else(ended)?;
        Ok(Self { state })
    }

    /// The server's process, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        lock(&self.state.0).pid
    }

    /// Stops the server: fast (SIGINT), after a while at once (SIGQUIT). Blocks until it is gone.
    pub(super) fn stop(&self) {
        let (state, changed) = &*self.state;
        for (how, patience) in [(Signal::INT, FAST), (Signal::QUIT, AT_ONCE), (Signal::KILL, AT_ONCE)] {
            let mut held = lock(state);
            held.is_stopping = true;
            changed.notify_all();
            if let Some(pid) = held.pid {
                // The process cannot have been reaped: that happens under this lock.
                signal(pid, how);
            }
            let waited = changed.wait_timeout_while(held, patience, |state| !state.has_ended);
            if waited.unwrap_or_else(PoisonError::into_inner).0.has_ended {
                return;
            }
        }
    }
}

/// Runs the server, again whenever it ends unasked. The first start is reported; later ones are only logged.
fn supervise(launch: &Launch, shared: &(Mutex<State>, Condvar), report: &mpsc::SyncSender<Result<(), ClusterError>>) {
    let (state, changed) = shared;
    let mut is_first = true;
    loop {
        let started = launch.spawn().and_then(|mut child| {
            lock(state).pid = Some(child.id());
            match wait_until_ready(launch, &mut child) {
                Ok(()) => Ok(child),
                Err(error) => {
                    signal(child.id(), Signal::INT);
                    reap(&mut child, state);
                    Err(error)
                }
            }
        });
        match started {
            Ok(mut child) => {
                if is_first {
                    let _ = report.send(Ok(()));
                } else {
                    tracing::info!("the private PostgreSQL is back");
                }
                is_first = false;
                reap(&mut child, state);
            }
            Err(error) if is_first => {
                let _ = report.send(Err(error));
                return;
            }
            Err(error) => tracing::warn!(error = %error, "the private PostgreSQL did not come back"),
        }
        let held = lock(state);
        if held.is_stopping {
            return;
        }
        tracing::warn!(said = launch.last_words(), "the private PostgreSQL ended unasked; starting it again");
        let pause = changed.wait_timeout_while(held, BEFORE_A_RESTART, |state| !state.is_stopping);
        if pause.unwrap_or_else(PoisonError::into_inner).0.is_stopping {
            return;
        }
    }
}

fn wait_until_ready(launch: &Launch, child: &mut Child) -> Result<(), ClusterError> {
    let location = || launch.place.data.clone();
    let begin = Instant::now();
    loop {
        if Postmaster::on(&launch.place.data).is_some_and(|server| server.pid == child.id() && server.is_ready) {
            return Ok(());
        }
        if has_ended(child) {
            return Err(ClusterError::DidNotStart { location: location(), said: launch.last_words() });
        }
        if begin.elapsed() > LONGEST_RECOVERY {
            return Err(ClusterError::DidNotStart {
                location: location(),
                said: "it was not ready in time".to_owned(),
            });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for the end of the child and only then, under the lock, lets its number go.
fn reap(child: &mut Child, state: &Mutex<State>) {
    if let Some(pid) = pid_of(child) {
        while waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            .is_err_and(|error| error == rustix::io::Errno::INTR)
        {}
    }
    let mut held = lock(state);
    let _ = child.wait();
    held.pid = None;
}

/// Has the child ended? Leaves it to be reaped.
fn has_ended(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    pid_of(child).is_none_or(|pid| !matches!(waitid(WaitId::Pid(pid), options), Ok(None)))
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The line of a log that says why.
fn last_words(log: &str) -> String {
    let telling = log.lines().rev().find(|line| ["FATAL:", "PANIC:", "error:"].iter().any(|word| line.contains(word)));
    let line = telling.or_else(|| log.lines().rev().find(|line| !line.trim().is_empty()));
    line.unwrap_or("it said nothing").trim().to_owned()
}

/// For a small machine; fsync stays on.
const SETTINGS: [&str; 7] = [
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    "max_connections=200",
    "shared_buffers=128MB",
    "jit=off",
    "log_checkpoints=off",
];

const FAST: Duration = Duration::from_secs(15);
const AT_ONCE: Duration = Duration::from_secs(5);
const BEFORE_A_RESTART: Duration = Duration::from_secs(1);
/// Replaying the log after a crash can take long; it is not hurried.
const LONGEST_RECOVERY: Duration = Duration::from_mins(10);
