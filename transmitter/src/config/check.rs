//! The settings checked against each other: whatever cannot work stops the start, by its key and with a remedy.

use std::time::Duration;

use ssf_common::runtime::config::{ConfigError, WindowsFault};
use url::{Host, Url};

use super::Settings;

impl Settings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let wrong = |key, remedy| Err(SettingsError::Value { key, remedy });
        if let Err(remedy) = check_issuer_url(self.issuer.url.as_str()) {
            return wrong("issuer.url", remedy);
        }
        if !self.issuer.revalidate_uri.contains(':') {
            return wrong("issuer.revalidate_uri", "must be an absolute URI");
        }
        let is_member = |name: &String| !name.is_empty() && name != "format" && name.len() <= 255;
        if !self.issuer.critical_subject_members.iter().all(is_member) {
            return wrong(
                "issuer.critical_subject_members",
                "must be member names of complex subjects, such as \"tenant\"",
            );
        }
        if self.streams.max_streams > MAX_STREAMS {
            return wrong("streams.max_streams", "must be at most 10000");
        }
        if self.streams.max_subjects > 1_000_000_000 {
            return wrong("streams.max_subjects", "must be at most 1000000000");
        }
        if self.streams.removal_grace.duration() > Duration::from_hours(24 * 366) {
            return wrong("streams.removal_grace", "must be at most a year");
        }
        if self.tokens.lifetime.duration() > Duration::from_hours(1) || self.tokens.lifetime.duration().is_zero() {
            return wrong("tokens.lifetime", "must be more than 0 and at most 1h");
        }
        if self.tokens.max_assertion_lifetime.duration().is_zero() {
            return wrong("tokens.max_assertion_lifetime", "must be more than 0");
        }
        if self.authorization.timeout.duration().is_zero() {
            return wrong("authorization.timeout", "must be more than 0");
        }
        for server in &self.authorization.servers {
            server
                .check(self.is_development())
                .map_err(|remedy| SettingsError::Value { key: "authorization.servers", remedy })?;
        }
        let verify_every = self.streams.verify_every.duration();
        if !verify_every.is_zero() && verify_every < Duration::from_secs(10) {
            return wrong("streams.verify_every", "must be 0s for never, or at least 10s");
        }
        if self.push.window == 0 || self.push.max_in_flight < self.push.window {
            return wrong("push.max_in_flight", "must be at least push.window, and push.window at least 1");
        }
        if self.push.max_window < self.push.window {
            return wrong("push.max_window", "must be at least push.window");
        }
        if self.push.lease.duration() <= self.push.timeout.duration() {
            return wrong("push.lease", "must be longer than push.timeout, or a SET could be sent twice at once");
        }
        let inactivity = self.streams.inactivity_timeout.duration();
        if !inactivity.is_zero() && inactivity <= self.poll.wait.duration() {
            return wrong(
                "streams.inactivity_timeout",
                "must be 0s for never, or longer than poll.wait: whoever waits in a long poll is not inactive",
            );
        }
        if self.poll.max_events == 0 {
            return wrong("poll.max_events", "must be at least 1");
        }
        self.check_network()?;
        self.check_backlog()?;
        if !is_identifier(&self.database.schema) {
            return wrong("database.schema", "must be a plain SQL name: lower-case letters, digits and _");
        }
        if RESERVED_CLAIMS.contains(&self.timeline.claim.as_str()) {
            return wrong("timeline.claim", "must not be the name of a registered claim");
        }
        let is_postgres = |url: &str| url.starts_with("postgres://") || url.starts_with("postgresql://");
        if !self.is_embedded() && !is_postgres(self.database.url.expose()) {
            return wrong("database.url", "must be a PostgreSQL URL, for example postgres://ssf@db.example/idp");
        }
        if !self.is_embedded() && self.keys.sealing_key.is_none() && self.keys.sealing_key_file.is_none() {
            return wrong(
                "keys.sealing_key",
                "is required with database.url; make one with `openssl rand -base64 32`, keep it, and set keys.sealing_key or keys.sealing_key_file",
            );
        }
        self.check_rotation()
    }
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// They could not be read.
    #[error(transparent)]
    Load(#[from] ConfigError),
    /// A window is no promise.
    #[error(transparent)]
    Windows(#[from] WindowsFault),
    /// A value is not usable.
    #[error("{key} {remedy}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What it must be.
        remedy: &'static str,
    },
}

/// SSF 1.0 §7.1: https, no query, no fragment. Plain http only on loopback, for development. And written in one way, for
/// receivers compare it byte for byte, and requests find it by host and path. `Err` says what it must be.
pub fn check_issuer_url(text: &str) -> Result<(), &'static str> {
    let wrong = Err;
    let Ok(url) = text.parse::<Url>() else { return wrong("is not a URL; write for example https://idp.example") };
    let on_loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if on_loopback => {}
        _ => return wrong("must be https; plain http is allowed on loopback only"),
    }
    if url.query().is_some() || url.fragment().is_some() || text.ends_with('/') {
        return wrong("must have no query, no fragment and no slash at the end");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("must have no user name and no password");
    }
    if url.as_str().trim_end_matches('/') != text {
        return wrong("must be in its normal form: a lower-case host, no default port, no dot segments");
    }
    Ok(())
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() < 60
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The most streams a client may be allowed.
pub const MAX_STREAMS: u32 = 10_000;
/// The longest time in seconds that an issuer's defaults hold.
pub const MAX_SECONDS: u32 = i32::MAX.cast_unsigned();
const RESERVED_CLAIMS: [&str; 10] = ["iss", "aud", "jti", "iat", "exp", "sub", "sub_id", "events", "txn", "toe"];
