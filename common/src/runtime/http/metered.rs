//! A request body that is counted and timed while it is read.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// How many bytes of bodies may be held at once, and how many of them by long ones. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    all: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        let bytes = bytes.clamp(SHORT, Semaphore::MAX_PERMITS);
        Self { all: Arc::new(Semaphore::new(bytes)), long: Arc::new(Semaphore::new(bytes - bytes / 4)) }
    }

    /// Whether a body of this length could be taken now.
    pub(super) fn has_room_for(&self, length: usize) -> bool {
        length <= self.all.available_permits() && (length <= SHORT || length <= self.long.available_permits())
    }
}

/// What one request holds of the budget; given back when the last clone goes.
#[derive(Clone, Debug)]
pub(super) struct Account {
    budget: Budget,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    all: Option<OwnedSemaphorePermit>,
    long: Option<OwnedSemaphorePermit>,
    overdrawn: Option<Overdrawn>,
    /// What the handler left of the body.
    unread: Option<Body>,
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Overdrawn {
    /// There is no room for more bytes now.
    #[error("as many bytes of bodies are held as may be")]
    Full,
    /// It took too long.
    #[error("the body took too long to arrive")]
    Late,
}

impl Account {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, held: Arc::default() }
    }

    /// Why the body was given up, if it was.
    pub(super) fn overdrawn(&self) -> Option<Overdrawn> {
        self.change(|held| held.overdrawn)
    }

    /// What the handler left of the body, if it left something. Nothing of it is held, so nothing is taken out of the
    /// budget for it.
    pub(super) fn unread(&self, timeout: Duration) -> Option<Metered> {
        let body = self.change(|held| held.unread.take())?;
        Some(Metered::new(body, Self::new(self.budget.clone()), timeout))
    }

    fn close(&self, why: Overdrawn) -> Overdrawn {
        self.change(|held| held.overdrawn = Some(why));
        why
    }

    /// Takes these bytes out of the budget.
    fn take(&self, bytes: usize) -> Result<(), Overdrawn> {
        let taken = self.change(|held| {
            let total = held.bytes + bytes;
            let more_of_long = if total <= SHORT { 0 } else { total - held.long.as_ref().map_or(0, |_| held.bytes) };
            take(&self.budget.all, &mut held.all, bytes)?;
            take(&self.budget.long, &mut held.long, more_of_long)?;
            held.bytes = total;
            Some(())
        });
        taken.ok_or_else(|| self.close(Overdrawn::Full))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Held) -> T) -> T {
        change(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `None` if there is not that much; what was taken before stays with its holder.
fn take(from: &Arc<Semaphore>, into: &mut Option<OwnedSemaphorePermit>, count: usize) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let permit = Arc::clone(from).try_acquire_many_owned(u32::try_from(count).ok()?).ok()?;
    match into {
        Some(held) => held.merge(permit),
        None => *into = Some(permit),
    }
    Some(())
}

/// The body.
pub(super) struct Metered {
    body: Body,
    account: Account,
    timeout: Duration,
    /// Runs from the first look at the body: whoever never reads it need not hurry.
    deadline: Option<Pin<Box<Sleep>>>,
    discarded: usize,
    /// Whether nothing more of it is wanted.
    has_ended: bool,
}

impl Metered {
    pub(super) fn new(body: Body, account: Account, timeout: Duration) -> Self {
        Self { body, account, timeout, deadline: None, discarded: 0, has_ended: false }
    }

    /// Reads what may be read of it and throws it away.
    pub(super) async fn discard(mut self) {
        self.account.close(Overdrawn::Full);
        let _ = poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await;
    }
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = self.get_mut();
        loop {
            let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
                let deadline = this.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.timeout)));
                ready!(deadline.as_mut().poll(cx));
                this.has_ended = true;
                return Poll::Ready(Some(Err(this.account.close(Overdrawn::Late).into())));
            };
            // a body that comes byte by byte is always ready in time, and late all the same
            if this.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
                this.has_ended = true;
                return Poll::Ready(Some(Err(this.account.close(Overdrawn::Late).into())));
            }
            this.has_ended = !matches!(frame, Some(Ok(_)));
            let length = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
            if this.account.overdrawn().is_none() && this.account.take(length).is_ok() {
                return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
            }
            // the rest is read and thrown away: whoever is still sending would not see the answer
            this.discarded += length;
            if this.has_ended || this.discarded > MAX_DISCARDED {
                this.has_ended = true;
                return Poll::Ready(Some(Err(Overdrawn::Full.into())));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        if !self.has_ended && !self.body.is_end_stream() {
            let unread = std::mem::take(&mut self.body);
            self.account.change(|held| held.unread = Some(unread));
        }
    }
}

/// A body up to here is short: some events, a stream's configuration.
const SHORT: usize = 16 * 1024;
/// How much is read of a body nobody wants, so that its sender hears why.
const MAX_DISCARDED: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_leave_a_quarter_to_short_ones_and_all_is_given_back() {
        let budget = Budget::new(400_000);
        let long = Account::new(budget.clone());
        for _ in 0..3 {
            long.take(100_000).unwrap();
        }
        assert!(!budget.has_room_for(SHORT + 1) && budget.has_room_for(SHORT));
        let other = Account::new(budget.clone());
        assert_eq!(other.take(SHORT + 1), Err(Overdrawn::Full));
        assert_eq!(other.overdrawn(), Some(Overdrawn::Full));
        drop(other);
        let short = Account::new(budget.clone());
        short.take(SHORT).unwrap();
        drop((long, short));
        assert_eq!((budget.all.available_permits(), budget.long.available_permits()), (400_000, 300_000));
    }

    #[test]
    fn a_body_becomes_long_when_it_has_grown_so() {
        let budget = Budget::new(400_000);
        let growing = Account::new(budget.clone());
        growing.take(SHORT).unwrap();
        assert_eq!(budget.long.available_permits(), 300_000);
        growing.take(1).unwrap();
        growing.take(10).unwrap();
        assert_eq!(budget.long.available_permits(), 300_000 - SHORT - 11);
    }
}
