//! The receiver that is asked: first as a process of its own, whose memory is looked at, then in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sqlx::PgPool;
use ssf_common::jwks::Algorithm;
use ssf_common::runtime::config::Layers;
use ssf_common::runtime::{Env, Shutdown, postgres};
use ssf_harness::processes::{Process, free_port};
use ssf_harness::{ScratchDatabase, TestCluster, binaries};
use ssf_receiver::app::Receiver;
use ssf_receiver::config::{DEFAULTS, Settings};
use ssf_receiver::session::Keyring;

use super::beside::{self, Asked};
use super::wire::Place;
use crate::cpu;
use crate::issuer::Issuer;

/// An issuer, a database, and the receiver that stands on it.
pub(super) struct Site {
    pub(super) issuer: Issuer,
    process: Process,
    http: reqwest::Client,
    directory: PathBuf,
    listen: String,
    database: ScratchDatabase,
    // dropped last
    _cluster: TestCluster,
}

impl Site {
    pub(super) async fn open(directory: &Path) -> anyhow::Result<Self> {
        let cluster = TestCluster::for_a_program().await?;
        let database = cluster.scratch_database("check").await?;
        let issuer = Issuer::open(Algorithm::Es256).await?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let base = format!("http://{listen}");
        let config = format!(
            "[server]\nlisten = \"{listen}\"\npublic_url = \"{base}\"\n[database]\nurl = \"{url}\"\n\
             [privacy]\nsubject_key = \"{KEY}\"\n[log]\nfilter = \"warn\"\n\
             [upstreams.idp]\nissuer = \"{issuer}\"\ndelivery = \"push\"\ntoken = \"bench\"\n",
            url = database.url,
            issuer = issuer.url,
        );
        let process = Process::new("receiver", binaries::receiver(), directory, base, &config)?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let directory = directory.to_owned();
        Ok(Self { issuer, process, http, directory, listen, database, _cluster: cluster })
    }

    /// Starts the process, and ends it when it has been ready for a while; what it held in memory then, in bytes.
    pub(super) async fn resident(&mut self) -> anyhow::Result<u64> {
        self.process.start()?;
        self.process.ready(&self.http).await?;
        self.issuer.registered().await?;
        tokio::time::sleep(SETTLED).await;
        let pid = self.process.pid().context("it runs")?;
        let bytes = cpu::resident_bytes(pid).context("/proc does not say how much memory a process holds")?;
        self.process.stop().await?;
        Ok(bytes)
    }

    /// Into the schema of the receiver.
    pub(super) async fn pool(&self) -> anyhow::Result<PgPool> {
        Ok(postgres::connect(self.database.options.clone(), "ssf_receiver", 4, "bench").await?)
    }
}

/// What turns subjects into keys, there and here.
pub(super) fn keyring() -> anyhow::Result<Keyring> {
    Ok(Keyring::new(&BASE64_STANDARD.decode(KEY)?.into()))
}

/// The receiver in this process, with its workers, listening where the process did.
pub(super) struct Open<'a> {
    site: &'a Site,
    pub(super) receiver: Receiver,
    shutdown: Shutdown,
    address: Place,
    socket: Place,
}

impl<'a> Open<'a> {
    pub(super) async fn on(site: &'a Site, cutoffs: usize) -> anyhow::Result<Self> {
        let (environment, usual_file) = (Vec::new(), false);
        let file = Some(site.directory.join("receiver.toml"));
        let settings = Settings::load(&Layers { file, environment, usual_file, ..Layers::new("receiver", DEFAULTS) })?;
        let receiver = Receiver::open(Arc::new(settings), Env::system(), site.pool().await?).await?;
        let shutdown = Shutdown::new(Duration::from_secs(5));
        let address = beside::serve_at_address(receiver.router()?, &site.listen, &shutdown).await?;
        let socket = site.directory.join("receiver.sock");
        let socket = beside::serve_at_socket(receiver.socket_router(), &socket, &shutdown)?;
        receiver.spawn_workers(&shutdown);
        let patience = Instant::now();
        while !receiver.replica().memory().facts().is_whole {
            ensure!(patience.elapsed() < Duration::from_mins(2), "the cut-offs do not come into memory");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let known = receiver.replica().memory().facts().cutoffs.len();
        ensure!(known >= cutoffs, "{known} of {cutoffs} cut-offs are in memory");
        Ok(Self { site, receiver, shutdown, address, socket })
    }

    /// A sign of life of the issuer: without one no session would be active for long.
    pub(super) async fn heard_of(&self) -> anyhow::Result<()> {
        let door = self.site.issuer.registered().await?;
        let [set] = self.site.issuer.sets(0..1)?.try_into().map_err(|_| anyhow::anyhow!("one SET"))?;
        let request = self.site.http.post(&door.endpoint).header("authorization", &door.authorization);
        let answer = request.header("content-type", "application/secevent+jwt").body(set).send().await?;
        ensure!(answer.status().as_u16() == 202, "{}: {}", answer.status(), answer.text().await?);
        self.receiver.replica().follow_changes().await?;
        Ok(())
    }

    /// Where it is asked, each with a handler beside it that answers a constant: HTTP, then the unix socket.
    pub(super) async fn places(&self, asked: &Asked) -> anyhow::Result<[(Place, Place); 2]> {
        let over_http = beside::constant(&self.address, asked).await?;
        let over_http = beside::serve_at_address(over_http, "127.0.0.1:0", &self.shutdown).await?;
        let over_socket = beside::constant(&self.socket, asked).await?;
        let path = self.site.directory.join(format!("constant-{}.sock", asked.name.replace(' ', "-")));
        let over_socket = beside::serve_at_socket(over_socket, &path, &self.shutdown)?;
        Ok([(self.address.clone(), over_http), (self.socket.clone(), over_socket)])
    }

    pub(super) async fn close(self) {
        self.shutdown.begin();
        self.shutdown.wait().await;
        self.receiver.close().await;
        self.receiver.pool().close().await;
        let _ = self.site.database.clone().remove().await;
    }
}

/// What was read at the start has been given back by then.
const SETTLED: Duration = Duration::from_secs(2);
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
