//! The tables of the inbox: [`apply`] is the statement that claims SETs and applies them; `days` keeps the partitions they
//! are filed in.

mod apply;
mod columns;
mod days;
mod grants;
mod refusals;

pub(super) use apply::{Answer, Batch, apply, log_applied};
pub(super) use days::ensure_day;
pub(super) use grants::grant;
pub(super) use refusals::{note_refusal, trim_refusals};
