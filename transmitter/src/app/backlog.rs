//! The watch over what waits, and who hears of its alarms, made of the settings.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use ssf_common::runtime::Env;
use ssf_common::runtime::config::resolve_secret;
use ssf_common::runtime::outgoing::{Guard, Limits};
use ssf_common::runtime::webhook::Secret;
use ssf_common::runtime::worker::Wake;

use super::OpenError;
use crate::backlog::{Notices, Promise, Watch};
use crate::config::Settings;

/// The database is told which windows are promised.
pub(super) async fn prepare(
    settings: &Settings,
    pool: &PgPool,
    env: &Env,
    bell: &Wake,
) -> Result<(Arc<Watch>, Arc<Notices>), OpenError> {
    let backlog = &settings.backlog;
    let secret = resolve_secret(
        "backlog.webhook_secret",
        backlog.webhook_secret.as_ref(),
        backlog.webhook_secret_file.as_deref(),
    )?;
    let hook = match secret {
        None => None,
        Some(secret) => {
            // the operator's own address, wherever it is
            let outgoing = settings.outgoing(Guard::open())?;
            let client = outgoing.client(&Limits { timeout: PATIENCE, idle_per_host: 1 })?;
            Some((client, backlog.webhook_url.clone(), Secret::parse(secret.expose_secret())?))
        }
    };
    let watch = Watch::new(
        pool.clone(),
        env.clone(),
        Promise::of(settings),
        backlog.keep.duration(),
        settings.delivery.history.duration().max(settings.delivery.retention.duration()),
        hook.as_ref().map(|_| bell.clone()),
    );
    watch.tell_promise().await?;
    Ok((Arc::new(watch), Arc::new(Notices::new(pool.clone(), env.clone(), hook))))
}

const PATIENCE: Duration = Duration::from_secs(10);
