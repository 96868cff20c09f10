//! How long it took: the hops of every SET, from the decision at the IdP to the commit here.
//!
//! The inbox writes the hops down; this stage reads them and reports ([`report`]). Two clocks are never subtracted
//! without saying so: every leg names the clocks it was measured with, and [`offset`] says how far they may be apart.

pub mod offset;
pub mod report;
mod store;

pub use offset::{ClockOffset, RoundTrip};
pub use report::{Clocks, Leg, Legs, Report, Row, report};
