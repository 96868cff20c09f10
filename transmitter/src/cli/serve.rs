//! `serve`: from settings to a running service and an orderly end.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use ssf_common::id::IssuerUrl;
use ssf_common::runtime::Env;
use ssf_common::runtime::http::bind;
use ssf_common::runtime::postgres::migrate_when_reachable;
use ssf_common::runtime::shutdown::Shutdown;
use ssf_common::runtime::telemetry;
use ssf_transmitter::admin::{self, NewClient};
use ssf_transmitter::audit::Actor;
use ssf_transmitter::client::Scope;
use ssf_transmitter::config::Settings;
use ssf_transmitter::tenant::Endpoints;
use ssf_transmitter::{MIGRATOR, Transmitter};

use super::database::{Database, sealing_key, write_secret};
use super::say;
use super::secure::{secured, watch};

/// Runs until SIGTERM or SIGINT.
pub(super) async fn serve(settings: Settings) -> anyhow::Result<()> {
    telemetry::init(&settings.log)?;
    let env = Env::system();
    let shutdown = Shutdown::new(settings.server.grace.duration());
    shutdown.listen_for_signals().context("signal handlers could not be installed")?;
    // a taken port is said before anything is started
    let listener = bind(settings.server.listen.as_str(), "server.listen").await?;
    let secured = secured(&settings, &env)?;
    watch(&secured.server, &shutdown, &env)?;
    let sealing = sealing_key(&settings, &env)?;
    let database = Database::own(&settings).await?;
    if !migrate_when_reachable(&database.pool, &settings.database.schema, &MIGRATOR, &shutdown, &*env.random).await? {
        database.close().await;
        return Ok(());
    }
    let transmitter = Arc::new(Transmitter::open(&settings, sealing, env.clone(), database.pool.clone()).await?);
    let first = [(NewClient::producer("producer"), Scope::Emit), (NewClient::operator("operator"), Scope::Admin)];
    let [producer, operator] = first_clients(&settings, &transmitter, &database, first, &env).await?;
    for other in admin::list_issuers(&database.pool).await?.iter().filter(|other| other.id != transmitter.issuer.id) {
        tracing::info!(issuer = %other.url, "serves this issuer too; `issuer remove` ends that");
        if settings.is_development() && other.url.as_str().starts_with("https://") {
            tracing::warn!(issuer = %other.url, "issuer.url is for development, so the receivers of this issuer may name push endpoints anywhere, this network included; serve it by a process of its own");
        }
    }
    if settings.is_development() && !settings.serves_tls() {
        tracing::warn!(issuer = %settings.issuer.url, "plain http: for development only, nothing on the way is protected, and receivers may be anywhere");
    }
    warn_of_other_port(&settings);
    transmitter.spawn_workers(&shutdown);
    let address = listener.local_addr().context("the listener has no address")?;
    say(&greeting(
        &settings,
        &address.to_string(),
        &database,
        [producer.as_ref(), operator.as_ref()],
        secured.authority.as_deref(),
    ))?;
    let (router, serving) = (transmitter.router(), shutdown.clone());
    // on the stop like everybody else, so that it ends when the grace does
    shutdown.spawn("http", async move {
        if let Err(error) = secured.server.serve(listener, router, &serving).await {
            tracing::error!(%error, "HTTP serving ended");
        }
        serving.begin();
    });
    shutdown.wait().await;
    drop(transmitter);
    database.close().await;
    match shutdown.failed() {
        Some(task) => anyhow::bail!("the task {task} failed, and with it the service"),
        None => Ok(()),
    }
}

/// Where a first client's token is kept.
struct TokenFile {
    path: String,
    /// Whether it is good at the issuer in force.
    is_good: bool,
}

/// A private cluster gets a producer and an operator at its first start, so that a new user can emit and look at once.
/// Returns the files with their tokens. A file may be of a time when `issuer.url` was another, and its token with it.
async fn first_clients<const N: usize>(
    settings: &Settings,
    transmitter: &Transmitter,
    database: &Database,
    clients: [(NewClient, Scope); N],
    env: &Env,
) -> anyhow::Result<[Option<TokenFile>; N]> {
    let mut files = [const { None }; N];
    if !settings.is_embedded() {
        return Ok(files);
    }
    for ((client, scope), kept) in clients.iter().zip(&mut files) {
        // with development certificates the issuer is another one, and a token is good at one issuer only
        let suffix = if settings.tls.development { "-dev-tls" } else { "" };
        let file = settings.data_file(&format!("{}{suffix}.token", client.client_id));
        if !file.exists() && !admin::was_client(&database.pool, &transmitter.issuer, &client.client_id).await? {
            let added = admin::add_client(&database.pool, &transmitter.issuer, client, &Actor::Service, env).await?;
            if let Some(token) = added.and_then(|credentials| credentials.token) {
                write_secret(&file, secrecy::ExposeSecret::expose_secret(&token))?;
            }
        }
        // one that was removed has left its file behind, and so has one of another issuer
        let Ok(token) = std::fs::read_to_string(&file) else { continue };
        let (token, issuer) = (token.trim().to_owned().into(), &transmitter.issuer);
        let is_good = admin::is_good_for(&database.pool, issuer, &token, *scope, env).await?;
        *kept = Some(TokenFile { path: file.display().to_string(), is_good });
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
    [producer, operator]: [Option<&TokenFile>; 2],
    authority: Option<&Path>,
) -> String {
    let issuer = &settings.issuer.url;
    let scheme = if settings.serves_tls() { "https" } else { "http" };
    let mut lines = vec![format!("ssf-transmitter listens on {scheme}://{address} as issuer {issuer}")];
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
    match authority {
        Some(authority) => {
            let authority = authority.display();
            lines.push(
                "development: TLS with a certificate of our own, so receivers may be plain http and private".to_owned(),
            );
            lines.push(format!("clients must trust the authority in {authority}:"));
            lines.push(format!("  curl --cacert {authority} {}", well_known(issuer)));
        }
        None if settings.is_development() => {
            lines.push(
                "development: the issuer is plain http on loopback, so receivers may be plain http too".to_owned(),
            );
        }
        None if !settings.serves_tls() => {
            lines.push(
                "plain http is served here: a proxy in front must end TLS; tls.certificate_file ends it here"
                    .to_owned(),
            );
        }
        None => {}
    }
    lines.push(format!("metadata: {}", well_known(issuer)));
    lines.push(format!("every endpoint, to be read and tried: {issuer}/docs"));
    let trusting = authority.map(|authority| format!("--cacert {} ", authority.display())).unwrap_or_default();
    let at = if authority.is_some() { format!(" --issuer {issuer}") } else { String::new() };
    match producer {
        Some(TokenFile { path, is_good: true }) => {
            lines.push(format!("a producer's token is in {path}; decide that a session is over:"));
            lines.push(format!(
                "  curl {trusting}-X POST {issuer}/events -H \"Authorization: Bearer $(cat {path})\" \\\n       -d '{{\"type\":\"session-revoked\",\"subject\":{{\"format\":\"opaque\",\"id\":\"session-1\"}}}}'"
            ));
            lines.push(format!(
                "register a receiver: ssf-transmitter client add my-app --audience https://app.example{at}"
            ));
        }
        Some(TokenFile { path, is_good: false }) => {
            lines.push(format!("the token in {path} is no producer's of this issuer; a new one:"));
            lines.push(format!("  ssf-transmitter client add my-idp --producer --issuer {issuer}"));
        }
        None => {}
    }
    match operator {
        Some(TokenFile { path, is_good: true }) => {
            lines.push(format!("an operator's token for the admin API is in {path}; how the streams are:"));
            lines
                .push(format!("  curl {trusting}{issuer}/admin/v1/streams -H \"Authorization: Bearer $(cat {path})\""));
        }
        Some(TokenFile { path, is_good: false }) => {
            lines.push(format!("the token in {path} is no operator's; a new one:"));
            lines.push(format!("  ssf-transmitter client add my-ops --operator --issuer {issuer}"));
        }
        None => {}
    }
    lines.join("\n")
}

/// The document stands between host and path (SSF 1.0 §7.2.1).
fn well_known(issuer: &IssuerUrl) -> String {
    Endpoints::of(issuer).well_known("ssf-configuration")
}
