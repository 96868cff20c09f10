//! The tables `issuer`, `upstream`, `upstream_gap`, `upstream_history`, `upstream_lease` and `managed_upstream`. Called by
//! this stage only, and by whoever sets an upstream up.

mod history;
mod lease;
mod managed;
mod overview;
mod rows;

pub(super) use history::turn;
pub use history::{Line, history, record};
pub use lease::release;
pub(super) use lease::take;
pub use managed::{ManagedRow, all};
pub(super) use managed::{abandoned, delete, find, insert, mark_removed, removed, replace};
pub(super) use overview::overviews;
pub use rows::*;
