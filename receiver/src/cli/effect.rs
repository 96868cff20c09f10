//! `ssf-receiver effect …`: what the application was to be told, as the database says; what it did not take is sent again.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;
use ssf_common::runtime::{Env, Shutdown};
use ssf_receiver::audit::Actor;
use ssf_receiver::config::Settings;
use ssf_receiver::effects::EffectId;
use ssf_receiver::effects::desk::{self, Again, Standing};

use super::database::{Database, Role};
use super::print::print_json;

/// Callbacks, seen from the operator's side.
#[derive(Debug, Subcommand)]
pub(super) enum Effect {
    /// How each target stands: what waits, what was given up, what is wrong
    Targets,
    /// Callbacks that were given up, or with --waiting those not taken yet
    List(List),
    /// One effect, and which targets have not taken it
    Show(Show),
    /// Send dead letters again, or one effect whoever has it already
    Replay(Replay),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only of this target
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Those that still wait
    #[arg(long)]
    waiting: bool,
    /// Only those after this position
    #[arg(long, default_value_t = 0)]
    after: i64,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1_000))]
    limit: i64,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The effect's id: `webhook-id` of a callback
    id: EffectId,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Replay {
    /// To this target; without --id all its dead letters
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// This effect, dead or taken; without --target to all targets
    #[arg(long, value_name = "ID")]
    id: Option<EffectId>,
}

impl Effect {
    pub(super) async fn run(self, settings: Settings, env: Env) -> anyhow::Result<()> {
        let database = Database::open(&settings, Role::Guest).await?;
        // As `serve` does: a command may be the first thing that is ever run here.
        let done = match database.migrate(&settings, &Shutdown::default()).await {
            Ok(_) => self.answer(&database, &env).await,
            Err(error) => Err(error),
        };
        database.close().await;
        done
    }

    async fn answer(self, database: &Database, env: &Env) -> anyhow::Result<()> {
        let pool = &database.pool;
        match self {
            Self::Targets => print_json(&desk::targets(&mut *pool.acquire().await?).await?),
            Self::List(List { target, waiting, after, limit }) => {
                let standing = if waiting { Standing::Waiting } else { Standing::Dead };
                let mut db = pool.acquire().await?;
                print_json(&desk::list(&mut db, target.as_deref(), standing, after, limit).await?)
            }
            Self::Show(Show { id }) => match desk::show(&mut *pool.acquire().await?, id).await? {
                Some(told) => print_json(&told),
                None => bail!("no effect {id} is kept; `ssf-receiver effect list` shows those not taken"),
            },
            Self::Replay(Replay { target, id }) => {
                let again = match (id, target) {
                    (Some(id), target) => Again::One { id, target },
                    (None, Some(target)) => Again::Dead { target },
                    (None, None) => bail!("name --target or --id"),
                };
                let replayed = desk::replay(pool, &again, &this_user(), env.now()).await?;
                print_json(&json!({ "replayed": replayed }))
            }
        }
    }
}

/// Who runs this command.
fn this_user() -> Actor {
    Actor::CommandLine(rustix::process::getuid().as_raw())
}
