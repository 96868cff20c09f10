//! `client add|list|remove`; what it does to credentials later stands in `credential`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, value_parser};
use secrecy::ExposeSecret as _;
use serde_json::json;
use ssf_common::jwks::Algorithm;
use ssf_common::runtime::Env;
use ssf_transmitter::admin::{self, Credentials, ListedClient, MAX_PAGE, NewClient};
use ssf_transmitter::client::{AuthMethod, Profile, Scope, Scopes};
use ssf_transmitter::config::{MAX_STREAMS, Settings};
use ssf_transmitter::issuer::Issuer;

use super::credential;
use super::database::{Begins, Database, actor, on_database};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Adds a receiver (with --audience), a producer (with --producer) or an operator (with --operator) and prints its
    /// credentials, once.
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
    #[command(flatten)]
    Credential(credential::Command),
}

impl Command {
    /// A client may be added before the first start.
    fn begins(&self) -> Begins {
        if matches!(self, Self::Add(_)) { Begins::Maybe } else { Begins::Never }
    }
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Add {
    /// The name the client authenticates with.
    #[arg(value_parser = client_name)]
    client_id: String,
    /// A receiver: the `aud` of its SETs. May be given several times.
    #[arg(long, value_name = "AUD", required_unless_present_any = ["producer", "operator", "scope"], value_parser = NonEmptyStringValueParser::new())]
    audience: Vec<String>,
    /// A producer: may emit decisions, has no streams.
    #[arg(long, conflicts_with = "audience")]
    producer: bool,
    /// Somebody who operates the whole service: may use the admin API of every issuer, and add and remove issuers.
    #[arg(long, conflicts_with_all = ["audience", "producer", "scope"])]
    operator: bool,
    /// Scopes instead of the usual ones: ssf.read, ssf.manage, ssf.emit, ssf.admin. May be given several times.
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<Scope>,
    /// How many streams a receiver may have; as its issuer says if left out.
    #[arg(long, value_name = "N", conflicts_with_all = ["producer", "operator"], value_parser = value_parser!(u32).range(..=i64::from(MAX_STREAMS)))]
    max_streams: Option<u32>,
    /// How a receiver's new streams are signed: RS256, PS256, ES256 or EdDSA; as the issuer's if left out. An algorithm that
    /// nobody used before takes effect when its first key has been published for keys.publish_ahead.
    #[arg(long, value_name = "ALG", conflicts_with_all = ["producer", "operator"])]
    algorithm: Option<Algorithm>,
    /// legacy: a receiver that speaks the words of old RISC (its delivery URIs, `format`), and is answered so.
    #[arg(long, default_value = "strict", value_name = "strict|legacy", conflicts_with_all = ["producer", "operator"])]
    profile: Profile,
    /// A static bearer token instead of a secret for the token endpoint. Producers and operators get one unless they are
    /// given --auth-method.
    #[arg(long)]
    token: bool,
    #[command(flatten)]
    method: credential::Method,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Runs one of them.
pub(super) async fn run(settings: &Settings, at: Option<&str>, command: Command) -> anyhow::Result<()> {
    let env = Env::system();
    on_database(settings, command.begins(), async |database| work(settings, at, database, command, &env).await).await
}

async fn work(
    settings: &Settings,
    at: Option<&str>,
    database: &Database,
    command: Command,
    env: &Env,
) -> anyhow::Result<String> {
    let issuer = match command.begins() {
        Begins::Maybe => database.issuer_to_be(settings, at, env).await?,
        Begins::Never => database.issuer(settings, at).await?,
    };
    match command {
        Command::Add(add) => {
            let new = add.client(settings, &issuer)?;
            let credentials = admin::add_client(&database.pool, &issuer, &new, &actor(), env).await?;
            let credentials = credentials.ok_or_else(|| {
                anyhow::anyhow!("there is a client named {}; remove it first or choose another name", add.client_id)
            })?;
            Ok(add.show(&issuer, &new, &credentials))
        }
        Command::List { json } => {
            let clients = all(database, &issuer).await?;
            let lines = clients.iter().map(|listed| {
                let client = &listed.client;
                if json {
                    return json!({
                        "client_id": client.client_id, "scopes": client.scopes.to_string(), "audience": client.audience,
                        "streams": listed.streams, "max_streams": client.max_streams, "auth_method": listed.auth_method.as_str(),
                        "has_secret": listed.has_secret,
                        "algorithm": listed.algorithm,
                        "profile": client.profile.as_str(),
                        "created_at": listed.created_at,
                    })
                    .to_string();
                }
                let audience = if client.audience.is_empty() { "-".to_owned() } else { client.audience.join(",") };
                let algorithm =
                    listed.algorithm.map_or(String::new(), |algorithm| format!("  signed with {algorithm}"));
                format!(
                    "{:<24} {:<28} {:<40} {:<20} streams {}/{}{algorithm}",
                    client.client_id.as_str(),
                    client.scopes.to_string(),
                    audience,
                    listed.auth_method.as_str(),
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
            let removed =
                admin::remove_client(&database.pool, &issuer, &client_id.as_str().into(), &actor(), env).await?;
            anyhow::ensure!(removed, "there is no client named {client_id}");
            Ok(format!("removed {client_id}: its tokens have ended and its streams are disabled"))
        }
        Command::Credential(command) => credential::work(settings, database, &issuer, command, env).await,
    }
}

async fn all(database: &Database, issuer: &Issuer) -> anyhow::Result<Vec<ListedClient>> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = admin::list_clients(&database.pool, issuer, &after, MAX_PAGE).await?;
        all.extend(page.items);
        match page.next {
            Some(next) => after = next,
            None => return Ok(all),
        }
    }
}

fn client_name(text: &str) -> Result<String, &'static str> {
    if (1..=1_024).contains(&text.len()) && !text.contains(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err("a name has 1 to 1024 bytes and no control characters")
    }
}

impl Add {
    fn client(&self, settings: &Settings, issuer: &Issuer) -> anyhow::Result<NewClient> {
        let name = &self.client_id;
        let mut new = match (self.operator, self.producer) {
            (true, _) => NewClient::operator(name),
            (false, true) => NewClient::producer(name),
            (false, false) => NewClient::receiver(name, ""),
        };
        if !self.producer && !self.operator {
            new.audience.clone_from(&self.audience);
            new.max_streams = self.max_streams.or(issuer.own.max_streams).unwrap_or(settings.streams.max_streams);
            new.algorithm = self.algorithm;
            new.profile = self.profile;
            new.with_token = self.token;
            new.with_secret = !self.token;
        }
        if !self.scope.is_empty() {
            new.scopes = self.scope.iter().copied().collect::<Scopes>();
        }
        anyhow::ensure!(
            !new.scopes.allow(Scope::Read) || !new.audience.is_empty(),
            "a receiver needs an audience, the aud of its SETs: --audience URL"
        );
        if let Some(authentication) = self.method.chosen(settings, issuer)? {
            // a producer or an operator that is given a method needs no static token
            new.with_token = self.token;
            new.with_secret = authentication.has_secret();
            anyhow::ensure!(
                !self.operator || authentication.method() != AuthMethod::Outside,
                "an operator needs a credential of ours, not an outside server's"
            );
            new.authentication = authentication;
        }
        Ok(new)
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
        let shown = if secret.is_some() || token.is_some() { "; these are shown only now:" } else { ":" };
        let mut lines = vec![format!("added {} ({}){shown}", self.client_id, new.scopes)];
        lines.push(format!("issuer         {}", issuer.url));
        lines.push(format!("client_id      {}", self.client_id));
        lines.extend(secret.map(|secret| format!("client_secret  {secret}")));
        lines.extend(token.map(|token| format!("token          {token}")));
        lines.join("\n")
    }
}
