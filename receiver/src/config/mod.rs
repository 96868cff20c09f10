//! Settings: `config.default.toml` says what each means; here they become types and are checked against each other.
//!
//! [`Settings`] are those of the service, [`UpstreamSettings`] those of one transmitter. `main` loads them, `app` is
//! built from them; no stage reads a setting by itself.

mod authority;
mod authz;
mod credential;
mod effects;
mod enforcement_point;
mod origin;
mod policy;
mod probe;
mod profile;
mod replica;
mod secrets;
mod settings;
mod staleness;
#[cfg(test)]
mod tests;
mod upstream;

pub use authority::{AuthoritySettings, TenantWide};
pub use authz::Authz;
pub use credential::{AssertionAudience, ClientAuth, ClientKey, Credential};
pub use effects::{Callbacks, TargetSettings, Watch};
pub use enforcement_point::{API, BoundExceeded, EnforcementPoint, EnforcementPoints, Mechanism};
pub(crate) use origin::is_on_loopback;
pub use policy::{Becomes, EffectPolicy, PolicyRows, Rules, Source, TenantSettings};
pub use probe::ProbeSettings;
pub use profile::Profile;
pub use replica::ReplicaSettings;
pub use settings::{
    Admin, Api, DEFAULTS, Data, Database, InboxSettings, Lineage, Poll, Privacy, Proof, Requests, Server, Settings,
    SettingsError,
};
pub use ssf_common::runtime::config::{BindingClass, Level, LevelWindows, Windows};
pub use staleness::{Limits, Staleness, StalenessSettings};
pub use upstream::{Delivery, UpstreamSettings};
