//! Notifications as doorbells: what another process committed wakes our workers at once.
//!
//! A notification carries no data worth trusting: it may be lost with its connection. So it only rings, and every
//! (re)connection rings too, because something may have been missed meanwhile.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Executor as _, PgPool};

use crate::backoff::Backoff;
use crate::random::Random;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::worker::Wake;

/// Rings each bell when its channel is notified, until the stop. Reconnects by itself.
pub async fn listen(pool: PgPool, bells: Vec<(String, Wake)>, shutdown: Shutdown, random: std::sync::Arc<dyn Random>) {
    // A pool of its own: closing the party's pool would wait for the listener's connection for ever.
    let options = pool.connect_options().as_ref().clone();
    drop(pool);
    let own = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).connect_lazy_with(options);
    let mut failures = 0_u32;
    loop {
        tokio::select! {
            () = shutdown.soft().cancelled() => return,
            ended = ring_while_connected(&own, &bells, &mut failures) => {
                failures = failures.saturating_add(1);
                if failures == 1 {
                    tracing::warn!(error = %ended, "notifications are lost until the database is back; timers go on");
                }
            }
        }
        tokio::select! {
            () = shutdown.soft().cancelled() => return,
            () = tokio::time::sleep(RECONNECT.delay(failures, &*random)) => {},
        }
    }
}

async fn ring_while_connected(own: &PgPool, bells: &[(String, Wake)], failures: &mut u32) -> sqlx::Error {
    let error = match try_ring_while_connected(own, bells, failures).await {
        Ok(never) => match never {},
        Err(error) => error,
    };
    ring_all(bells);
    error
}

async fn try_ring_while_connected(
    own: &PgPool,
    bells: &[(String, Wake)],
    failures: &mut u32,
) -> Result<std::convert::Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(own).await?;
    listener.listen_all(bells.iter().map(|(channel, _)| channel.as_str())).await?;
    if *failures > 0 {
        tracing::info!("notifications are back");
        *failures = 0;
    }
    ring_all(bells);
    loop {
        match tokio::time::timeout(SILENCE, listener.try_recv()).await {
            Ok(received) => {
                let notification = received?.ok_or(sqlx::Error::WorkerCrashed)?;
                let rung = bells.iter().filter(|(channel, _)| channel == notification.channel());
                rung.for_each(|(_, bell)| bell.wake());
            }
            // A connection that died without a word looks just like silence.
            Err(_) => match tokio::time::timeout(SILENCE, listener.execute("select 1")).await {
                Ok(asked) => {
                    asked?;
                }
                Err(_) => return Err(sqlx::Error::PoolTimedOut),
            },
        }
    }
}

fn ring_all(bells: &[(String, Wake)]) {
    for (_, bell) in bells {
        bell.wake();
    }
}

/// After so much silence the connection is asked whether it still lives.
const SILENCE: Duration = Duration::from_secs(20);

const RECONNECT: Backoff = Backoff { first: Duration::from_millis(50), ceiling: Duration::from_secs(5) };
