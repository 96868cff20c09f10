//! The tables at the end: states before and after, and the latency of both methods side by side.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};
use serde_json::Value;

/// How many sessions are in each state.
pub(crate) fn tally(states: &[String]) -> [usize; 3] {
    ["active", "revalidate_required", "revoked"].map(|state| states.iter().filter(|s| *s == state).count())
}

/// One row per RP and moment.
pub(crate) fn states(rows: &[(String, [usize; 3])]) -> String {
    let mut table = table(&["", "active", "revalidate_required", "revoked"]);
    for (label, counts) in rows {
        let mut cells = vec![Cell::new(label)];
        cells.extend(counts.iter().map(|count| Cell::new(count).set_alignment(CellAlignment::Right)));
        table.add_row(cells);
    }
    table.to_string()
}

/// Time since the decision at the end of each leg: one table, the methods side by side.
pub(crate) struct Latency {
    /// (method, leg, figures)
    rows: Vec<(String, &'static str, [f64; 4], i64)>,
}

impl Latency {
    /// The transmitter's legs and the receiver's, of one method.
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds what the transmitter measured for `method`: recorded, sent, acknowledged.
    pub(crate) fn add_transmitter(&mut self, method: &str, report: &Value) {
        let rows = report["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        let row = rows.iter().find(|row| row["delivery_method"] == method && row.get("event_type").is_none());
        for leg in row.and_then(|row| row["legs"].as_array()).map(Vec::as_slice).unwrap_or_default() {
            let name = LEGS.iter().find(|name| leg["to"] == **name);
            let figures = ["p50", "p90", "p99", "max"].map(|member| leg[member].as_f64().unwrap_or(f64::NAN));
            if let Some(name) = name {
                let count = row.and_then(|row| row["count"].as_i64()).unwrap_or(0);
                self.rows.push((method.to_owned(), name, figures, count));
            }
        }
    }

    /// Adds what the receiver measured: received, applied.
    pub(crate) fn add_receiver(&mut self, method: &str, report: &Value) {
        let rows = report["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        let Some(row) = rows.iter().find(|row| row["event_type"].is_null()) else { return };
        for (name, member) in [("received", "decided_to_received"), ("applied", "decided_to_applied")] {
            let leg = &row["legs"][member];
            let figures =
                ["p50_ms", "p90_ms", "p99_ms", "max_ms"].map(|member| leg[member].as_f64().unwrap_or(f64::NAN));
            self.rows.push((method.to_owned(), name, figures, leg["count"].as_i64().unwrap_or(0)));
        }
    }

    /// The table.
    pub(crate) fn table(&self, methods: &[&str]) -> String {
        let mut head = vec!["decision →".to_owned()];
        for method in methods {
            head.extend(["count", "p50", "p90", "p99", "max"].map(|column| format!("{method} {column}")));
        }
        let mut table = table(&head.iter().map(String::as_str).collect::<Vec<_>>());
        for leg in LEGS {
            let mut cells = vec![Cell::new(leg)];
            for method in methods {
                let row = self.rows.iter().find(|(of, name, ..)| of == method && *name == leg);
                let (figures, count) = row.map_or(([f64::NAN; 4], 0), |(_, _, figures, count)| (*figures, *count));
                cells.push(Cell::new(count).set_alignment(CellAlignment::Right));
                cells
                    .extend(figures.iter().map(|ms| Cell::new(format!("{ms:.1}")).set_alignment(CellAlignment::Right)));
            }
            table.add_row(cells);
        }
        table.to_string()
    }

    /// How many deliveries of `method` came to the end of `leg`.
    pub(crate) fn count(&self, method: &str, leg: &str) -> i64 {
        self.rows.iter().find(|(of, name, ..)| of == method && *name == leg).map_or(0, |(.., count)| *count)
    }
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(head);
    table
}

const LEGS: [&str; 5] = ["recorded", "sent", "received", "applied", "acknowledged"];
