//! URLs and addresses in settings: where plain http may be, and what counts as this machine.

use std::net::SocketAddr;

use url::{Host, Url};

use super::settings::{SettingsError, wrong};

/// https, or plain http on loopback, for development; no query, no fragment, no slash at the end.
pub(super) fn check_origin(text: &str, key: &str) -> Result<(), SettingsError> {
    check_url(text, key)?;
    if text.ends_with('/') {
        return wrong(key, "must have no query, no fragment and no slash at the end");
    }
    Ok(())
}

/// The same with or without a slash at the end: others may call themselves so.
pub(super) fn check_url(text: &str, key: &str) -> Result<(), SettingsError> {
    let Ok(url) = text.parse::<Url>() else { return wrong(key, "is not a URL; write for example https://idp.example") };
    match url.scheme() {
        "https" => {}
        "http" if is_on_loopback(&url) => {}
        _ => return wrong(key, "must be https; plain http is allowed on loopback only"),
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong(key, "must have no query and no fragment");
    }
    Ok(())
}

/// Whether a URL names this machine.
pub(crate) fn is_on_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether an address to listen at is on loopback.
pub(super) fn is_loopback_address(listen: &str) -> bool {
    listen.parse::<SocketAddr>().map_or_else(
        |_| listen.rsplit_once(':').is_some_and(|(host, _)| host == "localhost"),
        |address| address.ip().is_loopback(),
    )
}
