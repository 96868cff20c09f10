//! `ssf-receiver check` and `latency`: questions to the running service, over its own HTTP interface.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::Client;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;
use ssf_common::runtime::config::Span;
use ssf_receiver::config::Settings;
use url::Url;

use super::print::{print, print_json};

/// Ask for one session.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The session, as the application registered it
    sid: String,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
}

/// Ask for the latency report.
#[derive(Debug, Args)]
pub(super) struct Latency {
    /// Count events received since then: 15m, 2h (ago), RFC 3339 text or seconds since 1970; the last hour if left out
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only this upstream
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let mut url = address(settings)?;
        url.path_segments_mut().ok().context("server.listen is not an address")?.extend(["v1", "sessions", &self.sid]);
        let answer = ask(settings, url).await?;
        if self.json {
            return print_json(&answer);
        }
        let shown = ["sid", "state", "reason", "as_of", "origin", "validated", "expires_at"];
        let lines = shown.iter().filter_map(|member| Some((member, answer.get(*member)?.as_str()?)));
        print(&lines.fold(String::new(), |mut text, (member, value)| {
            let _ = writeln!(text, "{member:<11} {value}");
            text
        }))
    }
}

impl Latency {
    pub(super) async fn run(self, settings: &Settings, env: &Env) -> anyhow::Result<()> {
        let mut url = address(settings)?;
        url.set_path("/v1/latency");
        if let Some(since) = &self.since {
            url.query_pairs_mut().append_pair("since", &since_when(since, env.now())?);
        }
        if let Some(upstream) = &self.upstream {
            url.query_pairs_mut().append_pair("upstream", upstream);
        }
        let answer = ask(settings, url).await?;
        if self.json { print_json(&answer) } else { print(&table(&answer)) }
    }
}

/// The time that `--since` means, as the service reads it: so long ago, RFC 3339 text, or seconds since 1970.
pub(super) fn since_when(text: &str, now: Timestamp) -> anyhow::Result<String> {
    if let Ok(ago) = text.parse::<Span>() {
        let since = now.minus(ago.duration());
        if since < Timestamp::EPOCH {
            bail!("--since {text}: is before 1970; write a shorter time, for example 24h or 7d");
        }
        return Ok(since.to_string());
    }
    if text.parse::<Timestamp>().is_err() && text.parse::<i64>().is_err() {
        bail!("--since {text}: must be a time ago (24h, 7d), RFC 3339 text or seconds since 1970");
    }
    Ok(text.to_owned())
}

pub(super) fn address(settings: &Settings) -> anyhow::Result<Url> {
    settings.local_url().parse().context("server.listen is not an address; write host:port, for example 127.0.0.1:8702")
}

pub(super) async fn ask(settings: &Settings, url: Url) -> anyhow::Result<Value> {
    let at = settings.local_url();
    // The service is on this host: the token must not go to a proxy that the environment names for the world outside.
    let client = Client::builder().no_proxy().build().context("no HTTP client can be made")?;
    let mut request = client.get(url).timeout(settings.requests.timeout.duration());
    if let Some(token) = settings.api_token()? {
        request = request.bearer_auth(token.expose_secret());
    }
    let response =
        request.send().await.map_err(reqwest::Error::without_url).with_context(|| {
            format!("no service answers at {at} (server.listen); start it with `ssf-receiver serve`")
        })?;
    let status = response.status();
    let answer: Value = response.json().await.with_context(|| format!("{at} answered {status} and no JSON"))?;
    if !status.is_success() {
        let said = answer.get("error_description").and_then(Value::as_str).unwrap_or("without a reason");
        bail!("the service answered {status}: {said}");
    }
    Ok(answer)
}

/// One line per upstream, event type and leg of which there are figures.
fn table(report: &Value) -> String {
    let mut lines: Vec<[String; 8]> =
        vec![["upstream", "event", "leg", "count", "p50 ms", "p90 ms", "p99 ms", "max ms"].map(str::to_owned)];
    for row in rows(report) {
        let upstream = format!("{} ({})", text(&row["upstream"]), text(&row["method"]));
        let event = row["event_type"].as_str().unwrap_or("all events");
        for (leg, figures) in row["legs"].as_object().into_iter().flatten() {
            if figures["count"].as_i64().unwrap_or(0) > 0 {
                let ms = |name: &str| figures[name].as_f64().map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
                lines.push([
                    upstream.clone(),
                    event.to_owned(),
                    leg.replace("_to_", " → "),
                    figures["count"].to_string(),
                    ms("p50_ms"),
                    ms("p90_ms"),
                    ms("p99_ms"),
                    ms("max_ms"),
                ]);
            }
        }
    }
    if lines.len() == 1 {
        return format!("nothing was received since {}\n", text(&report["since"]));
    }
    let mut shown = aligned(&lines);
    shown.push_str("\nLegs from decided to received or applied subtract the issuer's clock from ours.\n");
    let offsets: BTreeMap<&str, &Value> =
        rows(report).map(|row| (text(&row["upstream"]), &row["clock_offset_ms"])).collect();
    for (upstream, offset) in offsets {
        let _ = match (offset["min"].as_f64(), offset["max"].as_f64()) {
            (Some(min), Some(max)) => writeln!(
                shown,
                "{upstream}: at the last verification its clock was {min:.1} to {max:.1} ms ahead of ours; add that to the figures."
            ),
            _ => writeln!(
                shown,
                "{upstream}: how far its clock is from ours is not known; the figures are off by as much."
            ),
        };
    }
    shown
}

fn rows(report: &Value) -> impl Iterator<Item = &Value> {
    report["rows"].as_array().into_iter().flatten()
}

/// The first three columns stand left, figures right.
fn aligned(lines: &[[String; 8]]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    lines.iter().fold(String::new(), |mut shown, line| {
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            let _ = if column < 3 { write!(shown, "{cell:<width$}  ") } else { write!(shown, "{cell:>width$}  ") };
        }
        shown.truncate(shown.trim_end().len());
        shown.push('\n');
        shown
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_ago_or_a_moment_and_anything_else_is_refused_in_words_of_the_command() {
        let now = Timestamp::from_unix_seconds(1_795_000_000);
        let day_ago = Timestamp::from_unix_seconds(1_795_000_000 - 86_400).to_string();
        for (text, since) in [
            ("24h", day_ago.as_str()),
            ("1d", &day_ago),
            ("1794000000", "1794000000"),
            ("2026-11-18T10:00:00Z", "2026-11-18T10:00:00Z"),
        ] {
            assert_eq!(since_when(text, now).unwrap(), since);
        }
        for (text, says) in [
            ("9999999d", "is before 1970"),
            ("99999999999999d", "must be a time ago (24h, 7d)"),
            ("yesterday", "must be a time ago (24h, 7d)"),
        ] {
            let refused = since_when(text, now).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("--since {text}: ")) && refused.contains(says), "{refused}");
        }
    }
}
