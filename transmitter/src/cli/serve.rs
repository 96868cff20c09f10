//! `serve`: from settings to a running service and an orderly end.

use std::sync::Arc;

use anyhow::Context as _;
use ssf_common::runtime::Env;
use ssf_common::runtime::http::{bind, serve as serve_http};
use ssf_common::runtime::postgres::migrate_when_reachable;
use ssf_common::runtime::shutdown::Shutdown;
use ssf_common::runtime::telemetry;
use ssf_transmitter::admin::{self, NewClient};
use ssf_transmitter::audit::Actor;
use ssf_transmitter::config::Settings;
use ssf_transmitter::{MIGRATOR, Transmitter};

use super::database::{Database, sealing_key, write_secret};
use super::say;

/// Runs until SIGTERM or SIGINT.
pub(super) async fn serve(settings: Settings) -> anyhow::Result<()> {
    telemetry::init(&settings.log)?;
    let env = Env::system();
    let shutdown = Shutdown::new(settings.server.grace.duration());
    shutdown.listen_for_signals().context("signal handlers could not be installed")?;
    // a taken port is said before anything is started
    let listener = bind(settings.server.listen.as_str(), "server.listen").await?;
    let sealing = sealing_key(&settings, &env)?;
    let database = Database::own(&settings).await?;
    if !migrate_when_reachable(&database.pool, &settings.database.schema, &MIGRATOR, &shutdown, &*env.random).await? {
        database.close().await;
        return Ok(());
    }
    let transmitter = Arc::new(Transmitter::open(&settings, sealing, env.clone(), database.pool.clone()).await?);
    let first = [NewClient::producer("producer"), NewClient::operator("operator")];
    let [producer, operator] = first_clients(&settings, &transmitter, &database, first, &env).await?;
    for other in admin::list_issuers(&database.pool).await?.iter().filter(|other| other.id != transmitter.issuer.id) {
        tracing::info!(issuer = %other.url, "serves this issuer too; `issuer remove` ends that");
    }
    warn_of_other_port(&settings);
    transmitter.spawn_workers(&shutdown);
    let address = listener.local_addr().context("the listener has no address")?;
    say(&greeting(&settings, &address.to_string(), &database, producer.as_deref(), operator.as_deref()))?;
    serve_http(listener, transmitter.router(), &shutdown).await.context("the HTTP server failed")?;
    shutdown.begin();
    shutdown.wait().await;
    drop(transmitter);
    database.close().await;
    match shutdown.failed() {
        Some(task) => anyhow::bail!("the task {task} failed, and with it the service"),
        None => Ok(()),
    }
}

/// A private cluster gets a producer and an operator at its first start, so that a new user can emit and look at once.
/// Returns the files with their tokens.
async fn first_clients<const N: usize>(
    settings: &Settings,
    transmitter: &Transmitter,
    database: &Database,
    clients: [NewClient; N],
    env: &Env,
) -> anyhow::Result<[Option<String>; N]> {
    let mut files = [const { None }; N];
    if !settings.is_embedded() {
        return Ok(files);
    }
    for (client, kept) in clients.iter().zip(&mut files) {
        let file = settings.data_file(&format!("{}.token", client.client_id));
        if !file.exists() {
            let added = admin::add_client(&database.pool, &transmitter.issuer, client, &Actor::Service, env).await?;
            if let Some(token) = added.and_then(|credentials| credentials.token) {
                write_secret(&file, secrecy::ExposeSecret::expose_secret(&token))?;
            }
        }
        *kept = file.exists().then(|| file.display().to_string());
    }
    Ok(files)
}

/// A loopback issuer is where we listen; with one changed and not the other, nobody finds us.
fn warn_of_other_port(settings: &Settings) {
    let port = settings.server.listen.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let issuer = settings.issuer.url.as_str().parse::<url::Url>().ok().and_then(|url| url.port_or_known_default());
    if settings.is_development() && port.is_some() && port != issuer {
        tracing::warn!(server.listen = settings.server.listen, issuer.url = %settings.issuer.url, "server.listen and issuer.url name different ports; receivers will look for us at the issuer's: set issuer.url too");
    }
}

fn greeting(
    settings: &Settings,
    address: &str,
    database: &Database,
    producer: Option<&str>,
    operator: Option<&str>,
) -> String {
    let issuer = &settings.issuer.url;
    let mut lines = vec![format!("ssf-transmitter listens on http://{address} as issuer {issuer}")];
    match &database.cluster {
        Some(cluster) => {
            let location = cluster.location().display();
            lines.push(format!(
                "data: a private PostgreSQL cluster in {location}, kept over restarts; look into it with"
            ));
            lines.push(format!("  psql '{}'", cluster.url(super::database::DATABASE)));
        }
        None => lines.push(format!("data: the configured server, schema {}", settings.database.schema)),
    }
    if settings.is_development() {
        lines.push("development: the issuer is plain http on loopback, so receivers may be plain http too".to_owned());
    }
    lines.push(format!("metadata: {issuer}/.well-known/ssf-configuration"));
    lines.push(format!("every endpoint, to be read and tried: {issuer}/docs"));
    if let Some(file) = producer {
        lines.push(format!("a producer's token is in {file}; decide that a session is over:"));
        lines.push(format!(
            "  curl -X POST {issuer}/events -H \"Authorization: Bearer $(cat {file})\" \\\n       -d '{{\"type\":\"session-revoked\",\"subject\":{{\"format\":\"opaque\",\"id\":\"session-1\"}}}}'"
        ));
        lines.push("register a receiver: ssf-transmitter client add my-app --audience https://app.example".to_owned());
    }
    if let Some(file) = operator {
        lines.push(format!("an operator's token for the admin API is in {file}; how the streams are:"));
        lines.push(format!("  curl {issuer}/admin/v1/streams -H \"Authorization: Bearer $(cat {file})\""));
    }
    lines.join("\n")
}
