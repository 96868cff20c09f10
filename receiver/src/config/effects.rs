//! `[effects.<name>]`: where the application is called; `[callbacks]`: how; `[watch]`: who may wait for news, and how
//! long.

use std::path::PathBuf;

use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use ssf_common::runtime::config::{Secret, Span, resolve_secret};
use ssf_common::runtime::outgoing::{Allowed, Guard};
use url::Url;

use super::origin::is_on_loopback;
use super::settings::{Settings, SettingsError, wrong};
use super::upstream::is_path_name;
use crate::signature;

/// One target of callbacks; `config.default.toml` says what each setting means.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each setting means")]
pub struct TargetSettings {
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_secret: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_secret_file: Option<PathBuf>,
    #[serde(default)]
    pub changes: Vec<String>,
}

/// How callbacks are made; `config.default.toml` says what each setting means.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each setting means")]
pub struct Callbacks {
    pub window: u32,
    pub timeout: Span,
    pub lease: Span,
    pub retry_ceiling: Span,
    pub give_up_after: Span,
    pub keep: Span,
    pub allow: Vec<String>,
}

/// Who may wait for news; `config.default.toml` says what each setting means.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each setting means")]
pub struct Watch {
    pub max_watchers: usize,
    pub heartbeat: Span,
    pub patience: Span,
    pub max_waiting: usize,
    pub longest_wait: Span,
}

impl TargetSettings {
    /// The secrets callbacks are signed with, the present one first; `name` is ours for the target, for errors.
    pub fn secrets(&self, name: &str) -> Result<Vec<signature::Secret>, SettingsError> {
        let key = format!("effects.{name}.secret");
        let old_key = format!("effects.{name}.old_secret");
        let secret = resolve_secret(&key, self.secret.as_ref(), self.secret_file.as_deref())?;
        let old = resolve_secret(&old_key, self.old_secret.as_ref(), self.old_secret_file.as_deref())?;
        if secret.is_none() {
            return wrong(
                key,
                "is required; make one with `echo whsec_$(openssl rand -base64 32)`, or set secret_file",
            );
        }
        let given = [(key, secret), (old_key, old)].into_iter().filter_map(|(key, secret)| Some((key, secret?)));
        given
            .map(|(key, secret)| match signature::Secret::parse(secret.expose_secret()) {
                Ok(secret) => Ok(secret),
                Err(_) => wrong(key, signature::Secret::RULE),
            })
            .collect()
    }

    fn check(&self, name: &str, guard: &Guard) -> Result<(), SettingsError> {
        let key = |of: &str| format!("effects.{name}.{of}");
        if !is_path_name(name) {
            return wrong(
                format!("effects.{name}"),
                "must be named by lower-case letters, digits, - and _, starting with a letter or digit, at most 63",
            );
        }
        let Ok(url) = self.url.parse::<Url>() else {
            return wrong(key("url"), "is not a URL; write for example http://127.0.0.1:3000/ssf");
        };
        if url.fragment().is_some() || guard.check(&url).is_err() {
            return wrong(
                key("url"),
                "must be https, or http or https on loopback, without credentials and fragment; an address of a private network must be opened in callbacks.allow",
            );
        }
        if self.changes.iter().any(|change| !CHANGES.contains(&change.as_str())) {
            return wrong(key("changes"), "may hold revoked, revalidate_required and active; [] means all");
        }
        Ok(())
    }
}

impl Settings {
    /// What a target's callbacks may reach: what is outside and what `callbacks.allow` opens; and whatever it is, if the
    /// operator wrote an address on this machine, where the application usually is.
    pub fn callback_guard(&self, target: &TargetSettings) -> Result<Guard, SettingsError> {
        if target.url.parse::<Url>().is_ok_and(|url| is_on_loopback(&url)) {
            return Ok(Guard::open());
        }
        let read = |text: &String| text.parse::<Allowed>();
        match self.callbacks.allow.iter().map(read).collect::<Result<Vec<_>, _>>() {
            Ok(allowed) => Ok(Guard::new(allowed)),
            Err(_) => wrong(
                "callbacks.allow",
                "holds something that opens nothing; write a network (10.1.2.0/24), an address or a name, with :port behind it if only that port is meant",
            ),
        }
    }

    pub(super) fn check_effects(&self) -> Result<(), SettingsError> {
        let (callbacks, watch) = (&self.callbacks, &self.watch);
        if callbacks.window == 0 || callbacks.window > 1_000 {
            return wrong("callbacks.window", "must be 1 to 1000");
        }
        if callbacks.timeout.duration().is_zero() || callbacks.lease <= callbacks.timeout {
            return wrong("callbacks.lease", "must be longer than callbacks.timeout, and that more than 0");
        }
        if callbacks.give_up_after.duration().is_zero() || callbacks.keep <= callbacks.give_up_after {
            return wrong("callbacks.keep", "must be longer than callbacks.give_up_after, and that more than 0");
        }
        if callbacks.retry_ceiling.duration().is_zero() {
            return wrong("callbacks.retry_ceiling", "must be more than 0, for example \"1m\"");
        }
        if watch.heartbeat.duration().is_zero() || watch.patience.duration().is_zero() {
            return wrong("watch.heartbeat", "and watch.patience must be more than 0, for example \"15s\"");
        }
        if watch.longest_wait.duration().is_zero() {
            return wrong("watch.longest_wait", "must be more than 0, for example \"60s\"");
        }
        for (name, target) in &self.effects {
            target.check(name, &self.callback_guard(target)?)?;
            target.secrets(name)?;
        }
        Ok(())
    }
}

const CHANGES: [&str; 3] = ["revoked", "revalidate_required", "active"];
