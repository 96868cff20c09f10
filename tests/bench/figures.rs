//! A measured figure, and how figures are shown.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};
use serde::Serialize;

/// One figure; `limit` and `ratio` stand beside it where something bounds it, `aim` and `met` where one is named.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) scenario: &'static str,
    pub(crate) metric: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aim: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) met: Option<bool>,
}

impl Figure {
    pub(crate) fn new(scenario: &'static str, metric: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { scenario, metric: metric.into(), value, unit, limit: None, ratio: None, aim: None, met: None }
    }

    /// Beside what bounds it.
    pub(crate) fn beside(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self.ratio = Some(self.value / limit);
        self
    }

    /// An aim, and whether it is met.
    pub(crate) fn aiming(mut self, aim: &'static str, met: bool) -> Self {
        self.aim = Some(aim);
        self.met = Some(met);
        self
    }
}

/// The value at `share` of the sorted samples: one that occurred, not interpolated.
pub(crate) fn percentile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small index"
    )]
    let rank = (samples.len() as f64 * share).ceil() as usize;
    samples.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// One JSON object per line.
#[expect(clippy::print_stdout, reason = "the figures are the output")]
pub(crate) fn print_json(figures: &[Figure]) {
    for figure in figures {
        println!("{}", serde_json::to_string(figure).unwrap_or_default());
    }
}

/// For people.
#[expect(clippy::print_stdout, reason = "the figures are the output")]
pub(crate) fn print_table(figures: &[Figure]) {
    let mut table = Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_header(["scenario", "metric", "value", "unit", "limit", "ratio", "aim", "met"]);
    for figure in figures {
        let number =
            |value: Option<f64>| Cell::new(value.map(shown).unwrap_or_default()).set_alignment(CellAlignment::Right);
        table.add_row([
            Cell::new(figure.scenario),
            Cell::new(&figure.metric),
            number(Some(figure.value)),
            Cell::new(figure.unit),
            number(figure.limit),
            number(figure.ratio),
            Cell::new(figure.aim.unwrap_or_default()),
            Cell::new(figure.met.map(|met| if met { "yes" } else { "no" }).unwrap_or_default()),
        ]);
    }
    println!("{table}");
}

/// What is going on, apart from the figures.
#[expect(clippy::print_stderr, reason = "the figures alone go to standard output")]
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

fn shown(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
