//! SQL of deliveries: making them, taking them, settling them.

pub(crate) mod dead_letters;
pub(crate) mod fan_out;
pub(crate) mod look;
pub(crate) mod polls;
pub(crate) mod progress;
pub(crate) mod promote;
pub(crate) mod receipts;
pub(crate) mod replay;
pub(crate) mod settle;
pub(crate) mod take;
pub(crate) mod upkeep;
