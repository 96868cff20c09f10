//! What was last allowed, and what ended it: the last time an enforcement point was told `active` about something that a
//! decision of the issuer cuts off.
//!
//! [`Witness`] remembers in memory and is told of every answer; [`DenialLog`] is the worker that writes down, off the path
//! of the requests, what turned from allowed to denied and by which decision.

mod denial_log;
mod memory;
mod store;

pub use denial_log::DenialLog;
pub use memory::{Asked, Denial, Point, Witness};
