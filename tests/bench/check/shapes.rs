//! Six ways in which an event may name whom it is about, and sessions that each of them can end: see
//! [`Keyring`](ssf_receiver::session::Keyring).

use serde_json::{Value, json};

/// What an event names; each is another key of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The user by `sub`.
    User,
    /// A session of the user.
    Session,
    /// A device of the user.
    Device,
    /// The tenant.
    Tenant,
    /// The user by another name.
    Email,
    /// One token.
    Token,
}

impl Shape {
    pub(super) const ALL: [Self; 6] = [Self::User, Self::Session, Self::Device, Self::Tenant, Self::Email, Self::Token];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::User => "sub",
            Self::Session => "sub and sid",
            Self::Device => "sub and device",
            Self::Tenant => "tenant",
            Self::Email => "e-mail",
            Self::Token => "jti",
        }
    }

    /// The subject of the event about number `number` of this shape.
    pub(super) fn subject(self, issuer: &str, number: usize) -> Value {
        let names = Names { issuer, shape: self, number };
        match self {
            Self::User => names.user(),
            Self::Session => json!({"format": "complex", "user": names.user(), "session": names.opaque("session")}),
            Self::Device => json!({"format": "complex", "user": names.user(), "device": names.opaque("device")}),
            Self::Tenant => json!({"format": "complex", "tenant": names.opaque("tenant")}),
            Self::Email => names.email(),
            Self::Token => names.token(),
        }
    }

    /// A session that this event names, as the application describes it; asserted at `origin`, in seconds. Two to five
    /// keys are looked up for it.
    pub(super) fn session(self, issuer: &str, number: usize, origin: i64) -> Value {
        let names = Names { issuer, shape: self, number };
        let mut session = json!({"issuer": issuer, "subject": names.user(), "origin": origin});
        match self {
            Self::User => {}
            Self::Session => session["session"] = names.opaque("session"),
            Self::Device => session["device"] = names.opaque("device"),
            Self::Tenant => session["tenant"] = names.opaque("tenant"),
            Self::Email => session["subject"] = json!([names.user(), names.email()]),
            Self::Token => session["session"] = names.token(),
        }
        session
    }

    /// The same session with everything a session may be known by: 41 keys are looked up for it.
    pub(super) fn widest_session(self, issuer: &str, number: usize, origin: i64) -> Value {
        let names = Names { issuer, shape: self, number };
        json!({
            "issuer": issuer, "subject": [names.user(), names.email()],
            "session": [names.opaque("session"), names.token()],
            "device": names.opaque("device"), "tenant": names.opaque("tenant"), "origin": origin,
        })
    }
}

/// All names of one number of one shape: no two have one in common.
struct Names<'a> {
    issuer: &'a str,
    shape: Shape,
    number: usize,
}

impl Names<'_> {
    fn id(&self, of: &str) -> String {
        format!("{of}-{:?}-{}", self.shape, self.number)
    }

    fn user(&self) -> Value {
        json!({"format": "iss_sub", "iss": self.issuer, "sub": self.id("user")})
    }

    fn email(&self) -> Value {
        json!({"format": "email", "email": format!("{}@rp.example", self.id("user").to_lowercase())})
    }

    fn token(&self) -> Value {
        json!({"format": "jwt_id", "iss": self.issuer, "jti": self.id("token")})
    }

    fn opaque(&self, of: &str) -> Value {
        json!({"format": "opaque", "id": self.id(of)})
    }
}
