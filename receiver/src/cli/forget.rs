//! `ssf-receiver forget subject`: what is kept of a subject is removed, on the database; running processes notice at their
//! next look.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use ssf_common::id::IssuerUrl;
use ssf_common::runtime::{Env, Shutdown};
use ssf_receiver::audit::Actor;
use ssf_receiver::config::Settings;
use ssf_receiver::forget::{self, Whom};
use ssf_receiver::session::{Keyring, key_check};

use super::database::{Database, Role};
use super::print::print_json;

/// Audited, without a name.
#[derive(Debug, Subcommand)]
pub(super) enum Forget {
    /// Remove the sessions and facts of a user, device or session; its cut-offs stay
    Subject(OneSubject),
}

#[derive(Debug, Args)]
pub(super) struct OneSubject {
    /// The issuer that names it so, as its upstream has it
    #[arg(long)]
    issuer: IssuerUrl,
    /// The subject identifier as JSON (RFC 9493), for example {"format":"email","email":"a@example.com"}; - reads it from
    /// standard input, so that it stands in no list of processes
    #[arg(value_name = "JSON")]
    subject: String,
    /// Also remove its cut-offs and blocks that are older than lineage.cap
    #[arg(long)]
    blocks: bool,
}

impl Forget {
    pub(super) async fn run(self, settings: Settings, env: Env) -> anyhow::Result<()> {
        let Self::Subject(OneSubject { issuer, subject, blocks }) = self;
        let text = if subject == "-" {
            std::io::read_to_string(std::io::stdin()).context("standard input cannot be read")?
        } else {
            subject
        };
        let subject = serde_json::from_str(&text).ok().context("the subject is not JSON")?;
        let whom = Whom { issuer, subject, blocks };
        let database = Database::open(&settings, Role::Guest).await?;
        let done = async {
            database.migrate(&settings, &Shutdown::default()).await?;
            let keyring = Keyring::new(&settings.subject_key(&*env.random)?);
            key_check::check(&mut *database.pool.acquire().await?, &keyring).await?;
            let actor = Actor::CommandLine(rustix::process::getuid().as_raw());
            let cap = settings.lineage.cap.duration();
            let forgotten = forget::forget(&database.pool, &env, &keyring, &whom, cap, &actor).await?;
            print_json(&forgotten)
        };
        let done = done.await;
        database.close().await;
        done
    }
}
