//! The audit log: what people changed here by hand. Whoever changes something for an operator writes its entry in the
//! same transaction.

mod store;

use serde::Serialize;
use serde_json::Value;
use ssf_common::clock::Timestamp;
pub use store::{entries, record};

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A command on the service's own host, by the number of the system's user.
    CommandLine(u32),
    /// Whoever holds the token of the administration.
    AdminApi,
    /// The service itself.
    Service,
}

impl Actor {
    /// As the log keeps it.
    pub fn text(&self) -> String {
        match self {
            Self::CommandLine(user) => format!("cli:{user}"),
            Self::AdminApi => "admin-api".to_owned(),
            Self::Service => "service".to_owned(),
        }
    }
}

/// What is to be written. Neither `target` nor `details`, a JSON object, holds a secret or a subject.
#[derive(Clone, Debug)]
pub struct Deed<'a> {
    /// What was done, as `noun.verb`.
    pub action: &'static str,
    /// To what, by its name here.
    pub target: Option<&'a str>,
    /// What was changed.
    pub details: Value,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Its place.
    pub id: i64,
    /// When, by our clock.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: Option<String>,
    /// What was changed.
    pub details: Value,
}
