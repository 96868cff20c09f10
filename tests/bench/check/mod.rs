//! Scenario `check`: what an answer costs, in the process and over a socket, when a million decisions are known.
//!
//! The cut-offs are written into the table and read by the receiver itself, as at any start. What they take is what a
//! fresh `ssf-receiver` holds with them more than without. Then the receiver is opened in this process, with its
//! workers, and asked: by function call, over HTTP and over its unix socket, the latter two beside a handler that
//! answers a constant. Every answer is compared with what it must be, and the scenario fails if one is wrong.

mod beside;
mod load;
mod open;
mod shapes;
mod wire;

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use ssf_common::clock::{Clock as _, SystemClock};
use ssf_common::random::SeededRandom;
use ssf_receiver::validity::{NotNow, State, Validity};

use self::beside::Asked;
use self::load::{Case, Decisions};
use self::open::{Open, Site};
use self::shapes::Shape;
use crate::figures::{Figure, note, percentile};

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Cut-offs in memory.
    pub(crate) cutoffs: usize,
    /// Sessions asked for by description; a third as many are registered. Enough for no cache to hold what is looked up.
    pub(crate) sessions: usize,
    /// How long each server is asked in one of its turns.
    pub(crate) turn: Duration,
}

/// All of it.
pub(crate) async fn measure(size: Size) -> anyhow::Result<Vec<Figure>> {
    let directory = std::env::temp_dir().join(format!("ssf-bench-check-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let measured = measure_in(&directory, size).await;
    std::fs::remove_dir_all(&directory)?;
    measured
}

async fn measure_in(directory: &Path, size: Size) -> anyhow::Result<Vec<Figure>> {
    let mut stand = Site::open(directory).await?;
    note("a receiver that knows of no decision");
    let empty = stand.resident().await?;
    let decisions = Decisions {
        issuer: stand.issuer.url.as_str().into(),
        keyring: open::keyring()?,
        of_each: size.cutoffs / Shape::ALL.len(),
        at: SystemClock.now().minus(2 * AN_HOUR),
    };
    let cutoffs = decisions.of_each * Shape::ALL.len();
    note(&format!("{cutoffs} decisions are written into its database"));
    let pool = stand.pool().await?;
    decisions.write(&pool).await?;
    pool.close().await;
    note("the same receiver, started anew");
    let full = stand.resident().await?;
    let mut figures = vec![memory(full.saturating_sub(empty), cutoffs)];
    let open = Open::on(&stand, cutoffs).await?;
    let asked = ask(&open, &decisions, size).await;
    open.close().await;
    figures.extend(asked?);
    Ok(figures)
}

#[expect(clippy::cast_precision_loss, reason = "bytes of one process")]
fn memory(bytes: u64, cutoffs: usize) -> Figure {
    let per_million = bytes as f64 / cutoffs as f64;
    let metric = format!("resident memory per million cut-offs, {cutoffs} of them");
    Figure::new("check", metric, per_million, "MB").aiming("≤ 150 MB", per_million <= 150.0)
}

async fn ask(open: &Open<'_>, decisions: &Decisions, size: Size) -> anyhow::Result<Vec<Figure>> {
    let (chance, validity) = (SeededRandom::new(1), open.receiver.validity());
    let described = decisions.cases(size.sessions, &chance)?;
    let widest = decisions.widest_cases(size.sessions / 10, &chance)?;
    let to_register = decisions.cases(size.sessions / 3, &chance)?;
    note(&format!("{} sessions are registered", to_register.len()));
    let named = decisions.registered(open.receiver.pool(), to_register, SystemClock.now()).await?;
    open.heard_of().await?;
    // of what was registered nothing is to be forgotten any more
    open.receiver.replica().follow_changes().await?;
    note("by function call");
    let mut figures = Vec::new();
    let (overall, by_shape) = (in_process(validity, &described).await?, by_shape(validity, &described).await?);
    for (name, ns) in [
        ("described sessions of six shapes, in process", overall),
        ("registered sessions, in process", in_process(validity, &named).await?),
    ] {
        figures.push(Figure::new("check", name, ns, "ns").aiming("≤ 1 µs", ns <= 1_000.0));
    }
    figures.extend(by_shape);
    let ns = in_process(validity, &widest).await?;
    figures.push(Figure::new("check", "described sessions with 41 keys each, in process", ns, "ns"));
    for (name, cases) in [("registered sessions", &named), ("described sessions", &described)] {
        open.heard_of().await?;
        let bodies = cases.iter().take(OVER_SOCKETS).map(|case| (case.body.to_string(), name_of(case.expected)));
        let asked = Asked { name, bodies: bodies.collect(), rounds: ROUNDS, time: size.turn };
        for (ours, constant) in open.places(&asked).await? {
            note(&format!("{name} over {ours}"));
            figures.extend(beside::measure(&ours, &constant, &asked).await?);
        }
    }
    Ok(figures)
}

async fn by_shape(validity: &Validity, cases: &[Case]) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for shape in Shape::ALL {
        let of_it: Vec<Case> = cases.iter().filter(|case| case.shape == shape).cloned().collect();
        let ns = in_process(validity, &of_it).await?;
        figures.push(Figure::new("check", format!("… known by {}", shape.name()), ns, "ns"));
    }
    Ok(figures)
}

/// Nanoseconds per answer: the median of the rounds. Before, every answer is looked at.
async fn in_process(validity: &Validity, cases: &[Case]) -> anyhow::Result<f64> {
    are_right(validity, cases).await?;
    let mut rounds = Vec::new();
    let mut tries = 0;
    while rounds.len() < ROUNDS {
        tries += 1;
        ensure!(tries <= 10 * ROUNDS, "registered sessions do not stay in memory");
        if let Some(ns) = tokio::task::block_in_place(|| one_round(validity, cases))? {
            rounds.push(ns);
        } else {
            are_right(validity, cases).await?;
        }
    }
    Ok(percentile(&mut rounds, 0.5))
}

/// `None`: a session was not in memory, so this round tells nothing.
fn one_round(validity: &Validity, cases: &[Case]) -> anyhow::Result<Option<f64>> {
    let began = Instant::now();
    for case in cases {
        match black_box(validity.check_now(black_box(&case.question))) {
            Ok(_) => {}
            Err(NotNow::NotInMemory) => return Ok(None),
            Err(error @ NotNow::NotWhole) => return Err(error.into()),
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    Ok(Some(began.elapsed().as_secs_f64() * 1e9 / cases.len() as f64))
}

/// Every answer is the expected one, and both answers occur. What is registered is in memory afterwards.
async fn are_right(validity: &Validity, cases: &[Case]) -> anyhow::Result<()> {
    let mut over = 0;
    for some in cases.chunks(1_000) {
        let questions: Vec<_> = some.iter().map(|case| case.question.clone()).collect();
        for (case, answer) in some.iter().zip(validity.check_all(&questions).await?) {
            let (shape, verdict) = (case.shape.name(), answer.verdict);
            ensure!(
                verdict.state == case.expected,
                "{verdict:?} of {} instead of {:?} ({shape})",
                case.body,
                case.expected
            );
            over += usize::from(verdict.state == State::Revoked);
        }
    }
    ensure!((1..cases.len()).contains(&over), "{over} of {} sessions are over", cases.len());
    Ok(())
}

fn name_of(state: State) -> &'static str {
    match state {
        State::Revoked => "revoked",
        _ => "active",
    }
}

const ROUNDS: usize = 7;
/// So many different questions go over a socket.
const OVER_SOCKETS: usize = 6_000;
const AN_HOUR: Duration = Duration::from_hours(1);
