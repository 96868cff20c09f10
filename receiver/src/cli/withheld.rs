//! `ssf-receiver withheld …`: what issuers decided that they may not decide here. The commands work on the database; every
//! running process hears of what is applied at once.

use std::fmt::Write as _;

use clap::Subcommand;
use ssf_common::runtime::{Env, Shutdown};
use ssf_receiver::audit::Actor;
use ssf_receiver::config::Settings;
use ssf_receiver::withheld::{self, Settled};

use super::database::{Database, Role};
use super::print::{print, print_json};

/// Kept without effect until somebody decides; audited.
#[derive(Debug, Subcommand)]
pub(super) enum Withheld {
    /// What waits, the oldest first
    List {
        /// Only of this upstream
        #[arg(long, value_name = "NAME")]
        upstream: Option<String>,
        /// Also what was applied or discarded
        #[arg(long)]
        all: bool,
        /// Only those after this number
        #[arg(long, default_value_t = 0)]
        after: i64,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1_000))]
        limit: i64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Let one take effect, from the time at which the issuer decided it
    Apply {
        /// Its number
        id: i64,
    },
    /// Let one never take effect
    Discard {
        /// Its number
        id: i64,
    },
}

impl Withheld {
    pub(super) async fn run(self, settings: Settings, env: Env) -> anyhow::Result<()> {
        let database = Database::open(&settings, Role::Guest).await?;
        let done = match database.migrate(&settings, &Shutdown::default()).await {
            Ok(_) => self.call(&database, &env).await,
            Err(error) => Err(error),
        };
        database.close().await;
        done
    }

    async fn call(self, database: &Database, env: &Env) -> anyhow::Result<()> {
        let actor = Actor::CommandLine(rustix::process::getuid().as_raw());
        match self {
            Self::List { upstream, all, after, limit, json } => {
                let held = withheld::list(&database.pool, upstream.as_deref(), all, after, limit).await?;
                if json {
                    return print_json(&held);
                }
                let mut text = String::new();
                for one in &held {
                    let _ = writeln!(
                        text,
                        "{:>6}  {:<9}  {}  {}  {} would {}  held back: {}  SET {}",
                        one.id,
                        one.state,
                        one.received_at,
                        one.upstream,
                        one.event_type,
                        one.effect,
                        one.reason,
                        one.jti
                    );
                }
                print(if text.is_empty() { "nothing is withheld\n" } else { &text })
            }
            Self::Apply { id } => {
                withheld::settle(&database.pool, env, id, Settled::Applied, &actor).await?;
                print("it is in force\n")
            }
            Self::Discard { id } => {
                withheld::settle(&database.pool, env, id, Settled::Discarded, &actor).await?;
                print("it is discarded\n")
            }
        }
    }
}
