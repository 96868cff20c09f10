//! [`Proof`] reads cut-offs page by page, judges each, and puts the report together.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::clock::Timestamp;

use super::figures::{Distribution, histogram, millis};
use super::outcome::{CutOff, Outcome};
use super::shape::{Breach, Cursor, Line, Lines, PointBound, PointRow, Row, WindowsReport};
use super::store::{self, After, Reported};
use crate::config::{BindingClass, EnforcementPoint, EnforcementPoints, Level, Settings, Staleness, Windows};

/// What was promised, and by which mechanisms it is kept.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The window table.
    pub windows: Windows,
    /// Who asks.
    pub points: EnforcementPoints,
    /// How long a silent issuer is believed.
    pub staleness: Staleness,
}

impl From<&Settings> for Terms {
    fn from(settings: &Settings) -> Self {
        Self { windows: settings.windows, points: settings.points(), staleness: settings.staleness() }
    }
}

/// Reads cut-offs and judges them against the terms.
#[derive(Clone, Debug)]
pub struct Proof {
    pool: PgPool,
    terms: Terms,
}

impl Proof {
    /// On this database, by these terms.
    pub const fn new(pool: PgPool, terms: Terms) -> Self {
        Self { pool, terms }
    }

    /// The terms.
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The report on decisions that arrived since `since`, all of them or those of one upstream.
    pub async fn report(
        &self,
        since: Timestamp,
        upstream: Option<&str>,
        now: Timestamp,
    ) -> Result<WindowsReport, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let (mut rows, mut breaches, mut left_off, mut probes) = (Vec::new(), Vec::new(), 0, Vec::new());
        for reported in store::upstreams(&mut db, upstream).await? {
            let mut tally = BTreeMap::<(Level, BindingClass), Tally>::new();
            probes.extend(store::probes(&mut db, &reported, since, MOST_PROBES).await?);
            let mut after = from(since);
            loop {
                let page = store::cut_offs(&mut db, reported.id, &after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after = After { received_at: last.received_at, jti: last.jti.clone() };
                for cut_off in &page {
                    for (class, outcome) in self.judged(cut_off, &reported) {
                        tally.entry((cut_off.level, class)).or_default().count(&outcome);
                        if let Some(is_certain) = self.breach(cut_off, class, &outcome, &reported) {
                            tally.entry((cut_off.level, class)).or_default().breaches += 1;
                            if breaches.len() < MOST_LISTED {
                                breaches.push(self.listed(cut_off, class, &outcome, is_certain, &reported));
                            } else {
                                left_off += 1;
                            }
                        }
                    }
                }
            }
            rows.extend(tally.into_iter().map(|((level, class), tally)| {
                tally.row(&reported, level, class, self.terms.windows.window(level, class))
            }));
        }
        breaches.sort_by_key(|breach| breach.cutoff.received_at);
        let points = self.points();
        Ok(WindowsReport {
            since,
            as_of: now,
            clocks: CLOCKS.to_owned(),
            points,
            rows,
            probes,
            breaches,
            breaches_left_off: left_off,
        })
    }

    /// Whether there is an upstream of this name, or was.
    pub async fn knows(&self, upstream: &str) -> Result<bool, sqlx::Error> {
        Ok(!store::upstreams(&mut *self.pool.acquire().await?, Some(upstream)).await?.is_empty())
    }

    /// A page of cut-offs that arrived since `since`, after the one at `after`.
    pub async fn lines(
        &self,
        since: Timestamp,
        upstream: Option<&str>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Lines, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let mut cutoffs = Vec::new();
        for reported in store::upstreams(&mut db, upstream).await? {
            let begin = match after {
                Some(after) if reported.name < after.upstream => continue,
                Some(after) if reported.name == after.upstream => {
                    After { received_at: after.received_at, jti: after.jti.clone() }
                }
                _ => from(since),
            };
            let room = limit - cutoffs.len();
            let page = store::cut_offs(&mut db, reported.id, &begin, i64::try_from(room).unwrap_or(i64::MAX)).await?;
            cutoffs.extend(page.iter().map(|cut_off| self.line(cut_off, &reported)));
            if cutoffs.len() >= limit {
                break;
            }
        }
        let last = cutoffs.last().filter(|_| cutoffs.len() >= limit);
        let next = last.map(|line| {
            let (upstream, jti) = (line.upstream.clone(), line.jti.clone());
            Cursor { upstream, received_at: line.received_at, jti }.to_string()
        });
        Ok(Lines { cutoffs, next })
    }

    fn judged<'a>(
        &'a self,
        cut_off: &'a CutOff,
        of: &'a Reported,
    ) -> impl Iterator<Item = (BindingClass, Outcome)> + 'a {
        BindingClass::ALL
            .into_iter()
            .filter_map(move |class| Some((class, cut_off.outcome(class, &self.terms.points, of.offset.as_ref())?)))
    }

    fn breach(&self, cut_off: &CutOff, class: BindingClass, outcome: &Outcome, of: &Reported) -> Option<bool> {
        outcome.breach(self.terms.windows.window(cut_off.level, class), of.offset.as_ref())
    }

    fn line(&self, cut_off: &CutOff, of: &Reported) -> Line {
        let judged: Vec<(BindingClass, Outcome)> = self.judged(cut_off, of).collect();
        let worst = judged.iter().max_by_key(|(_, outcome)| outcome.took);
        let is_breach =
            |(class, outcome): &&(BindingClass, Outcome)| self.breach(cut_off, *class, outcome, of).is_some();
        Line {
            upstream: of.name.clone(),
            jti: cut_off.jti.clone(),
            event_type: cut_off.event_type.clone(),
            effect: cut_off.effect.clone(),
            level: cut_off.level,
            decided_at: cut_off.decided_at,
            taken_at: cut_off.taken_at,
            received_at: cut_off.received_at,
            applied_at: cut_off.applied_at,
            visible_at: cut_off.visible_at(),
            visible: cut_off.visible.clone(),
            last_allowed_at: cut_off.last_allowed_at(),
            seen: cut_off.seen.clone(),
            breached: judged.iter().filter(is_breach).map(|(class, _)| *class).collect(),
            legs_ms: worst.map(|(_, outcome)| outcome.legs.into()),
            outcome_ms: judged.iter().map(|(class, outcome)| (*class, millis(outcome.took))).collect(),
        }
    }

    fn listed(
        &self,
        cut_off: &CutOff,
        class: BindingClass,
        outcome: &Outcome,
        is_certain: bool,
        of: &Reported,
    ) -> Breach {
        Breach {
            cutoff: self.line(cut_off, of),
            class,
            window_ms: in_ms(self.terms.windows.window(cut_off.level, class)),
            outcome_ms: millis(outcome.took),
            is_certain,
            last_possible_at: outcome.last_possible_at,
            point: outcome.point.clone(),
            legs_ms: outcome.legs.into(),
            slowest: outcome.legs.slowest().to_owned(),
        }
    }

    fn points(&self) -> Vec<PointRow> {
        let bounds = |point: &EnforcementPoint| {
            let every = Level::ALL.into_iter().flat_map(|level| BindingClass::ALL.map(|class| (level, class)));
            every
                .filter(|(_, class)| point.serves(*class))
                .map(|(level, class)| PointBound {
                    level,
                    class,
                    bound_ms: in_ms(point.bound(self.terms.staleness.limits(level, class).hard)),
                    window_ms: in_ms(self.terms.windows.window(level, class)),
                })
                .collect()
        };
        let row = |(name, point): (&str, &EnforcementPoint)| PointRow {
            name: name.to_owned(),
            mechanism: point.mechanism,
            reuse_ms: in_ms(point.reuse()),
            bounds: bounds(point),
        };
        self.terms.points.iter().map(row).collect()
    }
}

/// What was counted so far, in microseconds.
#[derive(Debug, Default)]
struct Tally {
    outcome: Vec<i64>,
    seen: Vec<i64>,
    idp: Vec<i64>,
    rp: Vec<i64>,
    breaches: usize,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        self.outcome.push(outcome.took);
        self.seen.extend(outcome.seen_took);
        self.idp.push(outcome.legs.idps());
        self.rp.push(outcome.legs.ours());
    }

    fn row(mut self, of: &Reported, level: Level, class: BindingClass, window: Duration) -> Row {
        let histogram = histogram(&self.outcome);
        let outcome = Distribution::of(&mut self.outcome);
        let window_ms = in_ms(window);
        Row {
            upstream: of.name.clone(),
            level,
            class,
            window_ms,
            share_of_window: outcome.max_ms.map(|max| max / window_ms),
            outcome,
            seen: Distribution::of(&mut self.seen),
            idp: Distribution::of(&mut self.idp),
            rp: Distribution::of(&mut self.rp),
            breaches: self.breaches,
            clock_offset_ms: of.offset,
            histogram,
        }
    }
}

fn from(since: Timestamp) -> After {
    // before every id: PostgreSQL compares a row member by member
    After { received_at: since, jti: String::new() }
}

fn in_ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

const PAGE: i64 = 2_000;
const MOST_LISTED: usize = 1_000;
const MOST_PROBES: i64 = 100;
const CLOCKS: &str = "decided_at and taken_at are told by the issuer's clock, every other time by ours. Outcomes subtract the \
    one from the other with the smallest correction that clock_offset_ms (how far the issuer's clock was ahead of ours at \
    the last verification: min and max) allows; where it is null nothing is corrected, and outcomes are off by as much as \
    the clocks are apart. A breach is certain if it stands whatever offset within these bounds is the true one.";
