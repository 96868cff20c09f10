//! `/health/*`: for supervisors and load balancers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use sqlx::{Connection as _, PgPool};
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::ApiState;
use super::error::{ApiError, Problem};

/// Whether the database answers, asked once for all who wait for it together: this endpoint is open to everybody and
/// bounded by nothing, and must not take connections away from decisions.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Attempts>);

#[derive(Debug, Default)]
struct Attempts {
    ended: AtomicU64,
    /// Whether the last one was answered.
    last: Mutex<bool>,
}

impl Readiness {
    async fn check(&self, pool: &PgPool) -> Result<(), ApiError> {
        let before = self.0.ended.load(Ordering::SeqCst);
        let mut last = self.0.last.lock().await;
        // one that ended since we came says it for us, also that there is no answer
        if self.0.ended.load(Ordering::SeqCst) == before {
            *last = asked(pool).await.is_ok();
            self.0.ended.fetch_add(1, Ordering::SeqCst);
        }
        if *last { Ok(()) } else { Err(ApiError::Unavailable) }
    }
}

async fn asked(pool: &PgPool) -> sqlx::Result<()> {
    pool.acquire().await?.ping().await
}

/// How the process is.
#[derive(Serialize, ToSchema)]
pub(super) struct ProcessHealth {
    /// live or ready.
    #[schema(value_type = String)]
    status: &'static str,
}

/// The process runs
#[utoipa::path(get, path = "/health/live", tag = "health", operation_id = "live",
    responses((status = 200, description = "It does", body = ProcessHealth)))]
pub(super) async fn live() -> Json<ProcessHealth> {
    Json(ProcessHealth { status: "live" })
}

/// The process can do its work: the database answers
#[utoipa::path(get, path = "/health/ready", tag = "health", operation_id = "ready",
    responses((status = 200, description = "It does", body = ProcessHealth), (status = 503, description = "It does not, or the process stops", body = Problem)))]
pub(super) async fn ready(State(state): State<ApiState>) -> Result<Json<ProcessHealth>, ApiError> {
    if state.stopping.is_cancelled() {
        return Err(ApiError::Unavailable);
    }
    state.readiness.check(&state.pool).await?;
    Ok(Json(ProcessHealth { status: "ready" }))
}

#[cfg(test)]
mod tests {
    use ssf_common::runtime::postgres::{ACQUIRE_TIMEOUT, connect_lazily};

    use super::*;

    #[tokio::test]
    async fn who_waits_while_the_database_is_away_waits_for_one_attempt_together() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let options = sqlx::postgres::PgConnectOptions::new().host("127.0.0.1").port(nobody.port());
        let pool = connect_lazily(options, "nothing", 4, "test");
        let readiness = Readiness::default();
        let ask = || readiness.check(&pool);
        let all = async { tokio::join!(ask(), ask(), ask()) };
        let answers = tokio::time::timeout(ACQUIRE_TIMEOUT * 2, all).await.expect("one attempt, not three");
        assert!(<[_; 3]>::from(answers).iter().all(|answer| matches!(answer, Err(ApiError::Unavailable))));
    }
}
