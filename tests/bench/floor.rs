//! The floor under a latency: what cannot be had for less on this machine, measured in the same run, piece by piece.

use std::time::Instant;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use ssf_common::clock::{Clock as _, SystemClock};
use ssf_common::event::Vocabulary;
use ssf_common::jwks::{Algorithm, SigningKey, VerifyingKeys};
use ssf_common::set::{DEFAULT_TIMELINE_CLAIM, Policy, sign, verify};
use ssf_harness::ScratchDatabase;

use crate::sign::claims;

/// The pieces: two committed one-row transactions at the transmitter, one signature, one HTTP round trip, one
/// verification, one committed one-row transaction at the receiver.
pub(crate) struct Floor {
    transmitter: PgConnection,
    receiver: PgConnection,
    key: SigningKey,
    keys: VerifyingKeys,
    http: reqwest::Client,
    url: String,
    samples: Vec<f64>,
}

impl Floor {
    /// On two databases of its own on the same server, with a server that answers 202 to anything.
    pub(crate) async fn new(transmitter: &ScratchDatabase, receiver: &ScratchDatabase) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let router = Router::new().route("/", post(|_: Bytes| async { http::StatusCode::ACCEPTED }));
        let listener = axum::serve::ListenerExt::tap_io(listener, |connection| {
            let _ = connection.set_nodelay(true);
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        let key = SigningKey::generate(Algorithm::Rs256)?;
        let keys = VerifyingKeys::parse(json!({"keys": [key.public_jwk()]}).to_string().as_bytes())?;
        let mut floor = Self {
            transmitter: PgConnection::connect_with(&transmitter.options).await?,
            receiver: PgConnection::connect_with(&receiver.options).await?,
            key,
            keys,
            http: reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?,
            url,
            samples: Vec::new(),
        };
        for connection in [&mut floor.transmitter, &mut floor.receiver] {
            sqlx::query("create table floor (id bigint generated always as identity primary key, body text not null)")
                .execute(connection)
                .await?;
        }
        for _ in 0..20 {
            floor.measure().await?;
        }
        floor.samples.clear();
        Ok(floor)
    }

    /// One sample: the sum of its pieces, in milliseconds.
    pub(crate) async fn measure(&mut self) -> anyhow::Result<()> {
        let (claims, vocabulary) = (claims()?, Vocabulary::default());
        let policy = Policy::new(claims.iss.clone(), claims.aud.0.clone());
        let began = Instant::now();
        insert(&mut self.transmitter).await?;
        insert(&mut self.transmitter).await?;
        let set = sign(&claims, &vocabulary, &self.key, Some(DEFAULT_TIMELINE_CLAIM))?;
        let answer = self.http.post(&self.url).body(set.clone()).send().await.context("the floor's own server")?;
        anyhow::ensure!(answer.status().is_success());
        verify(set.as_bytes(), &policy, &self.keys, SystemClock.now())?;
        insert(&mut self.receiver).await?;
        self.samples.push(began.elapsed().as_secs_f64() * 1_000.0);
        Ok(())
    }

    /// All samples, in milliseconds.
    pub(crate) fn samples(&mut self) -> &mut [f64] {
        &mut self.samples
    }
}

async fn insert(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("insert into floor (body) values ('a row')").execute(connection).await?;
    Ok(())
}
