//! What `serve` listens with: the bounds of the settings, and TLS from files or, for development, from an authority of our
//! own; SIGHUP has the files read again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Resource, getrlimit, setrlimit};
use ssf_common::runtime::Env;
use ssf_common::runtime::http::Server;
use ssf_common::runtime::shutdown::Shutdown;
use ssf_common::runtime::tls::{Reload, Tls, TlsFiles, development};
use ssf_common::runtime::worker::{Wake, Worker as _, run};
use ssf_transmitter::config::Settings;
use tokio::signal::unix::{SignalKind, signal};

/// A server, and the authority its clients must be told to trust, if it is one of our own.
pub(super) struct Secured {
    pub(super) server: Server,
    pub(super) authority: Option<PathBuf>,
}

/// Makes the server; files that cannot be used stop the start.
pub(super) fn secured(settings: &Settings, env: &Env) -> anyhow::Result<Secured> {
    raise_file_limit();
    let limits = settings.connection_limits();
    let (files, authority) = if settings.tls.development {
        let (files, authority) = development_files(settings, env)?;
        (Some(files), Some(authority))
    } else {
        (settings.tls_files(), None)
    };
    let tls = files.map(|files| Tls::open(files, Arc::clone(&env.clock))).transpose()?;
    Ok(Secured { server: Server { limits, tls }, authority })
}

/// Reads the certificate again when its files change, and at SIGHUP. Without TLS the signal changes nothing, and ends
/// nothing either.
pub(super) fn watch(server: &Server, shutdown: &Shutdown, env: &Env) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("signal handlers could not be installed")?;
    let reload = server.tls.clone().map(|tls| Arc::new(Reload::new(tls)));
    let wake = Wake::new();
    if let Some(reload) = &reload {
        let worker = run(Arc::clone(reload), wake.clone(), LOOK_EVERY, shutdown.clone(), Arc::clone(&env.random));
        shutdown.spawn(Reload::NAME, worker);
    }
    let soft = shutdown.soft().clone();
    shutdown.spawn("SIGHUP", async move {
        loop {
            tokio::select! {
                () = soft.cancelled() => return,
                _ = hangup.recv() => {}
            }
            if let Some(reload) = &reload {
                reload.ask();
                wake.wake();
            } else {
                tracing::info!("SIGHUP: there is nothing to be read again, for TLS is not served here");
            }
        }
    });
    Ok(())
}

fn development_files(settings: &Settings, env: &Env) -> anyhow::Result<(TlsFiles, PathBuf)> {
    let issuer: url::Url = settings.issuer.url.as_str().parse().context("issuer.url")?;
    let host = issuer.host_str().unwrap_or("localhost").trim_matches(['[', ']']).to_owned();
    let made = development(&settings.data_file("tls"), &host, env.now(), &*env.random)?;
    let authority = std::path::absolute(Path::new(&made.authority)).unwrap_or_else(|_| made.authority.clone());
    let files = TlsFiles {
        certificate: made.certificate,
        key: made.key,
        client_ca: settings.client_ca(),
        client_certificates: settings.tls.client_certificates,
    };
    Ok((files, authority))
}

/// A connection is an open file, and many systems begin with 1,024 of them while they allow more.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "the limit of open files could not be raised");
        }
    }
}

/// How late a changed certificate is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(3);
