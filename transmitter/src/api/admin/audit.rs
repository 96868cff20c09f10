//! `/admin/v1/audit`: who did what, and whether the log is whole.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::query::PageQuery;
use super::{Admin, ApiError, ApiState, reply};
use crate::admin::{self, AuditEntry, AuditVerdict, Page};
use crate::api::query::Params;

/// The issuer's audit log in order, from its first entry on
#[utoipa::path(get, path = "/audit", tag = "admin: audit", operation_id = "readAuditLog", params(PageQuery),
    security(("bearer" = ["ssf.admin"])), responses((status = 200, description = "A page of entries", body = Page<AuditEntry>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    admin: Admin,
    Params(page): Params<PageQuery>,
) -> Result<Response, ApiError> {
    let after = page.after::<u32>()?.map_or(0, i64::from);
    let entries = admin::audit_log(&state.pool, admin.issuer(), after, page.limit()?).await?;
    Ok(reply(StatusCode::OK, &entries))
}

/// Walks along the whole chain of the issuer's audit log
///
/// Says whether every entry is bound by its hash to the one before it, or which is the first that is not.
#[utoipa::path(get, path = "/audit/verify", tag = "admin: audit", operation_id = "verifyAuditLog",
    security(("bearer" = ["ssf.admin"])), responses((status = 200, description = "What was found", body = AuditVerdict)))]
pub(super) async fn verify(State(state): State<ApiState>, admin: Admin) -> Result<Response, ApiError> {
    let verdict = admin::verify_audit_log(&state.pool, admin.issuer()).await?;
    if let Some(seq) = verdict.broken_at {
        tracing::error!(issuer = %admin.issuer().url, audit.seq = seq, "the audit log was tampered with");
    }
    Ok(reply(StatusCode::OK, &verdict))
}
