//! Control: what the transmitter says about a stream itself (SSF 1.0 §8.1.4, §8.1.5), and the changes of status behind it.
//!
//! Verification events are recorded like decisions, addressed to one stream past its filters. Announcements of a change of
//! status go straight among the deliveries, in the transaction of the change ([`change`]). Two workers act by themselves:
//! [`Inactivity`] pauses streams nobody cares for, [`Heartbeat`] sends verification events nobody asked for.

mod events;
mod heartbeat;
mod inactivity;
mod removal;
mod status;
mod store;

pub use events::{is_fit_reason, is_fit_state, verification};
pub(crate) use heartbeat::verify_unsolicited;
pub use heartbeat::{Heartbeat, Unsolicited};
pub use inactivity::Inactivity;
pub(crate) use removal::remove;
pub(crate) use status::change;
pub use status::{ChangedBy, StatusChange};
