//! `[replica]`: what a process holds in memory, and what it is called.

use serde::{Deserialize, Serialize};
use ssf_common::runtime::config::Span;

use super::settings::{SettingsError, wrong};

/// A section of `config.default.toml`: replica.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each setting means")]
pub struct ReplicaSettings {
    pub name: String,
    pub every: Span,
    pub sessions: usize,
    pub keep_seen: Span,
}

impl ReplicaSettings {
    /// What this process is called, also after a restart: as configured, or by its host and where it listens.
    pub fn name(&self, listen: &str) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let host = host.as_deref().map(str::trim).filter(|host| !host.is_empty()).unwrap_or("localhost");
        format!("{host}/{listen}").chars().take(LONGEST_NAME).collect()
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if self.name.chars().count() > LONGEST_NAME || self.name.contains('\0') {
            return wrong("replica.name", "must have at most 255 characters, none of them NUL");
        }
        if self.every.duration().is_zero() {
            return wrong("replica.every", "must be more than 0, for example \"250ms\"");
        }
        if self.sessions == 0 {
            return wrong("replica.sessions", "must be at least 1");
        }
        Ok(())
    }
}

const LONGEST_NAME: usize = 255;
