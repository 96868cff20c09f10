//! An identity provider with a transmitter inside: one program, one database, one transaction for the IdP's own change and
//! the decision that tells every application of it.
//!
//! ```text
//! cargo run -p ssf-transmitter --example idp [-- 127.0.0.1:8710]
//! ```
//!
//! It runs on a private PostgreSQL that is gone with it. `POST /login` starts a session,
//! `POST /sessions/{id}/end` ends it; the transmitter's own endpoints stand beside these.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use ssf_common::runtime::postgres::cluster::{Cluster, ClusterOptions};
use ssf_common::runtime::shutdown::Shutdown;
use ssf_common::runtime::{Env, http as server, telemetry};
use ssf_transmitter::admin::{self, NewClient};
use ssf_transmitter::audit::Actor;
use ssf_transmitter::config::Settings;
use ssf_transmitter::keys::SealingKey;
use ssf_transmitter::{Decision, Transmitter};

/// What the IdP's own handlers share.
struct Idp {
    pool: PgPool,
    transmitter: Transmitter,
    env: Env,
}

#[derive(Deserialize)]
struct Login {
    user: String,
}

/// A user logs in: a row of the IdP's own.
async fn login(State(idp): State<Arc<Idp>>, Json(login): Json<Login>) -> Result<Json<Value>, Fault> {
    let session = idp.env.random.secret();
    let insert = sqlx::query("insert into idp.session (id, username) values ($1, $2)");
    insert.bind(&session).bind(&login.user).execute(&idp.pool).await?;
    Ok(Json(json!({ "session": session })))
}

/// Who is logged in.
async fn sessions(State(idp): State<Arc<Idp>>) -> Result<Json<Value>, Fault> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("select id, username from idp.session order by username").fetch_all(&idp.pool).await?;
    Ok(Json(rows.iter().map(|(id, user)| json!({"session": id, "user": user})).collect()))
}

/// A session ends: the IdP's own row and the decision for everybody else, or neither.
async fn end(State(idp): State<Arc<Idp>>, Path(session): Path<String>) -> Result<Json<Decision>, Fault> {
    let mut tx = idp.pool.begin().await?;
    // stop …
    let gone = sqlx::query("delete from idp.session where id = $1").bind(&session).execute(&mut *tx).await?;
    if gone.rows_affected() == 0 {
        return Err(Fault(StatusCode::NOT_FOUND));
    }
    // … then stamp
    let draft = json!({"type": "session-revoked", "subject": {"format": "opaque", "id": session}});
    let draft = serde_json::from_value(draft).map_err(|_| Fault(StatusCode::INTERNAL_SERVER_ERROR))?;
    let decision = idp.transmitter.record(&mut tx, draft).await.map_err(|_| Fault(StatusCode::BAD_REQUEST))?;
    tx.commit().await?;
    Ok(Json(decision))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let env = Env::system();
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8710".to_owned());
    // a taken port is said before anything is started
    let listener = server::bind(listen.parse::<SocketAddr>()?, "the first argument").await?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let settings = Settings::with(&[("issuer.url", &issuer)])?;
    telemetry::init(&settings.log)?;
    let shutdown = Shutdown::new(settings.server.grace.duration());
    shutdown.listen_for_signals()?;

    let directory = std::env::temp_dir().join(format!("ssf-example-{}", std::process::id()));
    let cluster = Cluster::start(ClusterOptions::new(&directory)).await?;
    cluster.ensure_database("idp").await?;
    let options = cluster.options("idp");
    // in production this comes from a secret store and stays the same: without it the stored keys do not open
    let sealing = SealingKey::parse(&env.random.secret().into())?;

    let pool = PgPool::connect_with(options.clone()).await?;
    sqlx::raw_sql("create schema if not exists idp; create table if not exists idp.session (id text primary key, username text not null)")
        .execute(&pool)
        .await?;
    let transmitter = Transmitter::start(&settings, sealing, env.clone(), options, &shutdown).await?;
    greet(&transmitter, &issuer, &env).await?;

    let ssf = transmitter.router();
    let idp = Arc::new(Idp { pool: pool.clone(), transmitter, env });
    let app = Router::new()
        .route("/login", post(login))
        .route("/sessions", get(sessions))
        .route("/sessions/{id}/end", post(end))
        .with_state(Arc::clone(&idp))
        .fallback_service(ssf);
    server::serve(listener, app, &shutdown).await?;
    shutdown.begin();
    shutdown.wait().await;
    drop(idp);
    pool.close().await;
    cluster.stop().await;
    std::fs::remove_dir_all(&directory).context("the private server's directory stays")
}

/// A receiver to try it with, and what to type.
async fn greet(transmitter: &Transmitter, issuer: &str, env: &Env) -> anyhow::Result<()> {
    let new = NewClient { with_token: true, ..NewClient::receiver("my-app", "https://app.example") };
    let added = admin::add_client(transmitter.pool(), &transmitter.issuer, &new, &Actor::Service, env).await?;
    let token = added.and_then(|credentials| credentials.token).context("my-app is there already")?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "an IdP with a transmitter inside listens on {issuer}; a receiver's token: {}",
        token.expose_secret()
    )?;
    writeln!(out, "  curl {issuer}/login -H 'Content-Type: application/json' -d '{{\"user\": \"alice\"}}'")?;
    writeln!(out, "  curl -X POST {issuer}/sessions/SESSION/end")?;
    writeln!(out, "  curl {issuer}/.well-known/ssf-configuration")?;
    Ok(())
}

/// An answer without details: an example needs no better one.
struct Fault(StatusCode);

impl From<sqlx::Error> for Fault {
    fn from(_: sqlx::Error) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl axum::response::IntoResponse for Fault {
    fn into_response(self) -> axum::response::Response {
        self.0.into_response()
    }
}
