//! All settings of the service, and what they must be together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ssf_common::event::{Vocabulary, VocabularyError};
use ssf_common::jwks::ImportError;
use ssf_common::runtime::config::{ConfigError, Layers, Secret, SecretError, Span};
use ssf_common::runtime::telemetry::LogSettings;

use super::authz::Authz;
use super::effects::{Callbacks, TargetSettings, Watch};
use super::enforcement_point::{BoundExceeded, EnforcementPoint, EnforcementPoints};
use super::origin::{check_origin, is_loopback_address};
use super::policy::PolicyRows;
use super::replica::ReplicaSettings;
use super::staleness::{Staleness, StalenessSettings};
use super::upstream::UpstreamSettings;
use super::{BindingClass, Level, Windows};

/// The defaults, each with a sentence.
pub const DEFAULTS: &str = include_str!("../../config.default.toml");

/// All settings of the receiver.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each setting means, and is compiled in")]
pub struct Settings {
    pub server: Server,
    pub api: Api,
    pub authz: Authz,
    pub admin: Admin,
    pub database: Database,
    pub data: Data,
    pub privacy: Privacy,
    pub inbox: InboxSettings,
    pub requests: Requests,
    pub poll: Poll,
    pub callbacks: Callbacks,
    pub watch: Watch,
    pub windows: Windows,
    pub proof: Proof,
    pub staleness: StalenessSettings,
    pub lineage: Lineage,
    pub replica: ReplicaSettings,
    #[serde(default)]
    pub policy: PolicyRows,
    pub log: LogSettings,
    /// Who asks here on behalf of users, by the names they give themselves.
    #[serde(default)]
    pub enforcement_points: BTreeMap<String, EnforcementPoint>,
    /// The transmitters to listen to, by our names for them.
    #[serde(default)]
    pub upstreams: BTreeMap<String, UpstreamSettings>,
    /// Where the application is called, by our names for it.
    #[serde(default)]
    pub effects: BTreeMap<String, TargetSettings>,
}

macro_rules! sections {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),+ $(,)? })+) => {$(
        #[doc = concat!("A section of `config.default.toml`: ", stringify!($name), ".")]
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "config.default.toml says what each setting means")]
        pub struct $name { $($(#[$attribute])* pub $field: $type),+ }
    )+};
}

sections! {
    Server {
        listen: String,
        socket: PathBuf,
        socket_mode: String,
        socket_admin: bool,
        public_url: String,
        max_body_bytes: usize,
        grace: Span,
    }
    Api {
        #[serde(default, skip_serializing_if = "Option::is_none")] token: Option<Secret>,
        #[serde(default, skip_serializing_if = "Option::is_none")] token_file: Option<PathBuf>,
    }
    Admin {
        #[serde(default, skip_serializing_if = "Option::is_none")] token: Option<Secret>,
        #[serde(default, skip_serializing_if = "Option::is_none")] token_file: Option<PathBuf>,
    }
    Database { url: Secret, schema: String, max_connections: u32, patience: Span }
    Data { dir: PathBuf }
    Privacy {
        #[serde(default, skip_serializing_if = "Option::is_none")] subject_key: Option<Secret>,
        #[serde(default, skip_serializing_if = "Option::is_none")] subject_key_file: Option<PathBuf>,
    }
    InboxSettings { max_set_bytes: usize, replay_horizon: Span }
    Lineage { cap: Span }
    Requests { timeout: Span, refresh: Span, keys_cooldown: Span }
    Poll { max_events: u32, timeout: Span, interval: Span }
    Proof { keep: Span, receipts: bool }
}

impl Settings {
    /// Reads and checks the settings.
    pub fn load(layers: &Layers) -> Result<Self, SettingsError> {
        let settings: Self = ssf_common::runtime::config::load(layers)?;
        settings.check()?;
        Ok(settings)
    }

    /// Whether a private cluster is used.
    pub fn is_embedded(&self) -> bool {
        self.database.url.expose().is_empty()
    }

    /// Where transmitters reach us, without a slash at the end.
    pub fn public_url(&self) -> String {
        match self.server.public_url.as_str() {
            "" => format!("http://{}", self.server.listen),
            given => given.to_owned(),
        }
    }

    /// Where the transmitter `upstream` sends its SETs.
    pub fn push_endpoint(&self, upstream: &str) -> String {
        format!("{}/ssf/push/{upstream}", self.public_url())
    }

    /// Where a command on this machine reaches the running service.
    pub fn local_url(&self) -> String {
        let port = self.server.listen.rsplit(':').next().unwrap_or_default();
        match self.server.listen.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_unspecified() && address.is_ipv6() => format!("http://[::1]:{port}"),
            Ok(address) if address.ip().is_unspecified() => format!("http://127.0.0.1:{port}"),
            _ => format!("http://{}", self.server.listen),
        }
    }

    /// Every enforcement point, with the one that need not be declared.
    pub fn points(&self) -> EnforcementPoints {
        EnforcementPoints::new(&self.enforcement_points)
    }

    /// How long this service goes on saying yes while it is out of touch with an issuer.
    pub fn staleness(&self) -> Staleness {
        Staleness::new(&self.staleness, &self.windows, &self.points()).capped(self.lineage.cap.duration())
    }

    /// A file under the data directory.
    pub fn data_file(&self, name: &str) -> PathBuf {
        Path::new(&self.data.dir).join(name)
    }

    /// Whether an upstream that comes later goes with everything else.
    pub fn fits(&self, upstream: &UpstreamSettings) -> Result<(), SettingsError> {
        self.check_push(upstream)?;
        let staleness = self.staleness();
        staleness.check(&self.windows, [upstream.level])?;
        self.points().check(&self.windows, [upstream.level], |level, class| staleness.limits(level, class).hard)?;
        staleness.check_upstream("<name>", upstream)
    }

    /// Whether a transmitter that pushes could reach us.
    fn check_push(&self, upstream: &UpstreamSettings) -> Result<(), SettingsError> {
        let listens_beyond = !is_loopback_address(&self.server.listen);
        if listens_beyond && upstream.is_push() && self.server.public_url.is_empty() {
            return wrong(
                "server.public_url",
                "is required for push when server.listen is not on loopback; write how transmitters reach this service, for example https://rp.example",
            );
        }
        Ok(())
    }

    /// Sessions must not end by age before a window does, and cut-offs must not be collected before either.
    fn check_lineage(&self) -> Result<(), SettingsError> {
        let cap = self.lineage.cap.duration();
        let windows = Level::ALL.into_iter().flat_map(|level| BindingClass::ALL.map(|class| (level, class)));
        let longest = windows.map(|(level, class)| self.windows.window(level, class)).max().unwrap_or_default();
        if cap < LEAST_KEPT || cap < longest || cap > LONGEST_CAP {
            return wrong(
                "lineage.cap",
                "must be 1d to 3650d and no shorter than any window: sessions end by then, and cut-offs are kept until then",
            );
        }
        Ok(())
    }

    fn check(&self) -> Result<(), SettingsError> {
        let listens_beyond = !is_loopback_address(&self.server.listen);
        if listens_beyond && self.api.token.is_none() && self.api.token_file.is_none() {
            return wrong(
                "api.token",
                "is required when server.listen is not on loopback; make one with `openssl rand -base64 32` and set api.token or api.token_file, or listen on 127.0.0.1",
            );
        }
        self.upstreams.values().try_for_each(|upstream| self.check_push(upstream))?;
        if !self.server.public_url.is_empty() {
            check_origin(&self.server.public_url, "server.public_url")?;
        }
        if self.inbox.max_set_bytes == 0 || self.inbox.max_set_bytes > self.server.max_body_bytes {
            return wrong("inbox.max_set_bytes", "must be at least 1 and at most server.max_body_bytes");
        }
        if !(LEAST_HORIZON..=LONGEST_CAP).contains(&self.inbox.replay_horizon.duration()) {
            return wrong("inbox.replay_horizon", "must be 1d to 3650d: a SET that comes again within it is known");
        }
        self.check_lineage()?;
        if !is_identifier(&self.database.schema) {
            return wrong("database.schema", "must be a plain SQL name: lower-case letters, digits and _");
        }
        if self.database.max_connections == 0 {
            return wrong("database.max_connections", "must be at least 1");
        }
        if self.poll.max_events == 0 {
            return wrong("poll.max_events", "must be at least 1");
        }
        if !self.is_embedded() && self.privacy.subject_key.is_none() && self.privacy.subject_key_file.is_none() {
            return wrong(
                "privacy.subject_key",
                "is required with database.url; make one with `openssl rand -base64 32`, keep it, and set privacy.subject_key or privacy.subject_key_file",
            );
        }
        self.server.socket_mode()?;
        self.authz.check()?;
        if self.points().named(&self.authz.enforcement_point).is_none() {
            return wrong(
                "authz.enforcement_point",
                "must be api or the name of a section [enforcement_points.<name>]",
            );
        }
        self.check_effects()?;
        self.windows.check().map_err(|fault| SettingsError::Value { key: fault.key, remedy: fault.remedy })?;
        let levels: BTreeSet<Level> = self.upstreams.values().map(|upstream| upstream.level).collect();
        let staleness = self.staleness();
        staleness.check(&self.windows, levels.iter().copied())?;
        self.points().check(&self.windows, levels, |level, class| staleness.limits(level, class).hard)?;
        if self.staleness.spread.duration().is_zero() {
            return wrong("staleness.spread", "must be more than 0, for example \"2m\"");
        }
        self.upstreams.iter().try_for_each(|(name, upstream)| staleness.check_upstream(name, upstream))?;
        if self.proof.keep.duration() < LEAST_KEPT {
            return wrong("proof.keep", "must be at least 1d: reports look back over it");
        }
        self.replica.check()?;
        self.policy.read("policy", &Vocabulary::default())?;
        self.upstreams.iter().try_for_each(|(name, upstream)| upstream.check(name))?;
        self.api_token()?;
        self.admin_token()?;
        Ok(())
    }
}

impl Server {
    /// The permissions of the unix socket.
    pub fn socket_mode(&self) -> Result<u32, SettingsError> {
        match u32::from_str_radix(&self.socket_mode, 8) {
            Ok(mode) if mode <= 0o777 => Ok(mode),
            _ => wrong("server.socket_mode", "must be permissions in octal, for example \"0660\""),
        }
    }
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// They could not be read.
    #[error(transparent)]
    Load(#[from] ConfigError),
    /// A secret could not be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A value is not usable.
    #[error("{key} {remedy}")]
    Value {
        /// The setting.
        key: String,
        /// What it must be.
        remedy: &'static str,
    },
    /// An enforcement point exceeds a window.
    #[error(transparent)]
    Bound(#[from] BoundExceeded),
    /// The names of `revalidate` are not usable.
    #[error("{key}: {source}")]
    Vocabulary {
        /// The setting.
        key: String,
        /// Why.
        source: VocabularyError,
    },
    /// A private key is not usable.
    #[error("{key}: {source}")]
    Key {
        /// The setting.
        key: String,
        /// Why.
        source: ImportError,
    },
    /// A generated secret could not be kept.
    #[error("{} could not be written; make the directory writable or set {key}", path.display())]
    Generated {
        /// The setting that would take its place.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

const LEAST_HORIZON: Duration = Duration::from_hours(24);
const LONGEST_CAP: Duration = Duration::from_hours(3_650 * 24);
const LEAST_KEPT: Duration = Duration::from_hours(24);

pub(super) fn wrong<T>(key: impl Into<String>, remedy: &'static str) -> Result<T, SettingsError> {
    Err(SettingsError::Value { key: key.into(), remedy })
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() < 60
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
