//! [`Tail`]: takes the SETs of one stream as they come and shows them, until it is stopped.
//!
//! The stream is one that is there, or a temporary one that is deleted at the end, however the end comes about.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use secrecy::ExposeSecret as _;
use serde_json::Value;
use ssf_common::id::StreamId;
use ssf_common::protocol::{CreateStream, DeliveryMethod, StreamConfiguration};
use ssf_common::runtime::Shutdown;
use ssf_common::runtime::telemetry::chain;

use super::check::{self, Asked};
use super::judge::Judge;
use super::tail_poll::PollManner;
use super::tail_push::{PushDoor, serve};
use super::{Fault, Finding, Findings, Peer, Seen};
use crate::upstream::Answer;

/// Which stream to follow.
#[derive(Clone, Debug)]
pub enum Source {
    /// One that is there.
    Named(StreamId),
    /// The only one there is.
    TheOnlyOne,
    /// One to be created, and deleted at the end.
    Temporary(CreateStream),
}

/// How its SETs come.
#[derive(Debug)]
pub enum Way {
    /// We ask (RFC 8936).
    Poll(PollManner),
    /// They are sent to us (RFC 8935).
    Push(PushDoor),
}

/// Where things are shown as they happen.
pub trait Screen: Send + Sync + fmt::Debug {
    /// A SET came.
    fn set(&self, seen: &Seen);
    /// Something was noticed.
    fn finding(&self, finding: &Finding);
    /// A word to the person who looks on.
    fn note(&self, text: &str);
}

/// To be run once.
#[derive(Debug)]
pub struct Tail {
    /// The transmitter.
    pub peer: Arc<Peer>,
    /// The stream.
    pub source: Source,
    /// How its SETs come.
    pub way: Way,
    /// Where they are shown.
    pub screen: Arc<dyn Screen>,
    /// Ends it.
    pub shutdown: Shutdown,
    /// Ends after so many SETs.
    pub count: Option<usize>,
}

/// What it came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tailed {
    /// Something broke a specification: an answer, or a SET.
    pub is_breach: bool,
}

/// What is known while it runs, shared with the push endpoint.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) peer: Arc<Peer>,
    pub(super) screen: Arc<dyn Screen>,
    pub(super) shutdown: Shutdown,
    /// Not before the stream and the keys are known.
    pub(super) judge: OnceLock<Judge>,
    count: Option<usize>,
    sets: AtomicUsize,
    is_breach: AtomicBool,
}

impl Watch {
    /// A SET to be shown and counted. `false`: enough were shown before.
    pub(super) fn show(&self, seen: &Seen) -> bool {
        let before = self.sets.fetch_add(1, Ordering::SeqCst);
        if self.count.is_some_and(|count| before >= count) {
            return false;
        }
        if matches!(seen, Seen::Refused { .. }) {
            self.is_breach.store(true, Ordering::SeqCst);
        }
        self.screen.set(seen);
        if self.count.is_some_and(|count| before + 1 >= count) {
            self.shutdown.begin();
        }
        true
    }

    /// What came to the push endpoint, to be shown, and not counted.
    pub(super) fn show_uncounted(&self, seen: &Seen) {
        self.is_breach.fetch_or(matches!(seen, Seen::Refused { .. }), Ordering::SeqCst);
        self.screen.set(seen);
    }

    /// Findings to be shown.
    pub(super) fn find(&self, findings: &Findings) {
        findings.iter().for_each(|finding| self.screen.finding(finding));
        if findings.are_a_breach(self.peer.is_lenient) {
            self.is_breach.store(true, Ordering::SeqCst);
        }
    }
}

impl Tail {
    /// Follows the stream until the stop, or until enough SETs were shown.
    pub async fn run(self) -> Result<Tailed, Fault> {
        let Self { peer, source, way, screen, shutdown, count } = self;
        let (judge, sets, is_breach) = (OnceLock::new(), AtomicUsize::new(0), AtomicBool::new(false));
        let watch = Arc::new(Watch { peer, screen, shutdown, judge, count, sets, is_breach });
        if watch.shutdown.is_begun() {
            return Ok(Tailed::default());
        }
        // The push endpoint listens before any transmitter is told of it.
        let (method, polling) = match way {
            Way::Poll(manner) => (DeliveryMethod::Poll, Some(manner)),
            Way::Push(door) => {
                watch.shutdown.spawn("push endpoint", serve(door, Arc::clone(&watch)));
                (DeliveryMethod::Push, None)
            }
        };
        let is_temporary = matches!(source, Source::Temporary(_));
        let found = watch.stream(source).await;
        let followed = match &found {
            Ok(stream) => watch.follow(stream, method, polling.as_ref()).await,
            Err(_) => Ok(()),
        };
        watch.shutdown.begin();
        watch.shutdown.wait().await;
        let stream = found?;
        if is_temporary {
            watch.delete(&stream.stream_id).await;
        }
        followed?;
        Ok(Tailed { is_breach: watch.is_breach.load(Ordering::SeqCst) })
    }
}

impl Watch {
    async fn stream(&self, source: Source) -> Result<StreamConfiguration, Fault> {
        let (peer, calls) = (&self.peer, self.peer.calls());
        let mut asked = Asked {
            issuer: &peer.settings.issuer,
            is_development: peer.settings.is_development(),
            stream_id: None,
            sent: None,
        };
        match source {
            Source::Named(id) => {
                let answer = peer.ask(&calls.read(&id)?).await?;
                asked.stream_id = Some(&id);
                self.find(&check::read(&answer, asked));
                usable(&answer)
            }
            Source::TheOnlyOne => {
                let answer = peer.ask(&calls.list()?).await?;
                self.find(&check::list(&answer, asked));
                let mut streams: Vec<StreamConfiguration> = answer.json().map_err(|_| Fault::Unusable)?;
                match (streams.pop(), streams.len()) {
                    (Some(only), 0) => Ok(only),
                    (None, _) => Err(Fault::Usage("there is no stream; make one, or use --create".to_owned())),
                    (Some(_), others) => Err(Fault::Usage(format!(
                        "there are {} streams; name one with --stream-id, or use --create",
                        others + 1
                    ))),
                }
            }
            Source::Temporary(wanted) => {
                if let Some(header) = wanted.delivery.as_ref().and_then(|push| push.authorization_header.as_ref()) {
                    peer.mask.learn_authorization(header.expose_secret());
                }
                let call = calls.create(&wanted)?;
                let answer = peer.ask(&call).await?;
                asked.sent = call.body.as_ref();
                self.find(&check::create(&answer, asked));
                let created = match usable(&answer) {
                    Ok(created) => created,
                    Err(fault) => {
                        let said: Value = answer.json().unwrap_or_default();
                        if let Some(id) = said.get("stream_id").and_then(Value::as_str) {
                            self.delete(&id.into()).await;
                        }
                        return Err(fault);
                    }
                };
                self.screen.note(&format!("following the temporary stream {}", created.stream_id));
                Ok(created)
            }
        }
    }

    async fn follow(
        self: &Arc<Self>,
        stream: &StreamConfiguration,
        method: DeliveryMethod,
        polling: Option<&PollManner>,
    ) -> Result<(), Fault> {
        if stream.delivery.known_method() != Some(method) {
            return Err(Fault::Method(method.as_str()));
        }
        let audiences = match self.peer.settings.audiences.as_slice() {
            [] => stream.aud.0.clone(),
            configured => configured.to_vec(),
        };
        let judge = Judge::new(Arc::clone(&self.peer), audiences).await?;
        let judge = self.judge.get_or_init(|| judge);
        let Some(manner) = polling else {
            self.shutdown.soft().cancelled().await;
            return Ok(());
        };
        let endpoint = stream.delivery.endpoint_url.as_deref().ok_or(Fault::Unusable)?;
        manner.follow(self, judge, endpoint).await
    }

    /// However it ended, what was made is taken away; that this fails does not hide why it ended.
    async fn delete(&self, stream: &StreamId) {
        let call = match self.peer.calls().delete(stream) {
            Ok(call) => call,
            Err(error) => return self.screen.note(&format!("the stream {stream} is left: {}", chain(&error))),
        };
        let answered = async { self.peer.unless_refused(&call, self.peer.client.answered(&call).await?) }.await;
        match answered {
            Ok(answer) => {
                self.find(&check::delete(&answer));
                self.screen.note(&format!("the temporary stream {stream} is deleted"));
            }
            Err(error) => self.screen.note(&format!("the stream {stream} is left: {}", chain(&error))),
        }
    }
}

fn usable(answer: &Answer) -> Result<StreamConfiguration, Fault> {
    answer.json().map_err(|_| Fault::Unusable)
}
