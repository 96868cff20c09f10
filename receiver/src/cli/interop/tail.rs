//! `tail`: the SETs of a stream as they come, verified, by poll or by push.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use ssf_common::protocol::{CreateStream, Delivery};
use ssf_common::runtime::Shutdown;
use ssf_common::runtime::config::Secret;
use ssf_common::runtime::http::bind;
use ssf_common::runtime::telemetry::chain;
use ssf_receiver::interop::{self, Fault, PollManner, PushDoor, Source, Way};

use super::body::{authorization, event_uris};
use super::command::{Outcome, Run};
use super::ending::Ending;
use super::peer::{PeerArgs, secret};
use super::screen::Terminal;

/// Follow a stream.
#[derive(Debug, Args)]
pub(in crate::cli) struct Tail {
    /// The stream; without it the only one there is
    #[arg(long, value_name = "ID", conflicts_with = "create")]
    stream_id: Option<String>,
    /// Make a temporary stream, and delete it at the end
    #[arg(long)]
    create: bool,
    /// The event types of the temporary stream: short names or URIs, separated by commas; otherwise those of the settings
    #[arg(long, value_name = "TYPES", value_delimiter = ',', requires = "create")]
    events: Option<Vec<String>>,
    /// Poll: tell the transmitter what was accepted and refused; otherwise it keeps everything, and only as many SETs as
    /// one poll brings are seen
    #[arg(long, conflicts_with = "listen")]
    ack: bool,
    /// Push: listen here, and answer as RFC 8935 says
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Push: the path SETs are sent to
    #[arg(long, value_name = "PATH", default_value = "/push", requires = "listen")]
    path: String,
    /// Push: how the transmitter reaches us, for the temporary stream; otherwise http://HOST:PORT/PATH
    #[arg(long, value_name = "URL", requires_all = ["listen", "create"])]
    endpoint_url: Option<String>,
    /// Push: what every push must have as Authorization; a temporary stream has one of its own; better in a file
    #[arg(long, value_name = "VALUE", value_parser = secret, requires = "listen", conflicts_with = "authorization_header_file")]
    authorization_header: Option<Secret>,
    /// … or the file it is in
    #[arg(long, value_name = "FILE", requires = "listen")]
    authorization_header_file: Option<PathBuf>,
    /// End after so many SETs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Print the claims of each SET as JSON, in place of a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    peer: PeerArgs,
}

impl Tail {
    pub(super) async fn run(&self, run: &Run<'_>) -> Result<Outcome, Fault> {
        // The signal is caught before anything is made that must be taken away.
        let shutdown = Shutdown::new(GRACE);
        shutdown.listen_for_signals().map_err(Fault::Output)?;
        let mut header = authorization(self.authorization_header.as_ref(), self.authorization_header_file.as_deref())?;
        if header.is_none() && self.create {
            header = Some(Secret::from(format!("Bearer {}", run.env.random.secret())));
        }
        let header = header.map(Secret::into_inner);
        let vocabulary = self.peer.vocabulary(run.settings);
        let events = self.events.as_ref().map(|names| event_uris(names, &vocabulary)).transpose()?;
        let (way, endpoint) = self.way(run, header.clone()).await?;
        let opened = run.open(&self.peer).await?;
        let source = match &self.stream_id {
            Some(id) => Source::Named(id.as_str().into()),
            None if self.create => {
                let events = events.unwrap_or_else(|| opened.peer.settings.event_uris());
                Source::Temporary(wanted(events, endpoint, header))
            }
            None => Source::TheOnlyOne,
        };
        let (mask, is_lenient) = (Arc::clone(&opened.peer.mask), opened.peer.is_lenient);
        let screen = Arc::new(Terminal { mask, is_lenient, as_json: self.json });
        let count = self.count.map(|count| count as usize);
        let peer = Arc::clone(&opened.peer);
        let tailed = interop::Tail { peer, source, way, screen, shutdown, count }.run().await?;
        Ok(Ending::of(tailed.is_breach || opened.is_breach()))
    }

    /// How SETs come, and for push, where to.
    async fn way(&self, run: &Run<'_>, authorization: Option<SecretString>) -> Result<(Way, Option<String>), Fault> {
        let Some(listen) = &self.listen else {
            let poll = &run.settings.poll;
            let manner = PollManner {
                ack: self.ack,
                max_events: poll.max_events,
                timeout: poll.timeout.duration(),
                interval: poll.interval.duration(),
            };
            return Ok((Way::Poll(manner), None));
        };
        if !self.path.starts_with('/') || self.path.contains(['{', '}', '?', '#']) {
            return Err(Fault::Usage("--path must begin with a slash and be a plain path, such as /push".to_owned()));
        }
        let listener = bind(&**listen, "--listen").await.map_err(|error| Fault::Usage(chain(&error)))?;
        let at = listener.local_addr().map_err(Fault::Output)?;
        let endpoint = self.endpoint_url.clone().unwrap_or_else(|| format!("http://{at}{}", self.path));
        eprintln!("listening for pushes at http://{at}{}", self.path);
        Ok((Way::Push(PushDoor { listener, path: self.path.clone(), authorization }), Some(endpoint)))
    }
}

/// The temporary stream.
fn wanted(events: Vec<String>, endpoint: Option<String>, authorization: Option<SecretString>) -> CreateStream {
    let delivery = match endpoint {
        Some(url) => Delivery::push(url, authorization),
        None => Delivery::poll(None),
    };
    let description = Some("ssf-receiver tail: temporary".to_owned());
    CreateStream { events_requested: Some(events), delivery: Some(delivery), description, ..CreateStream::default() }
}

/// How long a push that is being answered may take after the end was asked for.
const GRACE: Duration = Duration::from_secs(3);
