//! The report as a picture: per upstream, level and class how long decisions took, with the window as a line and breaches
//! marked. Pure; called by the command line. The picture is SVG 1.1 without scripts, fonts or links.

use std::fmt::Write as _;

use super::shape::{Row, WindowsReport};
use super::text::span;

/// The whole report.
pub fn svg(report: &WindowsReport) -> String {
    let rows = report.rows.len().max(1);
    let height = TOP + PANEL * coordinate(rows) + BOTTOM;
    let breaches: usize = report.rows.iter().map(|row| row.breaches).sum();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" aria-labelledby=\"title desc\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title id=\"title\">{}</title>\n<desc id=\"desc\">{}</desc>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{}</text>\n",
        escaped(&format!("Windows kept since {}", report.since)),
        escaped(&description(report, breaches)),
        escaped(&format!("From the decision until nobody was let in, since {}", report.since)),
    );
    if report.rows.is_empty() {
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\">Nothing was cut off.</text>", TOP + 24.0);
    }
    for (place, row) in report.rows.iter().enumerate() {
        panel(&mut svg, report, row, TOP + PANEL * coordinate(place));
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, report: &WindowsReport, row: &Row, top: f64) {
    let last = row.outcome.max_ms.unwrap_or(0.0).max(row.window_ms) * 2.0;
    let x = |ms: f64| LEFT + (WIDTH - LEFT - RIGHT) * (ms.max(1.0).log2() / last.max(2.0).log2()).min(1.0);
    let base = top + PANEL - 40.0;
    let _ = writeln!(
        svg,
        "<g>\n<text x=\"{LEFT}\" y=\"{:.1}\">{}</text>",
        top + 14.0,
        escaped(&format!(
            "{}, {} {}: {} decisions, longest {}, window {}, {} breaches",
            row.upstream,
            row.level.as_str(),
            row.class.as_str(),
            row.outcome.count,
            span(row.outcome.max_ms.unwrap_or(0.0)),
            span(row.window_ms),
            row.breaches,
        ))
    );
    let most = row.histogram.iter().map(|bucket| bucket.count).max().unwrap_or(1);
    for bucket in &row.histogram {
        let (from, to) = (x(whole(bucket.up_to_ms) / 2.0), x(whole(bucket.up_to_ms)));
        let height = BARS * coordinate(bucket.count) / coordinate(most);
        let up_to = span(whole(bucket.up_to_ms));
        let _ = writeln!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"#4878a8\"><title>{}</title></rect>",
            base - height,
            (to - from - 1.0).max(1.0),
            escaped(&format!("{} took up to {up_to}", bucket.count)),
        );
    }
    let _ = writeln!(
        svg,
        "<line x1=\"{LEFT}\" y1=\"{base:.1}\" x2=\"{:.1}\" y2=\"{base:.1}\" stroke=\"#444\"/>",
        WIDTH - RIGHT
    );
    for (name, ms) in [("p50", row.outcome.p50_ms), ("p99", row.outcome.p99_ms)] {
        let Some(ms) = ms else { continue };
        mark(svg, x(ms), base, "#888", &format!("{name} {}", span(ms)), if name == "p50" { 14.0 } else { 28.0 });
    }
    mark(svg, x(row.window_ms), base, "#b00020", &format!("window {}", span(row.window_ms)), 14.0);
    let of_row = |b: &&super::shape::Breach| {
        b.cutoff.upstream == row.upstream && b.cutoff.level == row.level && b.class == row.class
    };
    for breach in report.breaches.iter().filter(of_row) {
        let _ = writeln!(
            svg,
            "<circle class=\"breach\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"#b00020\"><title>{}</title></circle>",
            x(breach.outcome_ms),
            base - BARS - 6.0,
            escaped(&format!("{} took {}", breach.cutoff.jti, span(breach.outcome_ms))),
        );
    }
    svg.push_str("</g>\n");
}

/// A line across the panel, named below its foot.
fn mark(svg: &mut String, x: f64, base: f64, colour: &str, name: &str, below: f64) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-dasharray=\"4 2\"/>\n\
         <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"10\" fill=\"{colour}\">{}</text>",
        base - BARS - 4.0,
        base + 4.0,
        base + below,
        escaped(name),
    );
}

/// What the picture shows, for whoever does not see it.
fn description(report: &WindowsReport, breaches: usize) -> String {
    let each = report.rows.iter().map(|row| {
        let max = row.outcome.max_ms.map_or_else(|| "nothing".to_owned(), span);
        let (level, class) = (row.level.as_str(), row.class.as_str());
        format!(
            "{} {level} {class}: {} decisions, longest {max} of {}",
            row.upstream,
            row.outcome.count,
            span(row.window_ms)
        )
    });
    let each: Vec<String> = each.collect();
    format!(
        "{}. {breaches} breaches.",
        if each.is_empty() { "Nothing was cut off".to_owned() } else { each.join("; ") }
    )
}

/// Text as it may stand in XML 1.0; what may not stand there at all is replaced.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
        escaped
    })
}

#[expect(clippy::cast_precision_loss, reason = "places and counts in a picture")]
const fn coordinate(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "powers of two")]
const fn whole(ms: u64) -> f64 {
    ms as f64
}

const WIDTH: f64 = 900.0;
const LEFT: f64 = 30.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 20.0;
/// The height of one row's picture, and of its bars.
const PANEL: f64 = 150.0;
const BARS: f64 = 80.0;
