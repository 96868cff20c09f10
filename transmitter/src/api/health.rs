//! `/health/*`: for supervisors and load balancers.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use sqlx::{Connection as _, PgPool};
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::ApiState;
use super::error::{ApiError, Problem};

/// Whether the database answered, and when it had or had not, asked once for all who ask within a second: this endpoint is open to everybody and
/// bounded by nothing, and must not take connections away from decisions.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Option<(bool, Timestamp)>>>);

impl Readiness {
    async fn check(&self, pool: &PgPool, env: &Env) -> Result<(), ApiError> {
        let mut last = self.0.lock().await;
        let (answered, at) = match *last {
            Some((answered, at)) if env.now() < at.plus(BELIEVED) => (answered, at),
            _ => (asked(pool).await.is_ok(), env.now()),
        };
        // a failure too: whoever waited for it must not wait for another
        *last = Some((answered, at));
        if answered { Ok(()) } else { Err(ApiError::Unavailable) }
    }
}

async fn asked(pool: &PgPool) -> sqlx::Result<()> {
    pool.acquire().await?.ping().await
}

const BELIEVED: Duration = Duration::from_secs(1);

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
    state.readiness.check(&state.pool, &state.env).await?;
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
        let (readiness, env) = (Readiness::default(), Env::system());
        let ask = || readiness.check(&pool, &env);
        let all = async { tokio::join!(ask(), ask(), ask()) };
        let answers = tokio::time::timeout(ACQUIRE_TIMEOUT * 2, all).await.expect("one attempt, not three");
        assert!(<[_; 3]>::from(answers).iter().all(|answer| matches!(answer, Err(ApiError::Unavailable))));
    }
}
