//! The sessions of the demo: the same at both RPs, each of a user, on a device, begun by an IdP session.

use serde_json::{Value, json};
use ssf_common::clock::Timestamp;

/// One session at an RP.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The RP's own id.
    pub(crate) sid: String,
    /// Which user, by number.
    pub(crate) user: usize,
    /// Which of the user's devices.
    pub(crate) device: usize,
    /// The IdP's session.
    pub(crate) begun_by: String,
}

impl Session {
    /// `count` sessions spread over `users`, two devices each.
    pub(crate) fn all(count: usize, users: usize) -> Vec<Self> {
        let make = |number: usize| {
            let (user, round) = (number % users, number / users);
            Self { sid: format!("session-{number}"), user, device: round % 2, begun_by: format!("idp-{number}") }
        };
        (0..count).map(make).collect()
    }

    /// The body of `PUT /v1/sessions/{sid}`.
    pub(crate) fn description(&self, issuer: &str, origin: Timestamp) -> Value {
        json!({
            "issuer": issuer,
            "subject": user(issuer, self.user),
            "session": self.begun_by,
            "device": device(self.user, self.device),
            "tenant": "acme",
            "origin": origin.unix_seconds(),
        })
    }
}

/// The subject identifier of a user.
pub(crate) fn user(issuer: &str, number: usize) -> Value {
    json!({"format": "iss_sub", "iss": issuer, "sub": format!("user-{number}")})
}

/// The subject identifier of a user's device.
pub(crate) fn device(user: usize, number: usize) -> Value {
    json!({"format": "opaque", "id": format!("device-{user}-{number}")})
}
