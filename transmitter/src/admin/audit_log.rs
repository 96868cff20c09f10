//! The audit log as an operator reads it, and whether it is whole.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use utoipa::ToSchema;

use super::page::{MAX_PAGE, Page, looked_for};
use crate::audit::{Entry, entries, verify};
use crate::issuer::Issuer;

/// An entry.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AuditEntry {
    /// From 1 without a gap.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who: `client:…`, `operator:…`, `cli:…` or `service`.
    pub actor: String,
    /// What, such as `client.added`.
    pub action: String,
    /// To what.
    pub target: String,
    /// What else is worth knowing.
    #[schema(value_type = Object)]
    pub details: Value,
    /// SHA-256 of the entry before's hash and this one's members, in hexadecimal.
    pub hash: String,
}

/// What a walk along the chain found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditVerdict {
    /// Whether every entry is bound to the one before it.
    pub intact: bool,
    /// How many were walked over.
    pub entries: i64,
    /// The first that was changed, is missing or was put in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<i64>,
    /// The hash of the last entry that holds, in hexadecimal: kept elsewhere, it shows later whether the end was cut off.
    pub head: String,
}

/// The issuer's entries behind place `after`.
pub async fn audit_log(pool: &PgPool, issuer: &Issuer, after: i64, limit: u16) -> sqlx::Result<Page<AuditEntry>> {
    let found = entries(&mut *pool.acquire().await?, issuer.id, after, looked_for(limit)).await?;
    Ok(Page::of(found, limit, |entry| entry.seq.to_string()).map(shown))
}

/// Walks along the whole chain.
pub async fn verify_audit_log(pool: &PgPool, issuer: &Issuer) -> sqlx::Result<AuditVerdict> {
    let mut conn = pool.acquire().await?;
    let (mut last, mut head) = (0, vec![0; 32]);
    loop {
        let page = entries(&mut conn, issuer.id, last, i64::from(MAX_PAGE)).await?;
        let Some(newest) = page.last() else {
            return Ok(AuditVerdict { intact: true, entries: last, broken_at: None, head: hex(&head) });
        };
        if let Err(broken_at) = verify(issuer.id, &head, last + 1, &page) {
            let good = page.iter().take_while(|entry| entry.seq < broken_at).last();
            let head = good.map_or(head.as_slice(), |entry| &entry.hash);
            let head = hex(head);
            return Ok(AuditVerdict { intact: false, entries: broken_at - 1, broken_at: Some(broken_at), head });
        }
        (last, head) = (newest.seq, newest.hash.clone());
    }
}

fn shown(entry: Entry) -> AuditEntry {
    AuditEntry {
        seq: entry.seq,
        at: entry.at,
        actor: entry.actor,
        action: entry.action,
        target: entry.target,
        details: serde_json::from_str(&entry.details).unwrap_or_default(),
        hash: hex(&entry.hash),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
