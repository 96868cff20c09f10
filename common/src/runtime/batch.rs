//! Natural batching: whatever arrived while the last batch ran makes up the next one.
//!
//! Concurrent callers [`submit`](Batcher::submit) single items; one task runs them in batches, so they share a commit.
//! An idle batcher runs a lone item at once: nothing ever waits for company.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Runs single items of type `T` in shared batches; each yields an `R` or the error `E` of its batch. Clones feed the
/// same queue; the task behind it ends when the last clone is gone and the queue is empty.
pub struct Batcher<T, R, E> {
    queue: mpsc::Sender<Entry<T, R, E>>,
    closing: CancellationToken,
    task: TaskTracker,
}

/// Why an item has no result.
#[derive(Debug, thiserror::Error)]
pub enum BatchError<E> {
    /// The queue is full: the caller should be told to come again later. The item was not taken.
    #[error("too many items are waiting")]
    Overloaded,
    /// The batcher is closed. The item was not taken.
    #[error("the service is stopping")]
    Closed,
    /// The batch failed, and with it every item in it.
    #[error("the batch failed")]
    Failed(#[source] Arc<E>),
    /// The batch panicked or did not answer every item: a fault of the program.
    #[error("the batch did not end properly")]
    Broken,
}

struct Entry<T, R, E> {
    item: T,
    reply: oneshot::Sender<Result<R, BatchError<E>>>,
}

impl<T, R, E> Batcher<T, R, E>
where
    T: Send + 'static,
    R: Send + 'static,
    E: Send + Sync + 'static,
{
    /// A batcher that runs at most `max_batch` items at once and lets at most `queue` wait. `process` must give one
    /// result per item, in their order. Must be called inside a tokio runtime.
    pub fn new<P, F>(max_batch: usize, queue: usize, process: P) -> Self
    where
        P: Fn(Vec<T>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Vec<R>, E>> + Send + 'static,
    {
        Self::with_pause(max_batch, queue, Duration::ZERO, process)
    }

    /// A batcher that is idle at once but, after a batch of several, waits for `pause` so that more share the next one:
    /// under load a commit then costs each of them less, and a lone item still waits for nobody.
    pub fn with_pause<P, F>(max_batch: usize, queue: usize, pause: Duration, process: P) -> Self
    where
        P: Fn(Vec<T>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Vec<R>, E>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        let (closing, task) = (CancellationToken::new(), TaskTracker::new());
        task.spawn(work(receiver, closing.clone(), max_batch.max(1), pause, process));
        task.close();
        Self { queue: sender, closing, task }
    }

    /// Hands in one item and waits for its result. Dropping the future disturbs nobody: the item stays in its batch.
    pub async fn submit(&self, item: T) -> Result<R, BatchError<E>> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Entry { item, reply }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => BatchError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => BatchError::Closed,
        })?;
        answer.await.unwrap_or(Err(BatchError::Broken))
    }

    /// How many items wait for the next batch.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Takes nothing more and waits until everything queued has been run.
    pub async fn close(&self) {
        self.closing.cancel();
        self.task.wait().await;
    }
}

async fn work<T, R, E, P, F>(
    mut queue: mpsc::Receiver<Entry<T, R, E>>,
    closing: CancellationToken,
    max_batch: usize,
    pause: Duration,
    process: P,
) where
    T: Send + 'static,
    R: Send + 'static,
    E: Send + Sync + 'static,
    P: Fn(Vec<T>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Vec<R>, E>> + Send + 'static,
{
    let mut entries = Vec::with_capacity(max_batch);
    loop {
        let taken = tokio::select! {
            biased;
            () = closing.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
            taken = queue.recv_many(&mut entries, max_batch) => taken,
        };
        if taken == 0 {
            return;
        }
        let (items, replies): (Vec<T>, Vec<_>) = entries.drain(..).map(|entry| (entry.item, entry.reply)).unzip();
        // A task of its own, so that a panic in one batch ends that batch only.
        match tokio::spawn(process(items)).await {
            Ok(Ok(results)) if results.len() == replies.len() => {
                for (reply, result) in replies.into_iter().zip(results) {
                    let _ = reply.send(Ok(result));
                }
            }
            Ok(Err(error)) => {
                let error = Arc::new(error);
                for reply in replies {
                    let _ = reply.send(Err(BatchError::Failed(Arc::clone(&error))));
                }
            }
            Ok(Ok(_)) | Err(_) => drop(replies),
        }
        if taken > 1 && !pause.is_zero() && !closing.is_cancelled() {
            tokio::time::sleep(pause).await;
        }
    }
}

impl<T, R, E> Clone for Batcher<T, R, E> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), closing: self.closing.clone(), task: self.task.clone() }
    }
}

impl<T, R, E> fmt::Debug for Batcher<T, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl<E> Clone for BatchError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Overloaded => Self::Overloaded,
            Self::Closed => Self::Closed,
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Broken => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Semaphore;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no")]
    struct No;

    type Sizes = Arc<Mutex<Vec<usize>>>;

    /// A batcher whose batches wait for a permit each, and the sizes of the batches it ran.
    fn gated(max_batch: usize, queue: usize) -> (Batcher<u32, u32, No>, Arc<Semaphore>, Sizes) {
        let (gate, sizes) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (gate_inside, sizes_inside) = (Arc::clone(&gate), Arc::clone(&sizes));
        let batcher = Batcher::new(max_batch, queue, move |items: Vec<u32>| {
            let (gate, sizes) = (Arc::clone(&gate_inside), Arc::clone(&sizes_inside));
            async move {
                gate.acquire().await.unwrap().forget();
                sizes.lock().unwrap().push(items.len());
                if items.contains(&13) { Err(No) } else { Ok(items.into_iter().map(|n| n * 2).collect()) }
            }
        });
        (batcher, gate, sizes)
    }

    fn submit(batcher: &Batcher<u32, u32, No>, item: u32) -> tokio::task::JoinHandle<Result<u32, BatchError<No>>> {
        let batcher = batcher.clone();
        tokio::spawn(async move { batcher.submit(item).await })
    }

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_arrives_while_a_batch_runs_is_the_next_batch_and_each_gets_its_own_result() {
        let (batcher, gate, sizes) = gated(8, 100);
        let first = submit(&batcher, 1);
        settle().await;
        let rest: Vec<_> = (2..12).map(|n| submit(&batcher, n)).collect();
        settle().await;
        gate.add_permits(10);
        assert_eq!(first.await.unwrap().unwrap(), 2);
        for (n, answer) in (2..12).zip(rest) {
            assert_eq!(answer.await.unwrap().unwrap(), n * 2);
        }
        assert_eq!(*sizes.lock().unwrap(), [1, 8, 2]);
    }

    #[tokio::test]
    async fn a_full_queue_says_overloaded() {
        let (batcher, gate, _) = gated(1, 2);
        let answers: Vec<_> = (0..5).map(|n| submit(&batcher, n)).collect();
        settle().await;
        gate.add_permits(10);
        let mut refused = 0;
        for answer in answers {
            refused += usize::from(matches!(answer.await.unwrap(), Err(BatchError::Overloaded)));
        }
        assert!(refused >= 1);
    }

    #[tokio::test]
    async fn every_waiter_of_a_failed_batch_gets_its_error() {
        let (batcher, gate, _) = gated(8, 100);
        let answers = [submit(&batcher, 13), submit(&batcher, 1)];
        settle().await;
        gate.add_permits(10);
        for answer in answers {
            assert!(matches!(answer.await.unwrap(), Err(BatchError::Failed(_))));
        }
    }

    #[tokio::test]
    async fn a_waiter_that_goes_away_does_not_disturb_the_batch() {
        let (batcher, gate, sizes) = gated(8, 100);
        let first = submit(&batcher, 1);
        settle().await;
        let (gone, stays) = (submit(&batcher, 2), submit(&batcher, 3));
        settle().await;
        gone.abort();
        settle().await;
        gate.add_permits(10);
        assert_eq!((first.await.unwrap().unwrap(), stays.await.unwrap().unwrap()), (2, 6));
        assert_eq!(*sizes.lock().unwrap(), [1, 2]);
    }

    #[tokio::test]
    async fn closing_runs_what_is_queued_and_takes_nothing_more() {
        let (batcher, gate, sizes) = gated(2, 100);
        let answers: Vec<_> = (0..4).map(|n| submit(&batcher, n)).collect();
        settle().await;
        gate.add_permits(10);
        batcher.close().await;
        assert_eq!(sizes.lock().unwrap().iter().sum::<usize>(), 4);
        for answer in answers {
            answer.await.unwrap().unwrap();
        }
        assert!(matches!(batcher.submit(9).await, Err(BatchError::Closed)));
    }

    #[tokio::test]
    async fn a_panic_breaks_its_own_batch_only() {
        let batcher = Batcher::<u32, u32, No>::new(1, 10, |items| async move {
            assert!(items != [13], "on purpose");
            Ok(items)
        });
        assert!(matches!(batcher.submit(13).await, Err(BatchError::Broken)));
        assert_eq!(batcher.submit(1).await.unwrap(), 1);
    }
}
