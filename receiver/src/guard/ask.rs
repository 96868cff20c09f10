//! [`Ask`]: who answers whether what a request presents is still good. [`Local`] does in the same process.

use std::error::Error;
use std::future::Future;

use serde::Serialize;
use serde_json::{Value, json};
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;
use ssf_common::runtime::telemetry::chain;

use super::presented::{Presented, Who};
use super::refusal::Refusal;
use crate::config::BindingClass;
use crate::session::{DescriptionError, Keyring, Sid};
use crate::validity::{Answer, Point, Question, Reason, State, Validity};

/// Answers questions about validity.
pub trait Ask: Send + Sync + 'static {
    /// Whether it is still good.
    fn ask(&self, presented: &Presented) -> impl Future<Output = Result<Checked, AskError>> + Send;
}

/// The answer. A route behind [`GuardLayer`](super::GuardLayer) finds it in the request's extensions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The session asked for; `None` if it was described.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<Sid>,
    /// The state.
    pub state: State,
    /// Why, in the words of `POST /v1/check`; `None` when active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Everything committed until then was taken into account, by the receiver's clock.
    pub as_of: Timestamp,
    /// The class it was judged in.
    pub class: BindingClass,
    /// Whether what is known of the issuer is older than it should be.
    pub stale: bool,
    /// An operator lets the sessions of this issuer go on, whatever its silence and its gaps are.
    pub break_glass: bool,
}

/// There is no answer, and nobody may be let through for want of one.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// What was presented cannot be a session or token of anybody's.
    #[error("what was presented cannot be asked for")]
    Unaskable(#[source] Unaskable),
    /// The receiver, or its database, did not answer.
    #[error("there is no answer to the question of validity now")]
    Unanswered(#[source] Box<dyn Error + Send + Sync>),
}

/// Why a question is none.
#[derive(Debug, thiserror::Error)]
pub enum Unaskable {
    /// A name that no session can have.
    #[error("sid: {}", Sid::RULE)]
    Name,
    /// A description that describes nothing.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// The service refused the question.
    #[error("the receiver's service refused the question with {0}")]
    Refused(http::StatusCode),
}

/// Asks, and says whether the request gets through. That there was no answer is logged here.
pub async fn judge(ask: &impl Ask, presented: &Presented) -> Result<Checked, Refusal> {
    let answer = ask.ask(presented).await;
    match &answer {
        Err(error @ AskError::Unanswered(_)) => {
            tracing::warn!(error = %chain(error), "nobody is let through: there is no answer to the question of validity");
        }
        Err(error @ AskError::Unaskable(_)) => {
            tracing::debug!(error = %chain(error), "a request presents what cannot be asked for");
        }
        Ok(_) => {}
    }
    Refusal::judged(presented, answer)
}

/// Asks in the same process.
#[derive(Clone, Debug)]
pub struct Local {
    validity: Validity,
    keyring: Keyring,
    env: Env,
}

impl Local {
    /// Asks these.
    pub const fn new(validity: Validity, keyring: Keyring, env: Env) -> Self {
        Self { validity, keyring, env }
    }

    /// The same for another enforcement point, one that the settings declare.
    #[must_use]
    pub fn at(self, point: Point) -> Self {
        Self { validity: self.validity.at(point), ..self }
    }
}

impl Ask for Local {
    async fn ask(&self, presented: &Presented) -> Result<Checked, AskError> {
        let question = match presented.who() {
            Who::Session(sid) if sid.is_storable() => Question::Named(sid.clone(), presented.binding()),
            Who::Session(_) => return Err(AskError::Unaskable(Unaskable::Name)),
            Who::Described(description) => {
                let described = description.read(&self.keyring, self.env.now());
                Question::Described(described.map_err(|error| AskError::Unaskable(error.into()))?)
            }
        };
        let answer = self.validity.check(&question).await.map_err(|error| AskError::Unanswered(error.into()))?;
        Ok(Checked::new(presented, &answer))
    }
}

impl Checked {
    fn new(presented: &Presented, answer: &Answer) -> Self {
        let sid = match presented.who() {
            Who::Session(sid) => Some(sid.clone()),
            Who::Described(_) => None,
        };
        Self {
            sid,
            state: answer.verdict.state,
            reason: answer.verdict.reason.map(word),
            as_of: answer.as_of,
            class: answer.class,
            stale: answer.is_stale,
            break_glass: answer.touch.is_some_and(|touch| touch.is_overridden),
        }
    }
}

/// As it stands in answers.
fn word(reason: Reason) -> String {
    match json!(reason) {
        Value::String(word) => word,
        other => other.to_string(),
    }
}
