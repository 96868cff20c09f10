//! `verify` and `poll` (SSF 1.0 §8.1.4, RFC 8936).

use std::collections::BTreeMap;

use clap::Args;
use ssf_common::id::{Jti, StreamId};
use ssf_common::protocol::{DeliveryMethod, PollRequest, SetError, StreamConfiguration, VerifyRequest};
use ssf_common::set::ErrorCode;
use ssf_receiver::interop::{Fault, check};

use super::command::{Opened, Outcome, Run};
use super::peer::PeerArgs;
use super::stream::asked;

/// Ask for a verification event.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// The stream, as the transmitter calls it
    #[arg(long, value_name = "ID")]
    stream_id: String,
    /// What the event shall carry back
    #[arg(long, value_name = "TEXT")]
    state: Option<String>,
    #[command(flatten)]
    peer: PeerArgs,
}

/// One poll.
#[derive(Debug, Args)]
pub(in crate::cli) struct Poll {
    /// The stream; its configuration is read first, for the endpoint stands there
    #[arg(long, value_name = "ID", required_unless_present = "endpoint_url")]
    stream_id: Option<String>,
    /// The endpoint itself
    #[arg(long, value_name = "URL", conflicts_with = "stream_id")]
    endpoint_url: Option<String>,
    /// Acknowledge this SET; may be repeated
    #[arg(long, value_name = "JTI")]
    ack: Vec<String>,
    /// Refuse this SET with this code, such as invalid_key; may be repeated
    #[arg(long, value_name = "JTI=CODE", value_parser = jti_and_code)]
    set_err: Vec<(Jti, ErrorCode)>,
    /// Do not wait until there is something
    #[arg(long)]
    return_immediately: bool,
    /// The most SETs to hand out; 0 only acknowledges
    #[arg(long, value_name = "N")]
    max_events: Option<u32>,
    #[command(flatten)]
    peer: PeerArgs,
}

impl Verify {
    pub(super) async fn run(&self, run: &Run<'_>) -> Result<Outcome, Fault> {
        let mut run = run.open(&self.peer).await?;
        let body = VerifyRequest { stream_id: self.stream_id.as_str().into(), state: self.state.clone() };
        let answer = run.ask(&run.peer.calls().verify(&body)?).await?;
        run.found(check::verify(&answer));
        run.done(&answer)
    }
}

impl Poll {
    pub(super) async fn run(&self, run: &Run<'_>) -> Result<Outcome, Fault> {
        let timeout = run.settings.poll.timeout.duration();
        let mut run = run.open(&self.peer).await?;
        let endpoint = self.endpoint(&mut run).await?;
        let refused = self.set_err.iter().map(|(jti, err)| {
            let error = SetError { err: err.clone(), description: None };
            (jti.clone(), error)
        });
        let body = PollRequest {
            max_events: self.max_events,
            return_immediately: self.return_immediately.then_some(true),
            ack: self.ack.iter().map(|jti| Jti::from(jti.as_str())).collect(),
            set_errs: refused.collect::<BTreeMap<_, _>>(),
        };
        let answer = run.ask(&run.peer.poll(&endpoint, &body, timeout)?).await?;
        run.found(check::polled(&answer, &body));
        run.done(&answer)
    }

    async fn endpoint(&self, run: &mut Opened) -> Result<String, Fault> {
        if let Some(url) = &self.endpoint_url {
            if !run.peer.may_poll(url) {
                return Err(Fault::Usage("--endpoint-url must be an https URL".to_owned()));
            }
            return Ok(url.clone());
        }
        let stream = StreamId::from(self.stream_id.as_deref().unwrap_or_default());
        let answer = run.ask(&run.peer.calls().read(&stream)?).await?;
        run.found(check::read(&answer, asked(&run.peer, Some(&stream))));
        let found: StreamConfiguration = answer.json().map_err(|_| Fault::Unusable)?;
        if found.delivery.known_method() != Some(DeliveryMethod::Poll) {
            return Err(Fault::Method("poll"));
        }
        found.delivery.endpoint_url.ok_or(Fault::Unusable)
    }
}

fn jti_and_code(text: &str) -> Result<(Jti, ErrorCode), String> {
    match text.rsplit_once('=') {
        Some((jti, code)) if !jti.is_empty() && !code.is_empty() => Ok((jti.into(), code.into())),
        _ => Err("write JTI=CODE, for example 0193f-1=invalid_key".to_owned()),
    }
}
