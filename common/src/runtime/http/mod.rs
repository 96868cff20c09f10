//! Serving HTTP: a listener that says what is wrong when it cannot listen ([`bind`]), a loop that bounds how many
//! connections there are and how long each may dawdle, in plain text or over TLS,
//! at an address or a unix socket ([`Server`], [`UnixDoor`]), the layers every service
//! wants around its routes ([`with_hygiene`]), bounds on what is read at once ([`with_admission`]), and whom a request
//! comes from when a proxy stands in between ([`Proxies`]).

mod admission;
mod bind;
mod connection;
mod hygiene;
mod listen;
mod metered;
mod proxies;
mod server;
#[cfg(test)]
mod tests;
mod unix;

pub use admission::{Admission, AdmissionLimits, Slot, with_admission};
pub use bind::{BindError, bind};
pub use hygiene::{ErrorBody, error_reply, with_hygiene};
pub use proxies::{ForwardedBy, Origin, Proxies, ProxiesError};
pub use server::{ConnectionLimits, Server, serve};
pub use unix::{UnixDoor, UnixDoorError};
