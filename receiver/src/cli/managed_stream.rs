//! `ssf-receiver managed-stream …`: one management call each about the stream that the service keeps for an upstream, as its
//! database says. Streams are driven by hand with `ssf-receiver stream …`, which has no database.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use ssf_common::id::StreamId;
use ssf_common::protocol::StreamConfiguration;
use ssf_common::runtime::{Env, Shutdown};
use ssf_receiver::app::{Link, Receiver};
use ssf_receiver::config::Settings;
use ssf_receiver::upstream::state::{Entry, What};
use ssf_receiver::upstream::store;

use super::database::{Database, Role};
use super::print::print_json;

/// One call about a stream of the service.
#[derive(Debug, Subcommand)]
pub(super) enum ManagedStream {
    /// Create the stream, or adopt the one that is there (the service does this by itself)
    Create(Which),
    /// Read the stream's configuration
    Read(Which),
    /// Delete the stream; a running service would create it again, so stop it or remove the upstream first
    Delete(Which),
    /// Read the stream's status
    Status(Which),
    /// Ask for a verification event
    Verify(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The upstream, as it is called here
    #[arg(long, value_name = "NAME")]
    upstream: String,
}

impl ManagedStream {
    pub(super) async fn run(self, settings: Settings, env: Env) -> anyhow::Result<()> {
        let (Self::Create(which) | Self::Read(which) | Self::Delete(which) | Self::Status(which) | Self::Verify(which)) =
            &self;
        let name = which.upstream.clone();
        let database = Database::open(&settings, Role::Guest).await?;
        // As `serve` does: a command may be the first thing that is ever run here.
        let done = match database.migrate(&settings, &Shutdown::default()).await {
            Ok(_) => self.call(settings, &name, &database, env).await,
            Err(error) => Err(error),
        };
        database.close().await;
        done
    }

    async fn call(self, settings: Settings, name: &str, database: &Database, env: Env) -> anyhow::Result<()> {
        let receiver = Receiver::open(Arc::new(settings), env.clone(), database.pool.clone()).await?;
        let Some(link) = receiver.upstream(name) else {
            let known: Vec<String> = receiver.links().into_keys().collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            bail!(
                "upstreams.{name} is neither in the settings nor made by `ssf-receiver upstream add`; correct --upstream or add it (there now: {known})"
            );
        };
        let link = &link;
        let (client, metadata) = (&link.upstream.client, link.keeper.metadata().await?);
        match self {
            Self::Create(_) => print_json(&shown(link.keeper.create().await?)),
            Self::Read(_) => print_json(&shown(client.read(&metadata, &held(link)?).await?)),
            Self::Status(_) => print_json(&client.status(&metadata, &held(link)?).await?),
            Self::Delete(_) => {
                let stream_id = held(link)?;
                client.delete(&metadata, &stream_id).await?;
                let db = &mut *database.pool.acquire().await?;
                store::release_stream(db, link.upstream.id, env.now()).await?;
                let told = Entry::because(What::Released, stream_id.as_str(), env.now());
                store::record(db, link.upstream.id, &[told]).await?;
                print_json(&json!({"deleted": stream_id}))
            }
            Self::Verify(_) => {
                let stream_id = held(link)?;
                match link.keeper.verify(&stream_id, env.now()).await? {
                    Some(_) => print_json(&json!({"stream_id": stream_id, "verification": "requested"})),
                    None => bail!("the transmitter does not announce a `verification_endpoint`"),
                }
            }
        }
    }
}

fn held(link: &Link) -> anyhow::Result<StreamId> {
    let name = &link.upstream.name;
    link.upstream.held().stream_id.clone().with_context(|| {
        format!("upstream {name} has no stream yet; run `ssf-receiver managed-stream create --upstream {name}`")
    })
}

/// Some transmitters echo the credential with which they push.
fn shown(mut answer: StreamConfiguration) -> StreamConfiguration {
    answer.delivery.authorization_header = None;
    answer
}
