//! `ssf-receiver serve`: the whole service, and what it tells a person who started it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::bail;
use ssf_common::runtime::http::{Server, UnixDoor, bind, serve as serve_http};
use ssf_common::runtime::{Env, Shutdown};
use ssf_receiver::app::{Link, Receiver};
use ssf_receiver::config::Settings;

use super::database::{Database, Role};
use super::print::print;

/// Runs until a signal.
pub(super) async fn serve(settings: Settings, env: Env) -> anyhow::Result<()> {
    let settings = Arc::new(settings);
    let shutdown = Shutdown::new(settings.server.grace.duration());
    shutdown.listen_for_signals()?;
    // First, because a taken port is the commonest fault and nothing has been touched yet.
    let listener = bind(&*settings.server.listen, "server.listen").await?;
    let socket = open_socket(&settings)?;
    let database = Database::open(&settings, Role::Owner).await?;
    let served = run(&settings, env, &database, Doors { listener, socket }, &shutdown).await;
    database.close().await;
    served
}

/// Where the service listens.
struct Doors {
    listener: tokio::net::TcpListener,
    socket: Option<UnixDoor>,
}

fn open_socket(settings: &Settings) -> anyhow::Result<Option<UnixDoor>> {
    let (path, mode) = (&settings.server.socket, settings.server.socket_mode()?);
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    Ok(Some(UnixDoor::bind(path, mode, "server.socket")?))
}

async fn run(
    settings: &Arc<Settings>,
    env: Env,
    database: &Database,
    doors: Doors,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    if !database.migrate(settings, shutdown).await? {
        return Ok(());
    }
    let receiver = Receiver::open(Arc::clone(settings), env, database.pool.clone()).await?;
    let router = receiver.router()?;
    print(&welcome(settings, database, &receiver.links()))?;
    let serving = shutdown.clone();
    // The push endpoints listen before any transmitter is told of them.
    shutdown.spawn("http", async move {
        if let Err(error) = serve_http(doors.listener, router, &serving).await {
            tracing::error!(%error, "HTTP serving ended");
            serving.begin();
        }
    });
    if let Some(socket) = doors.socket {
        let (router, serving) = (receiver.socket_router(), shutdown.clone());
        shutdown.spawn("unix socket", async move {
            if let Err(error) = Server::default().serve_unix(socket, router, &serving).await {
                tracing::error!(%error, "serving the unix socket ended");
                serving.begin();
            }
        });
    }
    receiver.spawn_workers(shutdown);
    shutdown.wait().await;
    receiver.close().await;
    match shutdown.failed() {
        Some(task) => bail!("the task {task} panicked; the service stopped so that it can be restarted"),
        None => print("ssf-receiver has stopped\n"),
    }
}

/// What runs where, and what to do next.
fn welcome(settings: &Settings, database: &Database, links: &BTreeMap<String, Link>) -> String {
    let local = settings.local_url();
    let mut text = format!("ssf-receiver is running\n\n  address    {local}\n  data       {}\n", database.location());
    if !settings.server.socket.as_os_str().is_empty() {
        let _ = writeln!(text, "  socket     {}", settings.server.socket.display());
    }
    if let Some(url) = database.psql() {
        let _ = writeln!(text, "             look inside: psql '{url}'");
    }
    for (name, link) in links {
        let upstream = &link.upstream.settings;
        let way = if upstream.is_push() { settings.push_endpoint(name) } else { "poll".to_owned() };
        let _ = writeln!(text, "  upstream   {name}: {} ({way})", upstream.issuer);
    }
    if links.is_empty() {
        text.push_str(NO_UPSTREAM);
    }
    let issuer = links.values().next();
    let issuer = issuer.map_or("http://127.0.0.1:8701", |first| first.upstream.settings.issuer.as_str());
    let first = if links.is_empty() { "After that, register a session" } else { "Register a session" };
    let is_open = settings.api.token.is_none() && settings.api.token_file.is_none();
    let authorization = if is_open { "" } else { " -H \"Authorization: Bearer $TOKEN\"" };
    let _ = write!(
        text,
        "
{first} when somebody has logged in, then ask for it:

  curl -X PUT {local}/v1/sessions/s-1{authorization} -H 'Content-Type: application/json' -d '{{
    \"issuer\": \"{issuer}\",
    \"subject\": {{\"format\": \"iss_sub\", \"iss\": \"{issuer}\", \"sub\": \"alice\"}},
    \"origin\": '$(date +%s)'}}'
  curl {local}/v1/sessions/s-1{authorization}
  ssf-receiver check s-1

"
    );
    text
}

const NO_UPSTREAM: &str = r#"  upstream   none yet

No transmitter is configured, so nothing can be received. Register this receiver with one (with ssf-transmitter:
`ssf-transmitter client add --help`), then write this to ./ssf-receiver.toml and start again:

  [upstreams.idp]
  issuer = "http://127.0.0.1:8701"
  delivery = "push"            # or "poll"
  client_id = "rp-1"
  client_secret = "…"
"#;
