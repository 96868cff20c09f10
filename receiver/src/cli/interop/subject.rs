//! `subject add|remove` (SSF 1.0 §8.1.3).

use clap::{Args, Subcommand};
use serde_json::Value;
use ssf_common::id::StreamId;
use ssf_common::protocol::{AddSubject, RemoveSubject};
use ssf_receiver::interop::{Fault, check};

use super::body::object;
use super::command::{Outcome, Run};
use super::ending::EXIT_CODES;
use super::peer::PeerArgs;

/// A call about the subjects of a stream.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Subject {
    /// Add a subject to a stream (SSF 1.0 §8.1.3.2)
    #[command(after_help = EXIT_CODES)]
    Add(Add),
    /// Remove a subject from a stream (SSF 1.0 §8.1.3.3)
    #[command(after_help = EXIT_CODES)]
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Add {
    #[command(flatten)]
    which: Which,
    /// Whether we have verified that the subject is who it says; not said if left out
    #[arg(long, value_name = "TRUTH")]
    verified: Option<bool>,
    #[command(flatten)]
    peer: PeerArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Remove {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    peer: PeerArgs,
}

#[derive(Debug, Args)]
struct Which {
    /// The stream, as the transmitter calls it
    #[arg(long, value_name = "ID")]
    stream_id: String,
    /// The subject as JSON (RFC 9493, SSF 1.0 §3): the text itself, @FILE, or - for standard input
    #[arg(value_name = "SUBJECT")]
    subject: String,
}

impl Subject {
    pub(super) async fn run(&self, run: &Run<'_>) -> Result<Outcome, Fault> {
        let (which, peer) = match self {
            Self::Add(Add { which, peer, .. }) | Self::Remove(Remove { which, peer }) => (which, peer),
        };
        let subject = Value::Object(object("SUBJECT", &which.subject)?);
        let stream_id = StreamId::from(which.stream_id.as_str());
        let mut run = run.open(peer).await?;
        let (call, check): (_, fn(&_) -> _) = match self {
            Self::Add(Add { verified, .. }) => {
                let body = AddSubject { stream_id, subject, verified: *verified };
                (run.peer.calls().add_subject(&body)?, check::add_subject)
            }
            Self::Remove(_) => {
                let body = RemoveSubject { stream_id, subject };
                (run.peer.calls().remove_subject(&body)?, check::remove_subject)
            }
        };
        let answer = run.ask(&call).await?;
        run.found(check(&answer));
        run.done(&answer)
    }
}
