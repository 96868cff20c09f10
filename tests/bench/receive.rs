//! Scenario `receive`: pushed SETs verified, applied and committed by one receiver process, beside bare signature checks,
//! and beside another receiver of the field as it comes, with its database store on the same PostgreSQL, given SETs of the
//! same key by the same client, which runs on the same cores.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use ssf_common::jwks::Algorithm;
use ssf_harness::processes::{Process, free_port};
use ssf_harness::{ScratchDatabase, TestCluster, binaries};

use crate::cpu;
use crate::figures::{Figure, note};
use crate::issuer::{AUDIENCE, Issuer, Registered};
use crate::openssl_signer::BareSigner;

/// RS256, then ES256; so many SETs to each receiver.
pub(crate) async fn measure(sets: usize) -> anyhow::Result<Vec<Figure>> {
    let peer = peer_program();
    if let Err(error) = &peer {
        note(&format!("the other receiver cannot be built, so ours is measured alone: {error:#}"));
    }
    let directory = std::env::temp_dir().join(format!("ssf-bench-receive-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let measured = async {
        let mut figures = Vec::new();
        for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
            figures.extend(one(algorithm, sets, &directory, peer.as_deref().ok()).await?);
        }
        Ok(figures)
    }
    .await;
    std::fs::remove_dir_all(&directory)?;
    measured
}

async fn one(algorithm: Algorithm, sets: usize, directory: &Path, peer: Option<&Path>) -> anyhow::Result<Vec<Figure>> {
    note(&format!("{algorithm}:"));
    let cluster = TestCluster::for_a_program().await?;
    let issuer = Issuer::open(algorithm).await?;
    let ours_first = ours(&cluster, &issuer, sets, directory).await?;
    let theirs = match peer {
        Some(program) => Some(theirs(&cluster, &issuer, sets, directory, program).await?),
        None => None,
    };
    // ours before and after: the machine of the one is that of the other
    let ours_again = ours(&cluster, &issuer, sets, directory).await?;
    let bare = bare_checks(&issuer)?;
    let mut figures = Vec::new();
    let pace = |taken: &Taken| taken.per_second(sets);
    let per_cpu = |taken: &Taken| taken.per_cpu_second(sets);
    let ours = f64::midpoint(pace(&ours_first), pace(&ours_again));
    figures.push(Figure::new("receive", format!("{algorithm} SETs received"), ours, "1/s").beside(bare));
    let ours_cpu = per_cpu(&ours_first).zip(per_cpu(&ours_again)).map(|(first, again)| f64::midpoint(first, again));
    if let Some(ours_cpu) = ours_cpu {
        let metric = format!("{algorithm} SETs received per CPU second, database included");
        figures.push(Figure::new("receive", metric, ours_cpu, "1/CPU s").beside(bare));
    }
    if let Some(theirs) = theirs {
        let figure = Figure::new("receive", format!("{algorithm} SETs received, ours beside easyssf"), ours, "1/s");
        let figure = figure.beside(pace(&theirs));
        let is_met = figure.ratio.is_some_and(|ratio| ratio > 1.0);
        figures.push(figure.aiming("> 1", is_met));
        if let Some((ours_cpu, theirs)) = ours_cpu.zip(per_cpu(&theirs)) {
            let metric = format!("{algorithm} … per CPU second, database included");
            figures.push(Figure::new("receive", metric, ours_cpu, "1/CPU s").beside(theirs));
        }
    }
    Ok(figures)
}

/// How long it took, and what it cost.
struct Taken {
    time: Duration,
    cpu_seconds: Option<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
impl Taken {
    fn per_second(&self, sets: usize) -> f64 {
        sets as f64 / self.time.as_secs_f64()
    }

    fn per_cpu_second(&self, sets: usize) -> Option<f64> {
        self.cpu_seconds.map(|spent| sets as f64 / spent)
    }
}

async fn ours(cluster: &TestCluster, issuer: &Issuer, sets: usize, directory: &Path) -> anyhow::Result<Taken> {
    let database = cluster.scratch_database("receive").await?;
    issuer.forget();
    let base = format!("http://127.0.0.1:{}", free_port()?);
    let config = format!(
        "[server]\nlisten = \"{listen}\"\npublic_url = \"{base}\"\n[database]\nurl = \"{url}\"\n\
         [privacy]\nsubject_key = \"{KEY}\"\n[log]\nfilter = \"warn\"\n\
         [upstreams.idp]\nissuer = \"{issuer}\"\ndelivery = \"push\"\ntoken = \"bench\"\n",
        listen = base.trim_start_matches("http://"),
        url = database.url,
        issuer = issuer.url,
    );
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut process = Process::new("receiver", binaries::receiver(), directory, base, &config)?;
    process.start()?;
    process.ready(&http).await?;
    let door = issuer.registered().await?;
    let pid = process.pid().context("it runs")?;
    let taken = push(&door, issuer, sets, &[Some(pid), cluster.server_pid()]).await?;
    let applied = "select count(*) from ssf_receiver.received_set where effect = 'revoke'";
    applied_all(&database, applied, sets + WARM_UP).await?;
    process.stop().await?;
    database.remove().await?;
    Ok(taken)
}

async fn theirs(
    cluster: &TestCluster,
    issuer: &Issuer,
    sets: usize,
    directory: &Path,
    program: &Path,
) -> anyhow::Result<Taken> {
    let database = cluster.scratch_database("peer").await?;
    let listen = format!("127.0.0.1:{}", free_port()?);
    let config = format!(
        "transmitter-issuer = \"{}\"\nexpected-audience = \"{AUDIENCE}\"\n\
         [push]\nexpected-auth-header = \"Bearer bench\"\n\
         [set-validation]\naccepted-algorithms = [\"RS256\", \"ES256\"]\n\
         [data]\ninitialize-schema = \"always\"\n",
        issuer.url
    );
    let path = directory.join("peer.toml");
    std::fs::write(&path, config)?;
    let child = Command::new(program).arg(&path).arg(&database.url).arg(&listen).stdin(Stdio::null()).spawn()?;
    let mut child = Leashed(child);
    let patience = Instant::now();
    while tokio::net::TcpStream::connect(&listen).await.is_err() {
        if let Some(status) = child.0.try_wait()? {
            bail!("the other receiver ended with {status}");
        }
        ensure!(patience.elapsed() < Duration::from_secs(30), "the other receiver does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let door = Registered { endpoint: format!("http://{listen}/ssf/push"), authorization: "Bearer bench".to_owned() };
    let taken = push(&door, issuer, sets, &[Some(child.0.id()), cluster.server_pid()]).await?;
    applied_all(&database, "select count(*) from easyssf_revocation", sets + WARM_UP).await?;
    drop(child);
    database.remove().await?;
    Ok(taken)
}

/// Pushes new SETs over [`IN_FLIGHT`] connections and waits for every 202.
async fn push(door: &Registered, issuer: &Issuer, sets: usize, pids: &[Option<u32>]) -> anyhow::Result<Taken> {
    let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).pool_max_idle_per_host(IN_FLIGHT).build()?;
    all_accepted(&http, door, issuer.sets(0..WARM_UP)?).await?;
    // about others: who is revoked twice may be one row of theirs
    let signed = issuer.sets(WARM_UP..WARM_UP + sets)?;
    let roots: Vec<u32> = pids.iter().copied().flatten().collect();
    let spent = || (roots.len() == pids.len()).then(|| cpu::seconds(&roots)).flatten();
    let (before, began) = (spent(), Instant::now());
    all_accepted(&http, door, signed).await?;
    let time = began.elapsed();
    Ok(Taken { time, cpu_seconds: spent().zip(before).map(|(after, before)| after - before) })
}

async fn all_accepted(http: &reqwest::Client, door: &Registered, sets: Vec<String>) -> anyhow::Result<()> {
    let (sets, next) = (Arc::new(sets), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (http, door, sets, next) = (http.clone(), door.clone(), Arc::clone(&sets), Arc::clone(&next));
            tokio::spawn(async move {
                while let Some(set) = sets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let request = http.post(&door.endpoint).header("authorization", &door.authorization);
                    let request = request.header("content-type", "application/secevent+jwt").body(set.clone());
                    let answer = request.send().await?;
                    ensure!(answer.status().as_u16() == 202, "{}: {}", answer.status(), answer.text().await?);
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

async fn applied_all(database: &ScratchDatabase, count: &'static str, expected: usize) -> anyhow::Result<()> {
    use sqlx::Connection as _;
    let mut connection = sqlx::PgConnection::connect_with(&database.options).await?;
    let found: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await?;
    ensure!(usize::try_from(found)? == expected, "{found} of {expected} have had effect");
    Ok(())
}

/// Signature checks per second on one core, nothing else.
fn bare_checks(issuer: &Issuer) -> anyhow::Result<f64> {
    let bare = BareSigner::of(issuer.key())?;
    let message = [b'm'; 800];
    let signature = bare.sign(&message)?;
    let began = Instant::now();
    for _ in 0..CHECKS {
        ensure!(bare.verifies(&message, &signature)?, "a good signature");
    }
    Ok(f64::from(CHECKS) / began.elapsed().as_secs_f64())
}

/// Builds the other receiver, which is a workspace of its own.
fn peer_program() -> anyhow::Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/peer/Cargo.toml");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-peer");
    note("the other receiver is built, if it is not yet");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--locked", "--quiet", "--manifest-path"]).arg(manifest).arg("--target-dir").arg(&target);
    // as optimised as ours
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    if profile == "release" {
        cargo.arg("--release");
    }
    ensure!(cargo.status().context("cargo cannot be run")?.success(), "cargo could not build it");
    Ok(target.join(profile).join("ssf-bench-peer"))
}

struct Leashed(Child);

impl Drop for Leashed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const IN_FLIGHT: usize = 64;
const WARM_UP: usize = 500;
const CHECKS: u32 = 5_000;
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
