//! The audit log: who did what, append-only and hash-chained per issuer. Whoever changes something for an operator or a
//! receiver writes its entry in the same transaction.

pub(crate) mod store;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::issuer::IssuerId;

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A client of the issuer, by its `client_id`.
    Client(String),
    /// An operator of the whole service, by its `client_id`.
    Operator(String),
    /// A command on the service's own host, by the system's user name.
    CommandLine(String),
    /// The service itself.
    Service,
}

impl Actor {
    /// As the log keeps it.
    pub fn text(&self) -> String {
        match self {
            Self::Client(name) => format!("client:{name}"),
            Self::Operator(name) => format!("operator:{name}"),
            Self::CommandLine(user) => format!("cli:{user}"),
            Self::Service => "service".to_owned(),
        }
    }
}

/// What is to be written. `target` is an id; `details` is a JSON object. Neither holds a secret or a subject.
#[derive(Clone, Debug)]
pub struct Deed<'a> {
    /// Who.
    pub actor: &'a Actor,
    /// What, such as `stream.deleted`.
    pub action: &'static str,
    /// To what.
    pub target: String,
    /// What else is worth knowing.
    pub details: Value,
}

/// An entry as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// From 1 without a gap.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub target: String,
    /// A JSON object, as text.
    #[serde(skip)]
    pub details: String,
    /// The hash of the entry before.
    #[serde(skip)]
    pub previous: Vec<u8>,
    /// Its own.
    #[serde(skip)]
    pub hash: Vec<u8>,
}

/// Writes `deed` into the issuer's log, in the caller's transaction. Entries of one issuer are written one after the
/// other: the lock is held until that transaction ends.
pub async fn record(conn: &mut PgConnection, issuer: IssuerId, deed: &Deed<'_>, now: Timestamp) -> sqlx::Result<()> {
    let (last_seq, previous) = store::lock_last(&mut *conn, issuer).await?.unwrap_or((0, vec![0; 32]));
    let mut entry = Entry {
        seq: last_seq + 1,
        at: now,
        actor: deed.actor.text(),
        action: deed.action.to_owned(),
        target: deed.target.clone(),
        details: deed.details.to_string(),
        previous,
        hash: Vec::new(),
    };
    entry.hash = entry.digest(issuer);
    store::append(conn, issuer, &entry).await
}

/// The issuer's entries after place `after`, in order, at most `limit`.
pub async fn entries(conn: &mut PgConnection, issuer: IssuerId, after: i64, limit: i64) -> sqlx::Result<Vec<Entry>> {
    store::page(conn, issuer, after, limit).await
}

/// Whether `entries`, in order and beginning at `first`, are bound to each other and to `previous`. `Err` is the first
/// that is not.
pub fn verify(issuer: IssuerId, previous: &[u8], first: i64, entries: &[Entry]) -> Result<(), i64> {
    let mut previous = previous.to_vec();
    for (seq, entry) in (first..).zip(entries) {
        if entry.seq != seq || entry.previous != previous || entry.digest(issuer) != entry.hash {
            return Err(seq);
        }
        previous.clone_from(&entry.hash);
    }
    Ok(())
}

impl Entry {
    /// SHA-256 over the previous hash and every member, each with its length in front so that none can flow into the
    /// next.
    fn digest(&self, issuer: IssuerId) -> Vec<u8> {
        let mut hash = Sha256::new();
        let (seq, at) = (self.seq.to_be_bytes(), self.at.unix_micros().to_be_bytes());
        let members: [&[u8]; 8] = [
            &self.previous,
            issuer.0.as_bytes(),
            &seq,
            &at,
            self.actor.as_bytes(),
            self.action.as_bytes(),
            self.target.as_bytes(),
            self.details.as_bytes(),
        ];
        for member in members {
            hash.update(u64::try_from(member.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(member);
        }
        hash.finalize().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(issuer: IssuerId, seq: i64, previous: &[u8], action: &str) -> Entry {
        let mut entry = Entry {
            seq,
            at: Timestamp::from_unix_millis(seq),
            actor: Actor::Service.text(),
            action: action.to_owned(),
            target: "stream".to_owned(),
            details: "{}".to_owned(),
            previous: previous.to_vec(),
            hash: Vec::new(),
        };
        entry.hash = entry.digest(issuer);
        entry
    }

    #[test]
    fn a_changed_a_missing_and_a_moved_entry_break_the_chain_where_they_are() {
        let issuer = IssuerId(uuid::Uuid::nil());
        let one = entry(issuer, 1, &[0; 32], "a");
        let two = entry(issuer, 2, &one.hash, "b");
        let three = entry(issuer, 3, &two.hash, "c");
        let chain = [one.clone(), two.clone(), three.clone()];
        assert_eq!(verify(issuer, &[0; 32], 1, &chain), Ok(()));
        let forged = Entry { action: "x".to_owned(), ..two.clone() };
        assert_eq!(verify(issuer, &[0; 32], 1, &[one.clone(), forged, three.clone()]), Err(2));
        assert_eq!(verify(issuer, &[0; 32], 1, &[one.clone(), three]), Err(2));
        assert_eq!(verify(IssuerId(uuid::Uuid::max()), &[0; 32], 1, &[one, two]), Err(1), "nor is it another issuer's");
    }
}
