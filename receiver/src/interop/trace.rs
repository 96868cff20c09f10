//! [`Trace`]: sees every exchange, learns its credentials, and writes it down for people if they want to look on.

use std::fmt;
use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use serde_json::Value;
use ssf_common::runtime::telemetry::chain;

use super::Mask;
use crate::upstream::{Answer, FetchError, Witness};

/// Writes what goes out behind `>` and what comes in behind `<`.
pub(super) struct Trace {
    mask: Arc<Mask>,
    out: Option<Mutex<Box<dyn Write + Send>>>,
}

impl Trace {
    /// Without `out` it only learns.
    pub(super) fn new(mask: Arc<Mask>, out: Option<Box<dyn Write + Send>>) -> Self {
        Self { mask, out: out.map(Mutex::new) }
    }

    /// Another exchange than those of our HTTP client: a push we answer.
    pub(super) fn incoming(&self, head: &str, headers: &HeaderMap, body: &[u8]) {
        self.write('<', head, headers, body);
    }

    /// Our answer to it.
    pub(super) fn outgoing(&self, head: &str, headers: &HeaderMap, body: &[u8]) {
        self.write('>', head, headers, body);
    }

    fn write(&self, mark: char, head: &str, headers: &HeaderMap, body: &[u8]) {
        let Some(out) = &self.out else { return };
        let mut text = format!("{mark} {}\n", self.mask.line(head));
        for (name, value) in headers {
            let _ = writeln!(text, "{mark} {name}: {}", self.mask.header(name, value));
        }
        if !body.is_empty() {
            let _ = writeln!(text, "{mark}");
            for line in self.body(headers, body).lines() {
                let _ = writeln!(text, "{mark} {line}");
            }
        }
        text.push('\n');
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody may be reading any more: no reason to stop.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn body(&self, headers: &HeaderMap, body: &[u8]) -> String {
        let is_form = headers.get(CONTENT_TYPE).is_some_and(|is| is.as_bytes().starts_with(FORM.as_bytes()));
        match serde_json::from_slice::<Value>(body) {
            Ok(json) => self.mask.text(&self.mask.json(&json).to_string()),
            Err(_) if is_form => self.mask.form(body),
            Err(_) => self.mask.text(&String::from_utf8_lossy(body)),
        }
    }
}

impl Witness for Trace {
    fn sending(&self, request: &reqwest::Request) {
        if let Some(header) = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()) {
            self.mask.learn_authorization(header);
        }
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        if let Ok(json) = serde_json::from_slice(body) {
            self.mask.learn_from(&json);
        }
        self.write('>', &format!("{} {}", request.method(), request.url()), request.headers(), body);
    }

    fn received(&self, answer: Result<&Answer, &FetchError>) {
        match answer {
            Ok(answer) => {
                if let Ok(json) = answer.json() {
                    self.mask.learn_from(&json);
                }
                self.write('<', &answer.status.to_string(), &answer.headers, &answer.body);
            }
            Err(error) => self.write('<', &format!("no answer: {}", chain(error)), &HeaderMap::new(), &[]),
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("is_shown", &self.out.is_some()).finish_non_exhaustive()
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
