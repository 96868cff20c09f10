//! In front of an application's routes: who a request comes from, whether that session or token is still good, and what
//! is answered if it is not.
//!
//! ```text
//! request ─▶ the application's function ─▶ Presented ─▶ Ask ─▶ Checked ─▶ the route (with Checked in its extensions)
//!                  │ dpop, mtls: proofs                        └──▶ Refusal ─▶ Challenge: 401, 503, or the browser's hook
//! ```
//!
//! [`GuardLayer`] is that road as a tower layer. It asks an [`Ask`]: [`Local`] in the same process, or [`Remote`], the
//! service over its unix socket or over HTTP. A question that cannot be answered lets nobody through. [`Presented`] is
//! what a request shows; its binding class is `bound` only by a proof that was verified on this very request ([`dpop`],
//! [`mtls`]). `GET /v1/authz` of the API is the same for gateways, and shares [`Refusal`] and [`Challenge`].

mod ask;
mod challenge;
pub mod dpop;
mod gateway;
mod layer;
pub mod mtls;
mod presented;
mod refusal;
mod remote;

pub use ask::{Ask, AskError, Checked, Local, judge};
pub use challenge::Challenge;
pub use gateway::Gateway;
pub use layer::{Guard, GuardLayer};
pub use presented::{Confirmation, Presented, Shown, Who};
pub use refusal::Refusal;
pub use remote::Remote;
