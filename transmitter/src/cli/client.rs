//! `client add|list|remove`.

use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use serde_json::json;
use ssf_common::runtime::Env;
use ssf_transmitter::admin::{self, Credentials, NewClient};
use ssf_transmitter::client::{Profile, Scope, Scopes};
use ssf_transmitter::config::Settings;
use ssf_transmitter::issuer::Issuer;

use super::database::Database;
use super::say;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Adds a receiver (with --audience) or a producer (with --producer) and prints its credentials, once.
    Add(Add),
    /// Lists the clients.
    List {
        /// As JSON, one object per line.
        #[arg(long)]
        json: bool,
    },
    /// Removes a client: its tokens end and its streams are disabled at once.
    Remove {
        /// Its name.
        client_id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The name the client authenticates with.
    client_id: String,
    /// A receiver: the `aud` of its SETs. May be given several times.
    #[arg(long, value_name = "AUD", required_unless_present = "producer")]
    audience: Vec<String>,
    /// A producer: may emit decisions, has no streams.
    #[arg(long, conflicts_with = "audience")]
    producer: bool,
    /// Scopes instead of the usual ones: ssf.read, ssf.manage, ssf.emit, ssf.admin. May be given several times.
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<Scope>,
    /// How many streams a receiver may have.
    #[arg(long, default_value_t = 1, value_name = "N")]
    max_streams: u32,
    /// legacy: a receiver that speaks the words of old RISC (its delivery URIs, `format`), and is answered so.
    #[arg(long, default_value = "strict", value_name = "strict|legacy")]
    profile: Profile,
    /// A static bearer token instead of a secret for the token endpoint. Producers always get one.
    #[arg(long)]
    token: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Runs one of them.
pub(super) async fn run(settings: &Settings, at: Option<&str>, command: Command) -> anyhow::Result<()> {
    let env = Env::system();
    let database = Database::visit(settings).await?;
    let done = work(settings, at, &database, command, &env).await;
    database.close().await;
    say(&done?)
}

async fn work(
    settings: &Settings,
    at: Option<&str>,
    database: &Database,
    command: Command,
    env: &Env,
) -> anyhow::Result<String> {
    let issuer = database.issuer(settings, at, env).await?;
    match command {
        Command::Add(add) => {
            let new = add.client();
            let credentials = admin::add_client(&database.pool, &issuer, &new, env).await?;
            let credentials = credentials.ok_or_else(|| {
                anyhow::anyhow!("there is a client named {}; remove it first or choose another name", add.client_id)
            })?;
            Ok(add.show(&issuer, &new, &credentials))
        }
        Command::List { json } => {
            let clients = admin::list_clients(&database.pool, &issuer).await?;
            let lines = clients.iter().map(|listed| {
                let client = &listed.client;
                if json {
                    return json!({
                        "client_id": client.client_id, "scopes": client.scopes.to_string(), "audience": client.audience,
                        "streams": listed.streams, "max_streams": client.max_streams, "has_secret": listed.has_secret,
                        "profile": client.profile.as_str(),
                        "created_at": listed.created_at,
                    })
                    .to_string();
                }
                let audience = if client.audience.is_empty() { "-".to_owned() } else { client.audience.join(",") };
                format!(
                    "{:<24} {:<28} {:<40} streams {}/{}",
                    client.client_id.as_str(),
                    client.scopes.to_string(),
                    audience,
                    listed.streams,
                    client.max_streams
                )
            });
            let lines: Vec<String> = lines.collect();
            Ok(if lines.is_empty() && !json {
                "there are no clients; add one with: ssf-transmitter client add NAME --audience URL".to_owned()
            } else {
                lines.join("\n")
            })
        }
        Command::Remove { client_id } => {
            let removed = admin::remove_client(&database.pool, &issuer, &client_id.as_str().into(), env).await?;
            anyhow::ensure!(removed, "there is no client named {client_id}");
            Ok(format!("removed {client_id}: its tokens have ended and its streams are disabled"))
        }
    }
}

impl Add {
    fn client(&self) -> NewClient {
        let mut new =
            if self.producer { NewClient::producer(&self.client_id) } else { NewClient::receiver(&self.client_id, "") };
        if !self.producer {
            new.audience.clone_from(&self.audience);
            new.max_streams = self.max_streams;
            new.profile = self.profile;
            new.with_token = self.token;
            new.with_secret = !self.token;
        }
        if !self.scope.is_empty() {
            new.scopes = self.scope.iter().copied().collect::<Scopes>();
        }
        new
    }

    fn show(&self, issuer: &Issuer, new: &NewClient, credentials: &Credentials) -> String {
        let secret = credentials.secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        let token = credentials.token.as_ref().map(|token| token.expose_secret().to_owned());
        if self.json {
            return json!({
                "issuer": issuer.url, "client_id": new.client_id, "client_secret": secret, "token": token,
                "scopes": new.scopes.to_string(), "audience": new.audience,
            })
            .to_string();
        }
        let mut lines = vec![format!("added {} ({}); these are shown only now:", self.client_id, new.scopes)];
        lines.push(format!("issuer         {}", issuer.url));
        lines.push(format!("client_id      {}", self.client_id));
        lines.extend(secret.map(|secret| format!("client_secret  {secret}")));
        lines.extend(token.map(|token| format!("token          {token}")));
        lines.join("\n")
    }
}
