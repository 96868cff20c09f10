//! Settings: `config.default.toml` says what each means; here they become types and are checked against each other.

mod check;
mod network;
mod settings;
#[cfg(test)]
mod tests;

pub use check::{SettingsError, check_issuer_url};
pub use settings::{
    Data, Database, DeliverySettings, Intake, IssuerSettings, Keys, LimitSettings, OutgoingSettings, Poll, Proxy, Push,
    Server, Settings, Streams, TimelineSettings, TlsSettings, Tokens,
};

/// The defaults, each with a sentence.
pub const DEFAULTS: &str = include_str!("../../config.default.toml");
