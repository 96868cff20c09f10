//! Bars on a terminal, on standard error: how much of a file is recorded, and then how much of it is settled.

use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use ssf_transmitter::backlog::batch::{self, BatchProgress, BatchState};
use ssf_transmitter::issuer::Issuer;
use ssf_transmitter::outbox::BatchId;

use super::super::database::Database;

/// The bar of what is recorded. Nothing is drawn where standard error is no terminal.
pub(super) struct Recording(ProgressBar);

impl Recording {
    pub(super) fn of(events: usize) -> Self {
        Self(bar(events, "recorded "))
    }

    pub(super) fn advance(&self, events: usize) {
        self.0.inc(events as u64);
    }

    pub(super) fn done(&self) {
        self.0.finish();
    }
}

/// Waits until everything of the batch is settled, and shows how far it is.
pub(super) async fn watch(database: &Database, issuer: &Issuer, id: BatchId) -> anyhow::Result<BatchProgress> {
    let bar = bar(0, "delivered");
    loop {
        let mut conn = database.pool.acquire().await?;
        let progress = batch::progress(&mut conn, issuer.id, id).await?.context("the batch is gone")?;
        drop(conn);
        bar.set_length(progress.deliveries.total);
        bar.set_position(progress.deliveries.settled());
        if let Some(slowest) = progress.slowest.first().filter(|slowest| slowest.deliveries.pending > 0) {
            bar.set_message(format!("slowest: {} ({} pending)", slowest.stream_id, slowest.deliveries.pending));
        }
        if progress.state == BatchState::Finished {
            bar.set_message("");
            bar.finish();
            return Ok(progress);
        }
        tokio::time::sleep(LOOKED_AT_EVERY).await;
    }
}

fn bar(length: usize, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix} {bar:40} {human_pos}/{human_len} ({percent} %, {per_sec}, {eta} left) {msg}",
    );
    let bar = ProgressBar::new(length as u64).with_prefix(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

const LOOKED_AT_EVERY: Duration = Duration::from_millis(500);
