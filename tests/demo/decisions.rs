//! What the IdP decides, and what must follow: the demo's own model, written independently of the receiver.

use serde_json::{Value, json};
use ssf_common::random::{Random, SeededRandom};

use crate::sessions::{Session, device, user};

/// One decision.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    /// `session-revoked` or `revalidate`.
    pub(crate) event_type: &'static str,
    /// About whom.
    pub(crate) about: About,
}

/// Whom a decision is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// One session, by its number.
    Session(usize),
    /// All sessions of a user.
    User(usize),
    /// The sessions of a user on one device.
    UserAndDevice(usize, usize),
}

impl Decision {
    /// The four that are shown one by one.
    pub(crate) fn shown() -> [Self; 4] {
        let revoked = "session-revoked";
        [
            Self { event_type: revoked, about: About::Session(0) },
            Self { event_type: revoked, about: About::User(1) },
            Self { event_type: revoked, about: About::UserAndDevice(2, 0) },
            Self { event_type: "revalidate", about: About::User(3) },
        ]
    }

    /// One at random about sessions and users that the shown ones do not touch, so that those stay as they were shown.
    pub(crate) fn random(random: &SeededRandom, sessions: &[Session], users: usize) -> Self {
        let event_type = if below(random, 2) == 0 { "session-revoked" } else { "revalidate" };
        let user = UNTOUCHED_FROM + below(random, users - UNTOUCHED_FROM);
        let about = match below(random, 3) {
            0 => {
                let of_user: Vec<usize> = (0..sessions.len()).filter(|number| sessions[*number].user == user).collect();
                of_user
                    .get(below(random, of_user.len().max(1)))
                    .map_or(About::User(user), |number| About::Session(*number))
            }
            1 => About::UserAndDevice(user, below(random, 2)),
            // half of the users are never revoked or revalidated as a whole, so that others stay untouched
            _ if user.is_multiple_of(2) => About::User(user),
            _ => About::UserAndDevice(user, 1),
        };
        Self { event_type, about }
    }

    /// The body of `POST /events`.
    pub(crate) fn event(&self, issuer: &str, sessions: &[Session]) -> Value {
        let subject = match self.about {
            About::Session(number) => {
                let session = json!({"format": "opaque", "id": sessions[number].begun_by});
                json!({"format": "complex", "user": user(issuer, sessions[number].user), "session": session})
            }
            About::User(number) => user(issuer, number),
            About::UserAndDevice(of, number) => {
                json!({"format": "complex", "user": user(issuer, of), "device": device(of, number)})
            }
        };
        json!({"type": self.event_type, "subject": subject, "reason_admin": {"en": "the demo decided so"}})
    }

    /// Whether `session`, the `number`th, is meant.
    pub(crate) fn concerns(&self, number: usize, session: &Session) -> bool {
        match self.about {
            About::Session(one) => one == number,
            About::User(user) => session.user == user,
            About::UserAndDevice(user, device) => session.user == user && session.device == device,
        }
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        let about = match self.about {
            About::Session(number) => format!("session-{number}"),
            About::User(user) => format!("user-{user}"),
            About::UserAndDevice(user, device) => format!("user-{user} on device-{user}-{device}"),
        };
        format!("{} for {about}", self.event_type)
    }
}

/// What every session's state must be after these decisions: the worst that applies, whatever came first.
pub(crate) fn expected(sessions: &[Session], decisions: &[Decision]) -> Vec<&'static str> {
    let state = |(number, session): (usize, &Session)| {
        let meant =
            |event_type: &str| decisions.iter().any(|d| d.event_type == event_type && d.concerns(number, session));
        if meant("session-revoked") {
            "revoked"
        } else if meant("revalidate") {
            "revalidate_required"
        } else {
            "active"
        }
    };
    sessions.iter().enumerate().map(state).collect()
}

fn below(random: &SeededRandom, end: usize) -> usize {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    usize::try_from(u64::from_le_bytes(bytes) % u64::try_from(end).unwrap_or(1)).unwrap_or(0)
}

const UNTOUCHED_FROM: usize = 4;
