//! Names become addresses here, and only addresses that may be called come out: the connection is made to one of them
//! and to no other, so a name that answers differently the second time gains nothing.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::guard::Guard;

/// Whoever knows the addresses of names.
pub trait Lookup: fmt::Debug + Send + Sync + 'static {
    /// The addresses of a name.
    fn lookup<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;
}

/// The machine's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|found| found.ip()).collect()) })
    }
}

/// A name resolves to nothing that may be called. Says neither the name nor an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the endpoint resolves to an address that is not allowed")]
pub struct Refused;

impl Refused {
    /// Whether this is why a request failed.
    pub fn is_cause_of(error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// The resolver of guarded clients, and of those that may reach everything.
#[derive(Clone, Debug)]
pub(super) struct GuardedResolver {
    pub(super) lookup: Arc<dyn Lookup>,
    /// `None` lets everything through.
    pub(super) guard: Option<Guard>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let found = this.lookup.lookup(name.as_str()).await?;
            let is_known = !found.is_empty();
            let may_be_called = |address: &IpAddr| this.guard.as_ref().is_none_or(|guard| guard.lets_through(*address));
            let addresses: Vec<SocketAddr> =
                found.into_iter().filter(may_be_called).map(|address| SocketAddr::new(address, 0)).collect();
            if addresses.is_empty() && is_known {
                return Err(Refused.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
