//! `issuer add|set|list|remove`.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use ssf_common::jwks::Algorithm;
use ssf_common::protocol::DefaultSubjects;
use ssf_common::runtime::Env;
use ssf_transmitter::admin;
use ssf_transmitter::config::{MAX_SECONDS, MAX_STREAMS, Settings};
use ssf_transmitter::issuer::OwnDefaults;

use super::database::{Begins, Database, actor, on_database, sealing_key};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Adds an issuer. A running service serves it within seconds.
    Add(Add),
    /// Changes what an issuer says of its new streams; what is not given stays.
    Set(Add),
    /// Lists the issuers that are served.
    List {
        /// As JSON, one object per line.
        #[arg(long)]
        json: bool,
    },
    /// Stops serving an issuer: its streams are disabled and its clients removed at once. Its history is kept.
    Remove {
        /// Its URL.
        url: String,
    },
}

impl Command {
    /// An issuer may be added before the first start.
    fn begins(&self) -> Begins {
        if matches!(self, Self::Add(_)) { Begins::Maybe } else { Begins::Never }
    }
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its URL, such as https://idp.example/tenants/blue: byte for byte as it will stand in SETs.
    url: String,
    /// How new streams are signed: RS256, PS256, ES256 or EdDSA; issuer.algorithm if left out.
    #[arg(long, value_name = "ALG")]
    algorithm: Option<Algorithm>,
    /// Whether new streams have all subjects or none; streams.default_subjects if left out.
    #[arg(long, value_name = "ALL|NONE", value_parser = subjects)]
    default_subjects: Option<DefaultSubjects>,
    /// Seconds between two verification requests of a new stream.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_SECONDS)))]
    min_verification_interval: Option<u32>,
    /// Seconds without activity before a new stream may be paused; 0 for never.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_SECONDS)))]
    inactivity_timeout: Option<u32>,
    /// How many streams a new receiver may have.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_STREAMS)))]
    max_streams: Option<u32>,
}

/// Runs one of them.
pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    let env = Env::system();
    on_database(settings, command.begins(), async |database| work(settings, database, command, &env).await).await
}

async fn work(settings: &Settings, database: &Database, command: Command, env: &Env) -> anyhow::Result<String> {
    match command {
        Command::Add(add) => {
            let own = add.over(&OwnDefaults::default());
            let (url, sealing) = (add.url.as_str().into(), sealing_key(settings, env)?);
            let algorithm = settings.issuer.algorithm;
            let issuer = admin::add_issuer(&database.pool, &url, &own, algorithm, &sealing, &actor(), env).await?;
            Ok(format!(
                "the issuer {0} is served; give it a producer and receivers with: ssf-transmitter client add … --issuer {0}\n\
                 from now on ssf_emit must be told which issuer is meant: ssf_emit(…, issuer => '{0}')",
                issuer.url
            ))
        }
        Command::Set(add) => {
            let issuer = database.issuer(settings, Some(&add.url)).await?;
            let (sealing, change) = (sealing_key(settings, env)?, |own: &OwnDefaults| add.over(own));
            let changed = admin::update_issuer(&database.pool, issuer.id, change, &sealing, &actor(), env).await?;
            changed.with_context(|| format!("the issuer {} is not served any more", add.url))?;
            Ok(format!("the issuer {} has other defaults for its new streams now", add.url))
        }
        Command::List { json } => {
            let issuers = admin::list_issuers(&database.pool).await?;
            let lines = issuers.iter().map(|issuer| {
                let is_primary = issuer.url == settings.issuer.url;
                if json {
                    json!({
                        "id": issuer.id, "url": issuer.url, "primary": is_primary, "algorithm": issuer.own.algorithm,
                        "default_subjects": issuer.own.default_subjects, "max_streams": issuer.own.max_streams,
                        "min_verification_interval": issuer.own.min_verification_interval_s,
                        "inactivity_timeout": issuer.own.inactivity_timeout_s,
                    })
                    .to_string()
                } else {
                    format!("{}{}", issuer.url, if is_primary { "  (issuer.url)" } else { "" })
                }
            });
            Ok(lines.collect::<Vec<_>>().join("\n"))
        }
        Command::Remove { url } => {
            anyhow::ensure!(url != settings.issuer.url.as_str(), "this is issuer.url, which is always served");
            let issuer = admin::find_issuer(&database.pool, &url.as_str().into()).await?;
            let issuer = issuer.with_context(|| format!("the issuer {url} is not served here"))?;
            admin::remove_issuer(&database.pool, &issuer, &actor(), env).await?;
            Ok(format!("{url} is no longer served; its streams are disabled and its history is kept"))
        }
    }
}

impl Add {
    /// What was given, over what is there.
    fn over(&self, own: &OwnDefaults) -> OwnDefaults {
        OwnDefaults {
            algorithm: self.algorithm.or(own.algorithm),
            default_subjects: self.default_subjects.or(own.default_subjects),
            min_verification_interval_s: self.min_verification_interval.or(own.min_verification_interval_s),
            inactivity_timeout_s: self.inactivity_timeout.or(own.inactivity_timeout_s),
            max_streams: self.max_streams.or(own.max_streams),
        }
    }
}

fn subjects(text: &str) -> Result<DefaultSubjects, String> {
    match text.to_ascii_uppercase().as_str() {
        "ALL" => Ok(DefaultSubjects::All),
        "NONE" => Ok(DefaultSubjects::None),
        _ => Err("write ALL or NONE".to_owned()),
    }
}
