//! `ssf-receiver break-glass …`: lets the sessions of an issuer go on although it is silent or events may have been lost.
//! The commands work on the database; every running process notices at its next look, within a second.

use std::fmt::Write as _;

use clap::Subcommand;
use ssf_common::id::IssuerUrl;
use ssf_common::runtime::config::Span;
use ssf_common::runtime::{Env, Shutdown};
use ssf_receiver::audit::Actor;
use ssf_receiver::break_glass;
use ssf_receiver::config::Settings;

use super::database::{Database, Role};
use super::print::{print, print_json};

/// For a while, and audited; what the issuer has revoked stays revoked.
#[derive(Debug, Subcommand)]
pub(super) enum BreakGlass {
    /// Let the sessions of an issuer go on, whatever its silence and its gaps are
    Open {
        /// The issuer, as its upstream has it
        #[arg(long)]
        issuer: IssuerUrl,
        /// For how long, at most 4h, for example 30m
        #[arg(long = "for", value_name = "SPAN")]
        lasting: Span,
        /// Why; kept in the audit log
        #[arg(long)]
        reason: String,
    },
    /// End it before its time
    Close {
        /// The issuer, as its upstream has it
        #[arg(long)]
        issuer: IssuerUrl,
    },
    /// The times it was opened, the newest first
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

impl BreakGlass {
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
            Self::Open { issuer, lasting, reason } => {
                let lasting = lasting.duration();
                let until = break_glass::open(&database.pool, env, &issuer, lasting, &reason, &actor).await?;
                print(&format!("break-glass is open for {issuer} until {until}\n"))
            }
            Self::Close { issuer } => {
                let was_open = break_glass::close(&database.pool, env, &issuer, &actor).await?;
                print(if was_open { "break-glass is closed\n" } else { "break-glass was not open\n" })
            }
            Self::List { json } => {
                let openings = break_glass::list(&database.pool, env.now(), SHOWN).await?;
                if json {
                    return print_json(&openings);
                }
                let mut text = String::new();
                for one in &openings {
                    let state = match &one.closed_at {
                        _ if one.is_open => "open".to_owned(),
                        Some(at) => format!("closed {at} by {}", one.closed_by.as_deref().unwrap_or("?")),
                        None => "over".to_owned(),
                    };
                    let _ = writeln!(
                        text,
                        "{}  {} – {}  {state}  by {}: {}",
                        one.issuer, one.opened_at, one.until, one.opened_by, one.reason
                    );
                }
                print(if text.is_empty() { "break-glass was never opened\n" } else { &text })
            }
        }
    }
}

const SHOWN: i64 = 100;
