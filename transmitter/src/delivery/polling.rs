//! Poll delivery (RFC 8936): acknowledgements and errors first, then what is due; a long poll waits for the bell.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::backoff::Backoff;
use ssf_common::id::Jti;
use ssf_common::protocol::{PollRequest, PollResponse};
use ssf_common::runtime::Env;
use tokio_util::sync::CancellationToken;

use super::outcome::{is_trouble_of_the_stream, shortened};
use super::store::polls as store;
use super::{ANNOUNCEMENTS_FIRST, Bell, DeliveryId, SigningDesk, Taken};
use crate::stream::StreamKey;

/// Answers the polls of every stream.
#[derive(Clone, Debug)]
pub struct Polling {
    pool: PgPool,
    env: Env,
    desk: SigningDesk,
    bell: Bell,
    max_events: u32,
    wait: Duration,
    backoff: Backoff,
}

/// An answered poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    /// The answer.
    pub response: PollResponse,
    /// How many deliveries the request settled.
    pub settled: u64,
}

impl Polling {
    /// `max_events` bounds an answer, `wait` a long poll.
    pub fn new(
        pool: PgPool,
        env: Env,
        desk: SigningDesk,
        bell: Bell,
        max_events: u32,
        wait: Duration,
        backoff: Backoff,
    ) -> Self {
        Self { pool, env, desk, bell, max_events, wait, backoff }
    }

    /// Rings for the long polls of `stream`: what may be handed out has changed.
    pub fn ring(&self, stream: StreamKey) {
        self.bell.ring(stream);
    }

    /// Answers one request for `stream`. Acknowledgements are committed before anything is selected; they hold even if
    /// the receiver is gone before the answer. A long poll ends with the first SET, after `wait`, or when `stop` begins.
    pub async fn poll(
        &self,
        stream: StreamKey,
        request: &PollRequest,
        stop: &CancellationToken,
    ) -> Result<Polled, PollingError> {
        let settled = self.settle(stream, request).await?;
        let limit = request.max_events.unwrap_or(self.max_events).min(self.max_events);
        if limit == 0 {
            return Ok(Polled { response: PollResponse::default(), settled });
        }
        let deadline = tokio::time::sleep(self.wait);
        tokio::pin!(deadline);
        loop {
            let rung = self.bell.register(stream);
            let response = self.hand_out(stream, limit).await?;
            if !response.sets.is_empty() || request.return_immediately == Some(true) {
                return Ok(Polled { response, settled });
            }
            tokio::select! {
                () = rung => {}
                () = &mut deadline => return Ok(Polled { response, settled }),
                () = stop.cancelled() => return Ok(Polled { response, settled }),
            }
        }
    }

    async fn settle(&self, stream: StreamKey, request: &PollRequest) -> Result<u64, PollingError> {
        let now = self.env.now();
        let (mut ids, mut codes, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        let (mut kept, mut troubles) = (Vec::new(), Vec::new());
        let acknowledged: HashSet<DeliveryId> = request.ack.iter().filter_map(delivery_id).collect();
        for id in request.ack.iter().filter_map(delivery_id) {
            ids.push(id);
            codes.push(None);
            errors.push(None);
        }
        for (jti, error) in &request.set_errs {
            let Some(id) = delivery_id(jti).filter(|id| !acknowledged.contains(id)) else { continue };
            let said = shortened(error.description.as_deref().unwrap_or_default());
            if is_trouble_of_the_stream(&error.err) {
                kept.push(id);
                troubles.push(format!("the receiver answered {}: {said}", error.err));
            } else {
                ids.push(id);
                codes.push(Some(error.err.as_str().to_owned()));
                errors.push(Some(said));
            }
        }
        if ids.is_empty() && kept.is_empty() {
            return Ok(0);
        }
        let mut tx = self.pool.begin().await?;
        let settled = store::settle(&mut tx, stream, &ids, &codes, &errors, now).await?;
        if !kept.is_empty() {
            tracing::warn!(stream.id = %stream, sets = kept.len(), "the receiver refuses SETs for a reason that lies in the stream; they are kept");
            store::postpone(&mut tx, stream, &kept, &troubles, now, now.plus(self.backoff.ceiling)).await?;
        }
        tx.commit().await?;
        Ok(settled)
    }

    async fn hand_out(&self, stream: StreamKey, limit: u32) -> Result<PollResponse, PollingError> {
        let now = self.env.now();
        let mut conn = self.pool.acquire().await?;
        let impatient_since = now.minus(ANNOUNCEMENTS_FIRST);
        let taken = store::hand_out(&mut conn, stream, i64::from(limit), now, impatient_since).await?;
        let ids: Vec<DeliveryId> = taken.iter().map(|taken| taken.id).collect();
        let is_full = ids.len() == usize::try_from(limit).unwrap_or(usize::MAX);
        // an announcement is handed out alone, though more may wait behind it
        let may_be_cut = is_full || taken.iter().any(Taken::announces);
        let more_available = may_be_cut && store::has_more(&mut conn, stream, &ids, now).await?;
        drop(conn);
        let mut response = PollResponse { more_available, ..PollResponse::default() };
        for (id, signed) in self.desk.sign_all(taken).await {
            match signed {
                Ok(set) => {
                    response.sets.insert(Jti(id.to_string()), set);
                }
                Err(unsendable) if unsendable.is_final() => {
                    tracing::error!(delivery.id = %id, stream.id = %stream, error = %unsendable, "a delivery is a dead letter");
                    let mut conn = self.pool.acquire().await?;
                    let (code, error) = (Some("unsendable".to_owned()), Some(unsendable.to_string()));
                    store::settle(&mut conn, stream, &[id], &[code], &[error], now).await?;
                }
                Err(unsendable) => {
                    tracing::error!(delivery.id = %id, stream.id = %stream, error = %unsendable, "a delivery cannot be signed now");
                }
            }
        }
        Ok(response)
    }
}

/// A poll could not be answered.
#[derive(Debug, thiserror::Error)]
#[error("the poll could not be answered")]
pub struct PollingError(#[from] pub sqlx::Error);

/// Strangers' words in `ack` are ignored (RFC 8936 §2.4).
fn delivery_id(jti: &Jti) -> Option<DeliveryId> {
    jti.as_str().parse().ok()
}
