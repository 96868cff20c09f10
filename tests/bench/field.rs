//! A field: one transmitter process and as many streams as a scenario wants, without receivers of ours.

use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use serde_json::json as object;
use sqlx::PgPool;
use ssf_common::clock::{Clock as _, SystemClock, Timestamp};
use ssf_common::runtime::{Env, postgres};
use ssf_harness::idp::uris;
use ssf_harness::processes::json;
use ssf_harness::road::{Plan, Road, text};
use ssf_transmitter::admin::{self, NewClient};
use ssf_transmitter::audit::Actor;

use crate::figures::note;

/// The transmitter and what the bench needs of it.
pub(crate) struct Field {
    pub(crate) road: Road,
    /// Into the transmitter's schema.
    pub(crate) pool: PgPool,
    /// One receiver that may have all streams.
    receiver_token: String,
}

impl Field {
    /// `plan` says how SETs are signed and what else is set; its receivers come too.
    pub(crate) async fn open(plan: &Plan) -> anyhow::Result<Self> {
        let road = Road::open(plan, note).await?;
        let pool = postgres::connect(road.transmitter_database().options, SCHEMA, 4, "bench").await?;
        let issuer = admin::find_issuer(&pool, &road.issuer.as_str().into()).await?.context("the issuer is there")?;
        let receiver = NewClient {
            max_streams: 10_000,
            with_token: true,
            ..NewClient::receiver("bench", "https://bench.example")
        };
        let added = admin::add_client(&pool, &issuer, &receiver, &Actor::Service, &Env::system()).await?;
        let token = added.and_then(|credentials| credentials.token).context("a token")?;
        Ok(Self { road, pool, receiver_token: token.expose_secret().to_owned() })
    }

    /// A push stream to `endpoint` for session-revoked, or a poll stream; its `stream_id` and where it is polled.
    pub(crate) async fn stream(&self, endpoint: Option<&str>) -> anyhow::Result<(String, String)> {
        let delivery = match endpoint {
            Some(url) => object!({"method": "urn:ietf:rfc:8935", "endpoint_url": url}),
            None => object!({"method": "urn:ietf:rfc:8936"}),
        };
        let body = object!({"delivery": delivery, "events_requested": uris(&["session-revoked"])});
        let request = self.road.http.post(format!("{}/ssf/streams", self.road.issuer));
        let created = json(request.bearer_auth(&self.receiver_token).json(&body)).await?;
        let at = created["delivery"]["endpoint_url"].as_str().context("a delivery without an address")?;
        Ok((text(&created, "stream_id")?, at.to_owned()))
    }

    /// The receiver's token.
    pub(crate) fn receiver_token(&self) -> &str {
        &self.receiver_token
    }

    /// Milliseconds from the decision to the acknowledgement of everything settled since on these streams, on the
    /// transmitter's clock.
    pub(crate) async fn acknowledged_since(&self, since: Timestamp, streams: &[String]) -> anyhow::Result<Vec<f64>> {
        let query = "select (extract(epoch from settled_at - occurred_at) * 1000)::float8 from delivery_history
                      where stream_id = any($1::uuid[]) and occurred_at >= $2 and outcome = 'acknowledged'";
        Ok(sqlx::query_scalar(query).bind(streams).bind(since).fetch_all(&self.pool).await?)
    }

    /// How many deliveries wait.
    pub(crate) async fn waiting(&self) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar("select count(*) from delivery").fetch_one(&self.pool).await?)
    }

    /// How many decisions wait for the fan-out.
    pub(crate) async fn recorded(&self) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar("select count(*) from outbox").fetch_one(&self.pool).await?)
    }

    /// Waits until the fan-out has nothing to do.
    pub(crate) async fn fanned_out(&self) -> anyhow::Result<()> {
        while self.recorded().await? > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// Puts `count` decisions about as many users into the outbox, as a bulk job of the IdP would in one transaction.
    pub(crate) async fn bulk(&self, count: i64, first: i64) -> anyhow::Result<()> {
        let [event_type] = uris(&["session-revoked"]).try_into().map_err(|_| anyhow::anyhow!("one type"))?;
        sqlx::query(
            "insert into outbox (event_id, issuer_id, event_type, subject, lane, txn, payload, occurred_at, recorded_at, checked)
             select ssf_uuid_v7(clock_timestamp()), i.id, $3, jsonb_build_object('format', 'opaque', 'id', 'bulk-' || n), 2, 'bulk',
                    jsonb_build_object('event_timestamp', extract(epoch from clock_timestamp())::bigint), clock_timestamp(),
                    clock_timestamp(), true
               from issuer i, generate_series($2::bigint, $2 + $1 - 1) n where i.removed_at is null",
        )
        .bind(count)
        .bind(first)
        .bind(event_type)
        .execute(&self.pool)
        .await?;
        sqlx::query("select pg_notify('ssf_outbox', '')").execute(&self.pool).await?;
        Ok(())
    }

    /// Puts `count` decisions about `subjects` subjects in turn into the outbox; `txn` is the number of each, from `first` on.
    pub(crate) async fn numbered(&self, count: i64, first: i64, subjects: i64) -> anyhow::Result<()> {
        let [event_type] = uris(&["session-revoked"]).try_into().map_err(|_| anyhow::anyhow!("one type"))?;
        sqlx::query(
            "insert into outbox (event_id, issuer_id, event_type, subject, lane, txn, payload, occurred_at, recorded_at, checked)
             select ssf_uuid_v7(clock_timestamp()), i.id, $3, jsonb_build_object('format', 'opaque', 'id', 'user-' || g.number % $4), 0,
                    g.number::text, jsonb_build_object('event_timestamp', extract(epoch from clock_timestamp())::bigint),
                    clock_timestamp(), clock_timestamp(), true
               from issuer i, generate_series($2::bigint, $2 + $1 - 1) as g (number) where i.removed_at is null order by g.number",
        )
        .bind(count)
        .bind(first)
        .bind(event_type)
        .bind(subjects)
        .execute(&self.pool)
        .await?;
        sqlx::query("select pg_notify('ssf_outbox', '')").execute(&self.pool).await?;
        Ok(())
    }

    /// Ends everything in order.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.pool.close().await;
        self.road.stop().await
    }
}

/// The time before what is measured now.
pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

const SCHEMA: &str = "ssf_transmitter";
