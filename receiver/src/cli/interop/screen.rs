//! Where SETs are shown as they come: one line each, or their claims as JSON.

use std::sync::Arc;

use serde_json::{Value, json};
use ssf_receiver::interop::{Finding, Mask, Screen, Seen};

use super::super::print::{print, print_json};
use super::ending::say_one;

/// SETs to standard output, all else to standard error.
#[derive(Debug)]
pub(super) struct Terminal {
    pub(super) mask: Arc<Mask>,
    pub(super) is_lenient: bool,
    pub(super) as_json: bool,
}

impl Screen for Terminal {
    fn set(&self, seen: &Seen) {
        match seen {
            // Nobody may be reading any more: the stream goes on until somebody ends it.
            Seen::Verified { claims, .. } if self.as_json => drop(print_json(&self.mask.json(claims))),
            Seen::Verified { .. } => drop(print(&format!("{}\n", self.mask.line(&line(seen))))),
            Seen::Refused { .. } => eprintln!("{}", self.mask.line(&line(seen))),
        }
    }

    fn finding(&self, finding: &Finding) {
        say_one(finding, &self.mask, self.is_lenient);
    }

    fn note(&self, text: &str) {
        eprintln!("{}", self.mask.line(text));
    }
}

/// `<iat> <type> <jti> <subject> <event>`, or `refused <jti> <code>: <why>`.
fn line(seen: &Seen) -> String {
    match seen {
        Seen::Verified { set, claims } => {
            let event = claims["events"].as_object().and_then(|events| events.values().next()).unwrap_or(&Value::Null);
            let txn = set.txn.as_ref().map(|txn| format!(" txn={txn}")).unwrap_or_default();
            let subject = json!(set.sub_id.to_value());
            format!("{} {} jti={}{txn} {subject} {event}", set.iat, set.event.event_type, set.jti)
        }
        Seen::Refused { jti, refusal } => {
            let jti = jti.as_deref().unwrap_or("without a jti");
            format!("refused {jti} {}: {refusal}", refusal.code())
        }
    }
}
