//! The whole road as real processes: one transmitter, any number of receivers, each with its own database on one
//! PostgreSQL, talking over loopback sockets.
//!
//! ```text
//!   IdP ── POST /events ──▶ ssf-transmitter ══ push / poll ══▶ ssf-receiver … ──▶ /v1/check
//! ```

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use ssf_common::random::{Random as _, SystemRandom};

use crate::processes::{Process, free_port, json};
pub use crate::relying_party::RelyingParty;
use crate::{ScratchDatabase, TestCluster, binaries};

/// Everything that runs, and what is needed to talk to it.
#[derive(Debug)]
pub struct Road {
    /// For all calls.
    pub http: reqwest::Client,
    /// The issuer, which is also where the transmitter listens.
    pub issuer: String,
    /// The transmitter.
    pub transmitter: Process,
    /// A second transmitter process on the same database, if one was asked for.
    pub second: Option<Process>,
    /// The relying parties.
    pub receivers: Vec<RelyingParty>,
    /// May emit.
    pub producer_token: String,
    // dropped last: processes end before their databases, these before their server and the files
    databases: Databases,
    cluster: TestCluster,
    directory: Directory,
}

/// What the road is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How SETs are signed.
    pub algorithm: &'static str,
    /// The methods of the receivers, in order.
    pub receivers: Vec<&'static str>,
    /// A private server even where `DATABASE_URL` names one, because it will be taken away.
    pub own_server: bool,
    /// Further settings of the transmitter, as TOML sections.
    pub transmitter: String,
    /// Further settings of every receiver, as TOML sections.
    pub receiver: String,
    /// Further settings of every receiver's upstream, as lines of TOML.
    pub upstream: String,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            algorithm: "RS256",
            receivers: vec!["push", "poll"],
            own_server: false,
            transmitter: String::new(),
            receiver: String::new(),
            upstream: String::new(),
        }
    }
}

impl Road {
    /// Starts everything but waits for no stream: see [`joined`](Self::joined). `step` is told what is being done.
    pub async fn open(plan: &Plan, mut step: impl FnMut(&str)) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(1)).build()?;
        let directory = Directory::new()?;
        step("a private PostgreSQL, one database per party");
        let cluster =
            if plan.own_server { TestCluster::dedicated().await? } else { TestCluster::for_a_program().await? };
        // the order of the fields: what fails below is cleared away like a whole road
        let databases = Databases::default();
        let database = databases.add(cluster.scratch_database("transmitter").await?);
        let issuer = format!("http://127.0.0.1:{}", free_port()?);
        let config = format!(
            "[server]\nlisten = \"{listen}\"\n[issuer]\nurl = \"{issuer}\"\nalgorithm = \"{algorithm}\"\n\
             [database]\nurl = \"{url}\"\n[keys]\nsealing_key = \"{key}\"\n{rest}\n",
            listen = issuer.trim_start_matches("http://"),
            algorithm = plan.algorithm,
            url = database.url,
            key = secret(),
            rest = plan.transmitter,
        );
        let mut transmitter =
            Process::new("transmitter", binaries::transmitter(), &directory.0, issuer.clone(), &config)?;
        step("the transmitter: schema, signing key, clients");
        let producer = client(&transmitter, &["producer", "--producer"])?;
        let producer_token = text(&producer, "token")?;
        transmitter.start()?;
        transmitter.ready(&http).await?;
        let mut receivers = Vec::new();
        for (place, method) in plan.receivers.iter().enumerate() {
            let name = if plan.receivers.iter().filter(|other| *other == method).count() == 1 {
                format!("rp-{method}")
            } else {
                format!("rp-{method}-{place}")
            };
            step(&format!("{name}: registered at the transmitter, its receiver started"));
            let audience = format!("https://{name}.example");
            let credentials = client(&transmitter, &[&name, "--audience", &audience])?;
            let database = databases.add(cluster.scratch_database(&name.replace('-', "_")).await?);
            let base = format!("http://127.0.0.1:{}", free_port()?);
            let config = format!(
                "[server]\nlisten = \"{listen}\"\npublic_url = \"{base}\"\n[database]\nurl = \"{url}\"\n[privacy]\nsubject_key = \"{key}\"\n{rest}\n\
                 [upstreams.idp]\nissuer = \"{issuer}\"\ndelivery = \"{method}\"\nclient_id = \"{name}\"\nclient_secret = \"{client_secret}\"\n{upstream}\n",
                listen = base.trim_start_matches("http://"),
                url = database.url,
                key = secret(),
                rest = plan.receiver,
                upstream = plan.upstream,
                client_secret = text(&credentials, "client_secret")?,
            );
            let mut process = Process::new(&name, binaries::receiver(), &directory.0, base, &config)?;
            process.start()?;
            process.ready(&http).await?;
            receivers.push(RelyingParty { name, method, process, database });
        }
        let second = None;
        Ok(Self { http, issuer, transmitter, second, receivers, producer_token, databases, cluster, directory })
    }

    /// Waits until every receiver has a stream and has seen its verification event.
    pub async fn joined(&self) -> anyhow::Result<()> {
        for receiver in &self.receivers {
            let patience = Instant::now();
            while receiver.received(&self.http, "verification").await? == 0 {
                if patience.elapsed() > PATIENCE {
                    bail!("{} did not verify its stream: {}", receiver.name, receiver.process.last_words());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// Starts a second transmitter process on the same database; it listens elsewhere but speaks for the same issuer.
    pub async fn start_second_transmitter(&mut self) -> anyhow::Result<()> {
        let listen = format!("127.0.0.1:{}", free_port()?);
        let config = std::fs::read_to_string(self.directory.0.join("transmitter.toml"))?;
        let first = format!("listen = \"{}\"", self.issuer.trim_start_matches("http://"));
        let config = config.replacen(&first, &format!("listen = \"{listen}\""), 1);
        let base = format!("http://{listen}");
        let mut second = Process::new("transmitter-2", binaries::transmitter(), &self.directory.0, base, &config)?;
        second.start()?;
        second.ready(&self.http).await?;
        self.second = Some(second);
        Ok(())
    }

    /// Hands in decisions; returns their event ids after the transmitter's commit.
    pub async fn emit(&self, body: &Value) -> anyhow::Result<Vec<String>> {
        let request = self.http.post(format!("{}/events", self.issuer)).bearer_auth(&self.producer_token).json(body);
        let answer = json(request).await?;
        let events = answer.get("events").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![answer.clone()]);
        events.iter().map(|event| text(event, "event_id")).collect()
    }

    /// How an event stands: the body of `GET /events/{id}`.
    pub async fn progress(&self, event_id: &str) -> anyhow::Result<Value> {
        json(self.http.get(format!("{}/events/{event_id}", self.issuer)).bearer_auth(&self.producer_token)).await
    }

    /// The transmitter's latency report since a time (RFC 3339).
    pub async fn transmitter_latency(&self, since: &str) -> anyhow::Result<Value> {
        let request = self.http.get(format!("{}/latency?since={since}", self.issuer));
        json(request.bearer_auth(&self.producer_token)).await
    }

    /// The delivery methods of the transmitter's streams by stream id.
    pub fn streams(&self) -> anyhow::Result<Vec<Value>> {
        let lines = self.transmitter.command(&["stream", "list", "--json"])?;
        lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// The transmitter's own database.
    ///
    /// # Panics
    /// If the road was stopped: its databases are gone then.
    pub fn transmitter_database(&self) -> ScratchDatabase {
        let databases = self.databases.0.lock().unwrap_or_else(PoisonError::into_inner);
        databases.first().expect("a road that stands has databases").clone()
    }

    /// A further database on the same server; it goes with the road.
    pub async fn scratch_database(&self, prefix: &str) -> anyhow::Result<ScratchDatabase> {
        Ok(self.databases.add(self.cluster.scratch_database(prefix).await?))
    }

    /// Takes the PostgreSQL server away from everybody, or brings it back.
    pub async fn database_is_there(&mut self, there: bool) -> anyhow::Result<()> {
        if there {
            self.cluster.start().await?;
        } else {
            self.cluster.stop().await;
        }
        Ok(())
    }

    /// The process of the PostgreSQL server, if it is ours.
    pub fn server_pid(&self) -> Option<u32> {
        self.cluster.server_pid()
    }

    /// Stops everything in order, receivers, then the transmitter, and drops their databases, whoever did not end as it
    /// should. The first trouble is told. A road that is dropped without it kills its processes and drops its
    /// databases, too.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let mut ended = Ok(());
        for receiver in &mut self.receivers {
            ended = ended.and(orderly(&receiver.name, receiver.process.stop().await));
        }
        if let Some(second) = &mut self.second {
            ended = ended.and(orderly("the second transmitter", second.stop().await));
        }
        ended = ended.and(orderly("the transmitter", self.transmitter.stop().await));
        ended.and(self.databases.remove().await)
    }
}

/// Hands in decisions as a careful producer does: under one idempotency key, again and again until it is told that they
/// are recorded.
pub async fn emit_for_sure(
    http: &reqwest::Client,
    url: &str,
    token: &str,
    key: &str,
    body: &Value,
) -> anyhow::Result<()> {
    let patience = Instant::now();
    loop {
        match http.post(url).bearer_auth(token).header("Idempotency-Key", key).json(body).send().await {
            Ok(answer) if answer.status() == http::StatusCode::ACCEPTED => return Ok(()),
            Ok(answer) if answer.status().is_client_error() => bail!("{url} answered {}", answer.status()),
            _ if patience.elapsed() > PATIENCE => bail!("{url} did not take the decisions"),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A text member of an answer.
pub fn text(value: &Value, member: &str) -> anyhow::Result<String> {
    value[member].as_str().map(ToOwned::to_owned).with_context(|| format!("an answer without {member}"))
}

fn client(transmitter: &Process, arguments: &[&str]) -> anyhow::Result<Value> {
    let printed = transmitter.command(&[&["client", "add", "--json"], arguments].concat())?;
    Ok(serde_json::from_str(printed.trim())?)
}

fn orderly(name: &str, status: anyhow::Result<Option<ExitStatus>>) -> anyhow::Result<()> {
    match status? {
        Some(status) if !status.success() => bail!("{name} ended with {status}"),
        _ => Ok(()),
    }
}

fn secret() -> String {
    let mut bytes = [0; 32];
    SystemRandom.fill(&mut bytes);
    BASE64_STANDARD.encode(bytes)
}

/// The databases of a road: a server that is not ours keeps none of them, however the road ends.
#[derive(Debug, Default)]
struct Databases(Mutex<Vec<ScratchDatabase>>);

impl Databases {
    fn add(&self, database: ScratchDatabase) -> ScratchDatabase {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(database.clone());
        database
    }

    /// Drops them all; the first trouble is told.
    async fn remove(&self) -> anyhow::Result<()> {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut removed = Ok(());
        for database in all {
            removed = removed.and(database.remove().await);
        }
        removed
    }
}

impl Drop for Databases {
    /// For a road that failed half-way or was interrupted: a thread, because whoever drops it may be a runtime.
    fn drop(&mut self) {
        if self.0.get_mut().is_ok_and(|left| left.is_empty()) {
            return;
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                if let Ok(runtime) = runtime {
                    let _ = runtime.block_on(async { tokio::time::timeout(PATIENCE, self.remove()).await });
                }
            });
        });
    }
}

/// A directory for configurations and logs that goes with its owner.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn new() -> anyhow::Result<Self> {
        let mut bytes = [0; 8];
        SystemRandom.fill(&mut bytes);
        let name = format!("ssf-road-{}-{:016x}", std::process::id(), u64::from_le_bytes(bytes));
        let path = std::env::temp_dir().join(name);
        // configurations hold credentials
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

/// When the sessions of real processes began, in seconds: an hour before it was first asked for. A lineage has a greatest
/// age, so no time is written down.
pub fn an_hour_ago() -> i64 {
    static BEGAN: std::sync::LazyLock<i64> =
        std::sync::LazyLock::new(|| ssf_common::runtime::Env::system().now().unix_seconds() - 3_600);
    *BEGAN
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, PgConnection};

    use super::*;

    #[tokio::test]
    async fn no_database_of_a_road_outlives_it_whether_it_was_stopped_or_failed() {
        let cluster = TestCluster::shared().await;
        let stopped = Databases::default();
        let database = stopped.add(cluster.scratch_database("stopped").await.unwrap());
        stopped.remove().await.unwrap();
        assert!(PgConnection::connect_with(&database.options).await.is_err());

        let failed = Databases::default();
        let database = failed.add(cluster.scratch_database("failed").await.unwrap());
        let _still_connected = PgConnection::connect_with(&database.options).await.unwrap();
        drop(failed);
        assert!(PgConnection::connect_with(&database.options).await.is_err());
    }
}
