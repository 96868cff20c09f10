//! One line per cut-off, for a spreadsheet (RFC 4180). Pure; called by the command line.

use std::borrow::Cow;
use std::fmt::Write as _;

use ssf_common::clock::Timestamp;

use super::shape::Line;
use crate::config::BindingClass;

/// The first line: the names of the columns.
pub fn header() -> String {
    COLUMNS.join(",") + "\r\n"
}

/// These cut-offs, a line each.
pub fn lines(cutoffs: &[Line]) -> String {
    let mut text = String::new();
    for line in cutoffs {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let ms = |ms: Option<f64>| ms.map(|ms| format!("{ms:.3}")).unwrap_or_default();
        let outcome = |class: BindingClass| ms(line.outcome_ms.get(&class).copied());
        let breached: Vec<&str> = line.breached.iter().map(|class| class.as_str()).collect();
        let denied: i64 = line.seen.iter().map(|seen| seen.denied).sum();
        let legs = line.legs_ms;
        let cells: [String; COLUMNS.len()] = [
            cell(&line.upstream).into_owned(),
            cell(&line.jti).into_owned(),
            cell(&line.event_type).into_owned(),
            line.effect.clone(),
            line.level.as_str().to_owned(),
            line.decided_at.to_string(),
            time(line.taken_at),
            line.received_at.to_string(),
            time(line.applied_at),
            time(line.visible_at),
            time(line.last_allowed_at),
            denied.to_string(),
            outcome(BindingClass::Bearer),
            outcome(BindingClass::Bound),
            breached.join(" "),
            ms(legs.and_then(|legs| legs.issuer)),
            ms(legs.map(|legs| legs.way)),
            ms(legs.map(|legs| legs.receiver)),
            ms(legs.map(|legs| legs.points)),
        ];
        let _ = write!(text, "{}\r\n", cells.join(","));
    }
    text
}

/// Text that others chose: quoted where needed, and never a formula to whoever opens the file.
fn cell(text: &str) -> Cow<'_, str> {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !is_formula && !text.contains([',', '"', '\r', '\n']) {
        return Cow::Borrowed(text);
    }
    let shield = if is_formula { "'" } else { "" };
    Cow::Owned(format!("\"{shield}{}\"", text.replace('"', "\"\"")))
}

const COLUMNS: [&str; 19] = [
    "upstream",
    "jti",
    "event_type",
    "effect",
    "level",
    "decided_at (issuer's clock)",
    "taken_at (issuer's clock)",
    "received_at",
    "applied_at",
    "visible_at",
    "last_allowed_at",
    "denied",
    "outcome_bearer_ms",
    "outcome_bound_ms",
    "breached",
    "issuer_ms",
    "way_ms",
    "receiver_ms",
    "points_ms",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_chose_is_quoted_and_is_no_formula() {
        for (text, expected) in [
            ("set-1", "set-1"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("=cmd()", "\"'=cmd()\""),
            ("-1", "\"'-1\""),
            ("a\nb", "\"a\nb\""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }

    #[test]
    fn every_line_has_as_many_cells_as_the_header() {
        let line: Line = serde_json::from_value(serde_json::json!({
            "upstream": "idp", "jti": "1", "event_type": "session-revoked", "effect": "revoke", "level": "sl3",
            "decided_at": "2026-11-21T10:00:00Z", "taken_at": null, "received_at": "2026-11-21T10:00:01Z",
            "applied_at": "2026-11-21T10:00:02Z", "visible_at": null, "last_allowed_at": null,
            "seen": [{"point": "api", "class": "bearer", "last_allowed_at": "2026-11-21T10:00:01Z", "denied": 3}],
            "outcome_ms": {"bearer": 2000.0}, "breached": ["bearer"],
            "legs_ms": {"issuer": null, "way": 1000.0, "receiver": 1000.0, "points": 0.0}
        }))
        .unwrap();
        let text = lines(&[line]);
        assert_eq!(text.matches(',').count(), header().matches(',').count());
        let expected = "idp,1,session-revoked,revoke,sl3,2026-11-21T10:00:00Z,,2026-11-21T10:00:01Z,\
                        2026-11-21T10:00:02Z,,,3,2000.000,,bearer,,1000.000,1000.000,0.000\r\n";
        assert_eq!(text, expected);
    }
}
