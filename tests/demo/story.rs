//! The story the demo tells, from an empty directory to a table of latencies.

use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure};
use serde_json::Value;
use ssf_common::clock::{Clock as _, SystemClock, Timestamp};
use ssf_common::random::SeededRandom;
use ssf_harness::road::{self, RelyingParty, Road};
use tokio::task::JoinSet;

use crate::decisions::{Decision, expected};
use crate::report::{Latency, states, tally};
use crate::sessions::Session;
use crate::steps::{Steps, line};

/// How much of it.
pub(crate) struct Plan {
    pub(crate) keep: bool,
    pub(crate) sessions: usize,
    pub(crate) users: usize,
    pub(crate) decisions: usize,
    pub(crate) seed: u64,
}

/// Tells it. An error is a mismatch between what was decided and what was applied, or something that did not work.
pub(crate) async fn tell(plan: &Plan) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    let parties = road::Plan::default();
    let mut road = tokio::select! {
        road = Road::open(&parties, |step| steps.next(step)) => road?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    };
    let told = tokio::select! {
        told = act(plan, &mut road, &mut steps) => told,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    if told.is_err() {
        // what went wrong is told, not what it did to the end
        let _ = road.stop().await;
        return told;
    }
    if plan.keep {
        steps.done();
        line(&addresses(&road));
        let _ = tokio::signal::ctrl_c().await;
    }
    steps.next("everything stopped, nothing left running");
    road.stop().await?;
    drop(road);
    steps.done();
    line(&format!("done in {:.1} s", steps.elapsed().as_secs_f64()));
    Ok(())
}

async fn act(plan: &Plan, road: &mut Road, steps: &mut Steps) -> anyhow::Result<()> {
    steps.next("both RPs created their streams over HTTP and verified them");
    road.joined().await?;

    let sessions = Session::all(plan.sessions, plan.users);
    let began = SystemClock.now();
    register(road, steps, &sessions, began.minus(Duration::from_hours(1))).await?;
    let sids: Vec<String> = sessions.iter().map(|session| session.sid.clone()).collect();
    let mut rows = Vec::new();
    for rp in &road.receivers {
        let before = rp.states(&road.http, &sids).await?;
        ensure!(
            before.iter().all(|state| state == "active"),
            "{}: a session is not active before any decision",
            rp.name
        );
        rows.push((format!("{} before", rp.name), tally(&before)));
    }

    let mut decisions = shown(road, steps, &sessions, &sids).await?;
    let random = SeededRandom::new(plan.seed);
    steps.next_of(&format!("the IdP takes {} more decisions at random", plan.decisions), plan.decisions);
    let mut events = Vec::new();
    for _ in 0..plan.decisions {
        let decision = Decision::random(&random, &sessions, plan.users);
        events.extend(road.emit(&decision.event(&road.issuer, &sessions)).await?);
        decisions.push(decision);
        steps.part();
    }
    steps.next_of("every decision is acknowledged by both RPs", events.len());
    for event in &events {
        delivered(road, event).await?;
        steps.part();
    }

    steps.next("what the RPs say is what the IdP decided");
    let must_be = expected(&sessions, &decisions);
    for rp in &road.receivers {
        let after = rp.states(&road.http, &sids).await?;
        compare(&rp.name, &sids, &after, &must_be)?;
        rows.push((format!("{} after", rp.name), tally(&after)));
    }
    steps.next("a revalidated session is active again, a revoked one never");
    for rp in &road.receivers {
        let number = must_be.iter().position(|state| *state == "revalidate_required");
        let revoked = must_be.iter().position(|state| *state == "revoked");
        if let (Some(number), Some(revoked)) = (number, revoked) {
            rows.push(revalidate(road, rp, &sids, number, revoked).await?);
        }
    }
    steps.done();
    line(&states(&rows));

    let latency = measure(road, began).await?;
    let methods: Vec<&str> = road.receivers.iter().map(|rp| rp.method).collect();
    line("milliseconds since the decision (one machine, one clock):");
    line(&latency.table(&methods));
    let decided = i64::try_from(decisions.len())?;
    for method in methods {
        for leg in ["received", "acknowledged"] {
            let count = latency.count(method, leg);
            ensure!(
                count == decided,
                "{method}: {decided} decisions, but {count} {leg}: something was lost or applied twice"
            );
        }
    }
    Ok(())
}

/// The sessions, through the receivers' own API, eight at a time.
async fn register(road: &Road, steps: &mut Steps, sessions: &[Session], origin: Timestamp) -> anyhow::Result<()> {
    let what = format!("{} sessions registered at each RP", sessions.len());
    steps.next_of(&what, sessions.len() * road.receivers.len());
    for rp in &road.receivers {
        let mut running = JoinSet::new();
        for session in sessions {
            if running.len() >= 8 {
                running.join_next().await.transpose()?.transpose()?;
                steps.part();
            }
            let url = format!("{}/v1/sessions/{}", rp.process.base, session.sid);
            let request = road.http.put(url).json(&session.description(&road.issuer, origin));
            running.spawn(ssf_harness::processes::json(request));
        }
        while let Some(done) = running.join_next().await {
            done??;
            steps.part();
        }
    }
    Ok(())
}

/// The four decisions, one by one, each with the state before and after of one session it is about and of one it is not.
async fn shown(road: &Road, steps: &mut Steps, sessions: &[Session], sids: &[String]) -> anyhow::Result<Vec<Decision>> {
    let mut decisions: Vec<Decision> = Vec::new();
    for decision in Decision::shown() {
        steps.next(&format!("the IdP decides: {}", decision.words()));
        let before = expected(sessions, &decisions);
        let event = road.emit(&decision.event(&road.issuer, sessions)).await?;
        for event in &event {
            delivered(road, event).await?;
        }
        decisions.push(decision.clone());
        let after = expected(sessions, &decisions);
        steps.done();
        let meant: Vec<usize> =
            (0..sessions.len()).filter(|number| decision.concerns(*number, &sessions[*number])).collect();
        let Some(one) = meant.first() else { continue };
        for rp in &road.receivers {
            let states = rp.states(&road.http, sids).await?;
            compare(&rp.name, sids, &states, &after)?;
            line(&format!(
                "    {:<8} {}: {} → {} ({} session(s)); {} others as before",
                rp.name,
                sids[*one],
                before[*one],
                states[*one],
                meant.len(),
                sessions.len() - meant.len()
            ));
        }
    }
    Ok(decisions)
}

/// Waits until the event is acknowledged on every stream.
async fn delivered(road: &Road, event: &str) -> anyhow::Result<()> {
    let patience = Instant::now();
    loop {
        let progress = road.progress(event).await?;
        let streams = i64::try_from(road.receivers.len())?;
        if progress["delivered"].as_i64() == Some(streams) {
            return Ok(());
        }
        ensure!(progress["refused"].as_i64().unwrap_or(0) == 0, "an RP refused event {event}: {progress}");
        ensure!(patience.elapsed() < PATIENCE, "event {event} was not acknowledged by all: {progress}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn compare(rp: &str, sids: &[String], states: &[String], must_be: &[&str]) -> anyhow::Result<()> {
    let wrong = states.iter().zip(must_be).position(|(is, must)| is != must);
    match wrong {
        Some(number) => bail!("{rp}: {} is {} and must be {}", sids[number], states[number], must_be[number]),
        None => Ok(()),
    }
}

async fn revalidate(
    road: &Road,
    rp: &RelyingParty,
    sids: &[String],
    number: usize,
    revoked: usize,
) -> anyhow::Result<(String, [usize; 3])> {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century are below 2^52")]
    let now = SystemClock.now().unix_millis() as f64 / 1_000.0;
    let state = rp.revalidated(&road.http, &sids[number], now).await?;
    ensure!(state == "active", "{}: {} is {state} after a new assertion", rp.name, sids[number]);
    let state = rp.revalidated(&road.http, &sids[revoked], now).await?;
    ensure!(state == "revoked", "{}: {} is {state} although it was revoked", rp.name, sids[revoked]);
    Ok((format!("{} after {} was revalidated", rp.name, sids[number]), tally(&rp.states(&road.http, sids).await?)))
}

async fn measure(road: &Road, since: Timestamp) -> anyhow::Result<Latency> {
    // the receiver writes the time of a commit after it, within a moment
    let patience = Instant::now();
    loop {
        let mut latency = Latency::new();
        let transmitter: Value = road.transmitter_latency(&since.to_string()).await?;
        for rp in &road.receivers {
            latency.add_transmitter(rp.method, &transmitter);
            latency.add_receiver(rp.method, &rp.latency(&road.http, &since.to_string()).await?);
        }
        let is_whole =
            road.receivers.iter().all(|rp| latency.count(rp.method, "applied") == latency.count(rp.method, "received"));
        if is_whole || patience.elapsed() > PATIENCE {
            return Ok(latency);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn addresses(road: &Road) -> String {
    let mut lines = vec![
        String::new(),
        "Everything keeps running until Ctrl-C.".to_owned(),
        format!("  transmitter   {0}   metadata: {0}/.well-known/ssf-configuration", road.issuer),
    ];
    lines.extend(road.receivers.iter().map(|rp| format!("  {:<12}  {}", rp.name, rp.process.base)));
    lines.push("Decide that the sessions of user-5 are over:".to_owned());
    lines.push(format!(
        "  curl -X POST {0}/events -H 'Authorization: Bearer {1}' \\\n       -d '{{\"type\":\"session-revoked\",\"subject\":{{\"format\":\"iss_sub\",\"iss\":\"{0}\",\"sub\":\"user-5\"}}}}'",
        road.issuer, road.producer_token
    ));
    lines.push("Ask whether a session of user-5 is still good:".to_owned());
    for rp in &road.receivers {
        lines.push(format!(
            "  curl -X POST {}/v1/check -H 'Content-Type: application/json' -d '{{\"sid\":\"session-5\"}}'",
            rp.process.base
        ));
    }
    lines.push("See how long it took:".to_owned());
    for rp in &road.receivers {
        lines.push(format!("  curl {}/v1/latency", rp.process.base));
    }
    lines.push(format!("  curl {}/latency -H 'Authorization: Bearer {}'", road.issuer, road.producer_token));
    lines.join("\n")
}

const PATIENCE: Duration = Duration::from_secs(30);
