//! SQL of the subjects: changing a list, asking it, and keeping it tidy.

pub(crate) mod filter;
pub(crate) mod list;
pub(crate) mod upkeep;
