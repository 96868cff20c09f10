//! What a receiver's answer means: a pure reading of RFC 8935 §2.2–2.4 by whose trouble it is.

use std::time::Duration;

use ssf_common::protocol::SetError;
use ssf_common::set::ErrorCode;

/// What came back from a receiver, or did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP status, with the error body if there was one and how long `Retry-After` asks to wait.
    Status {
        /// The status.
        status: u16,
        /// The RFC 8935 §2.3 error body.
        error: Option<SetError>,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// No answer in time.
    TimedOut,
    /// No connection, or it broke.
    Unreachable,
    /// It was not called, for it is no address we call.
    NotCalled {
        /// In our words, without the address.
        reason: String,
    },
}

/// What to do with the delivery and its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it. `oddly` if it said so with another status than 202.
    Acknowledged {
        /// 200 or 204 instead of 202.
        oddly: bool,
    },
    /// The receiver will never take this SET: a dead letter. The stream goes on.
    Refused {
        /// Its code.
        code: ErrorCode,
        /// Its words, shortened.
        description: String,
    },
    /// The stream is in trouble, by the receiver's answer or silence: the SET is kept and tried again.
    Trouble {
        /// In our words.
        reason: String,
        /// The receiver's wish.
        retry_after: Option<Duration>,
    },
}

impl Answer {
    /// Reads the answer. A 400 with a code that names the SET's fault refuses that SET, and so does a 413, for the same SET
    /// will never be shorter; codes that name the stream's fault
    /// (an expired credential, a stale key set) and every other status are trouble of the stream, so nothing is lost to a
    /// misconfigured receiver.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Status { status: 202, .. } => Outcome::Acknowledged { oddly: false },
            Self::Status { status: 200 | 204, .. } => Outcome::Acknowledged { oddly: true },
            Self::Status { status: 400, error: Some(error), retry_after } if is_trouble_of_the_stream(&error.err) => {
                Outcome::Trouble { reason: format!("the receiver answered {}", error.err), retry_after }
            }
            Self::Status { status: 413, error, .. } => Outcome::Refused {
                code: "too_large".into(),
                description: shortened(&error.and_then(|error| error.description).unwrap_or_default()),
            },
            Self::Status { status: 400, error: Some(error), .. } => {
                Outcome::Refused { code: error.err, description: shortened(&error.description.unwrap_or_default()) }
            }
            Self::Status { status, retry_after, .. } => {
                Outcome::Trouble { reason: format!("the receiver answered HTTP {status}"), retry_after }
            }
            Self::TimedOut => {
                Outcome::Trouble { reason: "the receiver did not answer in time".to_owned(), retry_after: None }
            }
            Self::NotCalled { reason } => Outcome::Trouble { reason, retry_after: None },
            Self::Unreachable => {
                Outcome::Trouble { reason: "the receiver could not be reached".to_owned(), retry_after: None }
            }
        }
    }
}

/// Whether a code speaks of the stream (credentials, keys, names) and not of one SET.
pub(super) fn is_trouble_of_the_stream(code: &ErrorCode) -> bool {
    match code {
        ErrorCode::AuthenticationFailed
        | ErrorCode::AccessDenied
        | ErrorCode::InvalidKey
        | ErrorCode::InvalidIssuer
        | ErrorCode::InvalidAudience => true,
        ErrorCode::InvalidRequest | ErrorCode::InvalidState | ErrorCode::Other(_) => false,
    }
}

/// A stranger's words, fit to be kept: printable, and not too many.
pub(super) fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_DESCRIPTION).collect()
}

const MAX_DESCRIPTION: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> Answer {
        Answer::Status { status, error: None, retry_after: None }
    }

    fn bad_request(code: &str) -> Answer {
        let error = Some(SetError { err: code.into(), description: Some("why\r\n".into()) });
        Answer::Status { status: 400, error, retry_after: None }
    }

    #[test]
    fn only_a_success_acknowledges() {
        assert_eq!(status(202).outcome(), Outcome::Acknowledged { oddly: false });
        assert_eq!(status(200).outcome(), Outcome::Acknowledged { oddly: true });
        for other in [201, 301, 302, 307, 400, 401, 403, 404, 415, 429, 500, 502, 503] {
            assert!(matches!(status(other).outcome(), Outcome::Trouble { .. }), "{other}");
        }
    }

    #[test]
    fn a_set_that_is_too_large_is_refused_and_the_stream_goes_on() {
        assert!(matches!(status(413).outcome(), Outcome::Refused { .. }));
    }

    #[test]
    fn the_sets_own_fault_refuses_it_and_the_streams_fault_keeps_it() {
        for code in ["invalid_request", "invalid_state", "something_else"] {
            let refused = Outcome::Refused { code: code.into(), description: "why".into() };
            assert_eq!(bad_request(code).outcome(), refused);
        }
        for code in ["authentication_failed", "access_denied", "invalid_key", "invalid_issuer", "invalid_audience"] {
            assert!(matches!(bad_request(code).outcome(), Outcome::Trouble { .. }), "{code}");
        }
    }
}
