//! The workers of a replica: each keeps one part of the memory up to date.

use ssf_common::runtime::Worker;

use super::Replica;

/// Takes in cut-offs in the order of their commits. To be woken by the notification `ssf_cutoff`, and by a timer: the
/// `as_of` of every answer is the time of its last look.
#[derive(Debug)]
pub struct FollowFeed(pub Replica);

impl Worker for FollowFeed {
    const NAME: &'static str = "feed follower";
    type Error = sqlx::Error;

    /// Takes in one page.
    async fn tick(&self) -> Result<usize, sqlx::Error> {
        self.0.follow_feed().await
    }
}

/// Takes in what became of sessions and issuers. Runs by its timer alone: sessions change far too often to be rung for.
#[derive(Debug)]
pub struct FollowChanges(pub Replica);

impl Worker for FollowChanges {
    const NAME: &'static str = "session follower";
    type Error = sqlx::Error;

    async fn tick(&self) -> Result<usize, sqlx::Error> {
        self.0.follow_changes().await.map(|()| 0)
    }
}

/// Writes down what this process has seen, about once a second.
#[derive(Debug)]
pub struct SignsOfLife(pub Replica);

impl Worker for SignsOfLife {
    const NAME: &'static str = "replica's signs of life";
    type Error = sqlx::Error;

    async fn tick(&self) -> Result<usize, sqlx::Error> {
        self.0.give_sign().await.map(|()| 0)
    }
}
