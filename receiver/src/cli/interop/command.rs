//! [`Interop`]: which command it is; [`Run`] and [`Opened`]: what every one of them does.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::Value;
use ssf_common::runtime::Env;
use ssf_receiver::config::Settings;
use ssf_receiver::interop::{Fault, Findings, Mask, Peer};
use ssf_receiver::upstream::Answer;
use ssf_receiver::upstream::call::Call;

use super::super::print::print_json;
use super::ending::{Ending, say};
use super::peer::PeerArgs;
use super::poll::{Poll, Verify};
use super::stream::Stream;
use super::subject::Subject;
use super::tail::Tail;

/// A command that drives a stream by hand.
#[derive(Debug)]
pub(in crate::cli) enum Interop {
    Stream(Stream),
    Subject(Subject),
    Verify(Verify),
    Poll(Poll),
    Tail(Tail),
}

/// What a command works with.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) settings: &'a Settings,
    pub(super) env: Env,
}

/// A transmitter that was discovered, and what was found since.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) peer: Arc<Peer>,
    is_breach: bool,
}

/// How a command ended that came to its end.
pub(super) type Outcome = Ending;

impl Interop {
    pub(in crate::cli) async fn run(self, settings: &Settings, env: Env) -> ExitCode {
        let run = Run { settings, env };
        let ended = match self {
            Self::Stream(stream) => stream.run(&run).await,
            Self::Subject(subject) => subject.run(&run).await,
            Self::Verify(verify) => verify.run(&run).await,
            Self::Poll(poll) => poll.run(&run).await,
            Self::Tail(tail) => tail.run(&run).await,
        };
        ended.unwrap_or_else(|fault| Ending::fault(&fault)).into()
    }
}

impl Run<'_> {
    /// Discovers the transmitter, and says what is found about its metadata.
    pub(super) async fn open(&self, peer: &PeerArgs) -> Result<Opened, Fault> {
        let mut findings = Findings::default();
        let is_lenient = peer.lenient;
        let opened = peer.open(self.settings, self.env.clone(), &mut findings).await;
        say(&findings, &Mask::default(), is_lenient);
        Ok(Opened { peer: opened?, is_breach: findings.are_a_breach(is_lenient) })
    }
}

impl Opened {
    /// One exchange.
    pub(super) async fn ask(&self, call: &Call) -> Result<Answer, Fault> {
        self.peer.ask(call).await
    }

    /// Says what was found.
    #[expect(clippy::needless_pass_by_value, reason = "what was said is done with")]
    pub(super) fn found(&mut self, findings: Findings) {
        say(&findings, &self.peer.mask, self.peer.is_lenient);
        self.is_breach |= findings.are_a_breach(self.peer.is_lenient);
    }

    /// Whether anything so far broke a specification.
    pub(super) const fn is_breach(&self) -> bool {
        self.is_breach
    }

    /// Prints the answer: its JSON, or its status where it has nothing to say.
    pub(super) fn done(&self, answer: &Answer) -> Result<Outcome, Fault> {
        match answer.json::<Value>() {
            Ok(json) => {
                print_json(&self.peer.mask.json(&json)).map_err(|error| Fault::Output(std::io::Error::other(error)))?;
            }
            Err(_) => eprintln!("{}", answer.status),
        }
        Ok(Ending::of(self.is_breach))
    }
}
