//! Dead letters: looked at, sent again as the same SETs, or discarded with a reason.
//!
//! What is done to many is done in batches, each in one transaction with its audit entry; a cursor says where the next
//! one begins, and since it holds the time of the first one too, a SET that dies again is not sent again for ever.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::event::Vocabulary;
use ssf_common::runtime::Env;
use utoipa::ToSchema;

use super::events::END_OF_TIME;
use super::page::{Page, looked_for};
use crate::audit::{self, Actor, Deed};
use crate::delivery::store::dead_letters::{self as store, Place, Row};
use crate::delivery::store::replay;
use crate::delivery::{Content, DeliveryId};
use crate::issuer::Issuer;
use crate::outbox::{EventId, Lane};
use crate::stream::StreamKey;

/// Which dead letters are meant; nothing set means all of the issuer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Of one stream.
    pub stream: Option<StreamKey>,
    /// About one subject: the same JSON, its members in any order. `{user U}` is not `{user U, session S}`.
    pub subject: Option<Value>,
    /// Given up then or later.
    pub since: Option<Timestamp>,
    /// Given up before.
    pub until: Option<Timestamp>,
    /// With this code.
    pub code: Option<String>,
    /// Of this type URI.
    pub event_type: Option<String>,
}

/// What is to be sent again or discarded.
#[derive(Clone, Debug)]
pub enum Which {
    /// These.
    Ids(Vec<DeliveryId>),
    /// Those that fit, from a place on, at most so many.
    Matching(Selection, Option<Cursor>, u16),
}

/// A place in the order of death, and the time after which nothing counts any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    died_at: Timestamp,
    id: DeliveryId,
    until: Timestamp,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.died_at.unix_micros(), self.until.unix_micros(), self.id)
    }
}

/// The text is not a place that a page named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not what a page gave as next")]
pub struct NotACursor;

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let mut parts = text.splitn(3, '.');
        let mut micros = || parts.next()?.parse::<i64>().ok().filter(|micros| (0..END_OF_TIME).contains(micros));
        let (died_at, until) = (micros().ok_or(NotACursor)?, micros().ok_or(NotACursor)?);
        let id = parts.next().and_then(|id| id.parse().ok()).ok_or(NotACursor)?;
        Ok(Self { died_at: Timestamp::from_unix_micros(died_at), id, until: Timestamp::from_unix_micros(until) })
    }
}

/// A dead letter as a list shows it: whom it is about is told only when it is looked at.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DeadLetter {
    /// `jti` of its SET.
    pub jti: DeliveryId,
    /// To whom.
    pub stream_id: StreamKey,
    /// Whose stream that is.
    pub client_id: String,
    /// The decision.
    pub event_id: EventId,
    /// Type URI.
    pub event_type: String,
    /// The cause it shares with the SETs to other streams.
    pub txn: String,
    /// The lane it was in.
    pub lane: Lane,
    /// How often it was tried.
    pub attempts: i32,
    /// The receiver's code, or our word: `expired`, `too_large`, `unsendable`.
    pub error_code: String,
    /// What the receiver said, shortened; of an expired one, what went wrong last.
    pub error: String,
    /// The decision's time.
    pub occurred_at: Timestamp,
    /// When it was made; its whole second is `iat`.
    pub fanned_out_at: Timestamp,
    /// When it was given up.
    pub died_at: Timestamp,
}

/// A dead letter with all that is known of it. There is no SET here, so there is no signature that could leak.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct InspectedDeadLetter {
    /// What a list shows.
    #[serde(flatten)]
    pub dead_letter: DeadLetter,
    /// The claims of its SET, exactly as they would be sent; absent if the stored event cannot be read any more. What was
    /// never tried has no timeline claim yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub claims: Option<Value>,
    /// Its last failed attempts, oldest first, at most eleven: the one that ended it is the last.
    pub failures: Vec<Failure>,
}

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// What the receiver answered, in our words.
    pub said: String,
}

/// What came of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Batch {
    /// How many were sent again or discarded.
    pub done: usize,
    /// How many were not: their stream is disabled, they are old news of the stream itself, or somebody else was faster.
    pub left: usize,
    /// Where the next batch begins; absent when everything that fits was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A page of dead letters, oldest death first: the order in which a replay takes them.
pub async fn list_dead_letters(
    pool: &PgPool,
    issuer: &Issuer,
    selection: &Selection,
    after: Option<Cursor>,
    limit: u16,
    env: &Env,
) -> sqlx::Result<Page<DeadLetter>> {
    let mut conn = pool.acquire().await?;
    let (places, next) = find(&mut conn, issuer, selection, after, limit, env.now()).await?;
    let ids: Vec<DeliveryId> = places.iter().map(|place| place.id).collect();
    let mut rows = store::load(&mut conn, issuer.id, &ids).await?;
    rows.sort_by_key(|row| (row.died_at, row.id));
    Ok(Page { items: rows.iter().map(shown).collect(), next })
}

/// One dead letter, whole. `None` if the issuer has none of this id: never, or not any more.
pub async fn inspect_dead_letter(
    pool: &PgPool,
    issuer: &Issuer,
    id: DeliveryId,
    vocabulary: &Vocabulary,
    timeline_claim: Option<&str>,
) -> sqlx::Result<Option<InspectedDeadLetter>> {
    let mut rows = store::load(&mut *pool.acquire().await?, issuer.id, &[id]).await?;
    Ok(rows.pop().map(|row| {
        let claim = timeline_claim.filter(|_| row.timeline_claim);
        let claims = content(issuer, &row).claims(vocabulary).ok();
        InspectedDeadLetter {
            dead_letter: shown(&row),
            claims: claims.map(|claims| claims.to_json(vocabulary, claim)),
            failures: failures(&row),
        }
    }))
}

/// Sends them again: the same SETs, with their `jti`, `iat` and `txn`. They wait in their old places among what their
/// subjects have waiting, and have the whole retention before them. Those of disabled streams stay dead letters, and so do
/// verification and stream-updated events, which are old news; those of paused streams wait for the stream.
pub async fn replay_dead_letters(
    pool: &PgPool,
    issuer: &Issuer,
    which: Which,
    actor: &Actor,
    env: &Env,
) -> sqlx::Result<Batch> {
    let now = env.now();
    let mut tx = pool.begin().await?;
    let (ids, next) = choose(&mut tx, issuer, &which, now).await?;
    replay::lock(&mut tx, issuer.id, &ids).await?;
    let replayed = replay::replay(&mut tx, issuer.id, &ids, now).await?;
    if replayed.is_empty() {
        return Ok(Batch { done: 0, left: ids.len(), next });
    }
    let mut missed = replay::promote(&mut tx, &replayed).await?;
    let batch = Batch { done: replayed.len(), left: ids.len() - replayed.len(), next };
    let deed = deed(actor, "dead_letters.replayed", &which, batch.done, None);
    audit::record(&mut tx, issuer.id, &deed, now).await?;
    tx.commit().await?;
    // a claim holds what it looks at for a moment
    let mut tries = 0..20;
    while missed > 0 && tries.next().is_some() {
        missed = replay::promote(&mut *pool.acquire().await?, &replayed).await?;
    }
    Ok(batch)
}

/// Takes them away for good. The history keeps how they ended, the audit log who discarded them and why.
pub async fn discard_dead_letters(
    pool: &PgPool,
    issuer: &Issuer,
    which: Which,
    reason: &str,
    actor: &Actor,
    env: &Env,
) -> sqlx::Result<Batch> {
    let now = env.now();
    let mut tx = pool.begin().await?;
    let (ids, next) = choose(&mut tx, issuer, &which, now).await?;
    let done = usize::try_from(store::discard(&mut tx, issuer.id, &ids).await?).unwrap_or(0);
    if done > 0 {
        let deed = deed(actor, "dead_letters.discarded", &which, done, Some(reason));
        audit::record(&mut tx, issuer.id, &deed, now).await?;
        tx.commit().await?;
    }
    Ok(Batch { done, left: ids.len() - done, next })
}

async fn choose(
    conn: &mut sqlx::PgConnection,
    issuer: &Issuer,
    which: &Which,
    now: Timestamp,
) -> sqlx::Result<(Vec<DeliveryId>, Option<String>)> {
    match which {
        Which::Ids(ids) => {
            let mut ids = ids.clone();
            ids.sort_unstable();
            ids.dedup();
            Ok((ids, None))
        }
        Which::Matching(selection, after, limit) => {
            let (places, next) = find(conn, issuer, selection, *after, *limit, now).await?;
            Ok((places.iter().map(|place| place.id).collect(), next))
        }
    }
}

async fn find(
    conn: &mut sqlx::PgConnection,
    issuer: &Issuer,
    selection: &Selection,
    after: Option<Cursor>,
    limit: u16,
    now: Timestamp,
) -> sqlx::Result<(Vec<Place>, Option<String>)> {
    // what dies from now on is not seen, or a batch after batch would never end
    let end = after.map_or(now.plus(std::time::Duration::from_micros(1)), |cursor| cursor.until);
    let page = store::Page {
        issuer: issuer.id,
        after: beginning(selection.since, after),
        until: Some(selection.until.map_or(end, |until| until.min(end))),
        code: selection.code.as_deref(),
        event_type: selection.event_type.as_deref(),
        limit: looked_for(limit),
    };
    let found = match (&selection.subject, selection.stream) {
        (Some(subject), stream) => store::of_subject(conn, &page, stream, subject).await?,
        (None, Some(stream)) => store::of_stream(conn, &page, stream).await?,
        (None, None) => store::of_issuer(conn, &page).await?,
    };
    let Page { items, next } =
        Page::of(found, limit, |place| Cursor { died_at: place.died_at, id: place.id, until: end }.to_string());
    Ok((items, next))
}

/// Behind which place a page begins: where the last one ended, but not before `since`, which itself counts.
fn beginning(since: Option<Timestamp>, after: Option<Cursor>) -> (Timestamp, DeliveryId) {
    let since = (since.unwrap_or(Timestamp::EPOCH), DeliveryId(uuid::Uuid::nil()));
    after.map_or(since, |cursor| (cursor.died_at, cursor.id).max(since))
}

fn shown(row: &Row) -> DeadLetter {
    DeadLetter {
        jti: row.id,
        stream_id: row.stream,
        client_id: row.client_id.clone(),
        event_id: row.event_id,
        event_type: row.event_type.clone(),
        txn: row.txn.clone(),
        lane: Lane::from_number(row.lane),
        attempts: row.attempts,
        error_code: row.error_code.clone(),
        error: row.error.clone(),
        occurred_at: row.occurred_at,
        fanned_out_at: row.fanned_out_at,
        died_at: row.died_at,
    }
}

fn content<'a>(issuer: &'a Issuer, row: &'a Row) -> Content<'a> {
    Content {
        id: row.id,
        issuer: &issuer.url,
        audience: &row.audience,
        event_type: &row.event_type,
        subject: &row.subject,
        payload: &row.payload,
        txn: &row.txn,
        occurred_at: row.occurred_at,
        recorded_at: row.recorded_at,
        fanned_out_at: row.fanned_out_at,
        first_taken_at: row.first_taken_at,
    }
}

fn failures(row: &Row) -> Vec<Failure> {
    let logged = row.attempt_log.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut failures: Vec<Failure> = logged
        .iter()
        .filter_map(|entry| {
            Some(Failure { at: entry["at"].as_str()?.parse().ok()?, said: entry["said"].as_str()?.to_owned() })
        })
        .collect();
    if row.error_code != "expired" {
        let said = if row.error.is_empty() { String::new() } else { format!(": {}", row.error) };
        failures.push(Failure { at: row.died_at, said: format!("refused with {}{said}", row.error_code) });
    }
    failures
}

fn deed<'a>(actor: &'a Actor, action: &'static str, which: &Which, done: usize, reason: Option<&str>) -> Deed<'a> {
    let (target, mut details) = match which {
        Which::Ids(ids) => match ids.as_slice() {
            [id] => (id.to_string(), json!({})),
            ids if ids.len() <= MAX_NAMED => ("dead_letters".to_owned(), json!({ "jtis": ids })),
            _ => ("dead_letters".to_owned(), json!({})),
        },
        Which::Matching(selection, ..) => {
            let target = selection.stream.map_or("dead_letters".to_owned(), |stream| stream.to_string());
            let details = json!({
                "since": selection.since, "until": selection.until, "code": selection.code, "type": selection.event_type,
                // whom it was about stays out of the log
                "by_subject": selection.subject.is_some(),
            });
            (target, details)
        }
    };
    details["count"] = done.into();
    if let Some(reason) = reason {
        details["reason"] = reason.into();
    }
    Deed { actor, action, target, details }
}

/// An entry of the log names no more than these.
const MAX_NAMED: usize = 50;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_survives_its_text(died_at in 0..END_OF_TIME, until in 0..END_OF_TIME, id in any::<u128>()) {
            let at = Timestamp::from_unix_micros;
            let cursor = Cursor { died_at: at(died_at), id: DeliveryId(uuid::Uuid::from_u128(id)), until: at(until) };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn what_is_no_cursor_is_refused(text in "\\PC{0,60}|[0-9.-]{0,60}") {
            prop_assert!(text.parse::<Cursor>().is_err());
        }

        #[test]
        fn a_page_begins_where_the_last_one_ended_but_not_before_since(since in 0..1_000_i64, died_at in 0..1_000_i64) {
            let at = Timestamp::from_unix_micros;
            let id = DeliveryId(uuid::Uuid::from_u128(7));
            let cursor = Cursor { died_at: at(died_at), id, until: at(2_000) };
            let begins = beginning(Some(at(since)), Some(cursor));
            prop_assert!(begins >= (at(died_at), id) && begins >= (at(since), DeliveryId(uuid::Uuid::nil())));
            prop_assert!(begins == (at(died_at), id) || begins.0 == at(since));
        }
    }
}
