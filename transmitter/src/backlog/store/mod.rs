//! SQL of the backlog: adding up, looking, alarms, breaches, batches.

pub(crate) mod alarms;
pub(crate) mod batches;
pub(crate) mod breaches;
pub(crate) mod observe;
pub(crate) mod recount;
pub(crate) mod tally;
