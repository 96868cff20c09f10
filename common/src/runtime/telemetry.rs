//! Logs: one line per fact, to standard error, as text for people or JSON for machines.
//!
//! `main` calls [`init`] once the settings are read. Metrics and traces are not here: the services expose their own
//! figures.

use std::error::Error;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The `[log]` section of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// The shape of a line.
    pub format: LogFormat,
    /// Which lines are written, in the syntax of tracing's env filter: `info`, or `info,sqlx=warn,ssf_receiver=debug`.
    pub filter: String,
}

/// The filter cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("log.filter = {filter:?} is not a log filter; write for example \"info\" or \"info,sqlx=warn\"")]
pub struct LogFilterError {
    filter: String,
    #[source]
    source: tracing_subscriber::filter::ParseError,
}

/// Starts logging to standard error. A second call in the same process changes nothing.
pub fn init(settings: &LogSettings) -> Result<(), LogFilterError> {
    let filter = EnvFilter::builder()
        .parse(&settings.filter)
        .map_err(|source| LogFilterError { filter: settings.filter.clone(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging had been started before; its first settings stay");
    }
    Ok(())
}

/// An error and its causes in one line: `the batch failed: connection refused`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let of_cause = error.to_string();
        if !text.ends_with(&of_cause) {
            let _ = write!(text, ": {of_cause}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starting_twice_does_no_harm_and_a_bad_filter_is_named() {
        let settings = LogSettings { format: LogFormat::Json, filter: "off".to_owned() };
        init(&settings).unwrap();
        init(&settings).unwrap();
        let error = init(&LogSettings { filter: "ssf=loud".to_owned(), ..settings }).unwrap_err();
        assert!(error.to_string().starts_with("log.filter = \"ssf=loud\""));
    }

    #[test]
    fn a_chain_says_every_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);
        assert_eq!(chain(&Outer(std::io::Error::other("inner"))), "outer: inner");
    }
}
