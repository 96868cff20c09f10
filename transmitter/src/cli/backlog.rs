//! `backlog`: what waits, as a table that is live on a terminal; and windows that were missed.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};
use ssf_common::runtime::Env;
use ssf_transmitter::admin::{self, Backlog, LaneBacklog, MAX_PAGE, StreamBacklog};
use ssf_transmitter::backlog::Promise;
use ssf_transmitter::config::Settings;
use ssf_transmitter::issuer::{Issuer, IssuerId};
use ssf_transmitter::stream::StreamKey;

use super::database::{Begins, Database, on_database};

/// What is to be shown.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(super) struct Asked {
    /// Shows it anew every second until Ctrl-C; on a terminal that is so anyway.
    #[arg(long, conflicts_with = "once")]
    watch: bool,
    /// Shows it once, on a terminal too.
    #[arg(long)]
    once: bool,
    /// Of every issuer of the service.
    #[arg(long, conflicts_with = "breaches")]
    everywhere: bool,
    /// As JSON, one object per line.
    #[arg(long)]
    json: bool,
    /// Deliveries that missed their window instead, newest first.
    #[arg(long)]
    breaches: bool,
    /// Breaches of this stream only.
    #[arg(long, value_name = "STREAM_ID", requires = "breaches")]
    stream: Option<StreamKey>,
    /// The most breaches that are shown.
    #[arg(long, default_value_t = 100, value_name = "N", requires = "breaches")]
    limit: u16,
}

/// Shows it.
pub(super) async fn run(settings: &Settings, at: Option<&str>, asked: Asked) -> anyhow::Result<()> {
    let env = Env::system();
    on_database(settings, Begins::Never, async |database| work(settings, at, database, &asked, &env).await).await
}

async fn work(
    settings: &Settings,
    at: Option<&str>,
    database: &Database,
    asked: &Asked,
    env: &Env,
) -> anyhow::Result<String> {
    let issuer = database.issuer(settings, at).await?;
    if asked.breaches {
        return breaches(database, &issuer, asked, env).await;
    }
    let of = if asked.everywhere { None } else { Some(issuer.id) };
    let promise = Promise::of(settings);
    let is_terminal = std::io::stdout().is_terminal();
    if !asked.watch && (asked.once || asked.json || !is_terminal) {
        return shown(database, of, asked, &promise, env).await;
    }
    loop {
        let text = shown(database, of, asked, &promise, env).await?;
        if is_terminal && !asked.json {
            redraw(&text)?;
        } else {
            super::say(&text)?;
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(String::new()),
            () = tokio::time::sleep(A_SECOND) => {}
        }
    }
}

/// Over what was there, so that nothing flickers.
fn redraw(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "\x1b[H")?;
    for line in text.lines() {
        writeln!(out, "{line}\x1b[K")?;
    }
    write!(out, "\x1b[J")?;
    out.flush()
}

async fn shown(
    database: &Database,
    of: Option<IssuerId>,
    asked: &Asked,
    promise: &Promise,
    env: &Env,
) -> anyhow::Result<String> {
    let backlog = admin::whole_backlog(&database.pool, of, promise, env).await?;
    if asked.json {
        return Ok(serde_json::to_string(&backlog)?);
    }
    Ok(table(backlog))
}

fn table(backlog: Backlog) -> String {
    let totals = &backlog.totals;
    let mut lines = vec![format!(
        "{} waiting on {} streams, {} held, {:.1} taken per second, {} alarms, {} windows missed",
        totals.waiting, totals.streams, totals.held, totals.drain_per_second, totals.alarms, totals.breaches
    )];
    for one in &backlog.outbox {
        lines.push(format!(
            "not fanned out: {} {}, the oldest decided {} ago{}",
            one.waiting,
            one.lane.as_str(),
            span(one.oldest_age_ms),
            one.alarm.as_ref().map_or("", |_| ": alarm")
        ));
    }
    let mut streams = backlog.streams.items;
    streams.sort_by_key(|stream| std::cmp::Reverse(stream.waiting));
    let quiet = streams.iter().filter(|stream| is_quiet(stream)).count();
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "stream", "client", "status", "urgent", "prompt", "bulk", "sending", "oldest", "drain/s", "empty in", "window",
        "alarm",
    ]);
    for stream in streams.iter().filter(|stream| !is_quiet(stream)).take(MOST_ROWS) {
        table.add_row(row(stream));
    }
    for column in 3..=10 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if table.row_count() > 0 {
        lines.push(table.to_string());
    }
    let hidden = (streams.len() - quiet).saturating_sub(MOST_ROWS);
    if hidden > 0 {
        lines.push(format!("and {hidden} more streams with less waiting; --json shows all"));
    }
    if quiet > 0 {
        lines.push(format!("nothing waits on {quiet} streams"));
    }
    lines.join("\n")
}

fn is_quiet(stream: &StreamBacklog) -> bool {
    stream.waiting == 0 && stream.breaker.failures == 0 && stream.lanes().iter().all(|(_, lane)| lane.alarm.is_none())
}

fn row(stream: &StreamBacklog) -> Vec<String> {
    let lanes = stream.lanes();
    let oldest = lanes.iter().filter_map(|(_, lane)| lane.oldest_age_ms).max();
    let used = lanes
        .iter()
        .filter_map(|(_, lane)| lane.window_used)
        .fold(None, |most: Option<f64>, used| Some(most.map_or(used, |most| most.max(used))));
    let alarms: Vec<String> = lanes.iter().filter_map(|(lane, of)| alarm(lane.as_str(), of)).collect();
    let status = if stream.breaker.failures > 0 {
        format!("failing ({})", stream.breaker.failures)
    } else {
        stream.status.as_str().to_owned()
    };
    vec![
        stream.stream_id.to_string(),
        printable(&stream.client_id),
        status,
        stream.urgent.waiting.to_string(),
        stream.prompt.waiting.to_string(),
        stream.bulk.waiting.to_string(),
        stream.in_flight.to_string(),
        oldest.map_or_else(|| "-".to_owned(), span),
        format!("{:.1}", stream.drain_per_second),
        if stream.waiting == 0 { "-".to_owned() } else { stream.time_to_empty_ms.map_or_else(|| "?".to_owned(), span) },
        used.map_or_else(|| "-".to_owned(), |used| format!("{:.0} %", used * 100.0)),
        alarms.join(", "),
    ]
}

fn alarm(lane: &str, of: &LaneBacklog) -> Option<String> {
    let alarm = of.alarm.as_ref()?;
    Some(format!("{lane}: {}", alarm.cause))
}

async fn breaches(database: &Database, issuer: &Issuer, asked: &Asked, env: &Env) -> anyhow::Result<String> {
    anyhow::ensure!((1..=MAX_PAGE).contains(&asked.limit), "--limit must be a number from 1 to {MAX_PAGE}");
    let page = admin::list_breaches(&database.pool, issuer, asked.stream, None, asked.limit, env).await?;
    if asked.json {
        let lines: Result<Vec<String>, _> = page.items.iter().map(serde_json::to_string).collect();
        return Ok(lines?.join("\n"));
    }
    if page.items.is_empty() {
        return Ok("no window was missed".to_owned());
    }
    let mut lines: Vec<String> = page
        .items
        .iter()
        .map(|one| {
            let name = one.event_type.rsplit('/').next().unwrap_or_default();
            format!(
                "{}  {}  {:<6} {name}  took {} of {}  {}  slowest leg: {}",
                one.occurred_at,
                one.stream_id,
                one.lane.as_str(),
                span(one.took_ms),
                span(one.window_ms),
                one.outcome.as_deref().unwrap_or("waits still"),
                serde_json::to_value(one.leg).ok().and_then(|leg| Some(leg.as_str()?.to_owned())).unwrap_or_default(),
            )
        })
        .collect();
    if page.next.is_some() {
        lines.push("and more: raise --limit".to_owned());
    }
    Ok(lines.join("\n"))
}

/// Two units at most: `950ms`, `12s`, `4m10s`, `2h05m`.
fn span(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0 => format!("{millis}ms"),
        1..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// A stranger's words, fit for a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

const A_SECOND: Duration = Duration::from_secs(1);
const MOST_ROWS: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_two_units_at_most() {
        let told: Vec<String> = [0, 950, 12_300, 119_999, 250_000, 7_500_000].map(span).into();
        assert_eq!(told, ["0ms", "950ms", "12s", "119s", "4m10s", "2h05m"]);
    }
}
