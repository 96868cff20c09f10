//! How upstreams and issuers are named, and how SETs reach us.

use ssf_common::uuid_id;

use crate::config::Delivery;

uuid_id! {
    /// One configured transmitter and the stream we hold there.
    UpstreamId;
    /// An issuer whose events have effect here.
    IssuerId;
}

/// How SETs reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The transmitter sends them to our endpoint (RFC 8935).
    Push,
    /// We ask for them (RFC 8936).
    Poll,
}

impl Method {
    /// As it stands in the database and in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Poll => "poll",
        }
    }
}

impl From<Delivery> for Method {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Push => Self::Push,
            Delivery::Poll => Self::Poll,
        }
    }
}
