//! What an application's answer to a callback means: pure. Called by `callbacks`.

use std::time::Duration;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A status, and how long it asks us to wait.
    Status { status: u16, retry_after: Option<Duration> },
    /// None in time.
    TimedOut,
    /// No connection, or it broke.
    Unreachable,
    /// The address may not be called.
    NotCalled { reason: String },
}

/// Whose trouble it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The application has it.
    Taken,
    /// It is there and does not want this one: that is sent again by and by, and the others meanwhile.
    Refused { trouble: String },
    /// It is not well: one callback at a time probes until one is answered.
    Trouble { trouble: String, retry_after: Option<Duration> },
}

impl Answer {
    /// Statuses that say something about this very request are its own trouble, all others the target's.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Status { status: 200..=299, .. } => Outcome::Taken,
            Self::Status { status: status @ (400 | 405 | 406 | 409 | 411..=417 | 422), .. } => {
                Outcome::Refused { trouble: format!("the application answered {status}") }
            }
            Self::Status { status, retry_after } => {
                Outcome::Trouble { trouble: format!("the application answered {status}"), retry_after }
            }
            Self::TimedOut => trouble("the application did not answer in time"),
            Self::Unreachable => trouble("the application could not be reached"),
            Self::NotCalled { reason } => Outcome::Trouble { trouble: reason, retry_after: None },
        }
    }
}

fn trouble(text: &str) -> Outcome {
    Outcome::Trouble { trouble: text.to_owned(), retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_taken_or_its_own_trouble_or_the_targets() {
        let kind = |status| match (Answer::Status { status, retry_after: None }).outcome() {
            Outcome::Taken => "taken",
            Outcome::Refused { .. } => "refused",
            Outcome::Trouble { .. } => "trouble",
        };
        for (kind_of, statuses) in [
            ("taken", &[200, 201, 202, 204, 299][..]),
            ("refused", &[400, 405, 409, 413, 415, 422]),
            ("trouble", &[100, 301, 302, 307, 401, 403, 404, 408, 410, 421, 425, 429, 500, 502, 503, 504, 599]),
        ] {
            for status in statuses {
                assert_eq!(kind(*status), kind_of, "{status}");
            }
        }
        let wait = Some(Duration::from_secs(7));
        let asked = Answer::Status { status: 503, retry_after: wait }.outcome();
        assert!(matches!(asked, Outcome::Trouble { retry_after, .. } if retry_after == wait));
    }
}
