//! The tables `issuer` and `upstream`: what is held of each.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;
use ssf_common::id::{IssuerUrl, StreamId};

use crate::config::Level;
use crate::upstream::state::State;
use crate::upstream::{Digest, Held, IssuerId, Method, ProcessId, Stream, UpstreamId};

/// An upstream to be written down for the first time; no stream exists yet.
#[derive(Clone, Debug)]
pub struct NewUpstream<'a> {
    /// Its id, if the name is new.
    pub id: UpstreamId,
    /// The operator's name for it: lower-case letters, digits, `-` and `_`.
    pub name: &'a str,
    /// Whose SETs it delivers.
    pub issuer_id: IssuerId,
    /// How they reach us.
    pub method: Method,
    /// Whose windows hold for them.
    pub level: Level,
    /// SHA-256 of the `Authorization` value the transmitter must present; required for push.
    pub push_authorization_hash: Option<&'a [u8; 32]>,
}

/// The id of the issuer with this URL, which gets `id` if it was not known before.
pub async fn ensure_issuer(
    db: &mut PgConnection,
    url: &IssuerUrl,
    id: IssuerId,
    now: Timestamp,
) -> Result<IssuerId, sqlx::Error> {
    // The update changes nothing; it makes the row that is already there come back.
    sqlx::query_scalar!(
        r#"insert into issuer (id, url, created_at) values ($1, $2, $3)
           on conflict (url) do update set url = excluded.url
           returning id as "id: IssuerId""#,
        id as IssuerId,
        url.as_str(),
        now as Timestamp,
    )
    .fetch_one(db)
    .await
}

/// The id of the upstream with this name. It is written down if it is new; its issuer and delivery method follow the
/// configuration. A stream of another issuer or method is let go; the authorization of one that stays is kept.
pub async fn ensure(db: &mut PgConnection, new: &NewUpstream<'_>, now: Timestamp) -> Result<UpstreamId, sqlx::Error> {
    sqlx::query_scalar!(
        r#"insert into upstream as u (
               id, name, issuer_id, delivery_method, push_authorization_hash, created_at, updated_at, level
           )
           values ($1, $2, $3, $4, $5, $6, $6, $7)
           on conflict (name) do update
           set issuer_id = excluded.issuer_id, delivery_method = excluded.delivery_method, level = excluded.level,
               push_authorization_hash = coalesce(u.push_authorization_hash, excluded.push_authorization_hash),
               stream_id = case when u.issuer_id = excluded.issuer_id then u.stream_id end,
               stream_status = case when u.issuer_id = excluded.issuer_id then u.stream_status else 'absent' end,
               status_reason = case when u.issuer_id = excluded.issuer_id then u.status_reason end,
               status_at = case when u.issuer_id = excluded.issuer_id then u.status_at end,
               status_received_at = case when u.issuer_id = excluded.issuer_id then u.status_received_at end,
               status_read_at = case when u.issuer_id = excluded.issuer_id then u.status_read_at end,
               audiences = case when u.issuer_id = excluded.issuer_id then u.audiences else '{}' end,
               events_delivered = case when u.issuer_id = excluded.issuer_id then u.events_delivered else '{}' end,
               poll_endpoint = case when u.issuer_id = excluded.issuer_id and u.delivery_method = excluded.delivery_method
                   then u.poll_endpoint end,
               verification_state = case when u.issuer_id = excluded.issuer_id then u.verification_state end,
               verification_sent_at = case when u.issuer_id = excluded.issuer_id then u.verification_sent_at end,
               verification_asked_at = case when u.issuer_id = excluded.issuer_id then u.verification_asked_at end,
               verified_asked_at = case when u.issuer_id = excluded.issuer_id then u.verified_asked_at end,
               verified_answered_at = case when u.issuer_id = excluded.issuer_id then u.verified_answered_at end,
               verified_occurred_at = case when u.issuer_id = excluded.issuer_id then u.verified_occurred_at end,
               verified_taken_at = case when u.issuer_id = excluded.issuer_id then u.verified_taken_at end,
               state = case when u.removed_at is null then u.state else 'joining' end, removed_at = null,
               updated_at = excluded.updated_at
           returning id as "id: UpstreamId""#,
        new.id as UpstreamId,
        new.name,
        new.issuer_id as IssuerId,
        new.method.as_str(),
        new.push_authorization_hash.map(<[u8; 32]>::as_slice),
        now as Timestamp,
        new.level.as_str(),
    )
    .fetch_one(db)
    .await
}

/// What is known of an upstream.
pub async fn held(db: &mut PgConnection, id: UpstreamId) -> Result<Held, sqlx::Error> {
    let row = sqlx::query!(
        r#"select stream_id as "stream_id: StreamId", stream_status, audiences, events_delivered, poll_endpoint,
                  push_authorization_hash, next_push_authorization_hash, verification_state is not null as "is_pending!",
                  verification_sent_at, last_verified_at, last_contact_at, status_reason,
                  greatest(status_received_at, status_read_at) as status_changed_at,
                  unanswered_since, lost_since, lost_cause, trouble_at, state, state_since, removed_at
           from upstream where id = $1"#,
        id as UpstreamId,
    )
    .fetch_one(db)
    .await?;
    let digests = [row.push_authorization_hash, row.next_push_authorization_hash];
    Ok(Held {
        stream_id: row.stream_id,
        status: row.stream_status.parse::<StreamStatus>().ok(),
        audiences: row.audiences,
        events_delivered: row.events_delivered,
        poll_endpoint: row.poll_endpoint,
        authorizations: digests.into_iter().flatten().filter_map(|bytes| Digest::from_bytes(&bytes)).collect(),
        verification_sent_at: row.verification_sent_at.filter(|_| row.is_pending),
        last_verified_at: row.last_verified_at,
        last_contact_at: row.last_contact_at,
        status_reason: row.status_reason,
        status_changed_at: row.status_changed_at,
        unanswered_since: row.unanswered_since,
        lost_since: row.lost_since,
        lost_cause: row.lost_cause,
        trouble_at: row.trouble_at,
        told: State::stored(&row.state).unwrap_or_default(),
        told_since: row.state_since,
        removed_at: row.removed_at,
    })
}

/// The streams that other upstreams hold at the issuer of this one: not to be adopted.
pub async fn streams_of_others(db: &mut PgConnection, id: UpstreamId) -> Result<Vec<StreamId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select other.stream_id as "stream_id!: StreamId"
           from upstream u join upstream other on other.issuer_id = u.issuer_id and other.id <> u.id
           where u.id = $1 and other.stream_id is not null"#,
        id as UpstreamId,
    )
    .fetch_all(db)
    .await
}

/// Whether another process looks after the upstream now; locks its lease until the end of the transaction, so that it stays so.
pub async fn is_anothers(
    db: &mut PgConnection,
    id: UpstreamId,
    holder: ProcessId,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let holder = sqlx::query_scalar!(
        "select holder <> $2 and until > $3 from upstream_lease where upstream_id = $1 for share",
        id as UpstreamId,
        holder as ProcessId,
        now as Timestamp,
    )
    .fetch_optional(db)
    .await?;
    Ok(holder.flatten().unwrap_or(false))
}

/// The authorization about to be registered at the transmitter: accepted from now on, beside the present one.
pub async fn propose_authorization(
    db: &mut PgConnection,
    id: UpstreamId,
    digest: &Digest,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update upstream set next_push_authorization_hash = $2, updated_at = $3 where id = $1",
        id as UpstreamId,
        digest.as_bytes(),
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The stream as the transmitter confirmed it. `confirmed` is the authorization it was given with that, if it was: from
/// now on the only one. A status that is not known to be another is `enabled`.
pub async fn hold_stream(
    db: &mut PgConnection,
    id: UpstreamId,
    stream: &Stream,
    confirmed: Option<&Digest>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update upstream
         set stream_status = case when stream_id = $2 then stream_status else 'enabled' end,
             status_reason = case when stream_id = $2 then status_reason end,
             status_at = case when stream_id = $2 then status_at end,
             status_received_at = case when stream_id = $2 then status_received_at end,
             status_read_at = case when stream_id = $2 then status_read_at end,
             verification_state = case when stream_id = $2 then verification_state end,
             verification_sent_at = case when stream_id = $2 then verification_sent_at end,
             verification_asked_at = case when stream_id = $2 then verification_asked_at end,
             last_verified_at = case when stream_id = $2 then last_verified_at end,
             unanswered_since = case when stream_id = $2 then unanswered_since end,
             stream_id = $2, audiences = $3, events_delivered = $4, poll_endpoint = $5,
             push_authorization_hash = coalesce($6, push_authorization_hash),
             next_push_authorization_hash =
                 case when next_push_authorization_hash = $6 then null else next_push_authorization_hash end,
             last_contact_at = $7, updated_at = $7
         where id = $1 and removed_at is null",
        id as UpstreamId,
        stream.id.as_str(),
        &stream.audiences,
        &stream.events_delivered,
        stream.poll_endpoint.as_deref(),
        confirmed.map(|digest| digest.as_bytes().as_slice()),
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The transmitter no longer knows the stream: it is let go, and events may be lost since the last good contact.
pub async fn forget_stream(
    db: &mut PgConnection,
    id: UpstreamId,
    vanished: &StreamId,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update upstream
         set lost_since = least(lost_since, greatest(last_contact_at, created_at), $3),
             lost_cause = coalesce(lost_cause, 'stream_vanished'),
             stream_id = null, stream_status = 'absent', status_reason = null, status_at = null,
             status_received_at = null, status_read_at = null, poll_endpoint = null,
             verification_state = null, verification_sent_at = null, updated_at = $3
         where id = $1 and stream_id = $2",
        id as UpstreamId,
        vanished.as_str(),
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// We gave the stream up ourselves: events may be lost from now on.
pub async fn release_stream(db: &mut PgConnection, id: UpstreamId, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update upstream
         set lost_since = coalesce(lost_since, $2), lost_cause = coalesce(lost_cause, 'stream_released'),
             stream_id = null, stream_status = 'absent', status_reason = null, status_at = null,
             status_received_at = null, status_read_at = null, poll_endpoint = null,
             verification_state = null, verification_sent_at = null, updated_at = $2
         where id = $1 and stream_id is not null",
        id as UpstreamId,
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The status as the transmitter answered it to our question, asked at `asked_at`.
///
/// It is newer than every stream-updated received before that, by our own clock. Of one received later nobody knows
/// which is newer: it stands, and so does a later answer. The issuer's times are compared among stream-updated only.
pub async fn note_status(
    db: &mut PgConnection,
    id: UpstreamId,
    status: StreamStatus,
    reason: Option<&str>,
    asked_at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update upstream
         set stream_status = $2, status_read_at = $4, updated_at = greatest(updated_at, $4),
             status_reason = case when stream_status = $2 then coalesce($3, status_reason) else $3 end,
             lost_since = case when $2 = 'disabled' then coalesce(lost_since, $4) else lost_since end,
             lost_cause = case when $2 = 'disabled' then coalesce(lost_cause, 'stream_disabled') else lost_cause end
         where id = $1 and stream_status <> 'absent'
           and coalesce(status_received_at, '-infinity') < $4 and coalesce(status_read_at, '-infinity') <= $4",
        id as UpstreamId,
        status.as_str(),
        reason,
        asked_at as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Remembers that a verification with this state is being asked for, unless somebody asked after `not_since`. `false`:
/// somebody did, and nothing may be asked.
pub async fn begin_verification(
    db: &mut PgConnection,
    id: UpstreamId,
    state: &str,
    not_since: Timestamp,
    now: Timestamp,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update upstream
           set verification_state = coalesce(verification_state, $2), verification_sent_at = $4,
               verification_asked_at = case when verification_state is null then $4 else verification_asked_at end,
               updated_at = $4
           where id = $1 and (verification_sent_at is null or verification_sent_at <= $3)
           returning verification_state as "state!""#,
        id as UpstreamId,
        state,
        not_since as Timestamp,
        now as Timestamp,
    )
    .fetch_optional(db)
    .await
}

/// A verification that was asked for at `asked_at` is granted: from now on its event is waited for.
pub async fn note_granted(
    db: &mut PgConnection,
    id: UpstreamId,
    asked_at: Timestamp,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update upstream
         set unanswered_since = case when unanswered_since > coalesce(last_verified_at, '-infinity') then unanswered_since
                                     else $2 end,
             last_contact_at = $3, updated_at = $3
         where id = $1",
        id as UpstreamId,
        asked_at as Timestamp,
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The transmitter answered a poll; whatever else is wrong still is.
pub async fn note_poll(db: &mut PgConnection, id: UpstreamId, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query!("update upstream set last_contact_at = $2 where id = $1", id as UpstreamId, now as Timestamp)
        .execute(db)
        .await?;
    Ok(())
}

/// The transmitter answered as it should, and nothing is wrong any more. Says whether something was.
pub async fn note_contact(db: &mut PgConnection, id: UpstreamId, now: Timestamp) -> Result<bool, sqlx::Error> {
    let had_trouble = sqlx::query_scalar!(
        r#"with before as (select id, trouble is not null as had_trouble from upstream where id = $1 for update)
           update upstream as u set last_contact_at = $2, trouble = null, trouble_at = null, updated_at = $2
           from before where u.id = before.id
           returning before.had_trouble as "had_trouble!""#,
        id as UpstreamId,
        now as Timestamp,
    );
    Ok(had_trouble.fetch_optional(db).await?.unwrap_or_default())
}

/// Something is wrong with the upstream; says since when. Says whether it was not known.
pub async fn note_trouble(
    db: &mut PgConnection,
    id: UpstreamId,
    trouble: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update upstream set trouble = $2, trouble_at = coalesce(trouble_at, $3), updated_at = $3
         where id = $1 and trouble is distinct from $2",
        id as UpstreamId,
        trouble,
        now as Timestamp,
    );
    Ok(done.execute(db).await?.rows_affected() == 1)
}
