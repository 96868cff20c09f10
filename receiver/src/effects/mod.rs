//! What the application must do: destroy its own session, close sockets, ask for a new login. It is told by signed
//! callbacks and by a stream of events, both read from one durable, ordered table.
//!
//! The statement that moves a cut-off leaves a row of `effect_source`. [`Spread`] goes through the sessions behind it and
//! makes an [`Effect`] of each whose state changed ([`news`] decides, pure); [`Gaps`] does the same for a time in which decisions
//! may have been lost. [`Callbacks`] tells one target, [`Watching`]
//! whoever watches; [`Upkeep`] gives up and forgets; [`desk`] is what an operator sees and does. [`Effects`] is all of it.
//!
//! The stage stands right of `validity`, whose evaluator says whether a state changed.

mod answer;
pub mod desk;
mod effect;
mod gaps;
mod news;
mod sender;
mod spread;
mod stage;
mod store;
mod target;
mod upkeep;
mod watching;

pub use effect::{Change, Effect, EffectId, LeaseId};
pub use gaps::Gaps;
pub use spread::Spread;
pub use stage::{Bells, Effects, EffectsError};
pub use target::{Callbacks, Target};
pub use upkeep::Upkeep;
pub use watching::{Heard, NoWatch, ResetReason, Wanted, WatchLimits, Watching};
