//! `[backlog]` and `[windows]`: how long what waits may wait, and who hears of it.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ssf_common::runtime::config::{BindingClass, Level, Secret, Span};
use url::Url;

use super::{Settings, SettingsError, may_be_called};

/// The section `[backlog]`; `config.default.toml` says what each setting means.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BacklogSettings {
    /// Whose windows hold on streams that have no level of their own.
    pub level: Level,
    /// The part of a window that may pass at the transmitter.
    pub share: f64,
    /// Whether bulk is held against the windows too.
    pub bulk: bool,
    /// How long breaches and alarms are kept.
    pub keep: Span,
    /// Who hears of alarms; empty for nobody.
    pub webhook_url: String,
    /// Signs what is sent there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<Secret>,
    /// The same from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret_file: Option<PathBuf>,
    /// The most streams that metrics name.
    pub named_streams: usize,
}

impl Settings {
    /// The strictest window of a level: what is bound to nothing must end soonest.
    pub const fn strictest_window(&self, level: Level) -> Duration {
        self.windows.window(level, BindingClass::Bearer)
    }

    pub(super) fn check_backlog(&self) -> Result<(), SettingsError> {
        let wrong = |key, remedy| Err(SettingsError::Value { key, remedy });
        self.windows.check()?;
        let backlog = &self.backlog;
        if !(backlog.share > 0.0 && backlog.share < 1.0) {
            return wrong(
                "backlog.share",
                "must be more than 0 and less than 1: the receiver needs a part of the window too",
            );
        }
        if backlog.keep.duration() < Duration::from_hours(24) {
            return wrong("backlog.keep", "must be at least 24h");
        }
        let has_secret = backlog.webhook_secret.is_some() || backlog.webhook_secret_file.is_some();
        if backlog.webhook_url.is_empty() {
            return if has_secret {
                wrong("backlog.webhook_secret", "has no use without backlog.webhook_url")
            } else {
                Ok(())
            };
        }
        // the operator's own: it may stand anywhere, but nothing in plain text may leave the host
        if !backlog.webhook_url.parse().is_ok_and(|url: Url| may_be_called(&url, true)) {
            return wrong(
                "backlog.webhook_url",
                "must be an https URL without user name and password; plain http is allowed on loopback only",
            );
        }
        if !has_secret {
            return wrong(
                "backlog.webhook_secret",
                "is required with backlog.webhook_url, or webhook_secret_file: 24 to 64 bytes in base64, such as of `openssl rand -base64 32`",
            );
        }
        Ok(())
    }
}
