//! `ssf-receiver policy`: what each event becomes, and which table says so.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use ssf_common::runtime::{Env, Shutdown};
use ssf_receiver::config::{Delivery, EffectPolicy, PolicyRows, Settings, UpstreamSettings};
use ssf_receiver::upstream::Managed;
use ssf_receiver::upstream::managed::Sealing;

use super::database::{Database, Role};
use super::print::{print, print_json};

/// Show what each event becomes.
#[derive(Debug, Args)]
pub(super) struct Policy {
    /// For events of this upstream; without it for those of an upstream that has no table of its own
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// For subjects of this tenant of the upstream
    #[arg(long, value_name = "ID", requires = "upstream")]
    tenant: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Policy {
    pub(super) async fn run(self, settings: Settings, env: Env) -> anyhow::Result<()> {
        let policy = match &self.upstream {
            None => UpstreamSettings::new("".into(), Delivery::Push).rules(&settings.policy).policy,
            Some(name) => match settings.upstreams.get(name) {
                Some(upstream) => upstream.rules(&settings.policy).policy,
                None => managed(name, &settings, env).await?,
            },
        };
        if let Some(tenant) = self.tenant.as_deref().filter(|asked| !policy.tenants().any(|known| known == *asked)) {
            tracing::info!(tenant, "this tenant has no table of its own");
        }
        let table = policy.table(self.tenant.as_deref());
        if self.json {
            let row =
                |(key, becomes, source): &(String, _, _)| json!({"event": key, "becomes": becomes, "from": source});
            return print_json(&table.iter().map(row).collect::<Vec<_>>());
        }
        print(&table.iter().fold(String::new(), |mut text, (key, becomes, source)| {
            let _ = writeln!(text, "{key:<40} {:<10} {source}", becomes.as_str());
            text
        }))
    }
}

/// The policy of an upstream that was made while the service ran.
async fn managed(name: &str, settings: &Settings, env: Env) -> anyhow::Result<EffectPolicy> {
    let database = Database::open(settings, Role::Guest).await?;
    let found = async {
        database.migrate(settings, &Shutdown::default()).await?;
        let sealing = Sealing::new(&settings.subject_key(&*env.random)?);
        let managed = Managed::new(database.pool.clone(), env, std::sync::Arc::new(settings.clone()), sealing);
        Ok::<_, anyhow::Error>(managed.overview(name).await?)
    };
    let found = found.await;
    database.close().await;
    let Some(Value::Object(said)) = found?.map(|overview| overview.settings) else {
        bail!("there is no upstream {name}");
    };
    let said: Map<String, Value> = said.into_iter().filter(|(member, _)| member != "secrets").collect();
    let said: UpstreamSettings =
        serde_json::from_value(Value::Object(said)).context("what is stored of the upstream cannot be read")?;
    Ok(said.rules(&PolicyRows(settings.policy.0.clone())).policy)
}
