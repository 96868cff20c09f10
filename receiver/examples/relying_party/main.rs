//! A relying party: a shop whose pages stand behind the guard of its receiver. Log in, fill a cart, then let the identity
//! provider revoke the session (it is over, the cart is gone) or ask for a revalidation (the next page sends you to the
//! identity provider and back, and the cart is still there).
//!
//! ```text
//! cargo run -p ssf-receiver --example relying_party [-- 127.0.0.1:8720]
//! ```
//!
//! All by itself: a tiny identity provider (`idp.rs`) and the receiver, on a private PostgreSQL that is gone with it, run
//! in the same program; the shop (`shop.rs`) speaks to both over HTTP only.

mod idp;
mod shop;

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use ssf_common::runtime::config::Layers;
use ssf_common::runtime::postgres::cluster::{Cluster, ClusterOptions};
use ssf_common::runtime::{Env, Shutdown, http as server, postgres, telemetry};
use ssf_receiver::app::Receiver;
use ssf_receiver::config::{DEFAULTS, Settings};
use ssf_receiver::{MIGRATIONS, SCHEMA};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let env = Env::system();
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8720".to_owned());
    let shop = server::bind(&*listen, "the first argument").await?;
    let (idp, api) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let address = |listener: &TcpListener| listener.local_addr().map(|address| format!("http://{address}"));
    let (shop_at, idp_at, api_at) = (address(&shop)?, address(&idp)?, address(&api)?);

    let directory = std::env::temp_dir().join(format!("ssf-example-rp-{}", std::process::id()));
    let settings = settings(&idp_at, api_at.trim_start_matches("http://"), &directory)?;
    telemetry::init(&settings.log)?;
    let shutdown = Shutdown::new(settings.server.grace.duration());
    shutdown.listen_for_signals()?;
    let cluster = Cluster::start(ClusterOptions::new(&directory)).await?;
    cluster.ensure_database("rp").await?;
    let pool = postgres::connect(cluster.options("rp"), SCHEMA, 8, "example").await?;
    postgres::migrate(&pool, SCHEMA, &MIGRATIONS).await?;

    let receiver = Receiver::open(settings, env.clone(), pool.clone()).await?;
    serve("receiver", api, receiver.router()?, &shutdown);
    serve("identity provider", idp, idp::router(&idp_at, env.clone())?, &shutdown);
    receiver.spawn_workers(&shutdown);
    let shop_router = shop::router(&shop_at, &idp_at, &api_at, env)?;
    serve("shop", shop, shop_router, &shutdown);
    writeln!(
        std::io::stdout(),
        "the shop is at {shop_at}, its identity provider at {idp_at}, its receiver at {api_at}"
    )?;

    shutdown.wait().await;
    receiver.close().await;
    drop(receiver);
    pool.close().await;
    cluster.stop().await;
    std::fs::remove_dir_all(&directory).context("the private server's directory stays")
}

/// The receiver of the shop: one upstream, pushed.
fn settings(issuer: &str, listen: &str, directory: &std::path::Path) -> anyhow::Result<Arc<Settings>> {
    let data = directory.display().to_string();
    let overrides = [
        ("server.listen", listen),
        ("data.dir", &data),
        ("log.filter", "warn"),
        ("upstreams.idp.issuer", issuer),
        ("upstreams.idp.delivery", "push"),
        ("upstreams.idp.token", idp::TOKEN),
    ];
    let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let layers = Layers { environment: Vec::new(), overrides, ..Layers::new("receiver", DEFAULTS) };
    Ok(Arc::new(Settings::load(&layers)?))
}

fn serve(name: &'static str, listener: TcpListener, router: Router, shutdown: &Shutdown) {
    let serving = shutdown.clone();
    shutdown.spawn(name, async move {
        if let Err(error) = server::serve(listener, router, &serving).await {
            tracing::error!(%error, "serving ended");
            serving.begin();
        }
    });
}
