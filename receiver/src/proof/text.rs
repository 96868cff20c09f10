//! The report for a person at a terminal. Pure; called by the command line.

use std::fmt::Write as _;

use super::figures::Distribution;
use super::shape::{Breach, WindowsReport};

/// The whole report.
pub fn text(report: &WindowsReport) -> String {
    let mut said = format!("Windows kept since {}, as of {}\n\n", report.since, report.as_of);
    if report.rows.is_empty() {
        said.push_str("Nothing was cut off.\n");
    } else {
        said.push_str(&table(report));
    }
    said.push_str("\nEnforcement points\n\n");
    said.push_str(&points(report));
    if !report.probes.is_empty() {
        said.push_str("\nProbes, the newest first\n\n");
        said.push_str(&probes(report));
    }
    if !report.breaches.is_empty() {
        let all = report.breaches.len() + report.breaches_left_off;
        let _ = writeln!(said, "\nBreaches: {all}\n");
        report.breaches.iter().for_each(|breach| said.push_str(&breach_line(breach)));
        if report.breaches_left_off > 0 {
            let _ = writeln!(said, "  … and {} more: --format csv has all", report.breaches_left_off);
        }
    }
    let _ = writeln!(said, "\n{}", report.clocks);
    for row in &report.rows {
        if row.clock_offset_ms.is_none() {
            let _ = writeln!(said, "{}: how far its clock is from ours is not known.", row.upstream);
            break;
        }
    }
    said
}

fn table(report: &WindowsReport) -> String {
    let mut lines = vec![HEAD.map(str::to_owned).to_vec()];
    for row in &report.rows {
        let of = |what: &str, d: &Distribution| {
            let figures = [d.p50_ms, d.p90_ms, d.p99_ms, d.max_ms].map(|ms| ms.map_or_else(|| "-".to_owned(), span));
            let mut line = vec![
                row.upstream.clone(),
                format!("{} {}", row.level.as_str(), row.class.as_str()),
                span(row.window_ms),
                what.to_owned(),
                d.count.to_string(),
            ];
            line.extend(figures);
            line
        };
        let mut outcome = of("outcome", &row.outcome);
        outcome.push(row.share_of_window.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0)));
        outcome.push(row.breaches.to_string());
        lines.push(outcome);
        for (what, distribution) in [("  the IdP's", &row.idp), ("  ours", &row.rp), ("  last yes told", &row.seen)] {
            let mut line = of(what, distribution);
            line[..3].iter_mut().for_each(String::clear);
            lines.push(line);
        }
    }
    aligned(&lines, 4)
}

fn points(report: &WindowsReport) -> String {
    let mut lines = vec![
        ["point", "mechanism", "lives on an answer", "serves", "let in no later than", "window"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for point in &report.points {
        for bound in &point.bounds {
            lines.push(vec![
                point.name.clone(),
                point.mechanism.as_str().to_owned(),
                span(point.reuse_ms),
                format!("{} {}", bound.level.as_str(), bound.class.as_str()),
                format!("{} after the decision", span(bound.bound_ms)),
                span(bound.window_ms),
            ]);
        }
    }
    aligned(&lines, 6)
}

fn probes(report: &WindowsReport) -> String {
    let lines = report.probes.iter().map(|probe| {
        let took = probe.took_ms.map_or_else(|| "-".to_owned(), span);
        let fault = probe.fault.clone().unwrap_or_default();
        vec![probe.upstream.clone(), probe.started_at.to_string(), probe.outcome.clone(), took, fault]
    });
    aligned(&lines.collect::<Vec<_>>(), 5)
}

fn breach_line(breach: &Breach) -> String {
    let (line, legs) = (&breach.cutoff, breach.legs_ms);
    let certain = if breach.is_certain { "" } else { " (unless the clocks are further apart)" };
    let issuer = legs.issuer.map_or_else(|| "?".to_owned(), span);
    format!(
        "  {} {} {} {} {}: {} of {}{certain}\n    decided {}  received {}  last possible {} ({})\n    issuer {issuer}  \
         way {}  receiver {}  points {}; most of it: {}\n",
        line.upstream,
        line.jti,
        line.event_type,
        line.level.as_str(),
        breach.class.as_str(),
        span(breach.outcome_ms),
        span(breach.window_ms),
        line.decided_at,
        line.received_at,
        breach.last_possible_at,
        breach.point,
        span(legs.way),
        span(legs.receiver),
        span(legs.points),
        breach.slowest,
    )
}

/// The first columns stand left, the others right.
fn aligned(lines: &[Vec<String>], left: usize) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| lines.iter().filter_map(|l| l.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    lines.iter().fold(String::new(), |mut shown, line| {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = if column < left { write!(shown, "{cell:<width$}  ") } else { write!(shown, "{cell:>width$}  ") };
        }
        shown.truncate(shown.trim_end().len());
        shown.push('\n');
        shown
    })
}

/// Milliseconds as a person reads them.
pub(super) fn span(ms: f64) -> String {
    match ms {
        ms if ms < 1_000.0 => format!("{} ms", rounded(ms)),
        ms if ms < 120_000.0 => format!("{} s", rounded(ms / 1_000.0)),
        ms if ms < 7_200_000.0 => format!("{} min", rounded(ms / 60_000.0)),
        ms => format!("{} h", rounded(ms / 3_600_000.0)),
    }
}

fn rounded(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), ToOwned::to_owned)
}

const HEAD: [&str; 11] = [
    "upstream",
    "level and class",
    "window",
    "decision until",
    "count",
    "p50",
    "p90",
    "p99",
    "max",
    "of window",
    "breaches",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_unit_that_is_read_best() {
        for (ms, text) in [
            (0.0, "0 ms"),
            (12.34, "12.3 ms"),
            (1_000.0, "1 s"),
            (60_000.0, "60 s"),
            (300_000.0, "5 min"),
            (3_600_000.0, "60 min"),
            (86_400_000.0, "24 h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }
}
