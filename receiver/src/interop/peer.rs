//! [`Peer`]: a transmitter that was discovered, and a credential for it.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use ssf_common::protocol::Metadata;
use ssf_common::runtime::Env;

use super::trace::Trace;
use super::{Fault, Findings, Mask, check};
use crate::config::{Credential, UpstreamSettings};
use crate::upstream::call::{Call, Calls};
use crate::upstream::client::Client;
use crate::upstream::discover;
use crate::upstream::keys::Keys;
use crate::upstream::token::Tokens;
use crate::upstream::{Answer, Http};

/// How a peer is talked to.
pub struct Manner {
    /// How long an answer may take.
    pub timeout: Duration,
    /// After a look for an unknown key id the key set is not fetched again for this long.
    pub keys_cooldown: Duration,
    /// The longest SET read, in bytes.
    pub max_set_bytes: usize,
    /// What peers in the field are known for is a warning.
    pub is_lenient: bool,
    /// Where exchanges are shown.
    pub trace: Option<Box<dyn Write + Send>>,
}

/// A transmitter, ready to be asked.
#[derive(Debug)]
pub struct Peer {
    /// What is known of it from settings or the command line.
    pub settings: UpstreamSettings,
    /// What it announces.
    pub metadata: Metadata,
    /// Its calls.
    pub client: Client,
    /// What everything that is shown goes through.
    pub mask: Arc<Mask>,
    /// Whether what peers in the field are known for is a warning.
    pub is_lenient: bool,
    pub(super) keys: Keys,
    pub(super) trace: Arc<Trace>,
    pub(super) env: Env,
    pub(super) max_set_bytes: usize,
}

impl Peer {
    /// Discovers the transmitter of these settings: one exchange. What is wrong with its metadata is found, also if it
    /// cannot be gone on with.
    pub async fn open(
        settings: UpstreamSettings,
        credential: Credential,
        manner: Manner,
        env: Env,
        found: &mut Findings,
    ) -> Result<Self, Fault> {
        let mask = Arc::new(Mask::default());
        match &credential {
            Credential::Static(token) => mask.learn(token.expose_secret()),
            Credential::Client { secret, .. } => mask.learn(secret.expose_secret()),
            // The key itself never travels; what is signed with it is masked as any JWT is.
            Credential::Key { .. } => {}
        }
        let trace = Arc::new(Trace::new(Arc::clone(&mask), manner.trace));
        let http = Http::new(manner.timeout).map_err(Fault::Http)?.watched_by(Arc::<Trace>::clone(&trace));
        let is_development = settings.is_development();
        let document = discover::metadata_document(&http, &settings.issuer).await?;
        found.extend(check::metadata(&document, is_development));
        let metadata = discover::metadata_of(&document, &settings.issuer)?;
        let tokens = Tokens::new(&settings, credential, http.clone(), env.clone());
        Ok(Self {
            metadata,
            client: Client::new(http.clone(), tokens, is_development),
            mask,
            is_lenient: manner.is_lenient,
            keys: Keys::new(http, env.clone(), manner.keys_cooldown),
            trace,
            env,
            max_set_bytes: manner.max_set_bytes,
            settings,
        })
    }

    /// The calls it announces endpoints for.
    pub const fn calls(&self) -> Calls<'_> {
        self.client.calls(&self.metadata)
    }

    /// A poll of this endpoint.
    pub fn poll(
        &self,
        endpoint: &str,
        asked: &ssf_common::protocol::PollRequest,
        timeout: Duration,
    ) -> Result<Call, Fault> {
        let asked_for = asked.max_events.unwrap_or(MANY).clamp(1, MANY);
        let limit = self.max_set_bytes.saturating_mul(asked_for as usize).clamp(SHORT_ANSWER, LONG_ANSWER);
        let call = Call::poll(endpoint, asked, timeout, limit, self.settings.is_development());
        Ok(call.map_err(crate::upstream::client::CallError::from)?)
    }

    /// Whether SETs may be asked for at this URL.
    pub fn may_poll(&self, endpoint: &str) -> bool {
        crate::upstream::endpoint(endpoint, "endpoint_url", self.settings.is_development()).is_ok()
    }

    /// Makes one exchange, after the one for a token if there is none yet. An answer that says no is a fault.
    pub async fn ask(&self, call: &Call) -> Result<Answer, Fault> {
        let answer = self.client.once(call).await?;
        self.unless_refused(call, answer)
    }

    pub(super) fn unless_refused(&self, call: &Call, answer: Answer) -> Result<Answer, Fault> {
        if answer.status.is_client_error() || answer.status.is_server_error() {
            return Err(Fault::refused(call, &answer, &self.mask));
        }
        Ok(answer)
    }
}

/// So many SETs are made room for if the poll does not say how many it wants.
const MANY: u32 = 1_000;
const SHORT_ANSWER: usize = 1024 * 1024;
const LONG_ANSWER: usize = 64 * 1024 * 1024;
