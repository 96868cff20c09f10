//! `audit list|verify`.

use clap::Subcommand;
use ssf_transmitter::admin::{self, MAX_PAGE};
use ssf_transmitter::config::Settings;

use super::database::{Begins, Database, on_database};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists entries in order.
    List {
        /// Only those behind this place.
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        after: u32,
        /// The most of them; all if left out.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        /// As JSON, one object per line.
        #[arg(long)]
        json: bool,
    },
    /// Walks along the whole chain and says whether every entry is bound to the one before it. Fails if one is not.
    Verify {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs one of them.
pub(super) async fn run(settings: &Settings, at: Option<&str>, command: Command) -> anyhow::Result<()> {
    on_database(settings, Begins::Never, async |database| work(settings, at, database, command).await).await
}

async fn work(settings: &Settings, at: Option<&str>, database: &Database, command: Command) -> anyhow::Result<String> {
    let issuer = database.issuer(settings, at).await?;
    match command {
        Command::List { after, limit, json } => {
            let (mut lines, mut after) = (Vec::new(), i64::from(after));
            let limit = limit.unwrap_or(usize::MAX);
            while lines.len() < limit {
                let fits = u16::try_from(limit - lines.len()).unwrap_or(MAX_PAGE).min(MAX_PAGE);
                let page = admin::audit_log(&database.pool, &issuer, after, fits).await?;
                for entry in &page.items {
                    lines.push(if json {
                        serde_json::to_string(entry)?
                    } else {
                        let (seq, at, actor, action) = (entry.seq, entry.at, &entry.actor, &entry.action);
                        format!("{seq:>6}  {at}  {actor:<24} {action:<24} {}  {}", entry.target, entry.details)
                    });
                    after = entry.seq;
                }
                if page.next.is_none() {
                    break;
                }
            }
            Ok(lines.join("\n"))
        }
        Command::Verify { json } => {
            let verdict = admin::verify_audit_log(&database.pool, &issuer).await?;
            let said = if json {
                serde_json::to_string(&verdict)?
            } else {
                let (entries, head) = (verdict.entries, &verdict.head);
                match verdict.broken_at {
                    None => format!(
                        "intact: {entries} entries, each bound to the one before it; the last has the hash {head}"
                    ),
                    Some(seq) => format!(
                        "BROKEN at entry {seq}: it was changed, is missing or was put in; {entries} before it hold, the last with the hash {head}"
                    ),
                }
            };
            anyhow::ensure!(verdict.intact, "{said}");
            Ok(said)
        }
    }
}
