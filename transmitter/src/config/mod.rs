//! Settings: `config.default.toml` says what each means; here they become types and are checked against each other.

mod authorization;
mod backlog;
mod check;
mod network;
mod rotation;
mod settings;
#[cfg(test)]
mod tests;

pub use authorization::{AuthorizationServer, ClientClaim, may_be_called};
pub use backlog::BacklogSettings;
pub use check::{MAX_SECONDS, MAX_STREAMS, SettingsError, check_issuer_url};
pub use rotation::{KEY_SET_MAX_AGE, OUT_OF_TOUCH, SHORTEST_AHEAD};
pub use settings::{
    AuthorizationSettings, Data, Database, DeliverySettings, Intake, IssuerSettings, Keys, LimitSettings,
    OutgoingSettings, Poll, Proxy, Push, Server, Settings, Streams, TimelineSettings, TlsSettings, Tokens,
};

/// The defaults, each with a sentence.
pub const DEFAULTS: &str = include_str!("../../config.default.toml");
