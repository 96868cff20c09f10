//! Tenants: the issuers this process serves, each with its keys, its defaults and its endpoints, as they were read last.
//!
//! Handlers and signers ask [`Tenants`]; it is a worker too, whose tick reads the table anew, so an issuer or a key that
//! another process made is known here after its notification, or a few seconds later at most.

mod endpoints;
mod tenants;

pub use endpoints::Endpoints;
pub use tenants::{Tenant, Tenants};
