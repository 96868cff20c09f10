//! `/v1/check` beside a handler that answers a constant: the same accept loop, connections and client, in turns.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use serde_json::Value;
use ssf_common::runtime::Shutdown;
use ssf_common::runtime::http::{Server, UnixDoor, serve};

use super::wire::{self, Line, Place};
use crate::figures::{Figure, percentile};

/// What is asked of both, and how long.
pub(super) struct Asked {
    /// How it is called among the figures.
    pub(super) name: &'static str,
    /// The bodies of the requests, with the state each must be answered.
    pub(super) bodies: Vec<(String, &'static str)>,
    /// So many rounds each …
    pub(super) rounds: usize,
    /// … of this length.
    pub(super) time: Duration,
}

/// Serves the receiver's routes at a socket; the other place is its listener.
pub(super) fn serve_at_socket(router: Router, path: &Path, shutdown: &Shutdown) -> anyhow::Result<Place> {
    let door = UnixDoor::bind(path, 0o600, "server.socket")?;
    let serving = shutdown.clone();
    shutdown.spawn("a socket of the bench", async move {
        let _ = Server::default().serve_unix(door, router, &serving).await;
    });
    Ok(Place::Unix(path.to_owned()))
}

/// Serves routes at an address.
pub(super) async fn serve_at_address(router: Router, address: &str, shutdown: &Shutdown) -> anyhow::Result<Place> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let serving = shutdown.clone();
    shutdown.spawn("a listener of the bench", async move {
        let _ = serve(listener, router, &serving).await;
    });
    Ok(Place::Tcp(address))
}

/// A handler that reads the question and always gives the same answer, which is one of ours.
pub(super) async fn constant(ours: &Place, asked: &Asked) -> anyhow::Result<Router> {
    let (body, _) = asked.bodies.first().context("nothing to ask")?;
    let answer = Bytes::copy_from_slice(Line::open(ours).await?.ask(&wire::post(PATH, body)).await?);
    let handler = async move |_: Bytes| ([("content-type", "application/json")], answer.clone());
    Ok(Router::new().route(PATH, post(handler)))
}

/// Checks our answers first, then the rounds: one of ours, one of the constant's, then the other way round.
pub(super) async fn measure(ours: &Place, constant: &Place, asked: &Asked) -> anyhow::Result<Vec<Figure>> {
    answers_are_right(ours, asked).await?;
    let requests = Arc::new(asked.bodies.iter().map(|(body, _)| wire::post(PATH, body)).collect::<Vec<_>>());
    for place in [ours, constant] {
        wire::round(place, &requests, asked.time / 4).await?;
    }
    let (mut of_ours, mut of_constant) = (Side::default(), Side::default());
    for number in 0..asked.rounds {
        let mut turns = [(ours, &mut of_ours), (constant, &mut of_constant)];
        if number % 2 == 1 {
            turns.reverse();
        }
        for (place, side) in turns {
            let round = wire::round(place, &requests, asked.time).await?;
            side.paces.push(round.per_second);
            side.samples.extend(round.samples);
        }
    }
    let pace = Figure::new("check", format!("{} over {ours}", asked.name), of_ours.per_second(), "1/s");
    let pace = pace.beside(of_constant.per_second());
    let is_met = pace.ratio.is_some_and(|ratio| ratio >= 0.8);
    let p99 = Figure::new("check", format!("{} over {ours}, p99", asked.name), of_ours.p99(), "ms");
    Ok(vec![pace.aiming("≥ 80 % of a constant handler", is_met), p99.beside(of_constant.p99())])
}

#[derive(Default)]
struct Side {
    paces: Vec<f64>,
    samples: Vec<f64>,
}

impl Side {
    fn per_second(&mut self) -> f64 {
        percentile(&mut self.paces, 0.5)
    }

    fn p99(&mut self) -> f64 {
        percentile(&mut self.samples, 0.99)
    }
}

async fn answers_are_right(ours: &Place, asked: &Asked) -> anyhow::Result<()> {
    let mut line = Line::open(ours).await?;
    for (body, expected) in &asked.bodies {
        let answer: Value = serde_json::from_slice(line.ask(&wire::post(PATH, body)).await?)?;
        ensure!(answer["state"] == *expected, "{} instead of {expected}: {answer}", answer["state"]);
    }
    Ok(())
}

const PATH: &str = "/v1/check";
