//! `stream create|read|list|update|replace|delete` and `stream status get|set` (SSF 1.0 §8.1.1, §8.1.2).

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use ssf_common::id::StreamId;
use ssf_receiver::interop::check::{self, Asked};
use ssf_receiver::interop::{Fault, Peer};

use super::body::StreamBody;
use super::command::{Outcome, Run};
use super::ending::EXIT_CODES;
use super::peer::PeerArgs;

/// One call about a stream.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Stream {
    /// Create a stream (SSF 1.0 §8.1.1.1); without --delivery the transmitter makes it a poll stream
    #[command(after_help = EXIT_CODES)]
    Create(Create),
    /// Read the configuration of a stream (SSF 1.0 §8.1.1.2)
    #[command(after_help = EXIT_CODES)]
    Read(One),
    /// Read the configurations of all our streams (SSF 1.0 §8.1.1.2)
    #[command(after_help = EXIT_CODES)]
    List(All),
    /// Change some members of a stream: PATCH (SSF 1.0 §8.1.1.3)
    #[command(after_help = EXIT_CODES)]
    Update(Change),
    /// Replace our members of a stream: PUT, what is left out goes (SSF 1.0 §8.1.1.4)
    #[command(after_help = EXIT_CODES)]
    Replace(Change),
    /// Delete a stream (SSF 1.0 §8.1.1.5)
    #[command(after_help = EXIT_CODES)]
    Delete(One),
    /// Read or change the status of a stream (SSF 1.0 §8.1.2)
    #[command(subcommand)]
    Status(Status),
}

/// A call about a stream's status.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Status {
    /// Read it (SSF 1.0 §8.1.2.1)
    #[command(after_help = EXIT_CODES)]
    Get(One),
    /// Change it (SSF 1.0 §8.1.2.2)
    #[command(after_help = EXIT_CODES)]
    Set(SetStatus),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    #[command(flatten)]
    body: StreamBody,
    #[command(flatten)]
    peer: PeerArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct All {
    #[command(flatten)]
    peer: PeerArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct One {
    /// The stream, as the transmitter calls it
    #[arg(long, value_name = "ID")]
    stream_id: String,
    #[command(flatten)]
    peer: PeerArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Change {
    /// The stream, as the transmitter calls it
    #[arg(long, value_name = "ID")]
    stream_id: String,
    #[command(flatten)]
    body: StreamBody,
    #[command(flatten)]
    peer: PeerArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SetStatus {
    /// The stream, as the transmitter calls it
    #[arg(long, value_name = "ID")]
    stream_id: String,
    /// The new status
    #[arg(value_name = "STATUS")]
    status: Wanted,
    /// Why, in a few words for the transmitter's people
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    peer: PeerArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Wanted {
    Enabled,
    Paused,
    Disabled,
}

impl Stream {
    pub(super) async fn run(&self, run: &Run<'_>) -> Result<Outcome, Fault> {
        match self {
            Self::Create(Create { body, peer }) => {
                let body = body.json(None, &peer.vocabulary(run.settings))?;
                let mut run = run.open(peer).await?;
                let answer = run.ask(&run.peer.calls().create(&body)?).await?;
                run.found(check::create(&answer, Asked { sent: Some(&body), ..asked(&run.peer, None) }));
                run.done(&answer)
            }
            Self::Read(One { stream_id, peer }) => {
                let (mut run, stream) = (run.open(peer).await?, StreamId::from(stream_id.as_str()));
                let answer = run.ask(&run.peer.calls().read(&stream)?).await?;
                run.found(check::read(&answer, asked(&run.peer, Some(&stream))));
                run.done(&answer)
            }
            Self::List(All { peer }) => {
                let mut run = run.open(peer).await?;
                let answer = run.ask(&run.peer.calls().list()?).await?;
                run.found(check::list(&answer, asked(&run.peer, None)));
                run.done(&answer)
            }
            Self::Update(Change { stream_id, body, peer }) => {
                let stream = StreamId::from(stream_id.as_str());
                let body = body.json(Some(&stream), &peer.vocabulary(run.settings))?;
                let mut run = run.open(peer).await?;
                let answer = run.ask(&run.peer.calls().update(&body)?).await?;
                run.found(check::update(&answer, Asked { sent: Some(&body), ..asked(&run.peer, Some(&stream)) }));
                run.done(&answer)
            }
            Self::Replace(Change { stream_id, body, peer }) => {
                let stream = StreamId::from(stream_id.as_str());
                let body = body.json(Some(&stream), &peer.vocabulary(run.settings))?;
                let mut run = run.open(peer).await?;
                let answer = run.ask(&run.peer.calls().replace(&body)?).await?;
                run.found(check::replace(&answer, Asked { sent: Some(&body), ..asked(&run.peer, Some(&stream)) }));
                run.done(&answer)
            }
            Self::Delete(One { stream_id, peer }) => {
                let mut run = run.open(peer).await?;
                let answer = run.ask(&run.peer.calls().delete(&stream_id.as_str().into())?).await?;
                run.found(check::delete(&answer));
                run.done(&answer)
            }
            Self::Status(status) => status.run(run).await,
        }
    }
}

impl Status {
    async fn run(&self, run: &Run<'_>) -> Result<Outcome, Fault> {
        match self {
            Self::Get(One { stream_id, peer }) => {
                let (mut run, stream) = (run.open(peer).await?, StreamId::from(stream_id.as_str()));
                let answer = run.ask(&run.peer.calls().status(&stream)?).await?;
                run.found(check::status(&answer, &stream));
                run.done(&answer)
            }
            Self::Set(SetStatus { stream_id, status, reason, peer }) => {
                let (mut run, stream) = (run.open(peer).await?, StreamId::from(stream_id.as_str()));
                let mut body = json!({"stream_id": stream, "status": status.as_str()});
                if let Some(reason) = reason {
                    body["reason"] = json!(reason);
                }
                let answer = run.ask(&run.peer.calls().set_status(&body)?).await?;
                run.found(check::set_status(&answer, &stream, status.as_str()));
                run.done(&answer)
            }
        }
    }
}

impl Wanted {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

/// What the transmitter was asked about.
pub(super) fn asked<'a>(peer: &'a Peer, stream_id: Option<&'a StreamId>) -> Asked<'a> {
    let issuer = &peer.settings.issuer;
    Asked { issuer, is_development: peer.settings.is_development(), stream_id, sent: None }
}
