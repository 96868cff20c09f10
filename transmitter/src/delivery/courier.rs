//! The courier of the push worker: sends what is in the hand, never without a look at the streams it is for.
//!
//! A claim sees its stream's row and its SETs go out at once. What waits in the hand would go out by what that row said a
//! while ago, though meanwhile the receiver paused or deleted its stream, or named another endpoint, in whichever process.
//! So each time before something leaves the hand, its stream's row is read again ([`look`]): if it is not the version
//! that was claimed under, everything held for it is given back, and the next claim judges it anew. What changes after
//! that look meets at most what is on the wire, as with a claim.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use ssf_common::runtime::postgres::gave_way;
use ssf_common::runtime::telemetry::chain;

use super::hand::Held;
use super::push::{Push, room_of};
use super::store::{look, settle as leases};
use crate::stream::StreamKey;

/// Who asked for the courier, and whose turn it is. Answers come faster than looks: those that come during a look share
/// the next one.
#[derive(Debug, Default)]
pub(super) struct Courier {
    asked: Mutex<BTreeSet<StreamKey>>,
    turn: tokio::sync::Mutex<()>,
}

impl Push {
    /// Something landed at `stream`: what is in the hand for it is sent soon, as far as there is room.
    pub(super) fn call_courier(self: &Arc<Self>, stream: StreamKey) {
        if self.hand.of(stream) == 0 {
            return;
        }
        let is_first = {
            let mut asked = self.courier.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let is_first = asked.is_empty();
            asked.insert(stream);
            is_first
        };
        if is_first {
            tokio::spawn(Arc::clone(self).serve());
        }
    }

    async fn serve(self: Arc<Self>) {
        let _turn = self.courier.turn.lock().await;
        let asked = std::mem::take(&mut *self.courier.asked.lock().unwrap_or_else(PoisonError::into_inner));
        let asked: Vec<StreamKey> = asked.into_iter().filter(|stream| self.hand.of(*stream) > 0).collect();
        match self.look_at(&asked, false).await {
            Ok(versions) => self.send_held(&versions).await,
            // it stays in the hand until the worker looks, or its time is over
            Err(error) => {
                tracing::debug!(error = %chain(&error), "what was taken ahead waits for a look at its streams");
            }
        }
    }

    /// The versions of all streams that something is in the hand for; what may not be sent any more is given back.
    pub(super) async fn look_into_the_hand(&self) -> sqlx::Result<HashMap<StreamKey, String>> {
        let _turn = self.courier.turn.lock().await;
        self.look_at(&self.hand.streams(), true).await
    }

    /// Gives back everything in the hand.
    pub(super) async fn empty_the_hand(&self) {
        let _turn = self.courier.turn.lock().await;
        self.give_back(self.hand.empty()).await;
    }

    /// Sends what is in the hand for these streams, as far as there is room: what was claimed under these versions.
    pub(super) async fn send_now(self: &Arc<Self>, versions: &HashMap<StreamKey, String>) {
        let _turn = self.courier.turn.lock().await;
        self.send_held(versions).await;
    }

    /// The versions of `streams` as they are now. What is held under another one, or for a stream that is gone, is given
    /// back; if `promoted_too`, also what became more urgent than bulk: it is claimed again, and goes before the rest.
    async fn look_at(&self, streams: &[StreamKey], promoted_too: bool) -> sqlx::Result<HashMap<StreamKey, String>> {
        if streams.is_empty() {
            return Ok(HashMap::new());
        }
        let held = if promoted_too { self.hand.ids() } else { Vec::new() };
        let mut conn = self.pool.acquire().await?;
        let versions = look::versions(&mut conn, streams).await?;
        let promoted = if held.is_empty() { Vec::new() } else { look::promoted(&mut conn, &held).await? };
        drop(conn);
        let mut back = Vec::new();
        for stream in streams {
            back.extend(self.hand.let_go(*stream, |held| {
                versions.get(stream) != Some(&held.taken.stream_version) || promoted.contains(&held.taken.id)
            }));
        }
        self.give_back(back).await;
        Ok(versions)
    }

    async fn send_held(self: &Arc<Self>, versions: &HashMap<StreamKey, String>) {
        let mut back = Vec::new();
        for (stream, version) in versions {
            while let Some(held) = self.hand.next(*stream) {
                let now = self.env.now();
                if held.send_by < now || held.taken.stream_version != *version {
                    back.push(held);
                    continue;
                }
                let Held { taken, lease, send_by, carried } = held;
                match self.in_flight.enter_if_room(carried, room_of(&taken), now) {
                    Ok(flight) => Arc::clone(self).launch(taken, lease, flight),
                    Err(carried) => {
                        self.hand.put_back(Held { taken, lease, send_by, carried });
                        break;
                    }
                }
            }
        }
        self.give_back(back).await;
    }

    /// What cannot be given back is free when its lease ends.
    pub(super) async fn give_back(&self, held: Vec<Held>) {
        if held.is_empty() {
            return;
        }
        let given: Vec<_> = held.iter().map(|held| (held.taken.id, held.lease)).collect();
        let mut tries = 1;
        loop {
            let done =
                async { leases::give_back(&mut *self.pool.acquire().await?, &given, self.env.now()).await }.await;
            match done {
                // what meets a settlement or a deletion is given back after it
                Err(error) if gave_way(&error) && tries < MAX_TRIES => tries += 1,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "what was taken and not sent could not be given back before its lease ends");
                    return;
                }
                Ok(()) => return self.wake.wake(),
            }
        }
    }
}

/// Two that met once hardly meet again.
const MAX_TRIES: u8 = 3;
