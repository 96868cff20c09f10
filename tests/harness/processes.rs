//! The services as real processes: started from the built binaries on a private cluster of their own, each with its own
//! database, its own configuration file and its own log; ended with whoever started them.
//!
//! The demo, the bench and the crash stories stand on this.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// One running service.
#[derive(Debug)]
pub struct Process {
    /// What it is called here, and its log.
    pub name: String,
    /// Where it listens: `http://127.0.0.1:<port>`.
    pub base: String,
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Writes the configuration and describes the process; [`start`](Self::start) starts it.
    pub fn new(name: &str, program: PathBuf, directory: &Path, base: String, config: &str) -> anyhow::Result<Self> {
        let path = directory.join(format!("{name}.toml"));
        std::fs::write(&path, config).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self {
            name: name.to_owned(),
            base,
            program,
            config: path,
            log: directory.join(format!("{name}.log")),
            child: None,
        })
    }

    /// Adds further sections to its configuration; the next start reads them.
    pub fn configure(&self, sections: &str) -> anyhow::Result<()> {
        use std::io::Write as _;
        let mut file = File::options().append(true).open(&self.config)?;
        Ok(file.write_all(sections.as_bytes())?)
    }

    /// Starts `serve`; its output is appended to its log.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = leashed(&self.program);
        command.arg("serve").arg("--config").arg(&self.config);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("{} cannot be started", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Runs another command of the same program on the same configuration and gives back what it printed.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.program).arg("--config").arg(&self.config).args(arguments).output()?;
        if !output.status.success() {
            bail!("{} {}: {}", self.name, arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Waits until `GET /health/ready` is a 200. Fails at once if the process has ended.
    pub async fn ready(&mut self, http: &reqwest::Client) -> anyhow::Result<()> {
        let url = format!("{}/health/ready", self.base);
        let patience = Instant::now();
        loop {
            if let Ok(answer) = http.get(&url).send().await
                && answer.status().is_success()
            {
                return Ok(());
            }
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("{} ended with {status}: {}", self.name, self.last_words());
            }
            if patience.elapsed() > PATIENCE {
                bail!("{} did not get ready: {}", self.name, self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// SIGKILL, as a power cut would; returns when it is gone.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, then waits for an orderly end.
    pub async fn stop(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(mut child) = self.child.take() else { return Ok(None) };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let patience = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if patience.elapsed() > PATIENCE {
                child.kill()?;
                bail!("{} did not end at SIGTERM", self.name);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Where its output is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its log.
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A port nobody listens at just now.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The body of an answer, or an error that says what was asked and answered.
pub async fn json(request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
    let answer = request.send().await?;
    let (status, url) = (answer.status(), answer.url().path().to_owned());
    let body = answer.text().await?;
    if !status.is_success() {
        bail!("{url} answered {status}: {body}");
    }
    if body.is_empty() {
        Ok(Value::Null)
    } else {
        serde_json::from_str(&body).with_context(|| format!("{url}: not JSON"))
    }
}

/// A command that ends with us even if we are killed, where the machine has `setpriv`.
fn leashed(program: &Path) -> Command {
    let has_setpriv = Command::new("setpriv").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if has_setpriv.is_ok_and(|status| status.success()) {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
