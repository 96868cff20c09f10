//! SQL of what operators look at. Each list is served by an index in its order and is bounded.

pub(super) mod events;
pub(super) mod streams;
